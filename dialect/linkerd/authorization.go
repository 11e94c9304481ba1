package linkerd

import (
	"fmt"
	"slices"
	"strings"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/gatewayapi"
	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/mesh"
)

// policySpec is AuthorizationPolicy.spec.
type policySpec struct {
	TargetRef *target     `json:"targetRef"`
	Required  []reference `json:"requiredAuthenticationRefs"`
}

func authorizationPolicyKind(trustDomain string) dialect.Kind {
	s := shape[policySpec]().Require("spec", "spec.targetRef", "spec.targetRef.kind", "spec.targetRef.name",
		"spec.requiredAuthenticationRefs[].kind", "spec.requiredAuthenticationRefs[].name")
	const refs = "spec.requiredAuthenticationRefs"
	return dialect.Kind{Dialect: decision.Linkerd, Group: policyGroup, Name: "AuthorizationPolicy", Versions: []string{"v1alpha1"}, Schema: s,
		Fields: append(append(referenceFields("spec.targetRef"), referenceFields(refs+"[]")...), refs+"[].namespace"),
		Lower:  lowering(trustDomain, (*reader).lowerPolicy),
		Renamed: map[string]string{
			"spec.targetRefs":             "targetRef: a policy has one target",
			"spec.targetRef.namespace":    "a policy is for a target of its own namespace: remove it",
			"spec.identityRefs":           "write requiredAuthenticationRefs, a list of {kind: ServiceAccount, name, namespace}",
			"spec.serviceAccounts":        "write requiredAuthenticationRefs, a list of {kind: ServiceAccount, name, namespace}",
			"spec.identities":             "write them into a MeshTLSAuthentication, and name that one in requiredAuthenticationRefs",
			"spec.networks":               "write them into a NetworkAuthentication, and name that one in requiredAuthenticationRefs",
			"spec.requiredServerVersion":  "policies ask for no version of anything: remove it",
			"spec.requiredAuthentication": "requiredAuthenticationRefs",
			"spec.rules":                  "requiredAuthenticationRefs; rules are of Istio's AuthorizationPolicy, apiVersion: security.istio.io/v1",
			"spec.selector":               "targetRef; a Server selects the pods",
			"spec.action":                 "Linkerd's policies allow, and the Server denies the rest: remove it",
		}}
}

// scope is what an AuthorizationPolicy is for.
type scope struct {
	server    string      // its name
	route     dialect.Key // a route that is attached to Servers; zero: none
	namespace bool        // every Server of the namespace
}

func (s *scope) covers(server *dialect.Object) bool {
	return s.namespace || s.server != "" && s.server == server.Name
}

// lowerPolicy finds what is wrong with an AuthorizationPolicy. What it allows is part of the Servers that it is for.
func (r *reader) lowerPolicy() mesh.Part {
	to, _, ok := r.authorizationPolicy()
	servers := r.View.List(policyGroup, "Server", r.Object.Namespace)
	switch {
	case !ok || r.Refused():
	case to.route != dialect.Key{}:
		r.tellRoute(to.route)
	case to.namespace && len(servers) == 0:
		r.Warn("spec.targetRef", "there is no Server in the namespace "+r.Object.Namespace+": the policy has no effect", "a Server selects pods and one of their ports")
	case !to.namespace && r.View.Get(policyGroup, "Server", r.Object.Namespace, to.server) == nil:
		r.Warn("spec.targetRef.name", fmt.Sprintf("there is no Server %s in the namespace %s: the policy has no effect", to.server, r.Object.Namespace), "")
	}
	return mesh.Part{}
}

// authorizationPolicy lowers an AuthorizationPolicy to what it is for and the sources that it lets pass; none: all. false: nobody.
func (r *reader) authorizationPolicy() (to scope, from []match.Source, ok bool) {
	var spec policySpec
	if !r.Spec(&spec) || spec.TargetRef == nil {
		return to, nil, false
	}
	to, ok = r.scope(spec.TargetRef)
	if spec.Required == nil {
		r.Refuse("spec.requiredAuthenticationRefs", "required, and not there", "name who may call, or write [] to let everybody pass")
	}
	g, found := r.required(spec.Required)
	from, some := g.sources()
	return to, from, ok && found && some && !r.strays()
}

// tellRoute says why a policy for a route has no effect.
func (r *reader) tellRoute(k dialect.Key) {
	o := r.View.Get(k.Group, k.Kind, k.Namespace, k.Name)
	if o == nil {
		r.Warn("spec.targetRef.name", fmt.Sprintf("there is no %s %s of %s in the namespace %s: the policy has no effect", k.Kind, k.Name, k.Group, k.Namespace), "")
		return
	}
	for _, s := range r.View.List(policyGroup, "Server", k.Namespace) {
		list, _ := gatewayapi.ServedBy(r.View, s)
		if slices.ContainsFunc(list, func(x gatewayapi.Served) bool { return x.Route.Key() == k }) {
			return
		}
	}
	r.Warn("spec.targetRef", fmt.Sprintf("the %s %s is attached to no Server: the policy has no effect", k.Kind, k.Name),
		"name a Server among its parentRefs, with group: "+policyGroup+" and kind: Server")
}

func (r *reader) scope(t *target) (to scope, ok bool) {
	switch {
	case t.is(policyGroup, "Server"):
		return scope{server: t.Name}, true
	case t.is("", "Namespace"):
		if t.Name != r.Object.Namespace {
			r.Refuse("spec.targetRef.name", fmt.Sprintf("a policy in the namespace %s can't be for %s", r.Object.Namespace, t.Name), "put the policy there")
		}
		return scope{namespace: true}, true
	case t.is(policyGroup, "HTTPRoute"):
		return scope{route: dialect.Key{Group: policyGroup, Kind: "HTTPRoute", Namespace: r.Object.Namespace, Name: t.Name}}, true
	case t.is(gatewayGroup, "HTTPRoute"):
		return scope{route: dialect.Key{Group: gatewayGroup, Kind: "HTTPRoute", Namespace: r.Object.Namespace, Name: t.Name}}, true
	case t.is(gatewayGroup, "GRPCRoute"):
		return scope{route: dialect.Key{Group: gatewayGroup, Kind: "GRPCRoute", Namespace: r.Object.Namespace, Name: t.Name}}, true
	case strings.EqualFold(t.Kind, "Server"):
		r.Refuse("spec.targetRef.group", t.String()+" is not known", "write group: "+policyGroup)
	case strings.EqualFold(t.Kind, "Service"):
		r.Refuse("spec.targetRef.kind", "a policy is not for a Service", "write a Server that selects the pods of "+t.Name+
			" and the port, and target it: {group: "+policyGroup+", kind: Server, name: "+t.Name+"}")
	default:
		r.Refuse("spec.targetRef.kind", "a policy is not for a "+t.String(), "it is for a Server of "+policyGroup+", for a route that is attached to one, or for a Namespace without a group")
	}
	return to, false
}

// required finds all that clients have to be. false: something is missing, and so nobody passes.
func (r *reader) required(list []reference) (g grant, ok bool) {
	ok = true
	clients, networks := 0, 0
	for i := range list {
		x, field := &list[i], dialect.Index("spec.requiredAuthenticationRefs", i)
		switch {
		case x.is("", "ServiceAccount"):
			clients++
			g.who = &who{principals: []match.String{r.account(x.in(r.Object.Namespace), x.Name)}}
		case x.is(policyGroup, "MeshTLSAuthentication"):
			clients++
			if o := r.authentication(field, "MeshTLSAuthentication", x); o != nil {
				w := o.meshTLSAuthentication()
				g.who = &w
			} else {
				ok = false
			}
		case x.is(policyGroup, "NetworkAuthentication"):
			networks++
			if o := r.authentication(field, "NetworkAuthentication", x); o != nil {
				g.networks, g.bound = o.networkAuthentication(), true
			} else {
				ok = false
			}
		default:
			r.Refuse(field+".kind", x.String()+" authenticates nobody",
				"it is MeshTLSAuthentication or NetworkAuthentication of "+policyGroup+", or ServiceAccount without a group")
		}
	}
	if clients > 1 || networks > 1 {
		r.Refuse("spec.requiredAuthenticationRefs", "at most one MeshTLSAuthentication or ServiceAccount, and one NetworkAuthentication, can be required",
			"a client has to be all that is required; alternatives go into one authentication, or into policies of their own")
	}
	return g, ok
}

// authentication reads an object that a policy requires; nil: there is none.
func (r *reader) authentication(field, kind string, x *reference) *reader {
	namespace := x.in(r.Object.Namespace)
	o := r.View.Get(policyGroup, kind, namespace, x.Name)
	if o == nil {
		r.Warn(field+".name", fmt.Sprintf("there is no %s %s in the namespace %s: the policy lets nobody pass", kind, x.Name, namespace), "")
		return nil
	}
	return r.of(o)
}
