package dialect_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/weft-mesh/weft/dialect"
)

func packable() *dialect.Object {
	tree := map[string]any{"apiVersion": "things.dev/v1", "kind": "Thing", "metadata": map[string]any{"name": "a", "namespace": "shop", "uid": "1",
		"creationTimestamp": "2026-01-02T03:04:05Z"}, "spec": map[string]any{"whole": int64(1) << 60, "half": 0.5, "list": []any{"a", nil, true}}}
	return dialect.NewObject(nil, "things.dev/v1", "Thing", tree, time.Time{})
}

func TestPack(t *testing.T) {
	o := packable()
	p := o.Pack()
	if !reflect.DeepEqual(p.Whole(), packable().Tree) {
		t.Errorf("%v became %v", o.Tree, p.Whole())
	}
	if !reflect.DeepEqual(o.Tree, packable().Tree) {
		t.Error("the object that was packed has changed")
	}
	if most := len(`{"metadata":{"uid":"1"},"spec":{"half":0.5,"list":["a",null,true],"whole":1152921504606846976}}`); len(p.Packed) > most {
		t.Errorf("%q is longer than its JSON", p.Packed)
	}
	if !p.Same(packable().Pack()) || !p.Same(o) || !o.Same(p) {
		t.Error("it is not the same as itself")
	}
	other := packable()
	other.Tree["spec"].(map[string]any)["half"] = 1.5
	if p.Same(other) || p.Same(other.Pack()) || other.Same(p) {
		t.Error("it is the same as another")
	}
	if n := p.Value("spec.whole"); n != int64(1)<<60 {
		t.Error(n)
	}
	bad := packable()
	bad.Tree["f"] = func() {}
	if bad.Pack() != bad {
		t.Error("what has no JSON was packed")
	}
}

// What an object is named after is in its text many times, and a byte stands for it; whatever it is, the text can be had back.
func TestPackStem(t *testing.T) {
	for _, x := range []struct {
		kind, name, says string
		most             int // bytes that take the place of what it says
	}{
		{"Pod", "shop-backend-5d9f7-x2x7k", "shop-backend", 1}, {"Pod", "shop-backend-5d9f7-x2x7k", "shop-backend-5d9f7-x2x7k", 13},
		{"Thing", "shop-backend-x2x7k", "shop-backend-5d9f7-x2x7k", 13}, {"Thing", "shop-backend", "shop-backend", 12},
		{"Pod", "a-b-c", "a-b-c", 5}, {"Thing", "metadata-x", "metadata", 7}, {"Thing", "generation-1", "generation", 1}, {"Thing", "", "-", 1}, {"Pod", "-", "--", 2},
		{"Pod", "--------------", "--------------", 3}, {"Thing", "name-is-\xfc-x", "name-is-\xfc", 14}, {"Thing", "containerPort-1", "containerPort", 1},
	} {
		tree := func() map[string]any {
			return map[string]any{"apiVersion": "v1", "kind": x.kind, "metadata": map[string]any{"name": x.name, "namespace": "shop", "uid": "1",
				"creationTimestamp": "2026-01-02T03:04:05Z"}, "says": x.says}
		}
		o := dialect.NewObject(nil, "v1", x.kind, tree(), time.Time{})
		p := o.Pack()
		if want := strings.ToValidUTF8(x.says, "\ufffd"); p.Whole()["says"] != want {
			t.Errorf("%s %q: %q became %q", x.kind, x.name, want, p.Whole()["says"])
		}
		if bare := dialect.NewObject(nil, "v1", x.kind, map[string]any{"metadata": map[string]any{"uid": "1"}, "says": ""}, time.Time{}).Pack(); len(p.Packed)-len(bare.Packed) > x.most {
			t.Errorf("%s %q: %q takes %d bytes, %d are bearable", x.kind, x.name, p.Packed, len(p.Packed)-len(bare.Packed), x.most)
		}
	}
}

// Readers get a packed object with its tree.
func TestReadPacked(t *testing.T) {
	all := kinds()
	for _, o := range []*dialect.Object{thing(t, "a", "{host: h}"), thing(t, "a", "{host: 1}"), thing(t, "a", "{hots: h}")} {
		part, found := dialect.Read(all, o, nil)
		packedPart, packedFound := dialect.Read(all, o.Pack(), nil)
		if !reflect.DeepEqual(part, packedPart) || !reflect.DeepEqual(found, packedFound) {
			t.Errorf("%v: %v %v, packed %v %v", o.Tree, part, found, packedPart, packedFound)
		}
	}
}

// Of a packed object a field is read as of any other.
func TestDecodeFieldPacked(t *testing.T) {
	for _, field := range []string{"spec", "nothing"} {
		for _, o := range []*dialect.Object{packable(), packable().Pack()} {
			var spec struct {
				Half  float64 `json:"half"`
				Whole int64   `json:"whole"`
			}
			if err := dialect.DecodeField(o, field, &spec); err != nil || (spec.Half == 0.5 && spec.Whole == 1<<60) != (field == "spec") {
				t.Errorf("%s of %v: %v, %v", field, o, spec, err)
			}
			var wrong struct {
				Half string `json:"half"`
			}
			if err := dialect.DecodeField(o, field, &wrong); (err == nil) == (field == "spec") {
				t.Errorf("%s of %v: %v", field, o, err)
			}
		}
	}
}
