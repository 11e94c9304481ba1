package dialect_test

import (
	"testing"

	"github.com/weft-mesh/weft/dialect"
)

func TestPath(t *testing.T) {
	at := dialect.Index(dialect.Child(dialect.Child("", "spec"), "http"), 2)
	if at = dialect.Child(at, "uri"); at != "spec.http[2].uri" {
		t.Error(at)
	}
	if at = dialect.Child("spec.selector", "app.kubernetes.io/name"); at != `spec.selector["app.kubernetes.io/name"]` {
		t.Error(at)
	}
	if at = dialect.Child("metadata.labels", ""); at != `metadata.labels[""]` {
		t.Error(at)
	}
}

func TestLine(t *testing.T) {
	o := &dialect.Object{Source: dialect.Position{File: "a.yaml", Line: 3}, Lines: map[string]int{
		"spec": 5, "spec.http": 6, "spec.http[0]": 7, `spec.labels["a.b/c[0].d"]`: 9, "spec.labels": 8}}
	for path, want := range map[string]int{
		"": 3, "metadata.name": 3, "spec": 5, "spec.hosts[3]": 5, "spec.http[0].match[1].uri": 7, "spec.http[1]": 6,
		`spec.labels["a.b/c[0].d"]`: 9, `spec.labels["a.b/c[0].d"].x`: 9, `spec.labels["x.y"]`: 8, `spec.labels["]"][1]`: 8,
		"http[0]": 3, "[": 3, "spec.http[": 5, "].": 3,
	} {
		if got := o.Line(path); got != want {
			t.Errorf("%s is in line %d, want %d", path, got, want)
		}
	}
	if at := o.At("spec.http").String(); at != "a.yaml:6" {
		t.Error(at)
	}
}
