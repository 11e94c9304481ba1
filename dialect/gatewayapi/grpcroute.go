package gatewayapi

import (
	"fmt"
	"regexp"

	"k8s.io/utils/ptr"
	v1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/mesh"
)

func grpcRoute(o *dialect.Object, v dialect.View) (part mesh.Part, found []mesh.Finding) {
	r := newReader(o, v)
	var spec v1.GRPCRouteSpec
	if !r.Spec(&spec) {
		return part, r.Found
	}
	parents := r.attach(spec.ParentRefs)
	list := r.noted(r.grpcRules(spec.Rules), len(parents) > 0)
	part = r.part(parents, r.entries(spec.ParentRefs, spec.Hostnames), spec.Hostnames, list)
	return part, r.Found
}

func (r *reader) grpcRules(rules []v1.GRPCRouteRule) (list []rule) {
	for i := range rules {
		list = append(list, r.grpcRule(dialect.Index("spec.rules", i), &rules[i]))
	}
	return list
}

func (r *reader) grpcRule(field string, x *v1.GRPCRouteRule) rule {
	out := rule{field: field, filters: ofHTTP(x.Filters)}
	for i := range x.BackendRefs {
		b := &x.BackendRefs[i]
		out.backends = append(out.backends, v1.HTTPBackendRef{BackendRef: b.BackendRef, Filters: ofHTTP(b.Filters)})
	}
	for i := range x.Matches {
		out.matches = append(out.matches, r.grpcMatch(dialect.Index(field+".matches", i), &x.Matches[i]))
	}
	if len(x.Matches) == 0 { // "the implementation MUST match every gRPC request"
		out.matches = []matched{{whole: true}}
	}
	return out
}

// ofHTTP: the filters of a GRPCRoute are some of an HTTPRoute's.
func ofHTTP(list []v1.GRPCRouteFilter) (out []v1.HTTPRouteFilter) {
	for _, f := range list {
		out = append(out, v1.HTTPRouteFilter{Type: v1.HTTPRouteFilterType(f.Type), RequestHeaderModifier: f.RequestHeaderModifier,
			ResponseHeaderModifier: f.ResponseHeaderModifier, RequestMirror: f.RequestMirror, ExtensionRef: f.ExtensionRef})
	}
	return out
}

func (r *reader) grpcMatch(field string, x *v1.GRPCRouteMatch) matched {
	m := matched{whole: true}
	if x.Method != nil {
		m.request.Paths = []match.String{r.method(field+".method", x.Method)}
	}
	var names names
	for i, h := range x.Headers {
		at := dialect.Index(field+".headers", i)
		if r.header(at, &names, string(h.Name)) {
			r.addHeader(&m.request, string(h.Name), r.value(at, string(ptr.Deref(h.Type, v1.GRPCHeaderMatchExact)), h.Value))
		}
	}
	return m
}

var (
	grpcService = regexp.MustCompile(`^(?i)\.?[a-z_][a-z_0-9]*(\.[a-z_][a-z_0-9]*)*$`)
	grpcMethod  = regexp.MustCompile(`^[A-Za-z_][A-Za-z_0-9]*$`)
)

// method lowers a match on the method that is called: the path of a gRPC call is /SERVICE/METHOD.
func (r *reader) method(field string, x *v1.GRPCMethodMatch) match.String {
	service, method := ptr.Deref(x.Service, ""), ptr.Deref(x.Method, "")
	if service == "" && method == "" {
		r.Refuse(field, "neither service nor method is named", "leave it out to match all")
	}
	if ptr.Deref(x.Type, v1.GRPCMethodMatchExact) == v1.GRPCMethodMatchRegularExpression {
		before, re := len(r.Found), "/"+anyOr(service)+"/"+anyOr(method)
		r.Regex(field+".service", service)
		r.Regex(field+".method", method)
		if len(r.Found) == before { // both may name a group alike, say
			r.Regex(field, re)
		}
		return match.String{Kind: match.Regex, Value: re}
	}
	if service != "" && !grpcService.MatchString(service) {
		r.Refuse(field+".service", fmt.Sprintf("%q is not a gRPC service's name", service), "it is PACKAGE.SERVICE, without slashes")
	}
	if method != "" && !grpcMethod.MatchString(method) {
		r.Refuse(field+".method", fmt.Sprintf("%q is not a gRPC method's name", method), "")
	}
	switch {
	case method == "":
		return match.String{Kind: match.Prefix, Value: "/" + service + "/"}
	case service == "":
		return match.String{Kind: match.Suffix, Value: "/" + method}
	}
	return match.String{Value: "/" + service + "/" + method}
}

// anyOr is a part of a path that an expression matches, or any.
func anyOr(re string) string {
	if re == "" {
		return "[^/]+"
	}
	return "(?:" + re + ")"
}
