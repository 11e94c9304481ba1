package gatewayapi_test

import (
	"cmp"
	"fmt"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/dialecttest"
)

// routeOf is a version of an HTTPRoute, of these rules, that is attached to a Gateway and to a Service.
func routeOf(generation int, rules string) string {
	return fmt.Sprintf(`
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: it, namespace: shop, generation: %d}
spec: {parentRefs: [{name: edge}, {group: "", kind: Service, name: reviews}], rules: %s}
`, generation, rules)
}

// What the API asks for of a route that is refused, while its last good version is in force, or is not (RouteConditionPartiallyInvalid).
func TestFallBack(t *testing.T) {
	const (
		toV1     = "{backendRefs: [{name: v1, port: 80}]}"
		wrong    = "{matches: [{path: {type: RegularExpression, value: '/('}}], backendRefs: [{name: v1, port: 80}]}"
		redirect = "{type: RequestRedirect, requestRedirect: {hostname: a.example}}"
		clash    = "{filters: [" + redirect + ", {type: URLRewrite, urlRewrite: {hostname: b.example}}]}"
	)
	list := func(rules ...string) string { return "[" + strings.Join(rules, ", ") + "]" }
	accepted := func(generation int) string {
		return fmt.Sprintf("Accepted=True/Accepted@%d ResolvedRefs=True/ResolvedRefs@%[1]d", generation)
	}
	refused := func(generation int, reason string) string {
		return fmt.Sprintf("Accepted=False/%s@%d ResolvedRefs=True/ResolvedRefs@%[2]d", reason, generation)
	}
	fallen := func(good, newest int, reason string) string {
		return fmt.Sprintf("Accepted=True/Accepted@%d ResolvedRefs=True/ResolvedRefs@%d PartiallyInvalid=True/%s@%[2]d", good, newest, reason)
	}
	const unsupported, incompatible = "UnsupportedValue", "IncompatibleFilters"
	good := routeOf(3, list(toV1))
	half := routeOf(4, list(wrong, toV1))
	hosts := func(route, host string) string {
		return strings.Replace(route, "spec: {", "spec: {hostnames: ['"+host+"'], ", 1)
	}
	for _, x := range []struct {
		name     string
		versions []string
		edge     string // what is said of the Gateway
		service  string // and of the Service, if that is something else
	}{
		{"good ones", []string{good, routeOf(4, list(toV1, toV1))}, accepted(4), ""},
		{"a rule is wrong, and another is not", []string{good, half}, fallen(3, 4, unsupported), ""},
		{"twice", []string{good, half, routeOf(5, list(toV1, wrong))}, fallen(3, 5, unsupported), ""},
		{"all are", []string{good, routeOf(4, list(wrong, wrong))}, refused(4, unsupported), ""},
		{"all were, and one is not", []string{routeOf(2, list(toV1)), routeOf(3, list(wrong)), half}, fallen(2, 4, unsupported), ""},
		{"one was, and all are", []string{good, half, routeOf(5, list(wrong))}, refused(5, unsupported), ""},
		{"and mended", []string{good, half, routeOf(5, list(toV1, toV1))}, accepted(5), ""},
		{"what is around the rules is wrong too", []string{good, hosts(half, "a:b")}, refused(4, unsupported), ""},
		{"none was in force", []string{half}, refused(4, unsupported), ""},
		{"another parent had it", []string{strings.Replace(good, "{name: edge}, ", "", 1), half}, refused(4, unsupported), fallen(3, 4, unsupported)},
		{"a parent did not take it", []string{hosts(good, "b.example"), hosts(half, "a.example")}, refused(4, unsupported), fallen(3, 4, unsupported)},
		// "may use the `IncompatibleFilters` reason to specify this configuration error" (HTTPRouteRule.filters)
		{"filters that are not for one rule", []string{routeOf(3, list(clash))}, refused(3, incompatible), ""},
		{"one filter twice", []string{routeOf(3, list("{filters: ["+redirect+", "+redirect+"]}"))}, refused(3, incompatible), ""},
		{"such filters come", []string{good, routeOf(4, list(toV1, clash))}, fallen(3, 4, incompatible), ""},
		{"another mistake comes before", []string{routeOf(3, list(wrong, clash))}, refused(3, unsupported), ""},
	} {
		t.Run(x.name, func(t *testing.T) {
			set := dialect.NewSet(kinds)
			set.Apply(dialecttest.Objects(t, kinds, shop+gatewayOf("  - {name: web, port: 80, protocol: HTTP, hostname: a.example}\n")), nil)
			var status map[string]any
			for _, version := range x.versions {
				o := dialecttest.Objects(t, kinds, version)[0]
				set.Put(o)
				status = set.Status(o.Key())(status, now)
			}
			for i, want := range []string{x.edge, cmp.Or(x.service, x.edge)} {
				if got := strings.Join(spoken(part(status, fmt.Sprint("parents/", i))), " "); got != want {
					t.Errorf("of parent %d:\n%s, want\n%s", i, got, want)
				}
			}
		})
	}
}

// spoken are conditions with the generations that they speak of. The message of PartiallyInvalid begins as the API asks for.
func spoken(of any) (out []string) {
	m, _ := of.(map[string]any)
	list, _ := m["conditions"].([]any)
	for i, s := range said(of) {
		c := list[i].(map[string]any)
		text := c["message"].(string)
		if c["type"] == "PartiallyInvalid" && !(strings.HasPrefix(text, "Fall Back") && strings.Contains(text, "spec.rules[") && strings.Contains(text, "stays in force")) {
			s += "/" + text
		}
		out = append(out, fmt.Sprintf("%s@%d", s, c["observedGeneration"]))
	}
	return out
}
