package all_test

import (
	"testing"

	"github.com/weft-mesh/weft/dialect/all"
)

func TestKindsShareTheirSchemas(t *testing.T) {
	a, b := all.Kinds("a.example"), all.Kinds("a.example")
	if a[0].Schema == nil || a[0].Schema != b[0].Schema {
		t.Error("each caller has schemas of its own")
	}
	if all.Kinds("b.example")[0].Schema == a[0].Schema {
		t.Error("another trust domain has the same kinds")
	}
	if a[0].Name = ""; b[0].Name == "" || all.Kinds("a.example")[0].Name == "" {
		t.Error("a list is more than one caller's")
	}
}
