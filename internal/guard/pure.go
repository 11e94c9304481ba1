package guard

import (
	"fmt"
	"go/ast"
	"slices"
	"strings"
)

// pureRooms decide: what they do depends on what they are given and on nothing else, so that explain and tests can do the same.
var pureRooms = strings.Fields("wire decision identity traffic match feature mesh config dialect compile chain explain")

// clocks are what reads the time, waits or starts a goroutine, by package.
var clocks = map[string][]string{
	"time":    strings.Fields("Now Since Until Sleep After AfterFunc Tick NewTimer NewTicker"),
	"context": strings.Fields("WithTimeout WithTimeoutCause WithDeadline WithDeadlineCause AfterFunc"),
}

// machine is what reaches the machine, or makes two runs differ.
var machine = []string{"net", "net/http", "net/rpc", "net/smtp", "os", "syscall", "crypto/tls", "math/rand", "crypto/rand", "golang.org/x/sys", "internal/sys"}

// reaches are the exceptions, and why.
var reaches = map[[2]string]string{
	{"identity/cert", "crypto/tls"}:  "it makes the configurations of TLS; it opens nothing",
	{"identity/cert", "net"}:         "it shakes hands on connections that it is given",
	{"identity/cert", "crypto/rand"}: "it makes keys",
	{"identity/ca", "crypto/rand"}:   "it makes keys",
	{"identity/ca", "crypto/tls"}:    "it makes the certificate of servers; it opens nothing",
	{"identity/ca", "os"}:            "the authority's key is kept in a file; the rest of it decides on values",
}

// values are what may be named of packages that also reach the machine.
var values = map[string][]string{
	"net":      strings.Fields("ParseIP ParseCIDR SplitHostPort JoinHostPort"),
	"net/http": strings.Fields("StatusText CanonicalHeaderKey"),
}

// Pure finds goroutines, clocks, sockets and files where decisions are made.
func Pure(tree []*Package) (broken []string) {
	for _, p := range tree {
		if !below(p.Path, pureRooms...) || forTests(p.Path) {
			continue
		}
		for _, f := range p.code() {
			for _, imp := range f.Imports() {
				if slices.ContainsFunc(machine, func(m string) bool { return reached(imp.Path, m) && reaches[[2]string{p.Path, m}] == "" }) && !valuesOf(f, imp.Path) {
					broken = append(broken, fmt.Sprintf("%s: %s imports %s: decisions reach no socket, file or chance; pass in what they need", imp.At, p.Path, imp.Path))
				}
			}
			broken = append(broken, acts(p.Path, f)...)
		}
	}
	return broken
}

// reached: net/netip and net/url are values, so net and its kind stand for themselves alone.
func reached(imp, m string) bool { return imp == m || m != "net" && below(imp, m) }

// valuesOf says whether a file names nothing of a package but values.
func valuesOf(f *File, imported string) bool {
	only, name := values[imported] != nil, f.names(imported)
	ast.Inspect(f.Syntax, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if id, ok := s.X.(*ast.Ident); ok && id.Name == name && !slices.Contains(values[imported], s.Sel.Name) {
				only = false
			}
		}
		return true
	})
	return only
}

// acts finds go statements and clocks by what the code says, not by its words.
func acts(pkg string, f *File) (broken []string) {
	ast.Inspect(f.Syntax, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			broken = append(broken, fmt.Sprintf("%s: %s starts a goroutine: decisions are functions; who calls them may", f.at(n.Pos()), pkg))
		case *ast.SelectorExpr:
			if id, ok := n.X.(*ast.Ident); ok && isClock(f, id.Name, n.Sel.Name) {
				broken = append(broken, fmt.Sprintf("%s: %s uses %s.%s: time is passed in", f.at(n.Pos()), pkg, id.Name, n.Sel.Name))
			}
		}
		return true
	})
	return broken
}

func isClock(f *File, name, function string) bool {
	for imported, functions := range clocks {
		if slices.Contains(functions, function) && f.names(imported) == name {
			return true
		}
	}
	return false
}
