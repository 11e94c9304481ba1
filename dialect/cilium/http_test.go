package cilium_test

import (
	"testing"

	"github.com/weft-mesh/weft/dialect/dialecttest"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/traffic"
)

// onHTTP writes a policy whose only rule has these rules for requests on port 8080.
func onHTTP(rules string) string {
	return in("- toPorts: [{ports: [{port: \"8080\", protocol: TCP}], rules: {http: [" + rules + "]}}]")
}

// TestHTTP: which requests get in by a rule. All expressions are compared with the whole value, that of the path with its query.
func TestHTTP(t *testing.T) {
	host := func(h string) *traffic.Attrs { a := get("GET /"); a.Authority = h; return a }
	for _, x := range []struct {
		name, rules string
		a           *traffic.Attrs
		want        bool
	}{
		{"method", "{method: GET}", get("GET /"), true},
		{"another method", "{method: GET}", get("POST /"), false},
		{"methods", "{method: \"GET|HEAD\"}", get("HEAD /"), true},
		{"a part of the method", "{method: GE}", get("GET /"), false},
		{"path", "{path: /a}", get("GET /a"), true},
		{"a path that begins so", "{path: /a}", get("GET /ab"), false},
		{"a path that begins so, by expression", "{path: \"/a.*\"}", get("GET /ab"), true},
		{"an anchor", "{path: \"/$\"}", get("GET /"), true},
		{"the query is part of the path", "{path: /a}", get("GET /a?b=c"), false},
		{"the query is part of the path, by expression", "{path: \"/a[?]b=.*\"}", get("GET /a?b=c"), true},
		{"host", `{host: 'web[.]shop'}`, host("web.shop"), true},
		// "foo.bar.com will match the host fooXbar.com or foo-bar.com"
		{"a dot in a host is any character", "{host: web.shop}", host("web-shop"), true},
		{"a dot that is escaped", `{host: 'web\.shop'}`, host("web-shop"), false},
		{"a header", "{headers: [\"X-Token: 42\"]}", get("GET /", "x-token", "42"), true},
		{"a header without a colon", "{headers: [\"X-Token 42\"]}", get("GET /", "x-token", "42"), true},
		{"another value", "{headers: [\"X-Token: 42\"]}", get("GET /", "x-token", "43"), false},
		{"no header", "{headers: [\"X-Token: 42\"]}", get("GET /"), false},
		{"the header is there", "{headers: [X-Token]}", get("GET /", "x-token", "43"), true},
		{"a header's value is no expression", "{headers: [\"X-Token: .*\"]}", get("GET /", "x-token", "42"), false},
		{"without a space it is a name", "{headers: [\"X-Token:42\"]}", get("GET /", "x-token", "42"), false},
		{"headerMatches", "{headerMatches: [{name: X-Token, value: \"42\"}]}", get("GET /", "x-token", "42"), true},
		{"headerMatches, another value", "{headerMatches: [{name: X-Token, value: \"42\"}]}", get("GET /", "x-token", "43"), false},
		{"headerMatches, presence", "{headerMatches: [{name: X-Token}]}", get("GET /", "x-token", "43"), true},
		// "With an action set, mismatch no longer denies"
		{"a mismatch with an action", "{headerMatches: [{name: X-Token, value: \"42\", mismatch: LOG}]}", get("GET /"), true},
		{"a secret", "{headerMatches: [{name: X-Token, value: \"42\", secret: {name: a}}]}", get("GET /", "x-token", "42"), false},
		{"all of a rule", "{method: GET, path: /a, headers: [\"X-Token: 42\"]}", get("GET /a"), false},
		{"any of the rules", "{method: POST}, {path: /a}", get("GET /a"), true},
		{"an empty rule is for all requests", "{}", get("PUT /x"), true},
		{"but for nothing that is no HTTP", "{}", call(8080), false},
		{"what is no HTTP meets no rule", "{path: /a}", call(8080), false},
		// rules: {http: []} asks for nothing at all
		{"an empty list", "", get("PUT /x"), true},
		{"an empty list, not HTTP", "", call(8080), true},
	} {
		if got := passes(engine(t, false, onHTTP(x.rules)), &front, x.a); got != x.want {
			t.Errorf("%s: %v", x.name, got)
		}
	}
}

func TestHTTPFindings(t *testing.T) {
	const field = "spec.ingress[0].toPorts[0].rules.http"
	for _, x := range []struct {
		rules string
		level mesh.Level
		field string
		says  string
	}{
		{"{host: web.shop}", mesh.Info, "[0].host", `write web\.shop`},
		{"{headers: [\"X-Token:42\"]}", mesh.Warning, "[0].headers[0]", "write X-Token: 42"},
		{"{headerMatches: [{name: a, mismatch: REPLACE}]}", mesh.Warning, "[0].headerMatches[0].mismatch", "REPLACE, is not done yet"},
		{"{headerMatches: [{name: a, secret: {name: b}}]}", mesh.Warning, "[0].headerMatches[0].secret", "secrets are not read"},
		{"", mesh.Info, "", "every call on these ports is allowed"},
		{"{methods: [GET]}", mesh.Warning, "[0].methods", "method"},
	} {
		_, found := lower(t, onHTTP(x.rules))
		dialecttest.Want(t, found, x.level, field+x.field, x.says)
	}
}

// TestPorts: "Applies after service translation": the port is the workload's.
func TestPorts(t *testing.T) {
	for _, x := range []struct {
		name, ports string
		port        uint16
		want        bool
	}{
		{"number", "{port: \"8080\"}", 8080, true},
		{"another number", "{port: \"80\"}", 8080, false},
		{"protocol ANY", "{port: \"8080\", protocol: ANY}", 8080, true},
		{"not TCP", "{port: \"8080\", protocol: UDP}", 8080, false},
		{"not TCP, beside TCP", "{port: \"8080\", protocol: UDP}, {port: \"8080\", protocol: TCP}", 8080, true},
		{"range", "{port: \"8000\", endPort: 8100}", 8080, true},
		{"outside of the range", "{port: \"8000\", endPort: 8079}", 8080, false},
		{"a range that ends before it begins", "{port: \"8080\", endPort: 80}", 8080, true},
		{"all ports", "{port: \"0\"}", 8080, true},
		{"by name", "{port: http}", 8080, true},
		{"by name, without regard to case", "{port: HTTP}", 8080, true},
		{"by another name", "{port: grpc}", 8080, false},
		{"by name, another port", "{port: http}", 80, false},
	} {
		if got := passes(engine(t, false, in("- toPorts: [{ports: ["+x.ports+"]}]")), &front, call(x.port)); got != x.want {
			t.Errorf("%s: %v", x.name, got)
		}
	}
	e := engine(t, false, in("- toPorts: [{ports: [{port: http, protocol: TCP}], rules: {http: [{path: /a}]}}]"))
	if !passes(e, &front, get("GET /a")) || passes(e, &front, get("GET /b")) {
		t.Error("rules for requests on a port by name")
	}
	e = engine(t, false, in("- fromEntities: [all]"), cnp("endpointSelector: {}\ningressDeny: [{toPorts: [{ports: [{port: http}]}]}]"))
	if passes(e, &front, call(8080)) || !passes(e, &front, call(80)) {
		t.Error("a port by name is denied")
	}
}
