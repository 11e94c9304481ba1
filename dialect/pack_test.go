package dialect_test

import (
	"reflect"
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
