package inject

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/core"
	"github.com/weft-mesh/weft/mesh"
)

var update = flag.Bool("update", false, "write what testdata is to say")

// options are those of a mesh as it is installed, with changes.
func options(t testing.TB, changes string) Options {
	t.Helper()
	o := Options{Version: "v1", Image: "weft:v1", Control: "weft-control.weft-system.svc:15012", Namespace: "weft-system", TrustDomain: "cluster.local"}
	if err := yaml.UnmarshalStrict([]byte(changes), &o); err != nil {
		t.Fatal(err)
	}
	if err := o.validate(); err != nil {
		t.Fatal(err)
	}
	return o
}

// example is a file of testdata/pods.
type example struct {
	archive   *txtar.Archive
	pod       corev1.Pod
	namespace Namespace
	o         Options
}

func (e *example) file(name string) *txtar.File {
	i := slices.IndexFunc(e.archive.Files, func(f txtar.File) bool { return f.Name == name })
	if i < 0 {
		return &txtar.File{}
	}
	return &e.archive.Files[i]
}

func examples(t testing.TB) map[string]*example {
	t.Helper()
	names, err := filepath.Glob("testdata/pods/*.txtar")
	if err != nil || len(names) < 10 {
		t.Fatal(names, err)
	}
	out := map[string]*example{}
	for _, name := range names {
		e := &example{}
		if e.archive, err = txtar.ParseFile(name); err != nil {
			t.Fatal(err)
		}
		var ns struct{ Metadata Namespace }
		for file, into := range map[string]any{"pod.yaml": &e.pod, "namespace.yaml": &ns} {
			if err := yaml.UnmarshalStrict(e.file(file).Data, into); err != nil {
				t.Fatalf("%s: %s: %v", name, file, err)
			}
		}
		e.namespace, e.o = ns.Metadata, options(t, string(e.file("options.yaml").Data))
		if webhook := strings.TrimSpace(string(e.file("foreign").Data)); webhook != "" {
			e.o.Foreign = []string{InjectorOf(webhook)}
		}
		out[name] = e
	}
	return out
}

// What becomes of pods: the whole pod, by which steps, and what is said of it.
func TestPods(t *testing.T) {
	for name, e := range examples(t) {
		d := Decide(&e.pod, e.namespace, e.o)
		pod, found, err := Patch(&e.pod, e.namespace, e.o)
		got := map[string]string{"findings": "because " + d.Because + "\n"}
		for i := range found {
			got["findings"] += found[i].Level.String() + ": " + found[i].String() + "\n"
		}
		for _, op := range d.Ops {
			got["patch"] += op.Op + " " + op.Path + "\n"
		}
		if len(d.Ops) > 0 && err == nil {
			b, err := yaml.Marshal(pod)
			if err != nil {
				t.Fatal(err)
			}
			got["want.yaml"] = string(b)
		}
		if refused := len(d.Refused()) > 0; refused != (err != nil) || refused && len(d.Ops) > 0 {
			t.Errorf("%s: %v, %d steps", name, err, len(d.Ops))
		}
		same := true
		for _, file := range []string{"findings", "patch", "want.yaml"} {
			f := e.file(file)
			same = same && string(f.Data) == got[file]
			if f.Name != "" && *update {
				f.Data = []byte(got[file])
			} else if string(f.Data) != got[file] {
				t.Errorf("%s: %s is\n%s\nand not\n%s", name, file, got[file], f.Data)
			}
		}
		if !same && *update {
			if err := os.WriteFile(name, txtar.Format(e.archive), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A pod that has its proxy stays as it is, whichever it was.
func TestIdempotent(t *testing.T) {
	for name, e := range examples(t) {
		pod, _, err := Patch(&e.pod, e.namespace, e.o)
		if err != nil {
			continue
		}
		again := Decide(pod, e.namespace, e.o)
		if len(again.Ops) > 0 || len(again.Refused()) > 0 {
			t.Errorf("%s: again %v, %v", name, again.Ops, again.Refused())
		}
	}
}

// What the user wrote is there afterwards: each field of the pod, with its value, but for the probes that the proxy answers.
func TestKeeps(t *testing.T) {
	for name, e := range examples(t) {
		pod, _, err := Patch(&e.pod, e.namespace, e.o)
		if err != nil {
			continue
		}
		for _, gone := range lost(tree(t, &e.pod), tree(t, pod), "") {
			if !strings.HasSuffix(gone, "Probe.httpGet") && !strings.Contains(gone, "Probe.tcpSocket") && !strings.Contains(gone, "Probe.grpc") &&
				!strings.Contains(gone, "Probe.httpGet.") && !strings.Contains(gone, "WEFT_PROBES") {
				t.Errorf("%s: %s is gone", name, gone)
			}
		}
	}
}

func tree(t testing.TB, v any) any {
	t.Helper()
	b, err := json.Marshal(v)
	var out any
	if err == nil {
		err = json.Unmarshal(b, &out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// lost are the paths of what is in one tree and not in another. Elements of lists are known by their names.
func lost(in, out any, path string) (gone []string) {
	switch in := in.(type) {
	case map[string]any:
		m, _ := out.(map[string]any)
		for key, v := range in {
			gone = append(gone, lost(v, m[key], path+"."+key)...)
		}
		return gone
	case []any:
		list, _ := out.([]any)
		for i, v := range in {
			gone = append(gone, lost(v, like(v, list, i), path+"["+nameIn(v)+"]")...)
		}
		return gone
	}
	a, _ := json.Marshal(in)
	b, _ := json.Marshal(out)
	if !bytes.Equal(a, b) {
		gone = append(gone, path)
	}
	return gone
}

func nameIn(v any) string {
	m, _ := v.(map[string]any)
	name, _ := m["name"].(string)
	return name
}

func like(v any, list []any, i int) any {
	for _, x := range list {
		if name := nameIn(v); name != "" && name == nameIn(x) {
			return x
		}
	}
	if i < len(list) {
		return list[i]
	}
	return nil
}

// Every annotation that has an effect here is known to the readers of dialects, which else say that it has none.
func TestKnownAnnotations(t *testing.T) {
	kinds := core.Kinds("cluster.local")
	for _, s := range table {
		o := &dialect.Object{Version: "v1", Kind: "Namespace", Name: "shop", Annotations: map[string]string{s.key: "1"},
			Tree: map[string]any{"metadata": map[string]any{"name": "shop", "annotations": map[string]any{s.key: "1"}}}}
		_, found := dialect.Read(kinds, o, nil)
		for _, f := range found {
			if f.Level != mesh.Info || s.mesh == "" {
				t.Errorf("%s: %s", s.key, f.String())
			}
		}
	}
}

// What is found in a pod's annotations and in its namespace's is said once.
func TestNotedOnce(t *testing.T) {
	var p plan
	for range 2 {
		p.warn("a", "is wrong", "")
	}
	if p.warn("b", "is wrong", ""); len(p.found) != 2 {
		t.Errorf("%v", p.found)
	}
}
