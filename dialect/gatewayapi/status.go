package gatewayapi

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/utils/ptr"
	v1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/gateway-api/pkg/consts"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/mesh"
)

// Statuses by the book. Each is what Kind.Status says: a function of the object, of those beside it, and of what was found in it.

// features are what weft does of the Gateway API, by the names of its conformance tests, sorted.
var features = []string{"BackendTLSPolicy", "BackendTLSPolicySANValidation", "GRPCRoute", "GRPCRouteNamedRouteRule", "Gateway",
	"GatewayAddressEmpty", "GatewayBackendClientCertificate", "GatewayFrontendClientCertificateValidation",
	"GatewayFrontendClientCertificateValidationInsecureFallback", "GatewayHTTPListenerIsolation",
	"GatewayHTTPSListenerDetectMisdirectedRequests", "GatewayInfrastructure", "GatewayPort8080", "GatewayStaticAddresses", "HTTPRoute",
	"HTTPRoute303RedirectStatusCode", "HTTPRoute307RedirectStatusCode", "HTTPRoute308RedirectStatusCode", "HTTPRouteBackendProtocolH2C",
	"HTTPRouteBackendProtocolWebSocket", "HTTPRouteBackendRequestHeaderModification", "HTTPRouteBackendTimeout", "HTTPRouteCORS",
	"HTTPRouteDestinationPortMatching", "HTTPRouteHostRewrite", "HTTPRouteMethodMatching", "HTTPRouteNamedRouteRule",
	"HTTPRouteParentRefPort", "HTTPRoutePathRedirect", "HTTPRoutePathRewrite", "HTTPRoutePortRedirect", "HTTPRouteQueryParamMatching",
	"HTTPRouteRequestMirror", "HTTPRouteRequestMultipleMirrors", "HTTPRouteRequestPercentageMirror", "HTTPRouteRequestTimeout",
	"HTTPRouteResponseHeaderModification", "HTTPRouteRetry", "HTTPRouteRetryBackendTimeout", "HTTPRouteRetryConnectionError",
	"HTTPRouteSchemeRedirect", "ListenerSet", "ReferenceGrant", "TCPRoute", "TLSRoute", "TLSRouteModeMixed", "TLSRouteModeTerminate",
	"UDPRoute"}

func statusOfClass(o *dialect.Object, v dialect.View, _ []mesh.Finding) dialect.Status {
	var spec v1.GatewayClassSpec
	if dialect.DecodeField(o, "spec", &spec) != nil || spec.ControllerName != Controller {
		return nil
	}
	why := verdict{}
	if spec.ParametersRef != nil {
		why = verdict{string(v1.GatewayClassReasonInvalidParameters), "weft's Gateways have no parameters", "leave spec.parametersRef out"}
	}
	bundle, odd := bundleVersion(v)
	var list []any
	for _, f := range features {
		list = append(list, map[string]any{"name": f})
	}
	return func(was map[string]any, now time.Time) map[string]any {
		status := begun(was)
		c := dialect.ConditionsOf(o, was["conditions"], now)
		judged(c, string(v1.GatewayClassConditionStatusAccepted), why, string(v1.GatewayClassReasonAccepted), "weft opens Gateways of this class")
		if bundle != "" {
			judged(c, string(v1.GatewayClassConditionStatusSupportedVersion), odd, string(v1.GatewayClassReasonSupportedVersion), "the Gateway API's kinds are of "+bundle)
		}
		status["conditions"], status["supportedFeatures"] = c.List, list
		return status
	}
}

// definition is the CustomResourceDefinition whose version stands for that of all kinds of the Gateway API, which come in bundles.
const definition = "gatewayclasses." + group

// bundleVersion says of which version the Gateway API's kinds are, and why weft may not know all of it; empty: nobody has said which kinds there
// are. "If implementations detect any Gateway API CRDs that either do not have this annotation set, or have it set to a version that is not
// recognized or supported by the implementation, this condition MUST be set to false" (GatewayClassConditionStatusSupportedVersion).
func bundleVersion(v dialect.View) (has string, odd verdict) {
	o := v.Get("apiextensions.k8s.io", "CustomResourceDefinition", "", definition)
	if o == nil {
		return "", verdict{}
	}
	has = cmp.Or(o.Annotations[consts.BundleVersionAnnotation], "no version")
	newest := version.MustParseSemantic(consts.BundleVersion)
	if got, err := version.ParseSemantic(has); err != nil || got.Major() != newest.Major() || got.Minor() > newest.Minor() {
		odd = verdict{string(v1.GatewayClassReasonUnsupportedVersion), fmt.Sprintf("the Gateway API's kinds are of %s, and weft knows those of v1.0 to v%d.%d: what is not in them has no effect",
			has, newest.Major(), newest.Minor()), ""}
	}
	return has, odd
}

// begun is a copy of the status that an object has.
func begun(was map[string]any) map[string]any {
	if was == nil {
		return map[string]any{}
	}
	return maps.Clone(was)
}

func statusOfGateway(o *dialect.Object, v dialect.View, found []mesh.Finding) dialect.Status {
	r := newReader(o, v)
	g := &gateway{object: o}
	if dialect.DecodeField(o, "spec", &g.spec) != nil || !r.class(string(g.spec.GatewayClassName)) {
		return nil
	}
	r.readListeners(g)
	r.readCertificates(g)
	made, attached, accepted := r.made(g), r.attached(g), g.accepted(found)
	programmed, insecure := g.programmed(accepted, made), r.insecure(g)
	if v := taken(found); v.reason != "" && accepted.reason == "" {
		programmed = v
	}
	_, resolved := r.backendCertificate(g)
	for _, l := range g.listeners { // "also provides a positive-polarity summary of Listener's ResolvedRefs condition"
		if l.owner == o && l.resolved.reason != "" {
			resolved = cmp.Or(resolved, verdict{l.resolved.reason, "listener " + string(l.spec.Name) + ": " + l.resolved.text, l.resolved.remedy})
		}
	}
	return func(was map[string]any, now time.Time) map[string]any {
		status := begun(was)
		var listeners []any
		for _, l := range g.listeners {
			if l.owner == o {
				listeners = append(listeners, l.status(o, named(was["listeners"], "name", string(l.spec.Name)), attached[l.id()], made, now))
			}
		}
		status["listeners"], status["addresses"] = listeners, made.addresses()
		if from, _ := allowedSets(&g.spec); from != v1.NamespacesFromNone || was["attachedListenerSets"] != nil {
			status["attachedListenerSets"] = int64(g.sets())
		}
		c := dialect.ConditionsOf(o, was["conditions"], now)
		judgedPartly(c, string(v1.GatewayConditionAccepted), accepted, g.anyOpen())
		judged(c, string(v1.GatewayConditionProgrammed), programmed, string(v1.GatewayReasonProgrammed), "its proxies serve")
		judged(c, string(v1.GatewayConditionResolvedRefs), resolved, string(v1.GatewayReasonResolvedRefs), "all that it refers to is there")
		if insecure {
			c.Set(string(v1.GatewayConditionInsecureFrontendValidationMode), true, string(v1.GatewayReasonConfigurationChanged),
				"callers are let in whatever certificate they show, or without one")
		} else {
			c.Remove(string(v1.GatewayConditionInsecureFrontendValidationMode))
		}
		status["conditions"] = c.List
		return status
	}
}

// accepted says why the Gateway is not, or not wholly.
func (g *gateway) accepted(found []mesh.Finding) verdict {
	if g.spec.Infrastructure != nil && g.spec.Infrastructure.ParametersRef != nil {
		return verdict{string(v1.GatewayReasonInvalidParameters), "weft's Gateways have no parameters", "leave " + parametersRef + " out"}
	}
	if v := refusal(found); v.reason != "" {
		v.reason = string(v1.GatewayReasonInvalid)
		return v
	}
	for _, a := range g.spec.Addresses {
		if t := ptr.Deref(a.Type, v1.IPAddressType); t != v1.IPAddressType {
			return verdict{string(v1.GatewayReasonUnsupportedAddress), fmt.Sprintf("an address of the type %s cannot be asked for", t), "IPAddress can"}
		}
	}
	var bad []string
	for _, l := range g.listeners {
		if l.owner == g.object && !l.open() {
			bad = append(bad, string(l.spec.Name))
		}
	}
	if len(bad) > 0 {
		return verdict{string(v1.GatewayReasonListenersNotValid), "not opened: " + strings.Join(bad, ", "), "see the conditions of the listeners"}
	}
	return verdict{}
}

// taken is why weft does not deploy the Gateway's proxies, as control.Gateways has noted it: what they need, or would be called by, is somebody else's.
func taken(found []mesh.Finding) verdict {
	for _, f := range found {
		if f.Field == mesh.FieldTaken && f.Level == mesh.Warning {
			return verdict{string(v1.GatewayReasonInvalid), f.Text, f.Remedy}
		}
	}
	return verdict{}
}

// refusal is the first thing for which an object is not in force.
func refusal(found []mesh.Finding) verdict {
	if i := slices.IndexFunc(found, isError); i >= 0 {
		return verdict{string(v1.RouteReasonUnsupportedValue), strings.TrimPrefix(found[i].Field+": ", ": ") + found[i].Text, found[i].Remedy}
	}
	return verdict{}
}

func isError(f mesh.Finding) bool { return f.Level == mesh.Error }

func (g *gateway) anyOpen() bool {
	return slices.ContainsFunc(g.listeners, func(l *listener) bool { return l.open() })
}

// sets counts the ListenerSets of which a listener at least is served.
func (g *gateway) sets() int {
	set := map[dialect.Key]bool{}
	for _, l := range g.listeners {
		if l.owner.Kind == "ListenerSet" && l.open() {
			set[l.owner.Key()] = true
		}
	}
	return len(set)
}

// judgedPartly: "This can be the reason when "Accepted" is "True" or "False", depending on whether the listener being invalid causes the
// entire Gateway to not be accepted" (GatewayReasonListenersNotValid).
func judgedPartly(c *dialect.Conditions, kind string, v verdict, partly bool) {
	if v.reason == string(v1.GatewayReasonListenersNotValid) && partly {
		c.Set(kind, true, v.reason, v.said())
		return
	}
	judged(c, kind, v, string(v1.GatewayReasonAccepted), "weft opens its listeners")
}

func (g *gateway) programmed(accepted verdict, m made) verdict {
	switch {
	case accepted.reason != "" && (accepted.reason != string(v1.GatewayReasonListenersNotValid) || !g.anyOpen()):
		return verdict{string(v1.GatewayReasonInvalid), accepted.text, accepted.remedy}
	case !m.found:
		return verdict{string(v1.GatewayReasonPending), "its Service " + ProxyName(g.object.Name) + " is not there yet", ""}
	case g.lacks(m) != "":
		return verdict{string(v1.GatewayReasonAddressNotUsable), "the address " + g.lacks(m) + " was not given to the Service " + ProxyName(g.object.Name), "ask for another one, and for one alone"}
	case len(m.list)+len(m.hostnames) == 0:
		return verdict{string(v1.GatewayReasonAddressNotAssigned), "its Service " + ProxyName(g.object.Name) + " has no address yet", "a Service of the type LoadBalancer gets one from a load balancer: is there one in this cluster?"}
	case !m.ready:
		return verdict{string(v1.GatewayReasonPending), "none of its proxies is ready yet", "see the pods of the Deployment " + ProxyName(g.object.Name)}
	}
	return verdict{}
}

// lacks is an address that the Gateway is to have and has not got; empty: there is none.
func (g *gateway) lacks(m made) string {
	for _, a := range g.spec.Addresses {
		if a.Value != "" && !slices.Contains(m.list, a.Value) {
			return a.Value
		}
	}
	return ""
}

// made is what has become of the Service that weft makes of a Gateway.
type made struct {
	found, ready bool
	list         []string
	hostnames    []string
}

// made looks at the Gateway's Service and at its endpoints.
func (r *reader) made(g *gateway) (m made) {
	name := ProxyName(g.object.Name)
	at := dialect.AddressesOf(r.View, g.object.Namespace, name)
	if m.found, m.list, m.hostnames = at.There, at.IPs, at.Hostnames; !m.found {
		return m
	}
	for _, s := range r.View.List("discovery.k8s.io", "EndpointSlice", g.object.Namespace) {
		var endpoints []discoveryv1.Endpoint
		if s.Labels[discoveryv1.LabelServiceName] == name && dialect.DecodeField(s, "endpoints", &endpoints) == nil {
			m.ready = m.ready || slices.ContainsFunc(endpoints, func(e discoveryv1.Endpoint) bool { return ptr.Deref(e.Conditions.Ready, true) })
		}
	}
	return m
}

func (m *made) addresses() (out []any) {
	for _, ip := range m.list {
		out = append(out, map[string]any{"type": string(v1.IPAddressType), "value": ip})
	}
	for _, h := range m.hostnames {
		out = append(out, map[string]any{"type": string(v1.HostnameAddressType), "value": h})
	}
	return out
}

// attached counts the routes of each listener of a Gateway, by the listener's id.
func (r *reader) attached(g *gateway) map[string]int64 {
	count, keys := map[string]int64{}, g.parents()
	for _, kind := range routeKinds {
		for _, o := range r.routesOf(kind, g) {
			x, ok := readRoute(o)
			if !ok {
				continue
			}
			on := map[string]bool{}
			for i := range x.parents {
				if !isOneOf(&x.parents[i], o, keys) {
					continue
				}
				for _, e := range r.outdone(x, r.enter(x, &x.parents[i])).entries {
					on[e.listener.id()] = true
				}
			}
			for id := range on {
				count[id]++
			}
		}
	}
	return count
}

// status is the listener's part in that of its owner.
func (l *listener) status(owner *dialect.Object, was map[string]any, attached int64, m made, now time.Time) map[string]any {
	kinds := []any{}
	for _, k := range l.kinds {
		kinds = append(kinds, map[string]any{"group": string(*k.Group), "kind": string(k.Kind)})
	}
	c := dialect.ConditionsOf(owner, was["conditions"], now)
	accepted := l.accepted
	if accepted.reason == "" {
		accepted = l.conflict
	}
	judged(c, string(v1.ListenerConditionAccepted), accepted, string(v1.ListenerReasonAccepted), "it is opened")
	judged(c, string(v1.ListenerConditionResolvedRefs), l.resolved, string(v1.ListenerReasonResolvedRefs), "all that it refers to is there")
	if l.conflict.reason != "" {
		c.Set(string(v1.ListenerConditionConflicted), true, l.conflict.reason, l.conflict.text)
	} else {
		c.Set(string(v1.ListenerConditionConflicted), false, string(v1.ListenerReasonNoConflicts), "no other listener is in its way")
	}
	judged(c, string(v1.ListenerConditionProgrammed), l.programmed(m), string(v1.ListenerReasonProgrammed), "proxies serve it")
	if l.overlaps != "" {
		c.Set(string(v1.ListenerConditionOverlappingTLSConfig), true, string(v1.ListenerReasonOverlappingHostnames),
			l.overlaps+" is for some of the same hosts: a request on a connection that was begun for the other's name is answered 421")
	} else { // "MUST NOT be set when it is False"
		c.Remove(string(v1.ListenerConditionOverlappingTLSConfig))
	}
	return map[string]any{"name": string(l.spec.Name), "supportedKinds": kinds, "attachedRoutes": attached, "conditions": c.List}
}

func (l *listener) programmed(m made) verdict {
	switch {
	case l.conflict.reason != "": // of the conformance tests ListenerSetHostnameConflict and ListenerSetProtocolConflict
		return l.conflict
	case !l.open():
		why := l.accepted
		if why.reason == "" {
			why = l.resolved
		}
		return verdict{string(v1.ListenerReasonInvalid), why.text, why.remedy}
	case !m.ready:
		return verdict{string(v1.ListenerReasonPending), "no proxy of the Gateway is ready yet", ""}
	}
	return verdict{}
}

func statusOfSet(o *dialect.Object, v dialect.View, found []mesh.Finding) dialect.Status {
	r := newReader(o, v)
	var spec v1.ListenerSetSpec
	if dialect.DecodeField(o, "spec", &spec) != nil {
		return nil
	}
	g, _ := r.gateway(string(ptr.Deref(spec.ParentRef.Namespace, v1.Namespace(o.Namespace))), string(spec.ParentRef.Name))
	if g == nil {
		return nil
	}
	r.readCertificates(g)
	made, attached := r.made(g), r.attached(g)
	var mine []*listener
	for _, l := range g.listeners {
		if l.owner.Key() == o.Key() {
			mine = append(mine, l)
		}
	}
	accepted := setAccepted(mine, found)
	programmed := accepted
	if accepted.reason == "" && !made.ready {
		programmed = verdict{string(v1.ListenerSetReasonPending), "no proxy of the Gateway is ready yet", ""}
	}
	return func(was map[string]any, now time.Time) map[string]any {
		status := begun(was)
		var listeners []any
		for _, l := range mine {
			listeners = append(listeners, l.status(o, named(was["listeners"], "name", string(l.spec.Name)), attached[l.id()], made, now))
		}
		c := dialect.ConditionsOf(o, was["conditions"], now)
		judged(c, string(v1.ListenerSetConditionAccepted), accepted, string(v1.ListenerSetReasonAccepted), "the Gateway opens its listeners")
		judged(c, string(v1.ListenerSetConditionProgrammed), programmed, string(v1.ListenerSetReasonProgrammed), "proxies serve them")
		status["listeners"], status["conditions"] = listeners, c.List
		return status
	}
}

func setAccepted(mine []*listener, found []mesh.Finding) verdict {
	switch bad := refusal(found); {
	case bad.reason != "":
		bad.reason = string(v1.ListenerSetReasonInvalid)
		return bad
	case len(mine) == 0:
		return verdict{string(v1.ListenerSetReasonNotAllowed), "the Gateway takes no ListenerSet of this namespace", "see its spec.allowedListeners"}
	case !slices.ContainsFunc(mine, (*listener).open):
		return verdict{string(v1.ListenerSetReasonListenersNotValid), "none of its listeners is opened", "see their conditions"}
	}
	return verdict{}
}

// parentVerdict is what weft has to say of a parent of a route.
type parentVerdict struct {
	tree               map[string]any // the reference
	served             bool           // by a Server, to whose calls a route's backends mean nothing
	accepted, resolved verdict
	good               *dialect.Object // the version that stays in force for the parent, though the newest is refused; nil: none does
}

// statusOfRoute says for each parent of weft's whether the route is attached to it. What other controllers say of theirs stays.
func statusOfRoute(o *dialect.Object, v dialect.View, found []mesh.Finding) dialect.Status {
	x, ok := readRoute(o)
	if !ok {
		return nil
	}
	var mine []parentVerdict
	for i := range x.parents {
		if p, ours := judgeParent(x, &x.parents[i], v, found); ours {
			mine = append(mine, p)
		}
	}
	return func(was map[string]any, now time.Time) map[string]any {
		before, _ := was["parents"].([]any)
		list := []any{}
		for _, p := range before {
			if m, ok := p.(map[string]any); ok && m["controllerName"] != Controller {
				list = append(list, p)
			}
		}
		if len(mine) == 0 && len(list) == len(before) {
			return was // nobody asks weft, and it has not said anything
		}
		for i := range mine {
			list = append(list, mine[i].status(o, before, now))
		}
		status := begun(was)
		status["parents"] = list
		return status
	}
}

func judgeParent(x *routeOf, ref *v1.ParentReference, v dialect.View, found []mesh.Finding) (p parentVerdict, ours bool) {
	r := newReader(x.object, v)
	if p.accepted, ours = r.accepts(x, ref); !ours {
		return p, false
	}
	r.lost, r.entering = verdict{}, isGateway(ref)
	r.resolve()
	if bad := refusal(found); bad.reason != "" {
		if i := slices.IndexFunc(found, isError); slices.Contains(r.clashes, found[i].Field) {
			bad.reason = string(v1.RouteReasonIncompatibleFilters)
		}
		p.accepted, p.good = bad, lastGood(x.object, ref, v, found)
	}
	p.tree, p.served, p.resolved = treeOf(ref), isServer(ref) || r.policy && isServer(&asLinkerd([]v1.ParentReference{*ref})[0]), r.lost
	return p, true
}

func (p *parentVerdict) status(o *dialect.Object, was []any, now time.Time) map[string]any {
	var before map[string]any
	for _, x := range was {
		if m, ok := x.(map[string]any); ok && m["controllerName"] == Controller && sameRef(m["parentRef"], p.tree) {
			before = m
		}
	}
	c := dialect.ConditionsOf(o, before["conditions"], now)
	if p.good != nil {
		c.Still(p.good, string(v1.RouteConditionAccepted), string(v1.RouteReasonAccepted), "the last good version of the route is attached")
		c.Set(string(v1.RouteConditionPartiallyInvalid), true, p.accepted.reason, "Fall Back to the last good version of the whole route: "+p.accepted.said())
	} else {
		judged(c, string(v1.RouteConditionAccepted), p.accepted, string(v1.RouteReasonAccepted), "the route is attached")
		c.Remove(string(v1.RouteConditionPartiallyInvalid)) // which "MUST only be set when it is "True""
	}
	if !p.served {
		judged(c, string(v1.RouteConditionResolvedRefs), p.resolved, string(v1.RouteReasonResolvedRefs), "all that it refers to is there")
	}
	return map[string]any{"parentRef": p.tree, "controllerName": Controller, "conditions": c.List}
}

// accepts says why a parent does not take the route; ours: it is weft's to say.
func (r *reader) accepts(x *routeOf, ref *v1.ParentReference) (why verdict, ours bool) {
	if r.policy {
		ref = &asLinkerd([]v1.ParentReference{*ref})[0]
	}
	if isGateway(ref) && !r.policy {
		a := r.outdone(x, r.enter(x, ref))
		return a.why, a.gateway != nil
	}
	service := ptr.Deref(ref.Group, group) == "" && ptr.Deref(ref.Kind, "") == "Service"
	if !service && !isServer(ref) || x.object.Kind != "HTTPRoute" && x.object.Kind != "GRPCRoute" {
		return verdict{}, false
	}
	if isServer(ref) {
		if r.serverParent("", ref) {
			return verdict{}, true
		}
		if x.object.Kind == "HTTPRoute" && r.heldByGRPC(string(ref.Name)) {
			return r.unattached(conflicted), true
		}
		return r.unattached(v1.RouteReasonNoMatchingParent), true
	}
	p, ok := r.parent("", ref)
	if !ok {
		return r.unattached(v1.RouteReasonNoMatchingParent), true
	}
	if x.object.Kind == "HTTPRoute" && len(r.yield([]parent{p})) == 0 {
		if r.policy {
			return r.unattached(conflicted), true
		}
		return r.unattached(v1.RouteReasonNoMatchingParent), true
	}
	return verdict{}, true
}

// conflicted is Linkerd's word for that another kind of route comes first (policy-controller/k8s/status).
const conflicted v1.RouteConditionReason = "RouteReasonConflicted"

// unattached is why a parent does not take the route: the last that was found of it.
func (r *reader) unattached(reason v1.RouteConditionReason) verdict {
	if len(r.Found) == 0 {
		return verdict{}
	}
	f := r.Found[len(r.Found)-1]
	return verdict{string(reason), f.Text, f.Remedy}
}

// resolve looks for all that the route's rules refer to: lost says then what is not there.
func (r *reader) resolve() {
	switch r.Object.Kind {
	case "HTTPRoute":
		var spec v1.HTTPRouteSpec
		if r.Spec(&spec) {
			for i := range spec.Rules {
				r.follow(ptr.To(r.httpRule(dialect.Index("spec.rules", i), &spec.Rules[i])))
			}
		}
	case "GRPCRoute":
		var spec v1.GRPCRouteSpec
		if r.Spec(&spec) {
			for i := range spec.Rules {
				r.follow(ptr.To(r.grpcRule(dialect.Index("spec.rules", i), &spec.Rules[i])))
			}
		}
	default:
		var spec struct {
			Rules []struct {
				BackendRefs []v1.BackendRef `json:"backendRefs"`
			} `json:"rules"`
		}
		if r.Spec(&spec) {
			var list [][]v1.BackendRef
			for _, x := range spec.Rules {
				list = append(list, x.BackendRefs)
			}
			r.rules(ofConnections(list))
		}
	}
}

// treeOf is a reference as JSON has it, with what is not written left out.
func treeOf(ref *v1.ParentReference) map[string]any {
	out := map[string]any{}
	text, err := json.Marshal(ref)
	if err == nil {
		err = json.Unmarshal(text, &out)
	}
	if err != nil {
		return nil // a reference has strings and a number
	}
	if n, ok := out["port"].(float64); ok {
		out["port"] = int64(n)
	}
	return out
}

func sameRef(a any, b map[string]any) bool {
	m, ok := a.(map[string]any)
	return ok && fmt.Sprint(m["group"], m["kind"], m["namespace"], m["name"], m["sectionName"], m["port"]) ==
		fmt.Sprint(b["group"], b["kind"], b["namespace"], b["name"], b["sectionName"], b["port"])
}
