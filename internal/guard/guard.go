// Package guard holds the repository's own rules as tests: what may import what, where clocks and sockets are, how packages are
// documented and sized, how metrics are named, and that what the documentation shows works.
//
// A rule is a function from the tree to what breaks it, one line each, with its place and the reason of the rule. Tests apply each
// to this repository, and to a small tree that breaks it.
package guard

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Module is the path that our own packages have before theirs.
const Module = "github.com/weft-mesh/weft/"

// Package is a folder with Go files.
type Package struct {
	Path  string // below the module, as feature/retry
	Files []*File
}

// File is a Go file.
type File struct {
	Name   string // path below the root
	Test   bool
	Lines  int
	Syntax *ast.File
	set    *token.FileSet
}

// Import is a package that a file names.
type Import struct {
	Path string // of our own packages without the module
	Ours bool
	At   string
}

// Load reads all Go files of a tree, but those that tools leave alone: testdata, and names that begin with a dot or underscore.
func Load(tree fs.FS) ([]*Package, error) {
	packages, set := map[string]*Package{}, token.NewFileSet()
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (strings.ContainsRune("._", rune(d.Name()[0])) || d.Name() == "testdata"):
			return fs.SkipDir
		case d.IsDir() || path.Ext(name) != ".go":
			return nil
		}
		f, err := load(tree, set, name)
		if err != nil {
			return err
		}
		dir := path.Dir(name)
		if packages[dir] == nil {
			packages[dir] = &Package{Path: dir}
		}
		packages[dir].Files = append(packages[dir].Files, f)
		return nil
	})
	out := make([]*Package, 0, len(packages))
	for _, p := range packages {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b *Package) int { return strings.Compare(a.Path, b.Path) })
	return out, err
}

func load(tree fs.FS, set *token.FileSet, name string) (*File, error) {
	src, err := fs.ReadFile(tree, name)
	if err != nil {
		return nil, err
	}
	syntax, err := parser.ParseFile(set, name, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	return &File{Name: name, Test: strings.HasSuffix(name, "_test.go"), Lines: strings.Count(string(src), "\n"), Syntax: syntax, set: set}, nil
}

// at is a place as file:line.
func (f *File) at(pos token.Pos) string {
	return fmt.Sprintf("%s:%d", f.Name, f.set.Position(pos).Line)
}

// Imports lists what a file imports.
func (f *File) Imports() []Import {
	var out []Import
	for _, spec := range f.Syntax.Imports {
		p, _ := strconv.Unquote(spec.Path.Value) // the parser has checked it
		p, ours := strings.CutPrefix(p, Module)
		out = append(out, Import{p, ours, f.at(spec.Pos())})
	}
	return out
}

// names says under which name a file knows a package; empty: it does not import it.
func (f *File) names(imported string) string {
	for _, spec := range f.Syntax.Imports {
		if spec.Path.Value != strconv.Quote(imported) {
			continue
		}
		if spec.Name != nil {
			return spec.Name.Name
		}
		return path.Base(strings.TrimSuffix(imported, "/v2"))
	}
	return ""
}

// code is the files that are no tests.
func (p *Package) code() []*File {
	return slices.DeleteFunc(slices.Clone(p.Files), func(f *File) bool { return f.Test })
}

// below says whether a package is a folder or in it.
func below(pkg string, folders ...string) bool {
	return slices.ContainsFunc(folders, func(f string) bool { return pkg == f || strings.HasPrefix(pkg, f+"/") })
}

// forTests says whether a package is there for tests alone: its name says so, as httptest's.
func forTests(pkg string) bool {
	return strings.HasSuffix(pkg, "test") && pkg != "test" && !below(pkg, "test")
}
