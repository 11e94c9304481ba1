package linkerd_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/dialecttest"
	"github.com/weft-mesh/weft/feature/retry"
	"github.com/weft-mesh/weft/feature/route"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/traffic"
)

// shop is books, with ports, beside films, since routes ask for ports.
const shop = `apiVersion: v1
kind: Service
metadata: {name: books, namespace: shop}
spec: {ports: [{name: http, port: 80}, {name: admin, port: 81}]}
---
apiVersion: v1
kind: Service
metadata: {name: films, namespace: shop}
spec: {ports: [{port: 80}]}
---
`

const (
	ofBooks = "parentRefs: [{group: core, kind: Service, name: books}]\n"
	atBooks = "parentRefs: [{group: policy.linkerd.io, kind: Server, name: books}]\n"
)

func httpRoute(name, spec string) string { return object("v1beta3", "HTTPRoute", name, spec) }

func apiRoute(kind, name, spec string) string {
	return strings.Replace(object("v1", kind, name, spec), "policy.linkerd.io/v1\n", "gateway.networking.k8s.io/v1\n", 1)
}

// annotated gives a document annotations.
func annotated(doc, annotations string) string {
	return strings.Replace(doc, "namespace: shop}", "namespace: shop, annotations: {"+annotations+"}}", 1)
}

// routed lowers a document beside shop and others.
func routed(t *testing.T, docs ...string) (mesh.Part, []mesh.Finding) {
	t.Helper()
	objects := dialecttest.Objects(t, kinds, shop+strings.Join(docs, "\n---\n"))
	return dialect.Read(kinds, objects[2], dialecttest.View(objects))
}

// A route that is refused closes its namespace where it may be one of a Server, and says who may call; one of Services alone is no policy.
func TestRefusedRoute(t *testing.T) {
	const wrong = "\nrules: [{matches: [{path: {type: Sideways, value: /}}]}]"
	for parents, guards := range map[string]bool{
		"parentRefs: [{group: core, kind: Service, name: books}]":                                                        false,
		`parentRefs: [{group: "", kind: Service, name: books}]`:                                                          false,
		"parentRefs: [{kind: Service, name: books}]":                                                                     false,
		"parentRefs: [{group: core, kind: Service, name: books}, {group: policy.linkerd.io, kind: Server, name: books}]": true,
		"parentRefs: [{group: policy.linkerd.io, kind: Server, name: books}]":                                            true,
		"parentRefs: [{name: books}]":                                                                                    true,
		"parentRefs: [{kind: Servr, name: books}]":                                                                       true,
		"parentRefs: [{group: core, kind: [Service], name: books}]":                                                      true,
		"parentRefs: {group: core, kind: Service, name: books}":                                                          true,
		"parentRefs: []": true,
		"parentRef: {group: core, kind: Service, name: books}": true,
	} {
		s := dialect.NewSet(kinds)
		o := dialecttest.Objects(t, kinds, httpRoute("it", parents+wrong))[0]
		s.Apply([]*dialect.Object{o}, nil)
		if k := o.Key(); !s.Refused(k) || len(s.Unguarded(k)) > 0 != guards || len(s.Open()) > 0 != guards || s.Guards(k) != guards {
			t.Errorf("%s: refused %v, guards %v, %v", parents, s.Refused(k), s.Guards(k), s.Unguarded(k))
		}
	}
}

// A route of the Gateway API's guards where it names a Server, whatever cannot be read of it: it may have narrowed who calls.
func TestRefusedRouteOfTheAPI(t *testing.T) {
	for parents, guards := range map[string]bool{
		"parentRefs: [{group: policy.linkerd.io, kind: Server, name: books}]":                                                 true,
		"parentRefs: [7, {name: gate}, {group: policy.linkerd.io, kind: Server, name: books, port: many}]":                    true,
		`parentRefs: [{group: "", kind: Service, name: books}, {name: gate}, {group: policy.example, kind: Server, name: a}]`: false,
		"parentRefs: {group: policy.linkerd.io, kind: Server, name: books}":                                                   false,
		"": false,
	} {
		for _, kind := range []string{"HTTPRoute", "GRPCRoute"} {
			s := dialect.NewSet(kinds)
			o := dialecttest.Objects(t, kinds, apiRoute(kind, "it", parents+"\nrules: many"))[0]
			s.Apply([]*dialect.Object{o}, nil)
			if k := o.Key(); !s.Refused(k) || len(s.Unguarded(k)) > 0 != guards || s.Guards(k) != guards {
				t.Errorf("%s %s: refused %v, guards %v, %v", kind, parents, s.Refused(k), s.Guards(k), s.Unguarded(k))
			}
		}
	}
}

// A route of Linkerd's is the Gateway API's, below it, and what names no backend goes on to the service that was called.
func TestHTTPRoute(t *testing.T) {
	part, found := routed(t, httpRoute("it", ofBooks+`
rules:
- matches: [{path: {value: /authors}, method: GET}]
  backendRefs: [{name: films, port: 80, weight: 9}, {name: books, port: 80}]
- timeouts: {request: 1.5s}`))
	expect(t, found, "")
	to := func(host string, port uint16, weight uint32) mesh.Backend {
		return mesh.Backend{Weighted: route.Weighted{Weight: weight, Target: traffic.Target{Service: host, Port: port}}}
	}
	if len(part.Routes) != 1 {
		t.Fatal(part.Routes)
	}
	got := part.Routes[0]
	if got.Rank != mesh.RankLinkerdRoute || got.Host != booksHost || !got.Pooled || got.Ref != ref("HTTPRoute", "it", "") {
		t.Errorf("%+v", got)
	}
	if d := dialecttest.Diff([]mesh.Backend{to("films.shop.svc.cluster.local", 80, 9), to(booksHost, 80, 1)}, got.Rules[0].Backends); d != "" {
		t.Error(d)
	}
	if d := dialecttest.Diff([]mesh.Backend{to(booksHost, 0, 1)}, got.Rules[1].Backends); d != "" {
		t.Error(d)
	}
	if got.Rules[1].Timeout == nil || got.Rules[1].Timeout.Limit != 1500*time.Millisecond {
		t.Errorf("%+v", got.Rules[1].Timeout)
	}
	if part, _ = routed(t, httpRoute("it", ofBooks)); len(part.Routes) != 1 || len(part.Routes[0].Rules) != 1 || part.Routes[0].Rules[0].Backends[0].Target.Service != booksHost {
		t.Errorf("without rules: %+v", part.Routes)
	}
}

// hostnames count between services too, and the narrower of them first.
func TestHTTPRouteHostnames(t *testing.T) {
	part, found := routed(t, httpRoute("it", ofBooks+`
hostnames: ["*.example.com", books.example.com]
rules: [{matches: [{path: {value: /long}}, {headers: [{name: Host, value: a.example.com}]}]}]`))
	expect(t, found, "")
	rules := part.Routes[0].Rules
	if len(rules) != 3 { // the match on Host holds for one of the two alone
		t.Fatalf("%d rules", len(rules))
	}
	for _, c := range []struct {
		rule int
		host string
		want bool
	}{{0, "A.example.com:80", true}, {0, "example.com", false}, {0, "books.example.org", false}, {1, "a.example.com", true}, {1, "b.example.com", false},
		{2, "books.example.com", true}, {2, "Books.Example.com:8080", true}, {2, "a.books.example.com", false}} {
		m := rules[c.rule].Matches[0]
		if err := m.Compile(); err != nil {
			t.Fatal(err)
		}
		a := request("GET /long")
		a.Authority = c.host
		if got := m.Match(a, false); got != c.want {
			t.Errorf("%s: %v by %+v", c.host, got, m)
		}
	}
	if mesh.MoreSpecific(rules[0], rules[2]) <= 0 {
		t.Error("a wildcard goes before a name")
	}
	_, found = routed(t, httpRoute("it", ofBooks+`
hostnames: [books.example.com]
rules: [{matches: [{headers: [{type: RegularExpression, name: Host, value: "a.*"}]}]}]`))
	expect(t, found, "error spec.hostnames: both cannot be asked for")
}

func TestCallNotes(t *testing.T) {
	usual := retry.Policy{Attempts: 1, Connect: true, Refused: true, ResetSafe: true}
	with := func(change func(*retry.Policy)) *retry.Policy {
		p := usual
		change(&p)
		return &p
	}
	for _, c := range []struct {
		notes, amiss string
		retry        *retry.Policy
		timeout      time.Duration // 100 ms is the rule's own
		attempt      time.Duration // 50 ms likewise
	}{
		{"", "", nil, 100, 50},
		{"retry.linkerd.io/http: 5xx", "", with(func(p *retry.Policy) { p.ServerErr = true }), 100, 0},
		{`retry.linkerd.io/http: "gateway-error,429,500-501", retry.linkerd.io/limit: "3"`, "", with(func(p *retry.Policy) { p.Attempts, p.Codes = 3, []int{502, 503, 504, 429, 500, 501} }), 100, 0},
		{"retry.linkerd.io/timeout: 20ms", "", with(func(p *retry.Policy) { p.TimedOut = true }), 100, 20},
		{`retry.linkerd.io/limit: "0"`, "", nil, 100, 50},
		{"timeout.linkerd.io/request: 2s", "", nil, 2000, 50},
		{`timeout.linkerd.io/request: "0"`, "", nil, 0, 50},
		{"timeout.linkerd.io/request: 1.5s", "error metadata.annotations[\"timeout.linkerd.io/request\"]: whole number", nil, 0, 0},
		{"timeout.linkerd.io/request: 5y", "error metadata.annotations[\"timeout.linkerd.io/request\"]: none of ms", nil, 0, 0},
		{`timeout.linkerd.io/request: "5"`, "error metadata.annotations[\"timeout.linkerd.io/request\"]: none of ms", nil, 0, 0},
		{"timeout.linkerd.io/request: 9999999999999d", "error metadata.annotations[\"timeout.linkerd.io/request\"]: too long", nil, 0, 0},
		{"retry.linkerd.io/http: 6xx", "error metadata.annotations[\"retry.linkerd.io/http\"]: is no status", nil, 0, 0},
		{"retry.linkerd.io/http: 504-500", "error metadata.annotations[\"retry.linkerd.io/http\"]: is no status", nil, 0, 0},
		{"retry.linkerd.io/limit: many", "error metadata.annotations[\"retry.linkerd.io/limit\"]: number of retries", nil, 0, 0},
		{"retry.linkerd.io/grpc: internal", "warning metadata.annotations[\"retry.linkerd.io/grpc\"]: no effect", nil, 100, 50},
	} {
		t.Run(c.notes, func(t *testing.T) {
			const spec = ofBooks + "rules: [{timeouts: {request: 100ms, backendRequest: 50ms}}]"
			part, found := routed(t, annotated(httpRoute("it", spec), c.notes))
			expect(t, found, c.amiss)
			if strings.HasPrefix(c.amiss, "error") {
				// The Gateway API's routes are other meshes' too: what is said in Linkerd's words has no effect, and the rest of them has.
				part, found = routed(t, annotated(apiRoute("HTTPRoute", "it", strings.Replace(spec, "core", `""`, 1)), c.notes))
				if len(part.Routes) == 0 || !strings.Contains(dialecttest.Show(found), "warning HTTPRoute shop/it (gateway-api): metadata.annotations") {
					t.Error(dialecttest.Show(found))
				}
				return
			}
			rule := part.Routes[0].Rules[0]
			if c.retry != nil {
				c.retry.Ref = rule.Retry.Ref
			}
			if d := dialecttest.Diff(c.retry, rule.Retry); d != "" {
				t.Error(d)
			}
			if rule.Timeout.Limit != c.timeout*time.Millisecond || rule.Attempt.Limit != c.attempt*time.Millisecond {
				t.Errorf("%v, each %v", rule.Timeout.Limit, rule.Attempt.Limit)
			}
		})
	}
	part, found := routed(t, annotated(apiRoute("GRPCRoute", "it", strings.Replace(ofBooks, "core", `""`, 1)+"rules: [{backendRefs: [{name: books, port: 80}]}]"),
		`retry.linkerd.io/grpc: "unavailable,DEADLINE-exceeded"`))
	expect(t, found, "")
	if got := part.Routes[0].Rules[0].Retry; got == nil || fmt.Sprint(got.GRPC) != "[14 4]" || got.Ref.Rule != "retry.linkerd.io/grpc" {
		t.Errorf("%+v", got)
	}
}

// Which kind of route comes first is said to who gives way, in findings and statuses.
func TestHTTPRouteGivesWay(t *testing.T) {
	mine := httpRoute("it", ofBooks+"rules: [{backendRefs: [{name: films, port: 80}]}]")
	for _, kind := range []string{"HTTPRoute", "GRPCRoute"} {
		other := apiRoute(kind, "other", `parentRefs: [{group: "", kind: Service, name: books, port: 80}]
rules: [{backendRefs: [{name: books, port: 80}]}]`)
		part, found := routed(t, mine, other)
		expect(t, found, "warning spec.parentRefs: the "+kind+" shop/other is attached to port 80")
		if len(part.Routes) != 1 || part.Routes[0].Port != 81 {
			t.Errorf("%s: %+v", kind, part.Routes)
		}
	}
	all := apiRoute("HTTPRoute", "other", "parentRefs: [{group: \"\", kind: Service, name: books}]\nrules: [{backendRefs: [{name: books, port: 80}]}]")
	status(t, "Accepted=False RouteReasonConflicted, ResolvedRefs=True ResolvedRefs", mine, all)
	status(t, "Accepted=True Accepted, ResolvedRefs=True ResolvedRefs", mine)
	status(t, "Accepted=True Accepted, ResolvedRefs=False BackendNotFound", strings.Replace(mine, "films", "none", 1))
	status(t, "Accepted=False NoMatchingParent, ResolvedRefs=True ResolvedRefs", strings.Replace(mine, "name: books", "name: none", 1))
}

// status looks at the conditions of the one parent of the first document.
func status(t *testing.T, want string, docs ...string) {
	t.Helper()
	objects := dialecttest.Objects(t, kinds, shop+strings.Join(docs, "\n---\n"))
	o := objects[2]
	view := dialecttest.View(objects)
	_, found := dialect.Read(kinds, o, view)
	k := dialect.Find(kinds, o.Group, o.Kind)
	now := k.Status(o, view, found)(nil, time.Unix(0, 0))
	list, _ := now["conditions"].([]any)
	if parents, _ := now["parents"].([]any); len(parents) == 1 {
		p := parents[0].(map[string]any)
		if list = p["conditions"].([]any); p["controllerName"] != "weft.dev/gateway-controller" {
			t.Error(p["controllerName"])
		}
	}
	var got []string
	for _, x := range list {
		c := x.(map[string]any)
		got = append(got, fmt.Sprintf("%v=%v %v", c["type"], c["status"], c["reason"]))
	}
	if text := strings.Join(got, ", "); text != want {
		t.Errorf("%s, want %s", text, want)
	}
}

func TestStatusAtServers(t *testing.T) {
	mine := httpRoute("it", atBooks)
	status(t, "Accepted=True Accepted", mine, server("books", open))
	status(t, "Accepted=False NoMatchingParent", mine)
	status(t, "Accepted=False RouteReasonConflicted", mine, server("books", open), apiRoute("GRPCRoute", "other", atBooks))
	status(t, "Accepted=True Accepted", apiRoute("GRPCRoute", "it", atBooks), server("books", open+"\nproxyProtocol: gRPC"))
	status(t, "Accepted=True Accepted", apiRoute("HTTPRoute", "it", atBooks), server("books", open))
}

// Kinds that weft does not obey say so, and what their schemas ask for.
func TestStatusOfWhatIsNotSupported(t *testing.T) {
	limit := object("v1alpha1", "HTTPLocalRateLimitPolicy", "it", "targetRef: {group: policy.linkerd.io, kind: Server, name: books}\ntotal: {requestsPerSecond: 1}")
	status(t, "Accepted=False NotSupported", limit)
	status(t, "Accepted=False NotSupported", object("v1alpha1", "EgressNetwork", "it", "trafficPolicy: Deny"))
	objects := dialecttest.Objects(t, kinds, limit)
	k := dialect.Find(kinds, objects[0].Group, objects[0].Kind)
	got := k.Status(objects[0], nil, nil)(map[string]any{"conditions": []any{map[string]any{"type": "Other"}}}, time.Unix(0, 0))
	if fmt.Sprint(got["targetRef"]) != "map[group:policy.linkerd.io kind:Server name:books]" || len(got["conditions"].([]any)) != 2 || !k.Unclaimed {
		t.Error(got)
	}
}

// TestRoutePolicy: a call is of the first match of all routes of the Server, and passes by that one's policies, or the Server's.
func TestRoutePolicy(t *testing.T) {
	const peter = "10.1.2.3 cluster.local/ns/shop/sa/peter"
	docs := []string{server("books", open),
		httpRoute("all", atBooks+"rules: [{matches: [{path: {value: /}}]}]"),
		httpRoute("admin", "parentRefs: [{kind: Server, name: books}]\nrules: [{matches: [{path: {value: /admin}}, {path: {value: /ops}, method: POST}]}]"),
		apiRoute("HTTPRoute", "edits", atBooks+`
rules:
- matches: [{path: {value: /admin/edits}}]
  filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: a, value: b}]}}]`),
		policy("web", "targetRef: {group: policy.linkerd.io, kind: HTTPRoute, name: all}\nrequiredAuthenticationRefs: [{kind: ServiceAccount, name: web}]"),
		policy("peter", "targetRef: {group: policy.linkerd.io, kind: HTTPRoute, name: admin}\nrequiredAuthenticationRefs: [{kind: ServiceAccount, name: peter}]"),
		policy("everybody", "targetRef: {group: gateway.networking.k8s.io, kind: HTTPRoute, name: edits}\nrequiredAuthenticationRefs: []")}
	for _, c := range []struct{ who, head, want string }{
		{web, "GET /", "AuthorizationPolicy shop/web (linkerd)"},
		{peter, "GET /", "denied HTTPRoute shop/all rules[0] (linkerd)"},
		{nobody, "GET /", "denied HTTPRoute shop/all rules[0] (linkerd)"},
		{peter, "GET /admin/x", "AuthorizationPolicy shop/peter (linkerd)"},
		{web, "GET /admin/x", "denied HTTPRoute shop/admin rules[0] (linkerd)"}, // though the policy for / would let it pass
		{peter, "POST /ops", "AuthorizationPolicy shop/peter (linkerd)"},
		{peter, "GET /ops", "denied HTTPRoute shop/all rules[0] (linkerd)"},
		{web, "GET /ops", "AuthorizationPolicy shop/web (linkerd)"},
		{web, "GET /admin/edits", "denied HTTPRoute shop/edits rules[0] (gateway-api)"}, // its filter cannot be done
		{web, "OPTIONS *", "AuthorizationPolicy shop/web (linkerd)"},
	} {
		if got := verdict(t, c.who, c.head, docs...); got != c.want {
			t.Errorf("%s %s: %s, want %s", c.who, c.head, got, c.want)
		}
	}
	if got := verdict(t, web, "", docs...); !strings.HasPrefix(got, "denied") {
		t.Errorf("bytes that are no request pass by %s", got)
	}
	if got := verdict(t, peter, "GET /other", docs[0], docs[2], docs[5]); got != "denied Server shop/books (linkerd)" {
		t.Errorf("a call that no route matches: %s", got)
	}
	shared := policy("shared", "targetRef: {group: policy.linkerd.io, kind: Server, name: books}\nrequiredAuthenticationRefs: [{kind: ServiceAccount, name: web}]")
	if got := verdict(t, web, "GET /admin", append(docs, shared)...); got != "AuthorizationPolicy shop/shared (linkerd)" {
		t.Errorf("who may call the Server: %s", got)
	}
	stray := append([]string{server("books", open+"\nnarrow: yes")}, docs[1:]...)
	if got := verdict(t, web, "GET /", stray...); got != "denied Server shop/books (linkerd)" {
		t.Errorf("at a Server with an unknown field: %s", got)
	}
}

// verdict judges a call, "METHOD PATH" or none for bytes alone, and says because of what it passes or not.
func verdict(t *testing.T, who, head string, docs ...string) string {
	t.Helper()
	part, _ := lower(t, docs...)
	w := &mesh.Workload{Namespace: "shop", Name: "b", Labels: []string{"app=books"}}
	s, _ := mesh.New().With([]mesh.Change{{New: &part}})
	engines := s.Inbound(w).Authz
	if len(engines) != 1 {
		t.Fatalf("%d engines", len(engines))
	}
	e := engines[0]
	if err := e.Compile(); err != nil {
		t.Fatal(err)
	}
	a := from(who)
	if head == "" {
		a.Proto = traffic.TCP
	} else {
		a.Method, a.Path, _ = strings.Cut(head, " ")
	}
	v := e.Judge(a, nil)
	if v.Outcome != decision.Pass {
		return "denied " + v.Ref.String()
	}
	return v.Ref.String()
}

// GRPCRoutes are of Servers whose protocol is gRPC, and come before HTTPRoutes.
func TestGRPCRoutePolicy(t *testing.T) {
	books := server("books", open+"\nproxyProtocol: gRPC")
	docs := []string{books, apiRoute("GRPCRoute", "reads", atBooks+"rules: [{matches: [{method: {service: books.Books, method: Get}}]}]"),
		httpRoute("all", atBooks),
		policy("all", "targetRef: {group: policy.linkerd.io, kind: HTTPRoute, name: all}\nrequiredAuthenticationRefs: []"),
		policy("web", "targetRef: {group: gateway.networking.k8s.io, kind: GRPCRoute, name: reads}\nrequiredAuthenticationRefs: [{kind: ServiceAccount, name: web}]")}
	for head, want := range map[string]string{"POST /books.Books/Get": "AuthorizationPolicy shop/web (linkerd)", "POST /books.Books/Put": "denied Server shop/books (linkerd)"} {
		if got := verdict(t, web, head, docs...); got != want {
			t.Errorf("%s: %s", head, got)
		}
	}
	open := server("books", open+"\naccessPolicy: all-unauthenticated")
	if got := verdict(t, web, "POST /books.Books/Put", append([]string{open}, docs[1:]...)...); got != "Server shop/books accessPolicy (linkerd)" {
		t.Errorf("where the protocol is not gRPC: %s", got)
	}
}

func TestHTTPRouteFindings(t *testing.T) {
	for _, c := range []struct{ name, doc, want string }{
		{"a Gateway", httpRoute("it", "parentRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: a}]"), "warning spec.parentRefs[0]: a Gateway takes an HTTPRoute of gateway.networking.k8s.io"},
		{"no kind", httpRoute("it", "parentRefs: [{name: books}]"), "warning spec.parentRefs[0]: by the Gateway books of \"policy.linkerd.io\""},
		{"an EgressNetwork", httpRoute("it", "parentRefs: [{group: policy.linkerd.io, kind: EgressNetwork, name: a, port: 80}]"), "warning spec.parentRefs[0]: by the EgressNetwork a"},
		{"at a Server", httpRoute("it", atBooks), ""},
		{"no Server", httpRoute("it", strings.Replace(atBooks, "books", "films", 1)), "warning spec.parentRefs[0].name: there is no Server films"},
		{"Server elsewhere", httpRoute("it", strings.Replace(atBooks, "books", "books, namespace: web", 1)), "error spec.parentRefs[0].namespace: another namespace"},
		{"Server's port", httpRoute("it", strings.Replace(atBooks, "books", "books, port: 80", 1)), "error spec.parentRefs[0].port: one port"},
		{"Server's section", httpRoute("it", strings.Replace(atBooks, "books", "books, sectionName: a", 1)), "error spec.parentRefs[0].sectionName: no sections"},
		{"filters at a Server", httpRoute("it", atBooks+"rules: [{filters: [{type: RequestRedirect, requestRedirect: {port: 80}}]}]"),
			"warning spec.rules[0].filters: there nobody is let pass by the rule"},
		{"unknown in a match", httpRoute("it", atBooks+"rules: [{matches: [{metod: GET}]}]"),
			"error spec.rules[0].matches[0].metod: did you mean method"},
		{"a filter of the Gateway API", httpRoute("it", ofBooks+"rules: [{filters: [{type: URLRewrite, urlRewrite: {hostname: a}}]}]"),
			"error spec.rules[0].filters[0].type: URLRewrite\nwarning spec.rules[0].filters[0].urlRewrite: that of apiVersion: gateway.networking.k8s.io/v1"},
		{"GRPCRoute", apiRoute("GRPCRoute", "it", atBooks), "warning spec.parentRefs[0]: GRPCRoutes count where it is gRPC"},
		{"notes at a Server", annotated(httpRoute("it", atBooks), "timeout.linkerd.io/request: 1s"), "warning metadata.annotations[\"timeout.linkerd.io/request\"]: attached to no Service"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, found := routed(t, c.doc, server("books", open))
			expect(t, found, c.want)
		})
	}
	_, found := lower(t, policy("it", "targetRef: {group: policy.linkerd.io, kind: HTTPRoute, name: all}\nrequiredAuthenticationRefs: []"), httpRoute("all", ofBooks))
	expect(t, found, "warning spec.targetRef: attached to no Server")
}
