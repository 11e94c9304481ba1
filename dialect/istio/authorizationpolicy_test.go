package istio_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/dialecttest"
	"github.com/weft-mesh/weft/dialect/istio"
	"github.com/weft-mesh/weft/feature/authz"
	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/traffic"
)

func authorizationPolicy(spec string) string {
	return object("security.istio.io", "AuthorizationPolicy", spec)
}

// TestAuthorizationPolicy is the seed's.
func TestAuthorizationPolicy(t *testing.T) {
	part, found := lower(t, authorizationPolicy(`
selector: {matchLabels: {app: backend}}
rules:
- from: [{source: {principals: [cluster.local/ns/default/sa/frontend]}}]
  to: [{operation: {methods: [GET], paths: ["/api/*"]}}]`))
	dialecttest.None(t, found)
	ap := ref("AuthorizationPolicy", "")
	want := []mesh.Authorization{{Ref: ap, Created: part.Authorizations[0].Created, Namespaces: []string{"default"},
		Selector: match.Selector{Labels: []string{"app=backend"}}, Closes: &ap,
		Tiers: []authz.Tier{{Effect: authz.Allow, Rules: []authz.Rule{{Ref: ap.At("rules[0]"),
			From: []match.Source{{Principals: []match.String{{Value: "cluster.local/ns/default/sa/frontend"}}}},
			To:   []match.Request{{Methods: []match.String{{Value: "GET"}}, Paths: []match.String{{Kind: match.Prefix, Value: "/api/"}}}}}}}}}}
	if d := dialecttest.Diff(want, part.Authorizations); d != "" {
		t.Error(d)
	}
}

// engine puts the policies of documents together, as for one workload that all of them select.
func engine(t *testing.T, docs ...string) *authz.Engine {
	t.Helper()
	e := &authz.Engine{Dialect: decision.Istio}
	for _, doc := range docs {
		part, found := lower(t, doc)
		if len(part.Authorizations) != 1 {
			t.Fatalf("%d authorizations, wanted 1:%s", len(part.Authorizations), dialecttest.Show(found))
		}
		a := part.Authorizations[0]
		if a.Closes != nil {
			e.Closed = a.Closes
		}
		for _, tier := range a.Tiers {
			if tier.Effect == authz.Deny { // before what allows
				e.Tiers = append([]authz.Tier{tier}, e.Tiers...)
			} else {
				e.Tiers = append(e.Tiers, tier)
			}
		}
	}
	if err := e.Compile(); err != nil {
		t.Fatal(err)
	}
	return e
}

func passes(e *authz.Engine, a *traffic.Attrs) bool {
	return e.Judge(a, nil).Outcome == decision.Pass
}

// by says who makes a call: TRUST-DOMAIN/ns/NAMESPACE/sa/ACCOUNT, or nobody.
func by(principal string, a *traffic.Attrs) *traffic.Attrs {
	if p := strings.Split(principal, "/"); len(p) == 5 {
		a.Source.ID = identity.Of(p[0], p[2], p[4])
		a.Conn.Secure = true
	}
	a.Source.Addr = netip.MustParseAddrPort("10.1.2.3:40000")
	return a
}

const frontend = "cluster.local/ns/shop/sa/frontend"

// stream is a call without a head.
func stream() *traffic.Attrs {
	return &traffic.Attrs{Conn: &traffic.Conn{Original: netip.MustParseAddrPort("10.0.0.9:9080")}, Proto: traffic.TCP}
}

// TestRules judges a call by one ALLOW rule.
func TestRules(t *testing.T) {
	for _, c := range []struct {
		name, rule string
		call       *traffic.Attrs
		want       bool
	}{
		{"principal", "{from: [{source: {principals: [" + frontend + "]}}]}", by(frontend, request("GET /")), true},
		{"another account", "{from: [{source: {principals: [" + frontend + "]}}]}", by("cluster.local/ns/shop/sa/other", request("GET /")), false},
		{"principal without TLS", "{from: [{source: {principals: [" + frontend + "]}}]}", by("", request("GET /")), false},
		{"prefix", "{from: [{source: {principals: ['cluster.local/ns/shop/*']}}]}", by(frontend, request("GET /")), true},
		{"suffix", "{from: [{source: {principals: ['*/sa/frontend']}}]}", by("other/ns/a/sa/frontend", request("GET /")), true},
		{"* is anybody who is known", "{from: [{source: {principals: ['*']}}]}", by(frontend, request("GET /")), true},
		{"* is not nobody", "{from: [{source: {principals: ['*']}}]}", by("", request("GET /")), false},
		{"not principal", "{from: [{source: {notPrincipals: ['*']}}]}", by("", request("GET /")), true},
		{"a namespace is of any trust domain", "{from: [{source: {namespaces: [shop]}}]}", by("other/ns/shop/sa/x", request("GET /")), true},
		{"a namespace is no prefix", "{from: [{source: {namespaces: [sho]}}]}", by(frontend, request("GET /")), false},
		{"namespace, wildcard anywhere", "{from: [{source: {namespaces: ['s*p']}}]}", by(frontend, request("GET /")), true},
		{"not namespace", "{from: [{source: {notNamespaces: [shop]}}]}", by(frontend, request("GET /")), false},
		{"service account", "{from: [{source: {serviceAccounts: [shop/frontend]}}]}", by("other/ns/shop/sa/frontend", request("GET /")), true},
		{"service account of the policy's namespace", "{from: [{source: {serviceAccounts: [frontend]}}]}", by("cluster.local/ns/default/sa/frontend", request("GET /")), true},
		{"service account of another", "{from: [{source: {serviceAccounts: [frontend]}}]}", by(frontend, request("GET /")), false},
		{"trust domain", "{from: [{source: {trustDomains: [cluster.local]}}]}", by(frontend, request("GET /")), true},
		{"trust domain is no prefix", "{from: [{source: {trustDomains: [cluster]}}]}", by(frontend, request("GET /")), false},
		{"trust domain, wildcard", "{from: [{source: {trustDomains: ['*.local']}}]}", by(frontend, request("GET /")), true},
		{"trust domain, wildcard, other", "{from: [{source: {trustDomains: ['*.local']}}]}", by("a.b/ns/x.local/sa/y", request("GET /")), false},
		{"source or source", "{from: [{source: {namespaces: [a]}}, {source: {namespaces: [shop]}}]}", by(frontend, request("GET /")), true},
		{"source and source", "{from: [{source: {namespaces: [shop], ipBlocks: [192.168.0.0/16]}}]}", by(frontend, request("GET /")), false},
		{"address", "{from: [{source: {ipBlocks: [10.1.2.3]}}]}", by("", request("GET /")), true},
		{"not address", "{from: [{source: {notIpBlocks: [10.0.0.0/8]}}]}", by("", request("GET /")), false},
		{"remote address", "{from: [{source: {remoteIpBlocks: [1.2.3.4]}}]}", by(frontend, request("GET /", "x-forwarded-for", "1.2.3.4")), true},
		{"remote address is that source's own", "{from: [{source: {remoteIpBlocks: [1.2.3.4], namespaces: [a]}}, {source: {namespaces: [shop]}}]}",
			by(frontend, request("GET /")), true},
		{"host, any case", "{to: [{operation: {hosts: ['REVIEWS:9080']}}]}", request("GET /"), true},
		{"host, prefix", "{to: [{operation: {hosts: ['Rev*']}}]}", request("GET /"), true},
		{"host without its port", "{to: [{operation: {hosts: [reviews]}}]}", request("GET /"), false},
		{"method", "{to: [{operation: {methods: [GET, PUT]}}]}", request("PUT /"), true},
		{"not method", "{to: [{operation: {notMethods: [GET]}}]}", request("GET /"), false},
		{"path leaves out the query", "{to: [{operation: {paths: [/a]}}]}", request("GET /a?b"), true},
		{"path suffix", "{to: [{operation: {paths: ['*.html']}}]}", request("GET /a/b.html"), true},
		{"path, anything", "{to: [{operation: {paths: ['*']}}]}", request("GET /a"), true},
		{"not path", "{to: [{operation: {notPaths: ['/admin*']}}]}", request("GET /admin/x"), false},
		{"{*} is one segment", "{to: [{operation: {paths: ['/foo/{*}']}}]}", request("GET /foo/bar"), true},
		{"{*} is not two", "{to: [{operation: {paths: ['/foo/{*}']}}]}", request("GET /foo/bar/baz"), false},
		{"{**} is any text", "{to: [{operation: {paths: ['/foo/{**}/']}}]}", request("GET /foo//"), true},
		{"{**} and what follows", "{to: [{operation: {paths: ['/foo/{**}/']}}]}", request("GET /foo/bar"), false},
		{"{*} and {**}", "{to: [{operation: {paths: ['/foo/{*}/bar/{**}']}}]}", request("GET /foo/buzz/bar/"), true},
		{"port", "{to: [{operation: {ports: ['9080']}}]}", request("GET /"), true},
		{"not port", "{to: [{operation: {notPorts: ['9080']}}]}", request("GET /"), false},
		{"operation or operation", "{to: [{operation: {methods: [PUT]}}, {operation: {paths: [/a]}}]}", request("GET /a"), true},
		{"when header", "{when: [{key: 'request.headers[X-A]', values: ['b*']}]}", request("GET /", "x-a", "bc"), true},
		{"when header, joined", "{when: [{key: 'request.headers[x-a]', values: ['b,c']}]}", request("GET /", "x-a", "b", "x-a", "c"), true},
		{"when header is missing", "{when: [{key: 'request.headers[x-a]', values: ['*']}]}", request("GET /"), false},
		{"when not header", "{when: [{key: 'request.headers[x-a]', notValues: [b]}]}", request("GET /"), true},
		{"when source.ip", "{when: [{key: source.ip, values: [10.1.0.0/16], notValues: [10.1.2.3]}]}", by("", request("GET /")), false},
		{"when source.namespace", "{when: [{key: source.namespace, values: [shop]}]}", by(frontend, request("GET /")), true},
		{"when source.serviceAccount", "{when: [{key: source.serviceAccount, values: [shop/frontend]}]}", by(frontend, request("GET /")), true},
		{"when source.principal", "{when: [{key: source.principal, values: ['*/frontend']}]}", by(frontend, request("GET /")), true},
		{"when source.trustDomain", "{when: [{key: source.trustDomain, values: [cluster.local]}]}", by(frontend, request("GET /")), true},
		{"when destination.ip", "{when: [{key: destination.ip, values: [10.0.0.9]}]}", request("GET /"), true},
		{"when destination.port", "{when: [{key: destination.port, notValues: ['9080']}]}", request("GET /"), false},
		{"when connection.sni, of which nothing is known", "{when: [{key: connection.sni, notValues: [a]}]}", request("GET /"), false},
		{"all conditions", "{when: [{key: source.namespace, values: [shop]}, {key: destination.port, values: ['1']}]}", by(frontend, request("GET /")), false},
		{"an empty rule matches all", "{}", stream(), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := engine(t, authorizationPolicy("rules:\n- "+c.rule))
			if got := passes(e, c.call); got != c.want {
				t.Errorf("passes: %v, wanted %v", got, c.want)
			}
		})
	}
}

// TestNoRules: "rules: []" that allows denies all, "rules: [{}]" matches all.
func TestNoRules(t *testing.T) {
	for spec, want := range map[string]bool{"{}": false, "rules: []": false, "rules: [{}]": true, "{action: DENY, rules: [{}]}": false} {
		if got := passes(engine(t, authorizationPolicy(spec)), request("GET /")); got != want {
			t.Errorf("%s: passes %v, wanted %v", spec, got, want)
		}
	}
	_, found := lower(t, authorizationPolicy("action: DENY"))
	dialecttest.Want(t, found, mesh.Warning, "spec.rules", "DENY matches no call")
}

// TestStrays: a field that is not known may have narrowed a rule. One that allows then allows nothing, one that denies denies all
// the same; beside the rules it may even have been the action.
func TestStrays(t *testing.T) {
	for spec, want := range map[string]bool{
		"rules: [{from: [{source: {principal: [a], notNamespaces: [x]}}]}]":                 false,
		"rules: [{to: [{operation: {methods: [GET]}}], wen: [{key: source.ip}]}]":           false,
		"rules: [{wen: []}, {to: [{operation: {methods: [GET]}}]}]":                         true,
		"{effect: DENY, rules: [{}]}":                                                       false,
		"{selector: {matchLabel: {a: b}}, rules: [{}]}":                                     false,
		"{action: DENY, rules: [{to: [{operation: {methods: [GET], path: [/a]}}]}]}":        false,
		"{action: DENY, rules: [{to: [{operation: {methods: [PUT], path: [/a]}}]}]}":        true,
		"{action: DENY, effect: ALLOW, rules: [{to: [{operation: {methods: [PUT]}}]}]}":     false,
		"rules: [{when: [{key: connection.sni, notValues: [a]}]}]":                          false,
		"{action: DENY, rules: [{when: [{key: connection.sni, values: [a]}]}]}":             false,
		"{selector: {matchLabels: {}}, rules: [{to: [{operation: {methods: [GET]}}]}]}":     true,
		"{action: DENY, rules: [{from: [{source: {ipBlocks: [10.0.0.0/8], ports: [x]}}]}]}": true,
	} {
		if got := passes(engine(t, authorizationPolicy(spec)), request("GET /")); got != want {
			t.Errorf("%s: passes %v, wanted %v", spec, got, want)
		}
	}
	_, found := lower(t, authorizationPolicy("rules: [{wen: []}]"))
	dialecttest.Want(t, found, mesh.Warning, "spec.rules[0]", "it lets nobody pass")
	_, found = lower(t, authorizationPolicy("{effect: DENY}"))
	dialecttest.Want(t, found, mesh.Warning, "spec", "it denies every call")
}

// TestSeveralPolicies add up, and what denies goes first.
func TestSeveralPolicies(t *testing.T) {
	e := engine(t, authorizationPolicy("rules: [{to: [{operation: {paths: [/a]}}]}]"), authorizationPolicy("rules: [{to: [{operation: {paths: [/b]}}]}]"),
		authorizationPolicy("action: DENY\nrules: [{to: [{operation: {methods: [PUT]}}]}]"))
	for call, want := range map[string]bool{"GET /a": true, "GET /b": true, "GET /c": false, "PUT /a": false} {
		if got := passes(e, request(call)); got != want {
			t.Errorf("%s: passes %v, wanted %v", call, got, want)
		}
	}
}

// TestHTTPFieldsOnTCP: a rule that allows by them matches no TCP call, one that denies by them every.
func TestHTTPFieldsOnTCP(t *testing.T) {
	if passes(engine(t, authorizationPolicy("rules: [{to: [{operation: {methods: [GET]}}]}]")), stream()) {
		t.Error("a call without a head was allowed by its method")
	}
	deny := authorizationPolicy("action: DENY\nrules: [{to: [{operation: {methods: [GET]}}]}]")
	if passes(engine(t, deny), stream()) {
		t.Error("a call without a head was not denied by its method")
	}
	_, found := lower(t, deny)
	dialecttest.Want(t, found, mesh.Info, "spec.rules[0]", "every TCP call")
	ports := authorizationPolicy("action: DENY\nrules: [{to: [{operation: {methods: [GET], ports: ['1']}}]}]")
	if !passes(engine(t, ports), stream()) {
		t.Error("a call to another port was denied")
	}
	_, found = lower(t, ports)
	dialecttest.None(t, found)
}

// TestDatagrams: Istio's ports are those of TCP, and what is sent over UDP goes to none of them: "ports: [53]" allows none of it. A rule
// that denies takes in what it cannot tell.
func TestDatagrams(t *testing.T) {
	const all = "rules: [{}]"
	for _, x := range []struct {
		name, deny, allow string
		tcp, udp          bool // to port 53 pass
	}{
		{"all", "", all, true, true},
		{"nothing", "", "{}", false, false},
		{"by address", "", "rules: [{from: [{source: {ipBlocks: [10.1.2.0/24]}}]}]", true, true},
		{"by another address", "", "rules: [{from: [{source: {ipBlocks: [10.9.0.0/16]}}]}]", false, false},
		{"by namespace: datagrams have no identity", "", "rules: [{from: [{source: {namespaces: [shop]}}]}]", true, false},
		{"ports", "", "rules: [{to: [{operation: {ports: ['53']}}]}]", true, false},
		{"not ports", "", "rules: [{to: [{operation: {notPorts: ['80']}}]}]", true, false},
		{"when ports", "", "rules: [{when: [{key: destination.port, values: ['53']}]}]", true, false},
		{"when not ports", "", "rules: [{when: [{key: destination.port, notValues: ['80']}]}]", true, false},
		{"requests", "", "rules: [{to: [{operation: {methods: [GET]}}]}]", false, false},
		{"ports, and all", "", "rules: [{to: [{operation: {ports: ['53']}}]}, {}]", true, true},
		{"deny all", all, all, false, false},
		{"deny ports", "rules: [{to: [{operation: {ports: ['53']}}]}]", all, false, false},
		{"deny other ports", "rules: [{to: [{operation: {ports: ['80']}}]}]", all, true, true},
		{"deny all ports but this", "rules: [{to: [{operation: {notPorts: ['53']}}]}]", all, true, false},
		{"deny when not to this", "rules: [{when: [{key: destination.port, notValues: ['53']}]}]", all, true, false},
		{"deny all ports but this, to others", "rules: [{from: [{source: {ipBlocks: [10.9.0.0/16]}}], to: [{operation: {notPorts: ['53']}}]}]", all, true, true},
		{"deny by a method", "rules: [{to: [{operation: {methods: [GET]}}]}]", all, false, false},
	} {
		docs := []string{authorizationPolicy(x.allow)}
		if x.deny != "" {
			docs = append(docs, authorizationPolicy("action: DENY\n"+x.deny))
		}
		e := engine(t, docs...)
		tcp, udp := by(frontend, stream()), by("", stream())
		tcp.Original = netip.MustParseAddrPort("10.0.0.9:53")
		udp.Original, udp.Datagrams = tcp.Original, true
		if got := passes(e, tcp); got != x.tcp {
			t.Errorf("%s: TCP passes: %v", x.name, got)
		}
		if got := passes(e, udp); got != x.udp {
			t.Errorf("%s: UDP passes: %v", x.name, got)
		}
	}
}

// TestWhatCannotBeJudged fails closed: it narrows what allows and widens what denies.
func TestWhatCannotBeJudged(t *testing.T) {
	for _, part := range []string{"from: [{source: {requestPrincipals: ['*'], namespaces: [shop]}}]", "from: [{source: {notRequestPrincipals: ['*'], namespaces: [shop]}}]",
		"from: [{source: {namespaces: [shop]}}]\n  when: [{key: 'request.auth.claims[group]', values: [a]}]",
		"from: [{source: {namespaces: [shop]}}]\n  when: [{key: 'experimental.envoy.filters.a[b]', notValues: [a]}]"} {
		if passes(engine(t, authorizationPolicy("rules:\n- "+part)), by(frontend, request("GET /"))) {
			t.Errorf("%s: allowed", part)
		}
		deny := engine(t, authorizationPolicy("action: DENY\nrules:\n- "+part))
		if passes(deny, by(frontend, request("GET /"))) {
			t.Errorf("%s: not denied", part)
		}
		if !passes(deny, by("cluster.local/ns/other/sa/x", request("GET /"))) {
			t.Errorf("%s: what the rest of the rule leaves out was denied", part)
		}
	}
	// a source beside it still counts
	e := engine(t, authorizationPolicy("rules: [{from: [{source: {requestPrincipals: ['*']}}, {source: {namespaces: [shop]}}]}]"))
	if !passes(e, by(frontend, request("GET /"))) || passes(e, by("", request("GET /"))) {
		t.Error("the other source does not count alone")
	}
	_, found := lower(t, authorizationPolicy("rules: [{from: [{source: {requestPrincipals: ['*']}}]}]"))
	dialecttest.Want(t, found, mesh.Warning, "spec.rules[0].from[0].source.requestPrincipals", "tokens are not checked")
	_, found = lower(t, authorizationPolicy("rules: [{when: [{key: request.auth.principal, values: ['*']}]}]"))
	dialecttest.Want(t, found, mesh.Warning, "spec.rules[0].when[0].key", "nothing is allowed")
}

// TestCustom denies what its rules match, since nobody can be asked.
func TestCustom(t *testing.T) {
	custom := authorizationPolicy("action: CUSTOM\nprovider: {name: opa}\nrules: [{to: [{operation: {paths: ['/admin*']}}]}]")
	e := engine(t, custom)
	if passes(e, request("GET /admin")) || !passes(e, request("GET /")) {
		t.Error("it does not deny what its rules match, and that alone")
	}
	_, found := lower(t, custom)
	dialecttest.Want(t, found, mesh.Warning, "spec.action", "are denied")
	_, found = lower(t, authorizationPolicy("action: CUSTOM\nrules: [{}]"))
	dialecttest.Want(t, found, mesh.Error, "spec.provider.name", "whom to ask")
}

// TestNotEnforced: AUDIT, dry runs, and what is for waypoints (sidecars ignore targetRefs).
func TestNotEnforced(t *testing.T) {
	dry := strings.Replace(authorizationPolicy("action: DENY\nrules: [{}]"), "namespace: default}", "namespace: default, annotations: {istio.io/dry-run: 'true'}}", 1)
	for _, c := range []struct {
		doc, field, says string
		level            mesh.Level
	}{
		{authorizationPolicy("action: AUDIT\nrules: [{}]"), "spec.action", "no effect", mesh.Info},
		{dry, "metadata.annotations", "dry run", mesh.Info},
		{authorizationPolicy("targetRefs: [{kind: Service, group: '', name: reviews}]\nrules: []"), "spec.targetRefs", "sidecars ignore it too", mesh.Warning},
	} {
		part, found := lower(t, c.doc)
		dialecttest.Want(t, found, c.level, c.field, c.says)
		if !part.Empty() {
			t.Errorf("%s is enforced", c.doc)
		}
	}
	_, found := lower(t, dry)
	if len(found) != 1 {
		t.Errorf("a dry run says no more than that it is one: %v", found)
	}
	_, found = lower(t, strings.Replace(dry, "'true'", "'yes'", 1))
	dialecttest.Want(t, found, mesh.Error, `metadata.annotations["istio.io/dry-run"]`, "neither true nor false")
	_, found = lower(t, authorizationPolicy("selector: {matchLabels: {a: b}}\ntargetRefs: [{kind: Service, group: '', name: reviews}]"))
	dialecttest.Want(t, found, mesh.Error, "spec.selector", "either")
}

// TestRootPolicy is for workloads of all namespaces.
func TestRootPolicy(t *testing.T) {
	part, _ := lower(t, strings.Replace(authorizationPolicy("selector: {matchLabels: {app: web}}"), "namespace: default", "namespace: istio-system", 1))
	if a := part.Authorizations[0]; a.Namespaces != nil || len(a.Selector.Labels) != 1 {
		t.Errorf("%+v", a)
	}
}

// TestTrustDomain: cluster.local stands for the mesh's own, as the first part of a whole principal.
func TestTrustDomain(t *testing.T) {
	kinds := istio.Kinds("mesh.example")
	objects := dialecttest.Objects(t, kinds, authorizationPolicy("rules: [{from: [{source: {principals: [cluster.local/ns/a/sa/b, 'cluster.local/ns/*', td2/ns/a/sa/b]}}]}]"))
	part, found := dialect.Read(kinds, objects[0], dialecttest.View(objects))
	dialecttest.None(t, found)
	want := []match.String{{Value: "mesh.example/ns/a/sa/b"}, {Kind: match.Prefix, Value: "cluster.local/ns/"}, {Value: "td2/ns/a/sa/b"}}
	if d := dialecttest.Diff(want, part.Authorizations[0].Tiers[0].Rules[0].From[0].Principals); d != "" {
		t.Error(d)
	}
}

func TestAuthorizationPolicyMistakes(t *testing.T) {
	for _, c := range []struct {
		rule  string
		level mesh.Level
		field string
		says  string
	}{
		{"{from: []}", mesh.Error, ".from", "the list is empty"},
		{"{to: []}", mesh.Error, ".to", "the list is empty"},
		{"{from: [{}]}", mesh.Error, ".from[0].source", "the source is empty"},
		{"{from: [{source: {}}]}", mesh.Error, ".from[0].source", "the source is empty"},
		{"{to: [{operation: {}}]}", mesh.Error, ".to[0].operation", "the operation is empty"},
		{"{from: [{source: {principals: ['spiffe://cluster.local/ns/a/sa/b']}}]}", mesh.Warning, ".from[0].source.principals[0]", "write cluster.local/ns/a/sa/b"},
		{"{from: [{source: {principals: [frontend]}}]}", mesh.Warning, ".from[0].source.principals[0]", "did you mean cluster.local/ns/default/sa/frontend?"},
		{"{from: [{source: {principals: [shop/frontend]}}]}", mesh.Warning, ".from[0].source.principals[0]", "did you mean cluster.local/ns/shop/sa/frontend?"},
		{"{from: [{source: {principals: ['']}}]}", mesh.Error, ".from[0].source.principals[0]", "empty"},
		{"{from: [{principals: [a]}]}", mesh.Warning, ".from[0].principals", "did you mean source.principals?"},
		{"{from: [{source: {serviceAccounts: ['a/*']}}]}", mesh.Error, ".from[0].source.serviceAccounts[0]", "wildcards"},
		{"{from: [{source: {serviceAccounts: [a/b], namespaces: [a]}}]}", mesh.Error, ".from[0].source.serviceAccounts", "beside"},
		{"{from: [{source: {ipBlocks: [10.0.0]}}]}", mesh.Error, ".from[0].source.ipBlocks[0]", "CIDR"},
		{"{to: [{operation: {ports: [http]}}]}", mesh.Error, ".to[0].operation.ports[0]", "number"},
		{"{to: [{operation: {ports: [80]}}]}", mesh.Error, ".to[0].operation.ports[0]", "in quotes"},
		{"{to: [{operation: {methods: [get]}}]}", mesh.Warning, ".to[0].operation.methods[0]", "write GET"},
		{"{to: [{operation: {paths: ['/a/*/b']}}]}", mesh.Warning, ".to[0].operation.paths[0]", "the first or the last"},
		{"{to: [{operation: {paths: [a]}}]}", mesh.Warning, ".to[0].operation.paths[0]", "begin it with /"},
		{"{to: [{operation: {paths: ['/{**}/foo/{*}']}}]}", mesh.Error, ".to[0].operation.paths[0]", "not the last operator"},
		{"{to: [{operation: {paths: ['/foo/{*}.txt']}}]}", mesh.Error, ".to[0].operation.paths[0]", "{*}.txt"},
		{"{to: [{operation: {paths: ['/*/baz/{*}']}}]}", mesh.Error, ".to[0].operation.paths[0]", "template"},
		{"{to: [{operation: {path: [/a], methods: [GET]}}]}", mesh.Warning, ".to[0].operation.path", "did you mean paths?"},
		{"{when: [{key: source.ip}]}", mesh.Error, ".when[0]", "neither values nor notValues"},
		{"{when: [{key: source.namespaces, values: [a]}]}", mesh.Error, ".when[0].key", "did you mean source.namespace?"},
		{"{when: [{key: 'request.header[a]', values: [a]}]}", mesh.Error, ".when[0].key", "did you mean request.headers[NAME]?"},
		{"{when: [{key: 'destination.labels[a]', values: [a]}]}", mesh.Error, ".when[0].key", "the policy's selector"},
	} {
		_, found := lower(t, authorizationPolicy("rules:\n- "+c.rule))
		dialecttest.Want(t, found, c.level, "spec.rules[0]"+c.field, c.says)
	}
	_, found := lower(t, authorizationPolicy("provider: {name: opa}"))
	dialecttest.Want(t, found, mesh.Error, "spec.provider", "CUSTOM alone")
	_, found = lower(t, authorizationPolicy("selector: {matchLabels: {app: 'web-*'}}"))
	dialecttest.Want(t, found, mesh.Error, "spec.selector.matchLabels.app", "wildcard")
}
