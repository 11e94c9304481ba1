package guard

import (
	"go/ast"
	"testing"
)

// TestLeaksAreLookedFor: a leak check ends the tests of each package of the proxy.
func TestLeaksAreLookedFor(t *testing.T) {
	tree, err := Load(root)
	if err != nil {
		t.Fatal(err)
	}
	looked := 0
	for _, p := range tree {
		if !below(p.Path, "proxy") {
			continue
		}
		tests, checks := 0, false
		for _, f := range p.Files {
			if f.Test {
				tests++
				checks = checks || endsWithCheck(f)
			}
		}
		if looked++; tests > 0 && !checks {
			t.Errorf("%s: no TestMain that calls leaktest.Main: what its tests leave behind, nobody sees", p.Path)
		}
	}
	if looked < 10 {
		t.Errorf("%d packages of the proxy: they are not where they were", looked)
	}
}

// endsWithCheck says whether a file has a TestMain that calls leaktest.Main.
func endsWithCheck(f *File) (found bool) {
	name := f.names(Module + "internal/leaktest")
	for _, d := range f.Syntax.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Name.Name != "TestMain" || name == "" {
			continue
		}
		ast.Inspect(fn, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && s.Sel.Name == "Main" {
				x, ok := s.X.(*ast.Ident)
				found = found || ok && x.Name == name
			}
			return true
		})
	}
	return found
}
