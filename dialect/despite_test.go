package dialect_test

import (
	"strings"
	"testing"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/dialecttest"
	"github.com/weft-mesh/weft/mesh"
)

// What is wrong in one field hides nothing that reading finds in others, and makes nothing up around it.
func TestFindingsBesideErrors(t *testing.T) {
	for _, c := range []struct{ name, spec, want string }{
		{"type", "spec: {host: bad, port: 1, active: many}", "active host"},
		{"inside a list", "spec: {host: bad, rules: [{name: a}, {name: b, weight: many}]}", "rules[1].weight host"},
		{"a list's element", "spec: {host: bad, rules: [{name: a, paths: [/, 5]}]}", "rules[0].paths[1] host"},
		{"required", "spec: {host: bad, rules: [{name: a}, {paths: [/]}]}", "rules[1].name host"},
		{"value", "spec: {host: bad, mode: LAX}", "mode host"},
		{"one of two", "spec: {host: bad, rules: [{name: a, mirror: {host: h, percent: 1}}]}", "rules[0].mirror.percent host"},
		{"a key", "spec: {host: bad, levels: {one: x}}", "levels.one host"},
		{"several", "spec: {host: bad, mode: 5, active: 6, rules: [{name: 7}, {weight: x}]}", "active mode rules[0].name rules[1].name rules[1].weight host"},
		{"the field itself", "spec: {host: 5}", "host"},
		{"all", "spec: 5", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			part, found := read(t, head+c.spec)
			var got []string
			for _, f := range found {
				if f.Level == mesh.Error {
					got = append(got, strings.TrimPrefix(strings.TrimPrefix(f.Field, "spec"), "."))
				}
			}
			if text := strings.Join(got, " "); text != c.want || !part.Empty() {
				t.Errorf("errors at %s, want %s; %+v", text, c.want, part)
			}
		})
	}
}

// An object in which nearly everything is wrong costs no more for it.
func TestFindingsBesideTooManyErrors(t *testing.T) {
	_, found := read(t, head+"spec: {host: bad, rules: ["+strings.Repeat("{name: a, weight: x}, ", 1000)+"]}")
	if len(found) != 1000 {
		t.Errorf("%d findings", len(found))
	}
}

func read(t *testing.T, yaml string) (mesh.Part, []mesh.Finding) {
	t.Helper()
	objects := dialecttest.Objects(t, kinds(), yaml)
	return dialect.Read(kinds(), objects[0], dialecttest.View(objects))
}
