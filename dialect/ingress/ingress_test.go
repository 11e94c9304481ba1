package ingress_test

import (
	"os"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/dialecttest"
	"github.com/weft-mesh/weft/dialect/ingress"
	"github.com/weft-mesh/weft/internal/meshtest"
)

// TestTranscripts: each sentence of the Ingress's reference that says where a call goes, by decision and through proxies.
func TestTranscripts(t *testing.T) { meshtest.RunTranscripts(t, "testdata/*.txtar") }

// TestFieldsHaveTheEffectThatIsClaimed: every field that a kind lists changes what is made of the object.
func TestFieldsHaveTheEffectThatIsClaimed(t *testing.T) {
	sample, err := os.ReadFile("testdata/fields.yaml")
	if err != nil {
		t.Fatal(err)
	}
	dialecttest.CheckFields(t, append(ingress.Kinds("cluster.local"), dialect.Kind{Name: "Service", Versions: []string{"v1"}}), string(sample))
}

// TestHostsOfTwoNamespaces: an Ingress hears of another namespace's for the same host and class, whichever way the two name the class; not of one
// in its own namespace, of another class, or for another host.
func TestHostsOfTwoNamespaces(t *testing.T) {
	const classes = `
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: weft, annotations: {ingressclass.kubernetes.io/is-default-class: "true"}}
spec: {controller: weft.dev/ingress-controller}
---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: other}
spec: {controller: weft.dev/ingress-controller}
`
	one := func(name, namespace, spec string) string {
		return "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: " + name + ", namespace: " + namespace + "}\nspec: {" + spec + "}\n"
	}
	const shop, named = "rules: [{host: Shop.example}]", "ingressClassName: weft, rules: [{host: shop.example}]"
	for _, x := range []struct{ what, a, b, field string }{
		{"by the default and by name", shop, named, "spec.rules[0].host"},
		{"by the default", shop, shop, "spec.rules[0].host"},
		{"another host", shop, "rules: [{host: other.example}]", ""},
		{"another class", shop, "ingressClassName: other, rules: [{host: shop.example}]", ""},
		{"the rest", "defaultBackend: {service: {name: s, port: {number: 80}}}", "rules: [{http: {paths: []}}]", "spec.defaultBackend"},
	} {
		for _, namespace := range []string{"a", "b"} {
			_, found := dialecttest.Lower(t, ingress.Kinds("cluster.local"), classes+one("one", "a", x.a)+one("two", namespace, x.b))
			told := map[string]string{}
			for _, f := range found {
				if strings.Contains(f.Text, "of another namespace") {
					told[f.Ref.Name] = f.Field
				}
			}
			if told["one"] != x.field && namespace == "b" || namespace == "a" && len(told) > 0 || x.field != "" && namespace == "b" && len(told) != 2 {
				t.Errorf("%s, in the namespaces a and %s: %v", x.what, namespace, told)
			}
		}
	}
}
