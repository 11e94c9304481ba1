package dialect_test

import (
	"testing"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/dialecttest"
	"github.com/weft-mesh/weft/dialect/schema"
)

func TestReaderSaysThingsOnce(t *testing.T) {
	o := &dialect.Object{Kind: "Thing", Name: "a", Tree: map[string]any{"spec": map[string]any{"port": "http"}}}
	r := dialect.NewReader(decision.Istio, o, nil)
	r.Warn("spec.a", "it is odd", "")
	r.Warn("spec.a", "it is odd", "")
	if len(r.Found) != 1 || r.Refused() {
		t.Errorf("%v, refused: %v", r.Found, r.Refused())
	}
	r.Regex("spec.b", "(")
	if len(r.Found) != 2 || !r.Refused() || r.Found[1].Ref != o.Ref(decision.Istio) {
		t.Errorf("%v, refused: %v", r.Found, r.Refused())
	}
	r.Regex("spec.c", `\Qa`)
	if len(r.Found) != 3 {
		t.Error("an expression that is none for a whole value is taken")
	}
	if got := r.Rule("spec.http[0]"); got != o.Ref(decision.Istio).At("http[0]") {
		t.Error(got)
	}
	var into struct {
		Port int `json:"port"`
	}
	if r.Spec(&into) || r.Found[len(r.Found)-1].Field != "spec" {
		t.Errorf("%v %v", into, r.Found)
	}
}

func TestNetwork(t *testing.T) {
	for text, want := range map[string]string{
		"10.1.2.3/8": "10.0.0.0/8", "10.1.2.3": "10.1.2.3/32", "fd00::1/8": "fd00::/8", "::1": "::1/128", "0.0.0.0/0": "0.0.0.0/0",
		"": "", "10.0.0": "", "10.0.0.0/33": "", "localhost": "", "fe80::1%eth0": "", "::ffff:10.0.0.0/104": "", "::ffff:10.1.2.3": "",
	} {
		if p, err := dialect.Network(text); (err == nil) != (want != "") || err == nil && p.String() != want {
			t.Errorf("%q: %v, %v, want %q", text, p, err, want)
		}
	}
}

func TestServiceOf(t *testing.T) {
	if name, namespace, ok := dialect.ServiceOf(dialect.Host("web", "shop")); !ok || name != "web" || namespace != "shop" {
		t.Error(name, namespace, ok)
	}
	for _, host := range []string{"", "web", "web.shop", "web.svc.cluster.local", "a.web.shop.svc.cluster.local", "web.shop.svc.other"} {
		if name, namespace, ok := dialect.ServiceOf(host); ok {
			t.Errorf("%q: %s %s", host, name, namespace)
		}
	}
}

func TestElsewhere(t *testing.T) {
	const service = "---\napiVersion: v1\nkind: Service\nmetadata: "
	view := dialecttest.View(dialecttest.Objects(t, nil, service+"{name: one, namespace: a}\n"+service+"{name: two, namespace: a}\n"+service+"{name: two, namespace: b}\n"))
	r := dialect.NewReader(decision.Core, &dialect.Object{}, view)
	for name, want := range map[string]string{"one": "a", "two": "", "three": ""} {
		if got := r.Elsewhere(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestValue(t *testing.T) {
	o := dialecttest.Objects(t, nil, `{apiVersion: g/v1, kind: Thing, spec: {list: [{a: 1}, {"x.y/z": {"[0]": 2}}], none: null}}`)[0]
	for field, want := range map[string]any{
		"spec.list[0].a": int64(1), dialect.Child(dialect.Child("spec.list[1]", "x.y/z"), "[0]"): int64(2),
		"spec.list[2]": nil, "spec.list[0].b": nil, "spec.list.a": nil, "spec.none": nil, "spec.none.a": nil, "kind": "Thing", "other[0]": nil,
	} {
		if got := o.Value(field); got != want {
			t.Errorf("%s: %v, want %v", field, got, want)
		}
	}
	if tree, ok := o.Value("").(map[string]any); !ok || len(tree) != 3 {
		t.Error(o.Value(""))
	}
}

func TestStrays(t *testing.T) {
	leaf := &schema.Schema{Type: schema.StringType}
	inner := &schema.Schema{Type: schema.ObjectType, Fields: map[string]*schema.Schema{"a": leaf, "any": {}}}
	s := schema.Whole(&schema.Schema{Type: schema.ObjectType, Fields: map[string]*schema.Schema{
		"rules": {Type: schema.ListType, Elem: inner}, "labels": {Type: schema.MapType, Elem: leaf}, "one": inner}})
	for _, c := range []struct {
		spec  string
		field string
		but   []string
		want  bool
	}{
		{"{rules: [{a: x}], labels: {b: c}, one: {a: x, any: {b: [{c: d}]}}}", "spec", nil, false},
		{"{rule: []}", "spec", nil, true},
		{"{rules: [{a: x}, {b: x}]}", "spec", nil, true},
		{"{rules: [{a: x}, {b: x}]}", "spec", []string{"rules"}, false},
		{"{rules: [{a: x}, {b: x}]}", "spec.rules[0]", nil, false},
		{"{rules: [{a: x}, {b: x}]}", "spec.rules[1]", nil, true},
		{"{one: {rules: [], a: x}}", "spec", []string{"rules"}, true},
		{"{one: {}}", "spec.none", nil, false},
	} {
		o := dialecttest.Objects(t, nil, "{apiVersion: g/v1, kind: Thing, spec: "+c.spec+"}")[0]
		r := dialect.NewReader(decision.Istio, o, nil)
		if got := r.Strays(s, c.field, "it does nothing", c.but...); got != c.want || got != (len(r.Found) == 1) {
			t.Errorf("%s %s but %v: %v %v", c.spec, c.field, c.but, got, r.Found)
		}
	}
}
