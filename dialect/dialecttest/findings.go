package dialecttest

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/mesh"
)

// Show writes findings for a test's words, a line each.
func Show(found []mesh.Finding) string {
	var b strings.Builder
	for i := range found {
		b.WriteString("\n" + found[i].Level.String() + " " + found[i].String())
	}
	return b.String()
}

// Want fails unless there is a finding of a level, at a field, that says something.
func Want(t testing.TB, found []mesh.Finding, level mesh.Level, field, says string) {
	t.Helper()
	for i := range found {
		if f := &found[i]; f.Level == level && f.Field == field && strings.Contains(f.Text+"; "+f.Remedy, says) {
			return
		}
	}
	t.Errorf("no %s at %s says %q:%s", level, field, says, Show(found))
}

// None fails where something was found.
func None(t testing.TB, found []mesh.Finding) {
	t.Helper()
	if len(found) > 0 {
		t.Errorf("nothing was to be found:%s", Show(found))
	}
}

// Diff compares parts of the mesh; what policies make of themselves when they are readied does not count.
func Diff(want, got any) string {
	return cmp.Diff(want, got, cmp.FilterPath(unexported, cmp.Ignore()), cmpopts.EquateEmpty(),
		cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }), cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
		cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }), cmp.Comparer(func(a, b identity.ID) bool { return a == b }))
}

func unexported(p cmp.Path) bool {
	f, ok := p.Last().(cmp.StructField)
	return ok && strings.ToUpper(f.Name()[:1]) != f.Name()[:1]
}
