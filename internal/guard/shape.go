package guard

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"path"
	"slices"
	"strings"
)

const (
	maxDepth = 3    // folders below the root
	maxLines = 4000 // of a package without its tests
)

// big are the packages that may be larger, and why. There is none.
var big = map[string]string{}

// vague are names of folders that say nothing of what they hold, so that everything comes to be there.
var vague = strings.Fields("pkg util utils common helper helpers misc shared base types")

// Shape finds packages that are too deep, too large, or named by nothing.
func Shape(tree []*Package) (broken []string) {
	for _, p := range tree {
		steps := strings.Split(p.Path, "/")
		if len(steps) > maxDepth {
			broken = append(broken, fmt.Sprintf("%s: is %d folders deep; %d are enough to find one's way", p.Path, len(steps), maxDepth))
		}
		for _, s := range steps {
			if slices.Contains(vague, s) {
				broken = append(broken, fmt.Sprintf("%s: %q does not say what the folder holds; name it by that", p.Path, s))
			}
		}
		lines := 0
		for _, f := range p.code() {
			lines += f.Lines
		}
		if lines > maxLines && big[p.Path] == "" {
			broken = append(broken, fmt.Sprintf("%s: has %d lines; above %d it needs to be parted, or a reason in internal/guard", p.Path, lines, maxLines))
		}
	}
	return broken
}

// Comments finds packages without a comment that says what they are for, or with several.
func Comments(tree []*Package) (broken []string) {
	for _, p := range tree {
		var with []string
		for _, f := range p.code() {
			if f.Syntax.Doc == nil {
				continue
			}
			with = append(with, f.Name)
			if want := openings(p.Path, f.Syntax); !slices.ContainsFunc(want, func(w string) bool { return strings.HasPrefix(f.Syntax.Doc.Text(), w+" ") }) {
				broken = append(broken, fmt.Sprintf("%s: the package's comment begins with %q", f.Name, want[0]))
			}
		}
		if n := len(p.code()); n > 0 && len(with) != 1 {
			broken = append(broken, fmt.Sprintf("%s: one file of a package opens with its comment: its purpose, what it promises; here %d do %v", p.Path, len(with), with))
		}
	}
	return broken
}

// openings are how the comment of a package or command may begin.
func openings(folder string, f *ast.File) []string {
	if f.Name.Name != "main" {
		return []string{"Package " + f.Name.Name}
	}
	name := path.Base(folder)
	return []string{"Command " + name, strings.ToUpper(name[:1]) + name[1:]}
}

// Format finds a file that is not as gofmt writes it.
func Format(name string, src []byte) []string {
	if out, err := format.Source(src); err != nil || !bytes.Equal(out, src) {
		return []string{name + ": is not as gofmt writes it"}
	}
	return nil
}

// Features finds folders of feature/ that lack what each has: a policy, a README and tests.
func Features(tree []*Package, exists func(name string) bool) (broken []string) {
	for _, p := range tree {
		if path.Dir(p.Path) != "feature" || forTests(p.Path) {
			continue
		}
		for _, name := range []string{"policy.go", "README.md"} {
			if !exists(p.Path + "/" + name) {
				broken = append(broken, fmt.Sprintf("%s: has no %s; a feature's folder holds all of it", p.Path, name))
			}
		}
		if !slices.ContainsFunc(p.Files, func(f *File) bool { return f.Test }) {
			broken = append(broken, fmt.Sprintf("%s: has no test", p.Path))
		}
	}
	return broken
}
