package dialecttest_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/dialecttest"
	"github.com/weft-mesh/weft/dialect/schema"
	"github.com/weft-mesh/weft/mesh"
)

type spec struct {
	Host  string            `json:"host"`
	Mode  string            `json:"mode"`
	Ports []int64           `json:"ports"`
	Extra map[string]string `json:"extra"`
	On    bool              `json:"active"`
}

// kind gives the named fields an effect, and says that those in fields have one.
func kind(effective []string, fields ...string) dialect.Kind {
	return dialect.Kind{
		Dialect: decision.Istio, Group: "g", Name: "Thing", Versions: []string{"v1"}, Fields: fields,
		Schema: schema.Whole(schema.Of(reflect.TypeFor[spec]())).SetEnum("spec.mode", "A", "B"),
		Lower: func(o *dialect.Object, _ dialect.View) (mesh.Part, []mesh.Finding) {
			tree, _ := o.Tree["spec"].(map[string]any)
			var said strings.Builder
			for _, name := range effective {
				fmt.Fprintln(&said, tree[name])
			}
			return mesh.Part{Services: []mesh.Service{{Host: said.String()}}}, nil
		},
	}
}

// recorder is a test that only notes its errors.
type recorder struct {
	testing.TB
	errors []string
}

func (r *recorder) Helper() {}

func (r *recorder) Errorf(format string, args ...any) {
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}

const sample = `apiVersion: g/v1
kind: Thing
metadata: {name: a, namespace: b}
spec: {host: h, mode: A, ports: [1, 2], extra: {a: b, c.d/e: f}, active: true}
`

func TestCheckFields(t *testing.T) {
	every := []string{"host", "mode", "ports", "extra", "active"}
	for _, c := range []struct {
		name string
		kind dialect.Kind
		yaml string
		want []string
	}{
		{"honest", kind(every, "spec.host", "spec.mode", "spec.ports", "spec.extra", "spec.active"), sample, nil},
		{"elements", kind(every, "spec.host", "spec.mode", "spec.ports[]", "spec.extra{}", "spec.active"), sample, nil},
		{"all below", kind(every, "spec.*"), sample, nil},
		{"without effect", kind([]string{"host"}, "spec.host", "spec.mode", "spec.ports"), sample,
			[]string{"Thing: spec.mode is listed as supported, and changing it changes nothing", "Thing: spec.ports[] is listed as supported, and changing it changes nothing"}},
		{"one of all below without effect", kind([]string{"host", "ports", "extra", "active"}, "spec.*"), sample,
			[]string{"Thing: spec.mode is listed as supported, and changing it changes nothing"}},
		{"not in the sample", kind(every, "spec.host", "spec.none", "spec.extra{}.x"), sample,
			[]string{"Thing: spec.extra{}.x is listed as supported, and no sample has it", "Thing: spec.none is listed as supported, and no sample has it"}},
		{"in another document", kind(every, "spec.host", "spec.mode"), "apiVersion: g/v1\nkind: Thing\nmetadata: {name: x}\nspec: {host: h}\n---\n" + sample, nil},
		{"sample is bad", kind(every, "spec.host"), "apiVersion: g/v1\nkind: Thing\nmetadata: {name: x}\nspec: {host: h, active: 1}",
			[]string{"Thing x: the sample is not in force", "Thing: spec.host is listed as supported, and changing it changes nothing"}},
		{"no such kind in the sample", kind(nil, "spec.host"), "apiVersion: g/v1\nkind: Other\nmetadata: {name: x}", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &recorder{TB: t}
			dialecttest.CheckFields(r, []dialect.Kind{c.kind}, c.yaml)
			slices.Sort(r.errors)
			if !slices.EqualFunc(r.errors, c.want, strings.HasPrefix) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(r.errors, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}

func TestObjectsFail(t *testing.T) {
	r := &recorder{TB: t}
	dialecttest.Objects(r, nil, "{")
	if len(r.errors) != 1 || !strings.HasPrefix(r.errors[0], "test.yaml:1: ") {
		t.Errorf("%q", r.errors)
	}
}

func TestView(t *testing.T) {
	objects := dialecttest.Objects(t, nil, "apiVersion: g/v1\nkind: Thing\nmetadata: {name: b, namespace: x}\n---\napiVersion: g/v1\nkind: Thing\nmetadata: {name: a, namespace: x}\n"+
		"---\napiVersion: g/v1\nkind: Thing\nmetadata: {name: c, namespace: w}\n---\napiVersion: g/v1\nkind: Thing\nmetadata: {name: d, namespace: x, creationTimestamp: 2020-01-01T00:00:00Z}")
	v := dialecttest.View(objects)
	if o := v.Get("g", "Thing", "x", "a"); o != objects[1] || v.Get("g", "Thing", "x", "c") != nil {
		t.Errorf("got %v", o)
	}
	var names []string
	for _, o := range v.List("g", "Thing", "") {
		names = append(names, o.Name)
	}
	if want := []string{"d", "c", "a", "b"}; !slices.Equal(names, want) || len(v.List("g", "Thing", "w")) != 1 || len(v.List("h", "Thing", "")) != 0 {
		t.Errorf("got %v, want %v", names, want)
	}
}
