package gatewayapi_test

import (
	"strings"
	"testing"
	"time"

	"github.com/weft-mesh/weft/dialect/dialecttest"
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

func replace(doc, namespace string) string { return strings.ReplaceAll(doc, "%NS", namespace) }

func to(host string, weight uint32) mesh.Backend {
	return mesh.Backend{Weighted: route.Weighted{Target: traffic.Target{Service: host, Port: 80}, Weight: weight}}
}

func requests(list ...match.Request) []match.Request { return list }

func exact(v string) []match.String { return []match.String{{Value: v}} }

func at(rule string, matches []match.Request) route.Rule {
	return route.Rule{Ref: ref(rule), Matches: matches}
}

const toV1 = "\n  backendRefs: [{name: v1, port: 80}]"

func text(s string) *string { return &s }

// TestRules lowers one rule each.
func TestRules(t *testing.T) {
	v1 := []mesh.Backend{to(v1Host, 1)}
	edit := headers.Edit{Set: []headers.Pair{{Name: "x-a", Value: "1"}}, Add: []headers.Pair{{Name: "x-b", Value: "2"}}, Remove: []string{"x-c"}}
	edits := "{set: [{name: X-A, value: \"1\"}], add: [{name: X-B, value: \"2\"}], remove: [X-C]}"
	for _, x := range []struct {
		name, yaml string
		want       []mesh.Rule
	}{
		{"no match is every call", "- backendRefs: [{name: v1, port: 80}]", []mesh.Rule{{Rule: at("rules[0]", nil), Backends: v1}}},
		{"the prefix / is every call", "- matches: [{path: {type: PathPrefix, value: /}}]" + toV1, []mesh.Rule{{Rule: at("rules[0]", nil), Backends: v1}}},
		{"a path without a type is a prefix", "- matches: [{path: {value: /a}}]" + toV1,
			[]mesh.Rule{{Rule: at("rules[0]", requests(match.Request{Paths: []match.String{{Kind: match.PathPrefix, Value: "/a"}}})), Backends: v1}}},
		{"each match is a rule of its own", "- matches: [{path: {type: Exact, value: /a}}, {method: POST}]" + toV1, []mesh.Rule{
			{Rule: at("rules[0]", requests(match.Request{Paths: exact("/a")})), Backends: v1},
			{Rule: at("rules[0]", requests(match.Request{Methods: exact("POST")})), Backends: v1}}},
		{"all parts of a match", "- matches: [{path: {type: RegularExpression, value: /a+}, method: GET, headers: [{name: End-User, value: jason}, {name: v, type: RegularExpression, value: v.}], queryParams: [{name: q, value: a}]}]" + toV1,
			[]mesh.Rule{{Rule: at("rules[0]", requests(match.Request{Paths: []match.String{{Kind: match.Regex, Value: "/a+"}}, Methods: exact("GET"),
				Headers: []match.Header{{Name: "end-user", Values: exact("jason")}, {Name: "v", Values: []match.String{{Kind: match.Regex, Value: "v."}}}},
				Params:  []match.Param{{Name: "q", Values: exact("a")}}})), Backends: v1}}},
		// GEP-1294: "configuring HTTPHeaderMatch rules for the Host header"
		{"the header Host", "- matches: [{headers: [{name: Host, value: reviews}]}]" + toV1,
			[]mesh.Rule{{Rule: at("rules[0]", requests(match.Request{Hosts: exact("reviews")})), Backends: v1}}},
		{"weights", "- backendRefs: [{name: v1, port: 80, weight: 90}, {name: v2, port: 80, weight: 10}, {name: v2, port: 80, weight: 0}]",
			[]mesh.Rule{{Rule: at("rules[0]", nil), Backends: []mesh.Backend{to(v1Host, 90), to(v2Host, 10)}}}},
		{"header edits", "- filters: [{type: RequestHeaderModifier, requestHeaderModifier: " + edits + "}, {type: ResponseHeaderModifier, responseHeaderModifier: " + edits + "}]" + toV1,
			[]mesh.Rule{{Rule: at("rules[0]", nil), Backends: v1, Headers: &headers.Policy{Ref: ref("rules[0]"), Request: edit, Response: edit}}}},
		{"header edits of a backend", "- backendRefs: [{name: v1, port: 80, filters: [{type: RequestHeaderModifier, requestHeaderModifier: " + edits + "}]}]",
			[]mesh.Rule{{Rule: at("rules[0]", nil), Backends: []mesh.Backend{{Weighted: to(v1Host, 1).Weighted, Headers: &headers.Policy{Ref: ref("rules[0]"), Request: edit}}}}}},
		{"copies of all calls", "- filters: [{type: RequestMirror, requestMirror: {backendRef: {name: v2, port: 80}}}]" + toV1,
			[]mesh.Rule{{Rule: at("rules[0]", nil), Backends: v1, Mirrors: []mirror.Policy{{Ref: ref("rules[0]"), Target: to(v2Host, 1).Target, Share: mirror.All}}}}},
		{"copies of some calls", "- filters: [{type: RequestMirror, requestMirror: {percent: 25, backendRef: {name: v2, port: 80}}}, {type: RequestMirror, requestMirror: {fraction: {numerator: 1, denominator: 8}, backendRef: {name: v1, port: 80}}}, {type: RequestMirror, requestMirror: {fraction: {numerator: 1}, backendRef: {name: v1, port: 80}}}]" + toV1,
			[]mesh.Rule{{Rule: at("rules[0]", nil), Backends: v1, Mirrors: []mirror.Policy{{Ref: ref("rules[0]"), Target: to(v2Host, 1).Target, Share: 250_000},
				{Ref: ref("rules[0]"), Target: to(v1Host, 1).Target, Share: 125_000}, {Ref: ref("rules[0]"), Target: to(v1Host, 1).Target, Share: 10_000}}}}},
		{"a redirect is 302", "- filters: [{type: RequestRedirect, requestRedirect: {scheme: https}}]",
			[]mesh.Rule{{Rule: at("rules[0]", nil), Redirect: &redirect.Policy{Ref: ref("rules[0]"), Scheme: "https", Status: 302}}}},
		{"a redirect with all its parts", "- matches: [{path: {value: /a}}]\n  filters: [{type: RequestRedirect, requestRedirect: {hostname: b.example, port: 8443, statusCode: 308, path: {type: ReplacePrefixMatch, replacePrefixMatch: /b}}}]",
			[]mesh.Rule{{Rule: at("rules[0]", requests(match.Request{Paths: []match.String{{Kind: match.PathPrefix, Value: "/a"}}})),
				Redirect: &redirect.Policy{Ref: ref("rules[0]"), Host: "b.example", Port: 8443, Status: 308, Prefix: text("/b"), Strip: "/a"}}}},
		{"a rewrite of the prefix /", "- filters: [{type: URLRewrite, urlRewrite: {hostname: b.example, path: {type: ReplacePrefixMatch, replacePrefixMatch: /b}}}]" + toV1,
			[]mesh.Rule{{Rule: at("rules[0]", nil), Backends: v1, Rewrite: &rewrite.Policy{Ref: ref("rules[0]"), Authority: "b.example", Prefix: text("/b"), Strip: "/", Segment: true}}}},
		{"a rewrite of two prefixes", "- matches: [{path: {value: /a}}, {path: {value: /c}}]\n  filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /b}}}]" + toV1, []mesh.Rule{
			{Rule: at("rules[0]", requests(match.Request{Paths: []match.String{{Kind: match.PathPrefix, Value: "/a"}}})), Backends: v1,
				Rewrite: &rewrite.Policy{Ref: ref("rules[0]"), Prefix: text("/b"), Strip: "/a", Segment: true}},
			{Rule: at("rules[0]", requests(match.Request{Paths: []match.String{{Kind: match.PathPrefix, Value: "/c"}}})), Backends: v1,
				Rewrite: &rewrite.Policy{Ref: ref("rules[0]"), Prefix: text("/b"), Strip: "/c", Segment: true}}}},
		{"a rewrite of the whole path", "- matches: [{path: {type: Exact, value: /a}}]\n  filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: /b}}}]" + toV1,
			[]mesh.Rule{{Rule: at("rules[0]", requests(match.Request{Paths: exact("/a")})), Backends: v1, Rewrite: &rewrite.Policy{Ref: ref("rules[0]"), Path: text("/b")}}}},
		{"timeouts", "- timeouts: {request: 1h2m3s4ms, backendRequest: 500ms}" + toV1,
			[]mesh.Rule{{Rule: at("rules[0]", nil), Backends: v1, Timeout: &timeout.Policy{Ref: ref("rules[0]"), Limit: time.Hour + 2*time.Minute + 3*time.Second + 4*time.Millisecond}, Attempt: &timeout.Policy{Ref: ref("rules[0]"), Limit: 500 * time.Millisecond}}}},
		// "Setting a timeout to the zero duration (e.g. "0s") SHOULD disable the timeout completely"
		{"no timeout", "- timeouts: {request: 0s, backendRequest: 10s}" + toV1,
			[]mesh.Rule{{Rule: at("rules[0]", nil), Backends: v1, Timeout: &timeout.Policy{Ref: ref("rules[0]")}, Attempt: &timeout.Policy{Ref: ref("rules[0]"), Limit: 10 * time.Second}}}},
		{"no word on the whole", "- timeouts: {backendRequest: 10s}" + toV1,
			[]mesh.Rule{{Rule: at("rules[0]", nil), Backends: v1, Attempt: &timeout.Policy{Ref: ref("rules[0]"), Limit: 10 * time.Second}}}},
		// "Implementations SHOULD retry on connection errors ... if a retry stanza is configured"
		{"retries", "- retry: {codes: [503, 504], attempts: 3}" + toV1, []mesh.Rule{{Rule: at("rules[0]", nil), Backends: v1,
			Retry: &retry.Policy{Ref: ref("rules[0]"), Attempts: 3, Codes: []int{503, 504}, Connect: true, Refused: true, Reset: true, TimedOut: true}}}},
		{"a rule with a name", "- name: it" + toV1, []mesh.Rule{{Rule: at("rules[0]", nil), Backends: v1}}},
	} {
		t.Run(x.name, func(t *testing.T) {
			got, found := rulesOf(t, x.yaml)
			dialecttest.None(t, found)
			if d := dialecttest.Diff(x.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestFailingShares: what cannot be done keeps its share of the calls, which get 500, and a finding says why.
func TestFailingShares(t *testing.T) {
	for _, x := range []struct{ name, yaml, field, says, missing string }{
		{"another kind", "- backendRefs: [{group: multicluster.x-k8s.io, kind: ServiceImport, name: v1, port: 80}, {name: v1, port: 80}]",
			"spec.rules[0].backendRefs[0].kind", "calls of its share get 500", "ServiceImport"},
		{"no such Service", "- backendRefs: [{name: v9, port: 80}, {name: v1, port: 80}]", "spec.rules[0].backendRefs[0].name", "get 500", "no Service v9"},
		{"it is elsewhere", "- backendRefs: [{name: ratings, port: 80}, {name: v1, port: 80}]", "spec.rules[0].backendRefs[0].name", "write namespace: stock", "no Service ratings"},
		{"no such port", "- backendRefs: [{name: v1, port: 81}, {name: v1, port: 80}]", "spec.rules[0].backendRefs[0].port", "its ports are 80", "no port 81"},
		{"not over TCP", "- backendRefs: [{name: v1, port: 53}, {name: v1, port: 80}]", "spec.rules[0].backendRefs[0].port", "its ports are 80", "no port 53"},
		{"outside", "- backendRefs: [{name: outside, port: 80}, {name: v1, port: 80}]", "spec.rules[0].backendRefs[0].name", "get 500", "ExternalName"},
		{"a filter of a backend", "- backendRefs: [{name: v1, port: 80, filters: [{type: URLRewrite, urlRewrite: {hostname: a.example}}]}, {name: v1, port: 80}]",
			"spec.rules[0].backendRefs[0].filters[0].urlRewrite", "the backend's share get 500", "URLRewrite"},
		{"an extension of a backend", "- backendRefs: [{name: v1, port: 80, filters: [{type: ExtensionRef, extensionRef: {group: a, kind: B, name: c}}]}, {name: v1, port: 80}]",
			"spec.rules[0].backendRefs[0].filters[0].extensionRef", "the backend's share get 500", "ExtensionRef"},
	} {
		t.Run(x.name, func(t *testing.T) {
			got, found := rulesOf(t, x.yaml)
			dialecttest.Want(t, found, mesh.Warning, x.field, x.says)
			if len(got) != 1 || len(got[0].Backends) != 2 {
				t.Fatalf("%+v", got)
			}
			b := got[0].Backends
			if b[0].Weight != 1 || !strings.Contains(b[0].Missing, x.missing) || b[1].Missing != "" {
				t.Errorf("%+v", b)
			}
		})
	}
}

// TestFilterMustNotBeSkipped: "the filter MUST NOT be skipped. Instead, requests that would have been processed by that filter MUST
// receive a HTTP error response." Commonly got wrong: the rest of the rule is done as if the filter were not there.
func TestFilterMustNotBeSkipped(t *testing.T) {
	for typ, filter := range map[string]string{
		"ExternalAuth": "externalAuth: {protocol: HTTP, backendRef: {name: v1, port: 80}, http: {}}",
		"ExtensionRef": "extensionRef: {group: a, kind: B, name: c}",
	} {
		got, found := rulesOf(t, "- matches: [{path: {value: /a}}]\n  filters: [{type: RequestHeaderModifier, requestHeaderModifier: {remove: [a]}}, {type: "+typ+", "+filter+"}]"+toV1)
		dialecttest.Want(t, found, mesh.Warning, "spec.rules[0].filters[1]."+strings.Split(filter, ":")[0], "calls that the rule matches get 500")
		if len(got) != 1 || len(got[0].Backends) != 1 || !strings.Contains(got[0].Backends[0].Missing, typ) || got[0].Headers != nil ||
			len(got[0].Matches) != 1 {
			t.Errorf("%s: %+v", typ, got)
		}
	}
}

// TestMirrorThatCannotBeHadIsLeftOut: "this BackendRef is invalid and must be dropped from the Gateway"; the call itself goes on.
func TestMirrorThatCannotBeHadIsLeftOut(t *testing.T) {
	got, found := rulesOf(t, "- filters: [{type: RequestMirror, requestMirror: {backendRef: {name: v9, port: 80}}}]"+toV1)
	dialecttest.Want(t, found, mesh.Warning, "spec.rules[0].filters[0].requestMirror.backendRef.name", "no copies are sent")
	if len(got[0].Mirrors) != 0 || got[0].Backends[0].Missing != "" {
		t.Errorf("%+v", got)
	}
}

// TestNoBackends: such calls get 500, which is what a rule without backends means in the model.
func TestNoBackends(t *testing.T) {
	for yaml, says := range map[string]string{
		"- matches: [{path: {value: /a}}]":                 "calls that match get 500",
		"- backendRefs: []":                                "calls that match get 500",
		"- backendRefs: [{name: v1, port: 80, weight: 0}]": "all weights are 0",
		"- filters: [{type: RequestHeaderModifier, requestHeaderModifier: {remove: [a]}}]": "add backendRefs",
	} {
		got, found := rulesOf(t, yaml)
		if len(got) != 1 || len(got[0].Backends) != 0 || !strings.Contains(dialecttest.Show(found), says) {
			t.Errorf("%s: %+v%s", yaml, got, dialecttest.Show(found))
		}
	}
	got, found := rulesOf(t, "") // the default rule matches all and has no backend
	dialecttest.Want(t, found, mesh.Warning, "spec.rules", "every call gets 500")
	if len(got) != 1 || len(got[0].Matches)+len(got[0].Backends) != 0 {
		t.Errorf("%+v", got)
	}
}

// TestEquivalentNamesAreIgnored: "If multiple entries specify equivalent header names, only the first entry with an equivalent name
// MUST be considered for a match." Names of query parameters differ by case.
func TestEquivalentNamesAreIgnored(t *testing.T) {
	got, found := rulesOf(t, "- matches: [{headers: [{name: foo, value: a}, {name: Foo, value: b}], queryParams: [{name: q, value: a}, {name: q, value: b}, {name: Q, value: c}]}]"+toV1)
	dialecttest.Want(t, found, mesh.Warning, "spec.rules[0].matches[0].headers[1]", "ignored")
	dialecttest.Want(t, found, mesh.Warning, "spec.rules[0].matches[0].queryParams[1]", "ignored")
	if m := got[0].Matches[0]; len(m.Headers) != 1 || m.Headers[0].Values[0].Value != "a" || len(m.Params) != 2 {
		t.Errorf("%+v", m)
	}
}

// TestRegexComesBeforeTheRest: the order of expressions is left to implementations; the default rule must not hide them.
func TestRegexComesBeforeTheRest(t *testing.T) {
	s, _ := mesh.New().With([]mesh.Change{{New: routes(t, "- backendRefs: [{name: v1, port: 80}]\n- matches: [{path: {type: RegularExpression, value: /r.*}}]\n  backendRefs: [{name: v2, port: 80}]")}})
	rules := s.Calling(&mesh.Service{Host: reviews, Namespace: "shop"}, 80, mesh.Caller{Namespace: "shop"}).Rules
	if len(rules) != 2 || rules[0].Ref.Rule != "rules[1]" {
		t.Errorf("%+v", rules)
	}
	_, found := rulesOf(t, "- matches: [{path: {type: RegularExpression, value: /r.*}}, {path: {value: /r}}]"+toV1)
	dialecttest.Want(t, found, mesh.Info, "spec.rules[0].matches[0].path", "after all exact paths")
}

func routes(t *testing.T, rules string) *mesh.Part {
	t.Helper()
	part, found := lower(t, object("HTTPRoute", "parentRefs: [{group: \"\", kind: Service, name: reviews}]\nrules:\n"+rules))
	dialecttest.None(t, found)
	return &part
}

// TestPrecedence is the list of HTTPRouteRule.matches: an exact path, the longest prefix, a method, the most headers, the most query
// parameters, and then the first rule.
func TestPrecedence(t *testing.T) {
	s, _ := mesh.New().With([]mesh.Change{{New: routes(t, `
- matches: [{}, {queryParams: [{name: q, value: a}]}, {headers: [{name: a, value: a}]}, {headers: [{name: a, value: a}, {name: b, value: b}]}]
  backendRefs: [{name: v1, port: 80}]
- matches: [{method: GET}, {path: {value: /long}}, {path: {value: /longer}}, {path: {type: Exact, value: /e}}, {path: {value: /long}}]
  backendRefs: [{name: v2, port: 80}]`)}})
	var got []string
	for _, r := range s.Calling(&mesh.Service{Host: reviews, Namespace: "shop"}, 80, mesh.Caller{Namespace: "shop"}).Rules {
		got = append(got, words(r))
	}
	want := []string{"/e", "/longer", "/long", "/long", "GET", "ab", "a", "q", "all"}
	if d := dialecttest.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func words(r mesh.Rule) (s string) {
	for _, m := range r.Matches {
		for _, p := range append(m.Paths, m.Methods...) {
			s += p.Value
		}
		for _, h := range m.Headers {
			s += h.Name
		}
		for _, p := range m.Params {
			s += p.Name
		}
	}
	if s == "" {
		return "all"
	}
	return s
}

// TestRefusals is what the API's own validation refuses, where it changes what the rule means.
func TestRefusals(t *testing.T) {
	for _, x := range []struct{ yaml, field, says string }{
		{"- matches: [{path: {value: a}}]" + toV1, "spec.rules[0].matches[0].path.value", "write /a"},
		{"- matches: [{path: {value: /a//b}}]" + toV1, "spec.rules[0].matches[0].path.value", "//"},
		{"- matches: [{path: {type: Exact, value: /a/../b}}]" + toV1, "spec.rules[0].matches[0].path.value", "/../"},
		{"- matches: [{path: {value: /a%2fb}}]" + toV1, "spec.rules[0].matches[0].path.value", "%2f"},
		{"- matches: [{path: {value: \"/a b\"}}]" + toV1, "spec.rules[0].matches[0].path.value", "not a path"},
		{"- matches: [{path: {value: /a/..}}]" + toV1, "spec.rules[0].matches[0].path.value", "not a path"},
		{"- matches: [{path: {type: Prefix, value: /a}}]" + toV1, "spec.rules[0].matches[0].path.type", "is none of Exact, PathPrefix"},
		{"- matches: [{path: {type: RegularExpression, value: \"(\"}}]" + toV1, "spec.rules[0].matches[0].path.value", "RE2"},
		{"- matches: [{headers: [{name: \":method\", value: GET}]}]" + toV1, "spec.rules[0].matches[0].headers[0].name", "not a header's name"},
		{"- matches: [{headers: [{name: a, value: \"\"}]}]" + toV1, "spec.rules[0].matches[0].headers[0].value", "empty"},
		{"- matches: [{headers: [{name: a}]}]" + toV1, "spec.rules[0].matches[0].headers[0].value", "required"},
		{"- matches: [{method: get}]" + toV1, "spec.rules[0].matches[0].method", "did you mean GET?"},
		{"- filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: a, value: b}], add: [{name: A, value: c}]}}]" + toV1,
			"spec.rules[0].filters[0].requestHeaderModifier.add[0].name", "already"},
		{"- filters: [{type: RequestHeaderModifier, requestHeaderModifier: {remove: [a]}}, {type: RequestHeaderModifier, requestHeaderModifier: {remove: [b]}}]" + toV1,
			"spec.rules[0].filters[1]", "already"},
		{"- filters: [{type: RequestHeaderModifier, responseHeaderModifier: {remove: [a]}}]" + toV1, "spec.rules[0].filters[0]", "has the field requestHeaderModifier"},
		{"- filters: [{type: CORS}]" + toV1, "spec.rules[0].filters[0]", "has the field cors"},
		{"- filters: [{type: Mirror, requestMirror: {backendRef: {name: v1, port: 80}}}]" + toV1, "spec.rules[0].filters[0].type", "is none of"},
		{"- filters: [{type: RequestRedirect, requestRedirect: {}}]" + toV1, "spec.rules[0].backendRefs", "no backends"},
		{"- filters: [{type: RequestRedirect, requestRedirect: {}}, {type: URLRewrite, urlRewrite: {}}]", "spec.rules[0].filters", "either redirected or rewritten"},
		{"- filters: [{type: RequestRedirect, requestRedirect: {statusCode: 304}}]", "spec.rules[0].filters[0].requestRedirect.statusCode", "304"},
		{"- filters: [{type: RequestRedirect, requestRedirect: {scheme: ftp}}]", "spec.rules[0].filters[0].requestRedirect.scheme", "none of"},
		{"- filters: [{type: RequestRedirect, requestRedirect: {port: 0}}]", "spec.rules[0].filters[0].requestRedirect.port", "not a port"},
		{"- filters: [{type: RequestRedirect, requestRedirect: {hostname: \"*.example\"}}]", "spec.rules[0].filters[0].requestRedirect.hostname", "RFC 1123"},
		{"- filters: [{type: RequestRedirect, requestRedirect: {hostname: 10.0.0.1}}]", "spec.rules[0].filters[0].requestRedirect.hostname", "address"},
		{"- matches: [{path: {type: Exact, value: /a}}]\n  filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /b}}}]" + toV1,
			"spec.rules[0].filters[0].urlRewrite.path.replacePrefixMatch", "PathPrefix alone"},
		{"- filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replacePrefixMatch: /b}}}]" + toV1, "spec.rules[0].filters[0].urlRewrite.path", "ReplaceFullPath"},
		{"- filters: [{type: RequestMirror, requestMirror: {percent: 5, fraction: {numerator: 1}, backendRef: {name: v1, port: 80}}}]" + toV1,
			"spec.rules[0].filters[0].requestMirror.fraction", "twice"},
		{"- filters: [{type: RequestMirror, requestMirror: {percent: 101, backendRef: {name: v1, port: 80}}}]" + toV1, "spec.rules[0].filters[0].requestMirror.percent", "not a share"},
		{"- filters: [{type: RequestMirror, requestMirror: {fraction: {numerator: 3, denominator: 2}, backendRef: {name: v1, port: 80}}}]" + toV1,
			"spec.rules[0].filters[0].requestMirror.fraction", "not a share"},
		{"- backendRefs: [{name: v1}]", "spec.rules[0].backendRefs[0].port", "missing"},
		{"- backendRefs: [{name: v1, port: 80, weight: -1}]", "spec.rules[0].backendRefs[0].weight", "-1"},
		{"- timeouts: {request: 1s, backendRequest: 2s}" + toV1, "spec.rules[0].timeouts.backendRequest", "more than 1s"},
		{"- timeouts: {request: \"10\"}" + toV1, "spec.rules[0].timeouts.request", "add a unit: \"10s\""},
		{"- timeouts: {request: 1.5s}" + toV1, "spec.rules[0].timeouts.request", "whole numbers"}, // GEP-2257: "Floating point is not allowed"
		{"- retry: {attempts: 0}" + toV1, "spec.rules[0].retry.attempts", "0 is not"},
		{"- retry: {codes: [302]}" + toV1, "spec.rules[0].retry.codes[0]", "302"},
	} {
		got, found := rulesOf(t, x.yaml)
		dialecttest.Want(t, found, mesh.Error, x.field, x.says)
		if got != nil {
			t.Errorf("%s is in force", x.yaml)
		}
	}
}

// TestNamesFieldsThatAreNotThere: what was probably meant.
func TestNamesFieldsThatAreNotThere(t *testing.T) {
	for _, x := range []struct{ yaml, field, says string }{
		{"- matches: [{path: {prefix: /a}}]" + toV1, "spec.rules[0].matches[0].path.prefix", "type: PathPrefix"},
		{"- match: [{path: {value: /a}}]" + toV1, "spec.rules[0].match", "did you mean matches?"},
	} { // without the condition the rule would be for every call
		got, found := rulesOf(t, x.yaml)
		dialecttest.Want(t, found, mesh.Error, x.field, x.says)
		if got != nil {
			t.Errorf("%s is in force", x.yaml)
		}
	}
	for _, x := range []struct{ yaml, field, says string }{
		{"- timeout: 5s" + toV1, "spec.rules[0].timeout", "did you mean timeouts.request?"},
		{"- sessionPersistence: {sessionName: a}" + toV1, "spec.rules[0].sessionPersistence", "balanced by itself"},
	} {
		_, found := rulesOf(t, x.yaml)
		dialecttest.Want(t, found, mesh.Warning, x.field, x.says)
	}
}
