package install

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	release "helm.sh/helm/v4/pkg/release/v1"
)

// byHelm is what Helm brings of a chart's file to a cluster that serves some kinds, named as GROUP/VERSION/KIND: all objects, the kinds among them, and the record that it keeps.
func byHelm(t *testing.T, file []byte, settings string, serves []string) (objects, kinds map[string]Object, record int) {
	t.Helper()
	c, err := loader.LoadArchive(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	values, err := Read(nil, []string{settings}, nil)
	if err != nil {
		t.Fatal(err)
	}
	known := *common.DefaultCapabilities
	known.APIVersions = slices.Concat(known.APIVersions, serves)
	manifests := manifestsOf(t, c, "weft", values, &known)
	r := &release.Release{Name: "weft", Chart: c, Config: values}
	objects, kinds = map[string]Object{}, map[string]Object{}
	for _, m := range manifests {
		r.Manifest += "---\n" + m.Content + "\n"
		x, err := parse(m.Content)
		if err != nil {
			t.Fatal(err)
		}
		objects[Name(x.Key)] = x
		if x.Key.Kind == "CustomResourceDefinition" {
			kinds[x.Key.Name] = x
		}
	}
	return objects, kinds, recorded(t, r)
}

// recorded is the length of the Secret's value in which Helm keeps a release.
func recorded(t *testing.T, r *release.Release) int {
	t.Helper()
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := z.Write(b); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodedLen(packed.Len())
}

// The chart that is written for Helm has the kinds that weft install has, brings those that are asked for and not there, keeps them when the release goes,
// and fits into the Secret by which Helm remembers it, of at most 1 MiB (k8s.io/api/core/v1, MaxSecretSize).
func TestPack(t *testing.T) {
	name, file, err := Pack("v1/a")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(name, "weft-") || !strings.HasSuffix(name, "+v1-a.tgz") {
		t.Errorf("it is %s", name)
	}
	if _, again, err := Pack("v1/a"); err != nil || !bytes.Equal(again, file) {
		t.Errorf("twice the same differs, %v", err)
	}
	all, there := map[string][]string{}, []string{}
	for _, p := range Projects() {
		list, err := Definitions(p)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range list {
			all[p] = append(all[p], x.Key.Name)
			versions, _ := at[[]any](x.Tree, "spec", "versions")
			if last := versions[len(versions)-1]; p == "gateway-api" { // any version of it is enough
				there = append(there, text(x.Tree, "spec", "group")+"/"+text(last, "name")+"/"+text(x.Tree, "spec", "names", "kind"))
			}
		}
		slices.Sort(all[p])
	}
	everything := strings.Join(slices.Sorted(maps.Keys(all)), ",")
	const have = "gateways.networking.istio.io"
	for _, x := range []struct {
		settings string
		serves   []string
		want     []string
	}{
		{"crds={none}", nil, nil},
		{"inject.adopt=false", nil, all["gateway-api"]},
		{"crds={linkerd}", nil, all["linkerd"]},
		{"crds={" + everything + "}", there, slices.Concat(all["cilium"], all["istio"], all["linkerd"])},
		{"crds={" + everything + "}", nil, slices.Concat(all["cilium"], all["gateway-api"], all["istio"], all["linkerd"])},
		{"crds={istio}", []string{"networking.istio.io/v1/Gateway"}, slices.DeleteFunc(slices.Clone(all["istio"]), func(n string) bool { return n == have })},
	} {
		objects, kinds, record := byHelm(t, file, x.settings, x.serves)
		want := slices.Clone(x.want)
		slices.Sort(want)
		if got := slices.Sorted(maps.Keys(kinds)); !slices.Equal(got, want) {
			t.Errorf("%s, where there are %v: %v, want %v", x.settings, x.serves, got, want)
		}
		for name, k := range kinds {
			if text(k.Tree, "metadata", "annotations", keep) != "keep" || text(k.Tree, "metadata", "labels", partOf) != ours || text(k.Tree, "metadata", "name") != name {
				t.Errorf("%s has metadata %v", name, k.Tree["metadata"])
			}
		}
		d := objects["Deployment "+DefaultNamespace+"/"+control]
		if list, _ := at[[]any](d.Tree, "spec", "template", "spec", "containers"); len(list) == 0 || text(list[0], "image") != "weft:v1/a" {
			t.Errorf("it runs %v", list)
		}
		if t.Logf("%s: %d kinds, and a record of %d bytes", x.settings, len(kinds), record); record > 1<<20/2 {
			t.Errorf("%s: Helm's record of it is %d bytes", x.settings, record)
		}
	}
}

// The chart in the repository has no kinds, and says so to whoever asks for some. Nobody asks for those that are the default.
func TestNoKindsInChart(t *testing.T) {
	for settings, want := range map[string]string{"crds={gateway-api}": "", "crds={none}": "", "crds={linkerd}": "--crds", "crds={consul}": "crds"} {
		values, err := Read(nil, []string{settings}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = Render(Options{Values: values}); (err != nil) != (want != "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", settings, err, want)
		}
	}
}
