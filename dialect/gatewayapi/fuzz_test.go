package gatewayapi_test

import (
	"testing"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/dialecttest"
	"github.com/weft-mesh/weft/mesh"
)

// FuzzRead: whatever is written, reading ends, and what is in force can be compiled and validated.
func FuzzRead(f *testing.F) {
	f.Add("PathPrefix", "/a", "GET", "X-A", "b.example", "1s", int64(80), int64(3), int64(503))
	f.Add("RegularExpression", "/a", "GET", "X-A", "b.example", "1s", int64(80), int64(3), int64(200))
	f.Add("PathPrefix", "/a/", "", "host", "10.0.0.1", "1h2m", int64(-1), int64(0), int64(400))
	f.Add("Exact", "/a%2fb", "get", ":a", "*.b", "1.5s", int64(70000), int64(1000000001), int64(0))
	f.Add("RegularExpression", `/\Qa`, `a{1000}`, `a{1000}`, `\Qa`, "1s", int64(80), int64(3), int64(200))
	http := dialecttest.Objects(f, kinds, shop+object("HTTPRoute", `
parentRefs: [{group: "", kind: Service, name: reviews}]
rules:
- matches: [{path: {type: $0, value: $1}, method: $2, headers: [{type: RegularExpression, name: $3, value: $4}], queryParams: [{name: $3, value: $4}]}, {path: {value: $1}}]
  filters:
  - {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: $3, value: $4}], add: [{name: $4, value: $3}], remove: [$2]}}
  - {type: URLRewrite, urlRewrite: {hostname: $4, path: {type: ReplacePrefixMatch, replacePrefixMatch: $1}}}
  - {type: RequestMirror, requestMirror: {fraction: {numerator: $7, denominator: $6}, backendRef: {name: v2, port: 80}}}
  backendRefs: [{name: v1, port: $6, weight: $7}]
  timeouts: {request: $5, backendRequest: $5}
  retry: {codes: [$8], attempts: $7, backoff: $5}
- matches: [{path: {value: $1}}]
  filters: [{type: RequestRedirect, requestRedirect: {hostname: $4, port: $6, path: {type: ReplacePrefixMatch, replacePrefixMatch: $1}}}]
`)+"---\n"+object("GRPCRoute", `
parentRefs: [{group: "", kind: Service, name: reviews, sectionName: more}]
rules: [{matches: [{method: {type: RegularExpression, service: $2, method: $3}, headers: [{name: $3, value: $4}]}], backendRefs: [{name: v1, port: 80}]}]`))
	part, _ := dialect.Read(kinds, dialecttest.Fill(http[len(http)-2], "PathPrefix", "/a", "GET", "X-A", "b.example", "1s", int64(80), int64(3), int64(503)), dialecttest.View(http))
	if len(part.Routes) == 0 {
		f.Fatal("the first seed is not in force")
	}
	f.Fuzz(func(t *testing.T, kind, path, method, name, value, duration string, port, n, code int64) {
		for _, o := range http[len(http)-2:] {
			o = dialecttest.Fill(o, kind, path, method, name, value, duration, port, n, code)
			part, _ := dialect.Read(kinds, o, dialecttest.View(http))
			for i := range part.Routes {
				for j := range part.Routes[i].Rules {
					check(t, &part.Routes[i].Rules[j])
				}
			}
		}
	})
}

func check(t *testing.T, r *mesh.Rule) {
	t.Helper()
	err := r.Compile()
	for _, b := range r.Backends {
		if err == nil && b.Headers != nil {
			err = b.Headers.Validate()
		}
		if err == nil && b.Missing == "" && (b.Target.Service == "" || b.Target.Port == 0) {
			t.Errorf("a backend that leads nowhere: %+v", b)
		}
	}
	for i := range r.Mirrors {
		if err == nil {
			err = r.Mirrors[i].Validate()
		}
	}
	switch {
	case err != nil:
	case r.Headers != nil && r.Headers.Validate() != nil:
		err = r.Headers.Validate()
	case r.Redirect != nil && r.Redirect.Validate() != nil:
		err = r.Redirect.Validate()
	case r.Timeout != nil && r.Timeout.Validate() != nil:
		err = r.Timeout.Validate()
	case r.Retry != nil && r.Retry.Validate() != nil:
		err = r.Retry.Validate()
	}
	if err != nil {
		t.Errorf("%+v: %v", r, err)
	}
}
