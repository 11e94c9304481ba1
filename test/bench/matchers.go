package main

import "fmt"

// matcher is a way to tell requests apart, of which a table may hold many.
type matcher struct {
	name    string
	path    string      // of requests that match the entry named hit
	headers [][2]string // of the same
	route   func(entry string) route
	rule    func(entry string) rule // zero: rules do not match so
}

// label names the entries of a table; the last one is hit.
func label(i, n int) string {
	if i == n-1 {
		return "hit"
	}
	return fmt.Sprintf("r%d", i)
}

func (m *matcher) routes(n int) (out []route) {
	for i := range n {
		out = append(out, m.route(label(i, n)))
	}
	return out
}

func (m *matcher) rules(n int) []rule {
	out := []rule{}
	for i := range n {
		out = append(out, m.rule(label(i, n)))
	}
	return out
}

var matchers = []matcher{
	{"exact", "/t/hit", nil, func(e string) route {
		p := "/t/" + e
		return route{Nginx: "= " + p, Haproxy: "{ path " + p + " }", Envoy: fmt.Sprintf("{path: %q}", p), Weft: fmt.Sprintf("{uri: {exact: %q}}", p)}
	}, func(e string) rule { return pathRule("GET", "/t/"+e) }},
	{"prefix", "/t/hit/items", nil, func(e string) route { return prefix("/t/" + e + "/") },
		func(e string) rule { return pathRule("GET", "/t/"+e+"/*") }},
	{"header", "/t/items", [][2]string{{"x-table", "hit"}}, func(e string) route {
		return route{Haproxy: "{ req.hdr(x-table) " + e + " }", Envoy: fmt.Sprintf(`{prefix: "/", headers: [{name: x-table, string_match: {exact: %q}}]}`, e),
			Weft: fmt.Sprintf("{headers: {x-table: {exact: %q}}}", e)}
	}, func(e string) rule {
		return rule{Envoy: fmt.Sprintf(`{header: {name: x-table, string_match: {exact: %q}}}`, e),
			Weft: fmt.Sprintf(`when: [{key: "request.headers[x-table]", values: [%q]}]`, e)}
	}},
	{"regex", "/t/hit/items", nil, func(e string) route {
		p := "^/t/" + e + "/[a-z]+$"
		return route{Nginx: "~ " + p, Haproxy: "{ path_reg " + p + " }", Envoy: fmt.Sprintf("{safe_regex: {regex: %q}}", "/t/"+e+"/[a-z]+"),
			Weft: fmt.Sprintf("{uri: {regex: %q}}", "/t/"+e+"/[a-z]+")}
	}, nil},
}
