// Package dialecttest is for tests of dialects: it reads YAML as a source does, lowers it, and checks that what a kind says
// of its fields is true. Only tests import it.
package dialecttest

import (
	"testing"
	"time"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/source/files"
)

// Created is the creation time of objects that name none.
var Created = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// Objects reads YAML documents. A document that can't be read fails the test.
func Objects(t testing.TB, kinds []dialect.Kind, yaml string) []*dialect.Object {
	t.Helper()
	objects, found := files.Parse(kinds, "test.yaml", []byte(yaml), Created)
	for _, f := range found {
		t.Errorf("%s: %s", f.Position, f.Finding.String())
	}
	return objects
}

// Lower reads YAML documents and lowers each; each sees all others. It returns one part for each document, in their order,
// and all findings.
func Lower(t testing.TB, kinds []dialect.Kind, yaml string) ([]mesh.Part, []mesh.Finding) {
	t.Helper()
	return read(kinds, Objects(t, kinds, yaml))
}

func read(kinds []dialect.Kind, objects []*dialect.Object) ([]mesh.Part, []mesh.Finding) {
	parts, found := make([]mesh.Part, len(objects)), []mesh.Finding(nil)
	for i, o := range objects {
		part, more := dialect.Read(kinds, o, View(objects))
		parts[i], found = part, append(found, more...)
	}
	return parts, found
}
