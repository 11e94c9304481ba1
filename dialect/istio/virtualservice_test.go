package istio_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/weft-mesh/weft/dialect/dialecttest"
	"github.com/weft-mesh/weft/feature/fault"
	"github.com/weft-mesh/weft/feature/headers"
	"github.com/weft-mesh/weft/feature/mirror"
	"github.com/weft-mesh/weft/feature/redirect"
	"github.com/weft-mesh/weft/feature/retry"
	"github.com/weft-mesh/weft/feature/rewrite"
	"github.com/weft-mesh/weft/feature/route"
	"github.com/weft-mesh/weft/feature/timeout"
	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/traffic"
)

// byDefault is what Istio retries where a rule does not say.
func byDefault(rule string) *retry.Policy {
	return &retry.Policy{Ref: ref("VirtualService", rule+" default"), Attempts: 2, Connect: true, Refused: true, GRPC: []int{14, 1}}
}

func to(subset string, weight uint32) mesh.Backend {
	return mesh.Backend{Weighted: route.Weighted{Target: traffic.Target{Service: reviews, Port: 9080, Subset: subset}, Weight: weight}}
}

func TestVirtualService(t *testing.T) {
	part, found := lower(t, http(`
- match: [{headers: {end-user: {exact: jason}}}]
  route: [{destination: {host: reviews, subset: v2}}]
- route: [{destination: {host: reviews, subset: v1}}]`))
	dialecttest.None(t, found)
	vs := ref("VirtualService", "")
	want := []mesh.Route{{Ref: vs, Created: part.Routes[0].Created, Host: reviews, Rank: mesh.RankVirtualService, Rules: []mesh.Rule{
		{Rule: route.Rule{Ref: vs.At("http[0]"), Matches: []match.Request{{Headers: []match.Header{{Name: "end-user",
			Values: []match.String{{Value: "jason"}}}}}}}, Backends: []mesh.Backend{to("v2", 1)}, Retry: byDefault("http[0]")},
		{Rule: route.Rule{Ref: vs.At("http[1]")}, Backends: []mesh.Backend{to("v1", 1)}, Retry: byDefault("http[1]")},
	}}}
	if d := dialecttest.Diff(want, part.Routes); d != "" {
		t.Error(d)
	}
}

// find returns the Ref's rule of the first rule that matches, or nothing.
func find(t *testing.T, rules []mesh.Rule, a *traffic.Attrs) string {
	t.Helper()
	for i := range rules {
		if err := rules[i].Compile(); err != nil {
			t.Fatal(err)
		}
		if rules[i].Match(a) {
			return rules[i].Ref.Rule
		}
	}
	return ""
}

// TestMatches: within one match all has to hold, of several one is enough, and the first rule wins (HTTPRoute.match).
func TestMatches(t *testing.T) {
	for _, c := range []struct {
		name, match string
		call        *traffic.Attrs
		want        bool
	}{
		{"and", "[{method: {exact: GET}, uri: {exact: /a}}]", request("GET /a"), true},
		{"and, one fails", "[{method: {exact: GET}, uri: {exact: /a}}]", request("PUT /a"), false},
		{"or", "[{method: {exact: PUT}}, {uri: {exact: /a}}]", request("GET /a"), true},
		{"an exact path leaves out the query", "[{uri: {exact: /a}}]", request("GET /a?b=c"), true},
		{"a prefix is text: /foo matches /foobar", "[{uri: {prefix: /foo}}]", request("GET /foobar"), true},
		{"a prefix", "[{uri: {prefix: /foo}}]", request("GET /fo"), false},
		{"a regex matches the whole", "[{uri: {regex: /a+}}]", request("GET /aab"), false},
		{"a regex", "[{uri: {regex: /a+}}]", request("GET /aaa"), true},
		{"a regex of a header matches the whole", "[{headers: {h: {regex: a}}}]", request("GET /", "h", "ab"), false},
		{"letters count", "[{uri: {prefix: /Foo}}]", request("GET /foo"), false},
		{"ignoreUriCase, prefix", "[{uri: {prefix: /Foo}, ignoreUriCase: true}]", request("GET /fOO/x"), true},
		{"ignoreUriCase, exact", "[{uri: {exact: /Foo}, ignoreUriCase: true}]", request("GET /fOO"), true},
		{"ignoreUriCase leaves out a regex", "[{uri: {regex: /Foo}, ignoreUriCase: true}]", request("GET /foo"), false},
		{"{} of a path is any", "[{uri: {}}]", request("GET /x"), true},
		{"header {} is there", "[{headers: {h: {}}}]", request("GET /", "h", ""), true},
		{"header {} is not there", "[{headers: {h: {}}}]", request("GET /"), false},
		{`header "*" is there`, `[{headers: {h: {regex: "*"}}}]`, request("GET /", "h", "x"), true},
		{`header "*" is not there`, `[{headers: {h: {regex: "*"}}}]`, request("GET /"), false},
		{"header names have no case", "[{headers: {End-User: {exact: a}}}]", request("GET /", "end-user", "a"), true},
		{"exact, empty", `[{headers: {h: {exact: ""}}}]`, request("GET /", "h", ""), true},
		{"exact, empty, is not absent", `[{headers: {h: {exact: ""}}}]`, request("GET /"), false},
		{"several fields are joined", "[{headers: {h: {exact: 'a,b'}}}]", request("GET /", "h", "a", "h", "b"), true},
		{"without", "[{withoutHeaders: {h: {exact: a}}}]", request("GET /", "h", "b"), true},
		{"without, it has", "[{withoutHeaders: {h: {exact: a}}}]", request("GET /", "h", "a"), false},
		{"without: a missing header counts as empty", "[{withoutHeaders: {h: {regex: '.*'}}}]", request("GET /"), false},
		{"without: a missing header is not a", "[{withoutHeaders: {h: {exact: a}}}]", request("GET /"), true},
		{"without {}: not there", "[{withoutHeaders: {h: {}}}]", request("GET /"), true},
		{"without {}: there", "[{withoutHeaders: {h: {}}}]", request("GET /", "h", ""), false},
		{"parameter", "[{queryParams: {q: {exact: a}}}]", request("GET /?p=1&q=a"), true},
		{"parameter, regex", `[{queryParams: {q: {regex: '\d+$'}}}]`, request("GET /?q=a123"), false},
		{"parameter, no value", "[{queryParams: {q: {exact: ''}}}]", request("GET /?q"), true},
		{"parameter, there", "[{queryParams: {q: {}}}]", request("GET /?q=x"), true},
		{"authority", "[{authority: {prefix: reviews}}]", request("GET /"), true},
		{"scheme", "[{scheme: {exact: https}}]", request("GET /"), false},
		{"pseudo header :method", "[{headers: {':method': {exact: GET}}}]", request("GET /"), true},
		{"pseudo header :method, without", "[{withoutHeaders: {':method': {exact: GET}}}]", request("GET /"), false},
		{"pseudo header :path has the query", "[{headers: {':path': {exact: '/a?b'}}}]", request("GET /a?b"), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			rules := rulesOf(t, "- match: "+c.match+"\n  route: [{destination: {host: reviews}}]")
			if got := find(t, rules, c.call) != ""; got != c.want {
				t.Errorf("matches: %v, wanted %v", got, c.want)
			}
		})
	}
}

func TestFirstMatchWins(t *testing.T) {
	rules := rulesOf(t, `
- match: [{uri: {prefix: /a}}]
  route: [{destination: {host: reviews, subset: v1}}]
- match: [{uri: {exact: /a/b}}]
  route: [{destination: {host: reviews, subset: v2}}]`)
	if got := find(t, rules, request("GET /a/b")); got != "http[0]" {
		t.Errorf("followed %s, wanted http[0]: the first match wins, not the most specific", got)
	}
}

// TestNothingBehindACatchAllApplies: a catch-all is "/" or ".*" and nothing else.
func TestNothingBehindACatchAllApplies(t *testing.T) {
	const more = "\n  route: [{destination: {host: reviews}}]\n- route: [{destination: {host: reviews, subset: v1}}]"
	for _, first := range []string{"- match: [{uri: {prefix: /}}]", "- match: [{uri: {regex: '.*'}}]", "- match: [{}]",
		"- match: [{uri: {exact: /a}}, {uri: {prefix: /}}]", "- name: all"} {
		part, found := lower(t, http(first+more))
		dialecttest.Want(t, found, mesh.Info, "spec.http[1]", "never reached: http[0]")
		if rules := part.Routes[0].Rules; len(rules) != 1 {
			t.Errorf("%s: %d rules, wanted 1", first, len(rules))
		}
	}
	for _, first := range []string{"- match: [{uri: {prefix: /}, headers: {h: {}}}]", "- match: [{uri: {prefix: /}, port: 9080}]",
		"- match: [{uri: {prefix: /}, sourceLabels: {a: b}}]", "- match: [{uri: {prefix: /a}}]"} {
		part, found := lower(t, http(first+more))
		dialecttest.None(t, found)
		if rules := part.Routes[0].Rules; len(rules) != 2 {
			t.Errorf("%s: %d rules, wanted 2", first, len(rules))
		}
	}
}

// TestNoCatchAll: calls that no rule matches get 404, which surprises people.
func TestNoCatchAll(t *testing.T) {
	_, found := lower(t, http("- match: [{headers: {end-user: {exact: jason}}}]\n  route: [{destination: {host: reviews, subset: v2}}]"))
	dialecttest.Want(t, found, mesh.Info, "spec.http", "404")
}

// TestCallers: sourceLabels, sourceNamespace and port choose configuration, so they make rules of their own; order stays.
func TestCallers(t *testing.T) {
	rules := rulesOf(t, `
- match:
  - {uri: {exact: /1}, sourceLabels: {app: web}}
  - {uri: {exact: /2}, sourceLabels: {app: web}}
  - {uri: {exact: /3}, sourceNamespace: prod}
  - {uri: {exact: /4}, port: 9080}
  - {uri: {exact: /5}, sourceLabels: {app: web}}
  route: [{destination: {host: reviews}}]`)
	path := func(p string) match.Request { return match.Request{Paths: []match.String{{Value: p}}} }
	web := &match.Caller{Selector: match.Selector{Labels: []string{"app=web"}}}
	type part struct {
		Matches []match.Request
		Caller  *match.Caller
		Port    uint16
	}
	want := []part{{[]match.Request{path("/1"), path("/2")}, web, 0}, {[]match.Request{path("/3")}, &match.Caller{Namespaces: []string{"prod"}}, 0},
		{[]match.Request{path("/4")}, nil, 9080}, {[]match.Request{path("/5")}, web, 0}}
	var got []part
	for _, r := range rules {
		got = append(got, part{r.Matches, r.Caller, r.Port})
		if r.Ref.Rule != "http[0]" {
			t.Errorf("a part of http[0] is called %s", r.Ref.Rule)
		}
	}
	if d := dialecttest.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestGateways(t *testing.T) {
	const rule = "\nhttp:\n- route: [{destination: {host: reviews}}]"
	part, found := lower(t, virtualService("hosts: ['*']\ngateways: [shop]"+rule))
	dialecttest.Want(t, found, mesh.Warning, "spec.gateways[0]", "no Gateway default/shop")
	if !part.Empty() {
		t.Error("rules of a gateway reached the mesh")
	}
	if part, _ = lower(t, virtualService("hosts: [reviews]\ngateways: [shop, mesh]"+rule)); len(part.Routes) != 1 {
		t.Error("rules for a gateway and the mesh did not reach the mesh")
	}
	if part, _ = lower(t, http("- match: [{gateways: [shop]}]\n  route: [{destination: {host: reviews}}]")); !part.Empty() {
		t.Error("a match of a gateway reached the mesh")
	}
	// "The gateway match is independent of sourceLabels."
	part, found = lower(t, http("- match: [{gateways: [mesh], sourceLabels: {a: b}}]\n  route: [{destination: {host: reviews}}]"))
	dialecttest.Want(t, found, mesh.Warning, "spec.http[0].match[0].gateways", "do not count")
	if part.Routes[0].Rules[0].Caller != nil {
		t.Error("sourceLabels count beside gateways")
	}
}

// TestHosts: a short name is of the rule's namespace, a dotted one is taken as it is.
func TestHosts(t *testing.T) {
	const rule = "\nhttp:\n- route: [{destination: {host: reviews}}]"
	for _, c := range []struct{ host, full, level, says string }{
		{"reviews", reviews, "", ""},
		{reviews, reviews, "", ""},
		{"'*.example.com'", "*.example.com", "", ""},
		{"reviews.default", "reviews.default", "warning", "did you mean " + reviews + "?"},
		{"reviews.default.svc", "reviews.default.svc", "warning", "did you mean " + reviews + "?"},
		{"nobody", "nobody.default.svc.cluster.local", "warning", "no Service and no ServiceEntry has the host nobody.default.svc.cluster.local"},
		{"example.com", "example.com", "warning", "no Service and no ServiceEntry has the host example.com"},
	} {
		part, found := lower(t, virtualService("hosts: ["+c.host+"]"+rule))
		if c.level != "" {
			dialecttest.Want(t, found, mesh.Warning, "spec.hosts[0]", c.says)
		} else {
			dialecttest.None(t, found)
		}
		if got := part.Routes[0].Host; got != c.full {
			t.Errorf("%s became %s, wanted %s", c.host, got, c.full)
		}
	}
	_, found := lower(t, virtualService("hosts: ['*']"+rule))
	dialecttest.Want(t, found, mesh.Error, "spec.hosts[0]", "for gateways alone")
	_, found = lower(t, virtualService("hosts: [reviews, "+reviews+"]"+rule))
	dialecttest.Want(t, found, mesh.Error, "spec.hosts[1]", "named twice")
}

// TestHostsOutside: what is said of the host of a ServiceEntry has no effect, and calls leave nevertheless.
func TestHostsOutside(t *testing.T) {
	const entry = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: api, namespace: default}\nspec: {hosts: [api.example.com]}\n---\n"
	const says = "the host of ServiceEntry default/api, and ServiceEntries have no effect yet: it applies to no call; what applications call by this name leaves as they make it"
	_, found := lower(t, entry+virtualService("hosts: [api.example.com]\nhttp:\n- route: [{destination: {host: reviews}}]"))
	dialecttest.Want(t, found, mesh.Warning, "spec.hosts[0]", says)
}

// TestPorts: a destination's port has to be one of the Service's.
func TestPorts(t *testing.T) {
	rule := "hosts: [reviews]\nhttp: [{route: [{destination: {host: reviews, port: {number: %d}}}]}]"
	_, found := lower(t, virtualService(fmt.Sprintf(rule, 9080)))
	dialecttest.None(t, found)
	_, found = lower(t, virtualService(fmt.Sprintf(rule, 9081)))
	dialecttest.Want(t, found, mesh.Warning, "spec.http[0].route[0].destination.port.number", "has no port 9081: calls that are sent there get 503; its ports are 9080")
}

// TestServiceOfAnotherNamespace: the name alone does not reach it; the finding says what would.
func TestServiceOfAnotherNamespace(t *testing.T) {
	_, found := lower(t, `
apiVersion: v1
kind: Service
metadata: {name: details, namespace: prod}
spec: {ports: [{port: 80}]}
---
`+virtualService("hosts: [reviews]\nhttp: [{route: [{destination: {host: details}}]}]"))
	dialecttest.Want(t, found, mesh.Warning, "spec.http[0].route[0].destination.host", "did you mean details.prod.svc.cluster.local?")
}

func TestSubsets(t *testing.T) {
	_, found := lower(t, http("- route: [{destination: {host: reviews, subset: v9}}]"))
	dialecttest.Want(t, found, mesh.Warning, "spec.http[0].route[0].destination.subset", "defines the subset v9: calls that are sent there get 503")
	_, found = lower(t, http("- route: [{destination: {host: ratings, subset: v1}}]"))
	dialecttest.Want(t, found, mesh.Warning, "spec.http[0].route[0].destination.subset", "no DestinationRule for ratings.default.svc.cluster.local")
}

// TestPortOfADestination: without a port, a service that has one alone is called there, any other at the port that was called.
func TestPortOfADestination(t *testing.T) {
	rules := rulesOf(t, `
- match: [{uri: {exact: /1}}]
  route: [{destination: {host: reviews}}]
- match: [{uri: {exact: /2}}]
  route: [{destination: {host: ratings}}]
- route: [{destination: {host: ratings, port: {number: 9081}}}]`)
	for i, want := range []uint16{9080, 0, 9081} {
		if got := rules[i].Backends[0].Target.Port; got != want {
			t.Errorf("rule %d goes to port %d, wanted %d", i, got, want)
		}
	}
}

// TestWeights: one destination takes all; beside others, one of weight 0 is left out; a sum need not be 100.
func TestWeights(t *testing.T) {
	for _, c := range []struct {
		route string
		want  []mesh.Backend
	}{
		{"[{destination: {host: reviews, subset: v1}}]", []mesh.Backend{to("v1", 1)}},
		{"[{destination: {host: reviews, subset: v1}, weight: 0}]", []mesh.Backend{to("v1", 1)}},
		{"[{destination: {host: reviews, subset: v1}, weight: 100}, {destination: {host: reviews, subset: v2}}]", []mesh.Backend{to("v1", 100)}},
		{"[{destination: {host: reviews, subset: v1}, weight: 1}, {destination: {host: reviews, subset: v2}, weight: 3}]",
			[]mesh.Backend{to("v1", 1), to("v2", 3)}},
	} {
		if d := dialecttest.Diff(c.want, rulesOf(t, "- route: "+c.route)[0].Backends); d != "" {
			t.Errorf("%s: %s", c.route, d)
		}
	}
	_, found := lower(t, http("- route: [{destination: {host: reviews}}, {destination: {host: ratings}}]"))
	dialecttest.Want(t, found, mesh.Error, "spec.http[0].route", "all weights are 0")
}

// TestTimeout: there is none by default.
func TestTimeout(t *testing.T) {
	vs := ref("VirtualService", "http[0]")
	for _, c := range []struct {
		fields         string
		whole, attempt *timeout.Policy
	}{
		{"name: none", nil, nil},
		{"timeout: 500ms", &timeout.Policy{Ref: vs, Limit: 500 * time.Millisecond}, nil},
		{"timeout: 1m", &timeout.Policy{Ref: vs, Limit: time.Minute}, nil},
		{"timeout: 0s", &timeout.Policy{Ref: vs}, nil},
		{"retries: {attempts: 1, perTryTimeout: 2s}", nil, &timeout.Policy{Ref: vs, Limit: 2 * time.Second}},
		{"timeout: 5s\n  retries: {attempts: 1, perTryTimeout: 2s}", &timeout.Policy{Ref: vs, Limit: 5 * time.Second}, &timeout.Policy{Ref: vs, Limit: 2 * time.Second}},
		{"timeout: 5s\n  retries: {attempts: 1, perTryTimeout: 2s}\n  fault: {abort: {httpStatus: 500, percentage: {value: 1}}}", nil, nil},
	} {
		rule := rulesOf(t, "- route: [{destination: {host: reviews}}]\n  "+c.fields)[0]
		if d := dialecttest.Diff(c.whole, rule.Timeout) + dialecttest.Diff(c.attempt, rule.Attempt); d != "" {
			t.Errorf("%s: %s", c.fields, d)
		}
	}
}

// TestRetries: two by default, of what never reached an application; a 503 is not retried. A block without attempts disables them.
func TestRetries(t *testing.T) {
	vs := ref("VirtualService", "http[0]")
	for _, c := range []struct {
		fields string
		want   *retry.Policy
	}{
		{"name: none", byDefault("http[0]")},
		{"retries: {}", &retry.Policy{Ref: vs}},
		{"retries: {backoff: 1s}", &retry.Policy{Ref: vs}},
		{"retries: {attempts: 0}", &retry.Policy{Ref: vs}},
		{"retries: {attempts: 4}", &retry.Policy{Ref: vs, Attempts: 4, Connect: true, Refused: true, GRPC: []int{14, 1}}},
		{"retries: {attempts: 3, retryOn: 5xx, backoff: 50ms}", &retry.Policy{Ref: vs, Attempts: 3, ServerErr: true, Connect: true, Refused: true,
			Reset: true, TimedOut: true, Backoff: 50 * time.Millisecond}},
		{"retries: {attempts: 3, retryOn: 'connect-failure, 503,429'}", &retry.Policy{Ref: vs, Attempts: 3, Connect: true, Codes: []int{503, 429}}},
		{"retries: {attempts: 3, retryOn: 'gateway-error'}", &retry.Policy{Ref: vs, Attempts: 3, Connect: true, Refused: true, Reset: true,
			TimedOut: true, Codes: []int{502, 503, 504}}},
		{"retries: {attempts: 1, retryOn: 'retriable-4xx,retriable-status-codes'}", &retry.Policy{Ref: vs, Attempts: 1, Codes: []int{409}}},
		{"retries: {attempts: 1, retryOn: 'cancelled,deadline-exceeded,internal,resource-exhausted,unavailable'}",
			&retry.Policy{Ref: vs, Attempts: 1, GRPC: []int{1, 4, 13, 8, 14}}},
		{"retries: {attempts: 1, retryOn: 'reset-before-request,refused-stream'}", &retry.Policy{Ref: vs, Attempts: 1, Connect: true, Refused: true}},
	} {
		if d := dialecttest.Diff(c.want, rulesOf(t, "- route: [{destination: {host: reviews}}]\n  "+c.fields)[0].Retry); d != "" {
			t.Errorf("%s: %s", c.fields, d)
		}
	}
}

func TestRetriesFindings(t *testing.T) {
	for _, c := range []struct {
		fields string
		level  mesh.Level
		field  string
		says   string
	}{
		{"retries: {}", mesh.Info, "spec.http[0].retries", "not even the two"},
		{"retries: {perTryTimeout: 1s}", mesh.Error, "spec.http[0].retries", "no attempts"},
		{"retries: {attempts: 1, retryOn: 500x}", mesh.Error, "spec.http[0].retries.retryOn", "write 5xx"},
		{"retries: {attempts: 1, retryOn: 'envoy-ratelimited,5xx'}", mesh.Warning, "spec.http[0].retries.retryOn", "envoy-ratelimited"},
		{"retries: {attempts: 1, retryRemoteLocalities: true}", mesh.Warning, "spec.http[0].retries.retryRemoteLocalities", "localities"},
		{"retries: {attempts: 1, retryIgnorePreviousHosts: false}", mesh.Warning, "spec.http[0].retries.retryIgnorePreviousHosts", "not tried yet"},
		{"retry: {attempts: 1}", mesh.Warning, "spec.http[0].retry", "did you mean retries?"},
	} {
		_, found := lower(t, http("- route: [{destination: {host: reviews}}]\n  "+c.fields))
		dialecttest.Want(t, found, c.level, c.field, c.says)
	}
	_, found := lower(t, http("- route: [{destination: {host: reviews}}]\n  retries: {attempts: 1, retryIgnorePreviousHosts: true}"))
	dialecttest.None(t, found)
}

// TestFault: no share means no call; "timeouts or retries will not be enabled when faults are enabled" (HTTPRoute.fault).
func TestFault(t *testing.T) {
	vs, unavailable := ref("VirtualService", "http[0]"), 14
	for _, c := range []struct {
		fault string
		want  fault.Policy
		says  string
	}{
		{"{delay: {fixedDelay: 7s, percentage: {value: 100}}}", fault.Policy{Delay: 7 * time.Second, DelayShare: 1_000_000}, ""},
		{"{delay: {fixedDelay: 7s, percentage: {value: 0.1}}}", fault.Policy{Delay: 7 * time.Second, DelayShare: 1000}, ""},
		{"{delay: {fixedDelay: 7s, percent: 5}}", fault.Policy{Delay: 7 * time.Second, DelayShare: 50_000}, ""},
		{"{delay: {fixedDelay: 7s}}", fault.Policy{Delay: 7 * time.Second}, "no call is delayed"},
		{"{abort: {httpStatus: 555, percentage: {value: 100}}}", fault.Policy{Status: 555, AbortShare: 1_000_000}, ""},
		{"{abort: {grpcStatus: UNAVAILABLE, percentage: {value: 50}}}", fault.Policy{GRPC: &unavailable, AbortShare: 500_000}, ""},
		{"{abort: {httpStatus: 500}}", fault.Policy{Status: 500}, "no call is aborted"},
	} {
		rule := rulesOf(t, "- route: [{destination: {host: reviews}}]\n  timeout: 1s\n  retries: {attempts: 3}\n  fault: "+c.fault)[0]
		c.want.Ref = vs
		if d := dialecttest.Diff(&c.want, rule.Fault); d != "" {
			t.Errorf("%s: %s", c.fault, d)
		}
		if rule.Timeout != nil || dialecttest.Diff(&retry.Policy{Ref: vs}, rule.Retry) != "" {
			t.Errorf("%s: timeout %v and retries %v count beside a fault", c.fault, rule.Timeout, rule.Retry)
		}
		_, found := lower(t, http("- route: [{destination: {host: reviews}}]\n  timeout: 1s\n  fault: "+c.fault))
		dialecttest.Want(t, found, mesh.Info, "spec.http[0].fault", "do not count")
		if c.says != "" {
			dialecttest.Want(t, found, mesh.Warning, "spec.http[0].fault."+map[bool]string{true: "delay", false: "abort"}[rule.Fault.Delay > 0], c.says)
		}
	}
	for _, c := range []struct{ fault, field, says string }{
		{"{abort: {httpStatus: 99, percentage: {value: 1}}}", "abort.httpStatus", "from 200 to 599"},
		{"{abort: {grpcStatus: '14', percentage: {value: 1}}}", "abort.grpcStatus", "UNAVAILABLE"},
		{"{abort: {httpStatus: 500, percentage: {value: 101}}}", "abort.percentage", "from 0 to 100"},
		{"{delay: {percentage: {value: 1}}}", "delay.fixedDelay", "missing"},
	} {
		_, found := lower(t, http("- route: [{destination: {host: reviews}}]\n  fault: "+c.fault))
		dialecttest.Want(t, found, mesh.Error, "spec.http[0].fault."+c.field, c.says)
	}
}

// TestMirrors: all calls are mirrored unless a percentage is set; 0 is a percentage.
func TestMirrors(t *testing.T) {
	copyTo := func(share uint32) []mirror.Policy {
		return []mirror.Policy{{Ref: ref("VirtualService", "http[0]"), Target: traffic.Target{Service: reviews, Port: 9080, Subset: "v2"}, Share: share, Shadow: true}}
	}
	for _, c := range []struct {
		fields string
		want   []mirror.Policy
	}{
		{"mirror: {host: reviews, subset: v2}", copyTo(1_000_000)},
		{"mirror: {host: reviews, subset: v2}\n  mirrorPercentage: {value: 12.5}", copyTo(125_000)},
		{"mirror: {host: reviews, subset: v2}\n  mirrorPercent: 5", copyTo(50_000)},
		{"mirror: {host: reviews, subset: v2}\n  mirrorPercentage: {value: 0}", nil},
		{"mirrors: [{destination: {host: reviews, subset: v2}}, {destination: {host: reviews}, percentage: {value: 0}}]", copyTo(1_000_000)},
	} {
		if d := dialecttest.Diff(c.want, rulesOf(t, "- route: [{destination: {host: reviews}}]\n  "+c.fields)[0].Mirrors); d != "" {
			t.Errorf("%s: %s", c.fields, d)
		}
	}
}

// TestRedirect: 301 by default; port 80 is not written with http.
func TestRedirect(t *testing.T) {
	vs, slash := ref("VirtualService", "http[0]"), "/new"
	for _, c := range []struct {
		match, redirect string
		want            redirect.Policy
	}{
		{"", "{uri: /new}", redirect.Policy{Path: &slash, Status: 301}},
		{"", "{authority: other, redirectCode: 302}", redirect.Policy{Scheme: "http", Host: "other", Status: 302}},
		{"", "{authority: 'other:81'}", redirect.Policy{Host: "other", Port: 81, Status: 301}},
		{"", "{scheme: https}", redirect.Policy{Scheme: "https", Status: 301}},
		{"match: [{port: 9080}]", "{scheme: https}", redirect.Policy{Scheme: "https", Port: 9080, Status: 301}},
		{"match: [{port: 80}]", "{scheme: https}", redirect.Policy{Scheme: "https", Status: 301}},
		{"", "{uri: /new, derivePort: FROM_PROTOCOL_DEFAULT}", redirect.Policy{Scheme: "http", Path: &slash, Status: 301}},
		{"", "{scheme: https, port: 8443}", redirect.Policy{Scheme: "https", Port: 8443, Status: 301}},
		{"", "{derivePort: FROM_REQUEST_PORT, uri: /new}", redirect.Policy{Path: &slash, Status: 301}},
		{"match: [{port: 9080}]", "{derivePort: FROM_REQUEST_PORT, authority: other}", redirect.Policy{Host: "other", Port: 9080, Status: 301}},
		{"match: [{uri: {prefix: /old}}]", "{prefixRewrite: /new}", redirect.Policy{Prefix: &slash, Strip: "/old", Status: 301}},
	} {
		rule := rulesOf(t, "- redirect: "+c.redirect+"\n  "+c.match)[0]
		c.want.Ref = vs
		if d := dialecttest.Diff(&c.want, rule.Redirect); d != "" {
			t.Errorf("%s: %s", c.redirect, d)
		}
		if len(rule.Backends) > 0 || rule.Retry != nil {
			t.Errorf("%s: it has backends or retries", c.redirect)
		}
	}
	for _, c := range []struct{ rule, field, says string }{
		{"{redirect: {}}", "redirect", "nothing of where"},
		{"{redirect: {uri: /a, prefixRewrite: /b}}", "redirect", "either uri or prefixRewrite"},
		{"{redirect: {uri: /a, redirectCode: 304}}", "redirect.redirectCode", "304"},
		{"{redirect: {scheme: ftp}}", "redirect.scheme", "https"},
		{"{redirect: {prefixRewrite: /b}, match: [{uri: {exact: /a}}]}", "redirect.prefixRewrite", "uri.prefix"},
		{"{redirect: {uri: /a}, route: [{destination: {host: reviews}}]}", "redirect", "both redirect and route"},
	} {
		_, found := lower(t, http("- "+c.rule))
		dialecttest.Want(t, found, mesh.Error, "spec.http[0]."+c.field, c.says)
	}
}

// TestRewrite: the prefix that was matched is replaced as text; where none was, the whole path is.
func TestRewrite(t *testing.T) {
	vs, to := ref("VirtualService", "http[0]"), "/v1"
	for _, c := range []struct {
		match, rewrite string
		want           []rewrite.Policy
	}{
		{"[{uri: {prefix: /api}}]", "{uri: /v1}", []rewrite.Policy{{Prefix: &to, Strip: "/api"}}},
		{"[{uri: {prefix: /api}}, {uri: {prefix: /old}}, {uri: {exact: /one}}]", "{uri: /v1}",
			[]rewrite.Policy{{Prefix: &to, Strip: "/api"}, {Prefix: &to, Strip: "/old"}, {Path: &to}}},
		{"[{uri: {regex: '/[a-z]+'}}]", "{uri: /v1}", []rewrite.Policy{{Path: &to}}},
		{"[{headers: {h: {}}}]", "{uri: /v1}", []rewrite.Policy{{Prefix: &to, Strip: "/"}}},
		{"[{uri: {prefix: /api}}, {uri: {prefix: /old}}]", "{authority: other}", []rewrite.Policy{{Authority: "other"}}},
		{"[{uri: {prefix: /api}}]", `{uriRegexRewrite: {match: '^/api/(\w+)', rewrite: '/\1'}}`, []rewrite.Policy{{Regex: `^/api/(\w+)`, Subst: `/\1`}}},
	} {
		rules := rulesOf(t, "- route: [{destination: {host: reviews}}]\n  match: "+c.match+"\n  rewrite: "+c.rewrite)
		var got []rewrite.Policy
		for _, r := range rules {
			got = append(got, *r.Rewrite)
		}
		for i := range c.want {
			c.want[i].Ref = vs
		}
		if d := dialecttest.Diff(c.want, got); d != "" {
			t.Errorf("%s %s: %s", c.match, c.rewrite, d)
		}
	}
	_, found := lower(t, http("- route: [{destination: {host: reviews}}]\n  rewrite: {authority: a}\n  headers: {request: {set: {Host: b}}}"))
	dialecttest.Want(t, found, mesh.Error, "spec.http[0].rewrite.authority", "set it once")
}

// TestHeaders: Host and :authority set the authority; other pseudo headers cannot be changed.
func TestHeaders(t *testing.T) {
	rule := rulesOf(t, `
- route:
  - destination: {host: reviews, subset: v1}
    headers: {request: {set: {Host: one}}, response: {remove: [Server]}}
  headers:
    request: {set: {X-B: "2", x-a: "100%%"}, add: {":authority": all}, remove: [X-C]}
    response: {add: {x-d: "4"}}`)[0]
	vs := ref("VirtualService", "http[0]")
	want := &headers.Policy{Ref: vs, Request: headers.Edit{Set: []headers.Pair{{Name: "x-b", Value: "2"}, {Name: "x-a", Value: "100%"}, {Name: "host", Value: "all"}},
		Remove: []string{"x-c"}}, Response: headers.Edit{Add: []headers.Pair{{Name: "x-d", Value: "4"}}}}
	if d := dialecttest.Diff(want, rule.Headers); d != "" {
		t.Error(d)
	}
	// the rule's authority goes before that of the destination
	want = &headers.Policy{Ref: vs, Response: headers.Edit{Remove: []string{"server"}}}
	if d := dialecttest.Diff(want, rule.Backends[0].Headers); d != "" {
		t.Error(d)
	}
	for _, c := range []struct {
		edit  string
		level mesh.Level
		field string
		says  string
	}{
		{"{request: {set: {':path': /x}}}", mesh.Error, `request.set.:path`, "cannot be changed"},
		{"{response: {set: {host: x}}}", mesh.Error, "response.set.host", "cannot be changed"},
		{"{request: {remove: [Host]}}", mesh.Error, "request.remove[0]", "cannot be removed"},
		{"{request: {set: {x: '%DOWNSTREAM_REMOTE_ADDRESS%'}}}", mesh.Warning, "request.set.x", "%DOWNSTREAM_REMOTE_ADDRESS%"},
	} {
		_, found := lower(t, http("- route: [{destination: {host: reviews}}]\n  headers: "+c.edit))
		dialecttest.Want(t, found, c.level, "spec.http[0].headers."+c.field, c.says)
	}
}

// TestDirectResponse: the rule answers every call itself.
func TestDirectResponse(t *testing.T) {
	part, found := lower(t, http("- directResponse: {status: 418, body: {string: hi}}"))
	dialecttest.Want(t, found, mesh.Warning, "spec.http[0].directResponse.body", "no body")
	if d := dialecttest.Diff(&fault.Policy{Ref: ref("VirtualService", "http[0]"), Status: 418, AbortShare: 1_000_000}, part.Routes[0].Rules[0].Answer); d != "" {
		t.Error(d)
	}
	if r := part.Routes[0].Rules[0].Retry; r != nil { // nobody is called, so nobody is called again
		t.Errorf("%+v", r)
	}
}

func TestExportTo(t *testing.T) {
	const rule = "\nhttp: [{route: [{destination: {host: reviews}}]}]"
	for _, c := range []struct {
		to   string
		want []string
	}{{"['*']", []string{""}}, {"['.']", []string{"default"}}, {"['.', prod]", []string{"default", "prod"}}, {"['~']", nil}} {
		part, _ := lower(t, virtualService("hosts: [reviews]\nexportTo: "+c.to+rule))
		var got []string
		for _, r := range part.Routes {
			got = append(got, r.Consumer)
		}
		if d := dialecttest.Diff(c.want, got); d != "" {
			t.Errorf("%s: %s", c.to, d)
		}
	}
}

// TestNotYet: what cannot be done says so, and lets no call through that the rule was to catch.
func TestNotYet(t *testing.T) {
	part, found := lower(t, http(`
- match: [{uri: {prefix: /d}}]
  delegate: {name: other}`))
	dialecttest.Want(t, found, mesh.Warning, "spec.http[0].delegate", "get 500")
	if r := part.Routes[0].Rules[0]; len(r.Backends) > 0 || find(t, part.Routes[0].Rules, request("GET /d")) != "http[0]" {
		t.Errorf("a delegated call goes elsewhere: %+v", r)
	}
	_, found = lower(t, virtualService("hosts: [reviews]\ntcp: [{route: [{destination: {host: reviews}}]}]"))
	dialecttest.Want(t, found, mesh.Warning, "spec.tcp", "endpoints of the port")
	_, found = lower(t, virtualService("http: [{route: [{destination: {host: reviews}}]}]"))
	dialecttest.Want(t, found, mesh.Warning, "spec.hosts", "delegates to it")
	part, found = lower(t, http("- match: [{headers: {'@request.auth.claims.group': {exact: a}}}, {uri: {exact: /a}}]\n  route: [{destination: {host: reviews}}]"))
	dialecttest.Want(t, found, mesh.Warning, `spec.http[0].match[0].headers["@request.auth.claims.group"]`, "claims")
	if n := len(part.Routes[0].Rules[0].Matches); n != 1 {
		t.Errorf("%d matches, wanted the one that needs no claim", n)
	}
}

func TestVirtualServiceMistakes(t *testing.T) {
	for _, c := range []struct {
		rule  string
		level mesh.Level
		field string
		says  string
	}{
		{"{}", mesh.Error, "", "neither route nor redirect"},
		{"{route: [{destination: {subset: v1}}]}", mesh.Error, ".route[0].destination.host", "required"},
		{"{route: [{destination: {host: '*.example.com'}}]}", mesh.Error, ".route[0].destination.host", "wildcard"},
		{"{route: [{destination: {host: reviews}, weight: 4294967296}]}", mesh.Error, ".route[0].weight", "4294967296 is outside of"},
		{"{route: [{destination: {host: reviews, port: {number: -1}}}]}", mesh.Error, ".route[0].destination.port.number", "-1 is outside of 0"},
		{"{route: [{destination: {host: reviews, port: {number: 70000}}}]}", mesh.Error, ".route[0].destination.port.number", "not a port"},
		{"{match: [{uri: {regex: '/['}}], route: [{destination: {host: reviews}}]}", mesh.Error, ".match[0].uri.regex", "RE2"},
		{"{match: [{uri: {exact: /a, prefix: /b}}], route: [{destination: {host: reviews}}]}", mesh.Error, ".match[0].uri.prefix", "only one of"},
		{"{matches: [{uri: {exact: /a}}], route: [{destination: {host: reviews}}]}", mesh.Error, ".matches", "did you mean match?"},
		{"{match: [{path: /a}], route: [{destination: {host: reviews}}]}", mesh.Error, ".match[0].path", "did you mean uri?"},
		{"{match: [{headers: {method: {exact: GET}}}], route: [{destination: {host: reviews}}]}", mesh.Info, ".match[0].headers.method", "beside headers"},
		{"{match: [{uri: {regex: /A.*}, ignoreUriCase: true}], route: [{destination: {host: reviews}}]}", mesh.Info, ".match[0].ignoreUriCase", "(?i)"},
		{"{mirrorPercentage: {value: 10}, route: [{destination: {host: reviews}}]}", mesh.Info, ".mirrorPercentage", "no effect"},
		{"{route: [{host: reviews, destination: {host: reviews}}]}", mesh.Warning, ".route[0].host", "did you mean destination.host?"},
		{"{route: [{destination: {host: reviews}}], timeout: 5}", mesh.Error, ".timeout", "a duration"},
		{"{route: [{destination: {host: reviews}}], fault: {delay: {fixed_delay: 1s, percentage: {value: 1}}}}", mesh.Warning, ".fault.delay.fixed_delay", "fixedDelay"},
		{"{route: [{destination: {host: reviews}}], rewrite: {path: /a, uri: /b}}", mesh.Warning, ".rewrite.path", "did you mean uri?"},
		{"{route: [{destination: {host: reviews}}], rewrite: {uriRegexRewrite: {match: /a, rewrite: '/\\1'}}}", mesh.Error, ".rewrite.uriRegexRewrite.rewrite", "no group"},
		{"{route: [{destination: {host: reviews}}], headers: {request: {set: {'a b': c}}}}", mesh.Error, ".headers", "no header name"},
		{"{route: [{destination: {host: reviews}}], mirror: {host: reviews}, mirrors: [{destination: {host: reviews}}]}", mesh.Error, ".mirror", "both"},
	} {
		_, found := lower(t, http("- "+c.rule))
		dialecttest.Want(t, found, c.level, "spec.http[0]"+c.field, c.says)
	}
}

// does says in words what the first rule that matches a call makes of it.
func does(t *testing.T, rules []mesh.Rule, call string, headers []string) string {
	t.Helper()
	for i := range rules {
		r := &rules[i]
		if find(t, rules[i:i+1], request(call, headers...)) == "" {
			continue
		}
		var words []string
		for _, b := range r.Backends {
			words = append(words, fmt.Sprintf("%s:%d", b.Target.Subset, b.Weight))
		}
		if f := r.Fault; f != nil && f.DelayShare > 0 {
			words = append(words, "delay "+f.Delay.String())
		}
		if f := r.Fault; f != nil && f.AbortShare > 0 {
			words = append(words, fmt.Sprintf("abort %d", f.Status))
		}
		return strings.Join(words, " ")
	}
	return "404"
}
