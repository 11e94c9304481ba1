package gatewayapi

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"k8s.io/utils/ptr"
	v1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/feature/cors"
	"github.com/weft-mesh/weft/feature/headers"
	"github.com/weft-mesh/weft/feature/mirror"
)

const (
	failing      = "calls that the rule matches get 500, since a filter must not be skipped"
	failingShare = "calls of the backend's share get 500, since a filter must not be skipped"
)

// filtered is what a rule's filters come to.
type filtered struct {
	headers  *headers.Policy
	mirrors  []mirror.Policy
	redirect *v1.HTTPRequestRedirectFilter
	rewrite  *v1.HTTPURLRewriteFilter
	at       string // where the redirect or rewrite stands
	cors     *cors.Policy
	failing  string // why calls must fail; empty: they need not
}

// filters lowers a rule's filters. One that weft cannot do makes all calls fail: "the filter MUST NOT be skipped. Instead, requests
// that would have been processed by that filter MUST receive a HTTP error response" (HTTPRouteFilter.type).
func (r *reader) filters(x *rule) (out filtered) {
	ref, edits := r.Rule(x.field), headers.Policy{}
	r.checkFilters(x.field+".filters", x.filters)
	for i := range x.filters {
		f, field := &x.filters[i], dialect.Index(x.field+".filters", i)
		switch {
		case f.RequestHeaderModifier != nil:
			edits.Request = r.edit(field+".requestHeaderModifier", f.RequestHeaderModifier, true)
		case f.ResponseHeaderModifier != nil:
			edits.Response = r.edit(field+".responseHeaderModifier", f.ResponseHeaderModifier, false)
		case f.RequestMirror != nil:
			out.mirrors = r.mirror(out.mirrors, field+".requestMirror", ref, f.RequestMirror)
		case f.RequestRedirect != nil:
			out.redirect, out.at = f.RequestRedirect, field+".requestRedirect"
		case f.URLRewrite != nil:
			out.rewrite, out.at = f.URLRewrite, field+".urlRewrite"
		case f.CORS != nil:
			out.cors = r.cors(field+".cors", ref, f.CORS)
		default:
			out.failing = fmt.Sprintf("the filter %s is not supported yet, and must not be skipped", f.Type)
		}
	}
	out.headers = policy(ref, edits)
	return out
}

// backendFilters lowers the filters of a single backend: edits of headers. With any other one, the backend's calls fail.
func (r *reader) backendFilters(field string, ref decision.Ref, list []v1.HTTPRouteFilter) (edits *headers.Policy, failing string) {
	var p headers.Policy
	r.checkFilters(field+".filters", list)
	for i := range list {
		f, at := &list[i], dialect.Index(field+".filters", i)
		switch {
		case f.RequestHeaderModifier != nil:
			p.Request = r.edit(at+".requestHeaderModifier", f.RequestHeaderModifier, true)
		case f.ResponseHeaderModifier != nil:
			p.Response = r.edit(at+".responseHeaderModifier", f.ResponseHeaderModifier, false)
		default:
			failing = fmt.Sprintf("the filter %s is not supported for a single backend yet, and must not be skipped", f.Type)
		}
	}
	return policy(ref, p), failing
}

func policy(ref decision.Ref, p headers.Policy) *headers.Policy {
	if len(p.Request.Set)+len(p.Request.Add)+len(p.Request.Remove)+len(p.Response.Set)+len(p.Response.Add)+len(p.Response.Remove) == 0 {
		return nil
	}
	p.Ref = ref
	return &p
}

// checkFilters refuses filters that are not what their type says, and combinations that the API does not allow.
func (r *reader) checkFilters(field string, list []v1.HTTPRouteFilter) {
	seen := map[v1.HTTPRouteFilterType]bool{}
	for i := range list {
		f, at := &list[i], dialect.Index(field, i)
		set := contents(f)
		if !slices.Equal(set, []string{fieldOf[f.Type]}) {
			r.Refuse(at, fmt.Sprintf("a filter of the type %s has the field %s, and no other one", f.Type, fieldOf[f.Type]), "")
		}
		if seen[f.Type] && f.Type != v1.HTTPRouteFilterRequestMirror && f.Type != v1.HTTPRouteFilterExtensionRef {
			r.clash(at, fmt.Sprintf("there is a filter of the type %s already", f.Type), "write one filter that does both")
		}
		seen[f.Type] = true
	}
	if seen[v1.HTTPRouteFilterRequestRedirect] && seen[v1.HTTPRouteFilterURLRewrite] {
		r.clash(field, "a call is either redirected or rewritten", "leave out RequestRedirect or URLRewrite")
	}
}

// fieldOf is the field that a filter's type asks for.
var fieldOf = map[v1.HTTPRouteFilterType]string{
	v1.HTTPRouteFilterRequestHeaderModifier:  "requestHeaderModifier",
	v1.HTTPRouteFilterResponseHeaderModifier: "responseHeaderModifier",
	v1.HTTPRouteFilterRequestMirror:          "requestMirror",
	v1.HTTPRouteFilterRequestRedirect:        "requestRedirect",
	v1.HTTPRouteFilterURLRewrite:             "urlRewrite",
	v1.HTTPRouteFilterCORS:                   "cors",
	v1.HTTPRouteFilterExternalAuth:           "externalAuth",
	v1.HTTPRouteFilterExtensionRef:           "extensionRef",
}

func contents(f *v1.HTTPRouteFilter) (set []string) {
	for _, x := range []struct {
		name string
		set  bool
	}{{"requestHeaderModifier", f.RequestHeaderModifier != nil}, {"responseHeaderModifier", f.ResponseHeaderModifier != nil},
		{"requestMirror", f.RequestMirror != nil}, {"requestRedirect", f.RequestRedirect != nil}, {"urlRewrite", f.URLRewrite != nil},
		{"cors", f.CORS != nil}, {"externalAuth", f.ExternalAuth != nil}, {"extensionRef", f.ExtensionRef != nil}} {
		if x.set {
			set = append(set, x.name)
		}
	}
	return set
}

var token = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+\\-.^_`|~]+$")

// edit lowers edits of headers. "Filters specifying multiple actions of the same or different type for any one header name are
// invalid" (HTTPHeaderFilter).
func (r *reader) edit(field string, f *v1.HTTPHeaderFilter, request bool) (e headers.Edit) {
	seen := map[string]bool{}
	name := func(at, name string) string {
		low := strings.ToLower(name)
		switch {
		case !token.MatchString(name):
			r.Refuse(at, fmt.Sprintf("%q is not a header's name", name), "")
		case seen[low]:
			r.Refuse(at, fmt.Sprintf("something is done with the header %s already; one thing is allowed", low), "write its values in one, with commas between")
		case low == "host" && !request:
			r.Refuse(at, "a response has no header Host", "")
		}
		seen[low] = true
		return low
	}
	pairs := func(at string, list []v1.HTTPHeader) (out []headers.Pair) {
		for i, h := range list {
			if strings.ContainsAny(h.Value, "\r\n\x00") {
				r.Refuse(dialect.Index(at, i)+".value", "a header's value cannot hold a line break", "")
			}
			out = append(out, headers.Pair{Name: name(dialect.Index(at, i)+".name", string(h.Name)), Value: h.Value})
		}
		return out
	}
	e.Set = pairs(field+".set", f.Set)
	for _, p := range pairs(field+".add", f.Add) {
		if p.Name == "host" { // there is one authority: to add one is to set it
			e.Set = append(e.Set, p)
		} else {
			e.Add = append(e.Add, p)
		}
	}
	for i, n := range f.Remove {
		at := dialect.Index(field+".remove", i)
		if n = name(at, n); n == "host" {
			r.Refuse(at, "every request has a host: it cannot be removed", "")
		}
		e.Remove = append(e.Remove, n)
	}
	return e
}

// mirror lowers where copies go: of all calls, unless a share is set. A target that cannot be had is left out (HTTPRequestMirrorFilter:
// "must be dropped").
func (r *reader) mirror(list []mirror.Policy, field string, ref decision.Ref, m *v1.HTTPRequestMirrorFilter) []mirror.Policy {
	target, missing := r.backend(field+".backendRef", &m.BackendRef, "no copies are sent")
	share := uint32(mirror.All)
	switch {
	case m.Percent != nil && m.Fraction != nil:
		r.Refuse(field+".fraction", "the share is set twice", "leave out percent or fraction")
	case m.Percent != nil:
		share = r.share(field+".percent", *m.Percent, 100)
	case m.Fraction != nil:
		share = r.share(field+".fraction", m.Fraction.Numerator, ptr.Deref(m.Fraction.Denominator, 100))
	}
	if missing != "" || share == 0 {
		return list
	}
	return append(list, mirror.Policy{Ref: ref, Target: target, Share: share})
}

func (r *reader) share(field string, of, all int32) uint32 {
	if of < 0 || all < 1 || of > all {
		r.Refuse(field, fmt.Sprintf("%d of %d is not a share", of, all), "")
		return 0
	}
	return uint32(uint64(of) * mirror.All / uint64(all))
}
