package install

import (
	"bytes"
	"compress/gzip"
	"strings"
	"testing"

	"sigs.k8s.io/gateway-api/pkg/consts"

	"github.com/weft-mesh/weft/dialect/all"
)

// applied is how long the copy may be that kubectl apply keeps in an annotation (k8s.io/apimachinery/pkg/api/validation, TotalAnnotationSizeLimitB).
const applied = 256 << 10

func TestUnpack(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, err := z.Write([]byte(`# a comment
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: cups.example.org}
spec:
  group: example.org
  names: {kind: Cup}
  versions:
  - name: v1
    schema:
      openAPIV3Schema:
        description: A cup.
        properties:
          description: {type: string, description: What it says.}
          properties: {type: object, properties: {description: {type: string}}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: other}
`))
	if err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	got, err := unpack(packed.Bytes())
	if err != nil || len(got) != 1 {
		t.Fatal(got, err)
	}
	want := `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  labels:
    app.kubernetes.io/part-of: weft
  name: cups.example.org
spec:
  group: example.org
  names:
    kind: Cup
  versions:
  - name: v1
    schema:
      openAPIV3Schema:
        properties:
          description:
            type: string
          properties:
            properties:
              description:
                type: string
            type: object
`
	if got[0].Text != want {
		t.Errorf("%s", got[0].Text)
	}
	f := newFake()
	if missing, err := Missing(t.Context(), f, got); err != nil || len(missing) != 1 {
		t.Error(missing, err)
	}
	f.served["example.org/Cup"] = []string{"v1"}
	if missing, err := Missing(t.Context(), f, got); err != nil || len(missing) != 0 {
		t.Error(missing, err)
	}
}

// Every kind of these dialects that has an effect can be stored, in each version, and kubectl apply takes it.
func TestDefinitions(t *testing.T) {
	for _, project := range Projects() {
		got, err := Definitions(project)
		if err != nil {
			t.Fatal(err)
		}
		served := map[string]bool{}
		for _, x := range got {
			versions, _ := at[[]any](x.Tree, "spec", "versions")
			for _, v := range versions {
				served[text(x.Tree, "spec", "group")+"/"+text(v, "name")+"/"+text(x.Tree, "spec", "names", "kind")] = true
			}
		}
		for _, k := range all.Kinds("cluster.local") {
			mine := strings.Contains(k.Group, map[string]string{"gateway-api": "gateway.networking.k8s.io", "istio": "istio.io", "linkerd": "linkerd.io", "cilium": "cilium.io"}[project])
			for _, v := range k.Versions[:1] {
				if mine && k.Lower != nil && !served[k.Group+"/"+v+"/"+k.Name] {
					t.Errorf("%s: there is no %s/%s %s in %v", project, k.Group, v, k.Name, served)
				}
			}
		}
		for _, x := range got {
			if meta, _ := at[map[string]any](x.Tree, "metadata"); project == "gateway-api" && text(meta, "annotations", consts.BundleVersionAnnotation) != consts.BundleVersion {
				t.Errorf("%s does not say of which version it is", Name(x.Key)) // as the status of a GatewayClass wants to know
			}
			if len(x.Text) > applied || x.Key.Kind != "CustomResourceDefinition" || x.Key.Name != plural(text(x.Tree, "spec", "names", "kind"))+"."+text(x.Tree, "spec", "group") {
				t.Errorf("%s: %d bytes", Name(x.Key), len(x.Text))
			}
		}
	}
	if _, err := Definitions("consul"); err == nil || !strings.Contains(err.Error(), "linkerd") {
		t.Error(err)
	}
}

// The API server refuses a definition that says anything of the fields that every object has.
func TestDefinitionsLeaveOutWhatAllObjectsHave(t *testing.T) {
	for project, of := range shapeless {
		made, err := define(of)
		if err != nil || len(made) == 0 {
			t.Fatal(project, len(made), err)
		}
		for _, o := range made {
			for _, version := range o.Tree["spec"].(map[string]any)["versions"].([]any) {
				schema := version.(map[string]any)["schema"].(map[string]any)["openAPIV3Schema"].(map[string]any)
				for name := range schema["properties"].(map[string]any) {
					if name == "apiVersion" || name == "kind" || name == "metadata" {
						t.Errorf("%v defines %s", o.Key, name)
					}
				}
			}
		}
	}
}
