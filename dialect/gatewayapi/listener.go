package gatewayapi

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/utils/ptr"
	v1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/mesh"
)

// verdict is why something is not as its author wants it, in one of the API's reasons and in words. Zero: it is.
type verdict struct{ reason, text, remedy string }

// listener is one of a Gateway's, or of a ListenerSet's.
type listener struct {
	owner *dialect.Object
	ref   decision.Ref
	field string // of the owner
	spec  v1.Listener
	entry mesh.Entry
	host  string              // in lower case; empty: all
	kinds []v1.RouteGroupKind // of routes that it takes
	certs []mesh.Certificate  // filled by readCertificates, as is
	asks  *mesh.Callers       // what is asked of callers; nil: nothing

	accepted, resolved, conflict verdict

	overlaps string // another of its port that begins with TLS too, for some of the same hosts, in words; empty: none does
}

// refused says whether there is nothing to open, whatever the other listeners are.
func (l *listener) refused() bool { return l.accepted.reason != "" }

// open says whether the listener is served.
func (l *listener) open() bool {
	return !l.refused() && l.conflict.reason == "" && (!l.entry.Ends() || len(l.certs) > 0)
}

func (l *listener) port() string { return strconv.Itoa(int(l.spec.Port)) }

func (l *listener) words() string {
	return "the listener " + string(l.spec.Name) + " of " + l.owner.Kind + " " + l.owner.Name
}

// id names it among those of its gateway.
func (l *listener) id() string {
	if l.owner.Kind == "Gateway" {
		return string(l.spec.Name)
	}
	return l.owner.Namespace + "/" + l.owner.Name + "/" + string(l.spec.Name)
}

func (l *listener) mesh() mesh.Listener {
	return mesh.Listener{Ref: l.ref, Name: l.id(), Port: uint16(l.spec.Port), Entry: l.entry, Host: l.host, Certs: l.certs, Callers: l.asks}
}

// tell says what is wrong with it. A listener that is not opened is a warning of the Gateway: the others are.
func (l *listener) tell(r *reader) {
	for _, v := range []verdict{l.accepted, l.conflict, l.resolved} {
		if v.reason != "" {
			r.Warn(l.field, v.text, v.remedy)
		}
	}
}

// readListeners reads the listeners of a Gateway, and of the ListenerSets that it allows, without certificates.
func (r *reader) readListeners(g *gateway) {
	for i := range g.spec.Listeners {
		g.listeners = append(g.listeners, r.listener(g, g.object, dialect.Index("spec.listeners", i), g.spec.Listeners[i]))
	}
	for _, s := range r.sets(g) {
		for i, e := range s.spec.Listeners {
			g.listeners = append(g.listeners, r.listener(g, s.object, dialect.Index("spec.listeners", i), v1.Listener(e)))
		}
	}
	g.findConflicts()
}

func (r *reader) listener(g *gateway, owner *dialect.Object, field string, spec v1.Listener) *listener {
	l := &listener{owner: owner, ref: owner.Ref(decision.GatewayAPI).At(strings.TrimPrefix(field, "spec.")), field: field, spec: spec,
		host: strings.ToLower(string(ptr.Deref(spec.Hostname, "")))}
	kinds := l.protocol()
	switch {
	case l.refused():
	case mesh.OwnPort(uint16(l.spec.Port)) && !l.entry.Datagrams(): // who may add a listener would keep the whole Gateway's proxies from being ready
		l.accepted = verdict{string(v1.ListenerReasonPortUnavailable), "port " + l.port() + " is one that each proxy needs for itself: the listener is not opened", "choose another one"}
	}
	l.allowKinds(kinds)
	return l
}

// protocol says what is taken, and routes of which kinds; none: the protocol is not weft's.
func (l *listener) protocol() (kinds []v1.Kind) {
	passes := l.spec.TLS != nil && ptr.Deref(l.spec.TLS.Mode, v1.TLSModeTerminate) == v1.TLSModePassthrough
	switch l.spec.Protocol {
	case v1.HTTPProtocolType:
		l.entry, kinds = mesh.EntryHTTP, []v1.Kind{"HTTPRoute", "GRPCRoute"}
	case v1.HTTPSProtocolType:
		l.entry, kinds = mesh.EntryHTTPS, []v1.Kind{"HTTPRoute", "GRPCRoute"}
	case v1.TLSProtocolType:
		if l.entry, kinds = mesh.EntryTLS, []v1.Kind{"TLSRoute"}; passes {
			l.entry = mesh.EntryPassthrough
		}
	case v1.TCPProtocolType:
		l.entry, kinds = mesh.EntryTCP, []v1.Kind{"TCPRoute"}
	case v1.UDPProtocolType:
		l.entry, kinds = mesh.EntryUDP, []v1.Kind{"UDPRoute"}
	default:
		l.accepted = verdict{string(v1.ListenerReasonUnsupportedProtocol), fmt.Sprintf("the protocol %s is not supported: the listener is not opened", l.spec.Protocol),
			"HTTP, HTTPS, TLS, TCP and UDP are"}
	}
	return kinds
}

// allowKinds keeps of the protocol's kinds those that are asked for, and says which of those asked for are none of the protocol's.
func (l *listener) allowKinds(kinds []v1.Kind) {
	asked := []v1.RouteGroupKind(nil)
	if l.spec.AllowedRoutes != nil {
		asked = l.spec.AllowedRoutes.Kinds
	}
	own := v1.Group(group)
	for _, k := range kinds {
		if len(asked) == 0 || slices.ContainsFunc(asked, is(k)) {
			l.kinds = append(l.kinds, v1.RouteGroupKind{Group: &own, Kind: k})
		}
	}
	for _, a := range asked {
		if !l.refused() && (ptr.Deref(a.Group, own) != own || !slices.Contains(kinds, a.Kind)) {
			l.resolved = verdict{string(v1.ListenerReasonInvalidRouteKinds), fmt.Sprintf("a listener for %s has no routes of the kind %s of %s", l.spec.Protocol, a.Kind, ptr.Deref(a.Group, own)), ""}
		}
	}
}

func is(k v1.Kind) func(v1.RouteGroupKind) bool {
	return func(a v1.RouteGroupKind) bool { return ptr.Deref(a.Group, group) == group && a.Kind == k }
}

// takes says whether routes of a kind and a namespace may be attached.
func (l *listener) takes(r *reader, kind v1.Kind, namespace string) bool {
	from, selector := v1.NamespacesFromSame, (*metav1.LabelSelector)(nil)
	if a := l.spec.AllowedRoutes; a != nil && a.Namespaces != nil {
		from, selector = ptr.Deref(a.Namespaces.From, from), a.Namespaces.Selector
	}
	return slices.ContainsFunc(l.kinds, is(kind)) && r.fromNamespace(from, selector, l.owner.Namespace, namespace)
}

// fromNamespace says whether a namespace is one of those meant.
func (r *reader) fromNamespace(from v1.FromNamespaces, selector *metav1.LabelSelector, own, namespace string) bool {
	switch from {
	case v1.NamespacesFromAll:
		return true
	case v1.NamespacesFromSame:
		return own == namespace
	case v1.NamespacesFromSelector:
		s, err := metav1.LabelSelectorAsSelector(selector) // of a nil one: nothing
		return err == nil && s.Matches(r.namespaceLabels(namespace))
	}
	return false
}

func (r *reader) namespaceLabels(name string) labels.Set {
	out := labels.Set{}
	if o := r.View.Get("", "Namespace", "", name); o != nil {
		for k, v := range o.Labels {
			out[k] = v
		}
	}
	out["kubernetes.io/metadata.name"] = name // which the API server gives every namespace
	return out
}

// inCommon returns the hosts that a listener and a route have in common; none: there are none (HTTPRouteSpec.hostnames).
func inCommon(listener string, route []v1.Hostname) (out []string) {
	if len(route) == 0 {
		return []string{listener}
	}
	for _, h := range route {
		host := strings.ToLower(string(h))
		switch {
		case listener == "", listener == host, mesh.Within(host, listener):
		case mesh.Within(listener, host):
			host = listener
		default:
			continue
		}
		if !slices.Contains(out, host) {
			out = append(out, host)
		}
	}
	return out
}

// checkHost refuses what is neither a name nor "*." and a name: "IPs are not allowed".
func (r *reader) checkHost(field, host string) {
	name := strings.TrimPrefix(host, "*.")
	if why := validation.IsDNS1123Subdomain(strings.ToLower(name)); len(why) > 0 {
		r.Refuse(field, fmt.Sprintf("%q: %s", host, strings.Join(why, "; ")), "write a name, or *. and a name")
	} else if net.ParseIP(name) != nil {
		r.Refuse(field, fmt.Sprintf("%s is an address, and a name is expected here", host), "")
	}
}

// set is a ListenerSet.
type set struct {
	object *dialect.Object
	spec   v1.ListenerSetSpec
}

// sets returns the ListenerSets that a Gateway allows, those first that go before the others.
func (r *reader) sets(g *gateway) (out []set) {
	from, selector := allowedSets(&g.spec)
	if from == v1.NamespacesFromNone {
		return nil
	}
	for _, o := range r.View.Find(byParent["ListenerSet"], referred(group, "Gateway", g.object.Namespace, g.object.Name)) { // the oldest first, then by namespace and name
		s := set{object: o}
		if dialect.DecodeField(o, "spec", &s.spec) == nil && r.fromNamespace(from, selector, g.object.Namespace, o.Namespace) {
			out = append(out, s)
		}
	}
	return out
}

func allowedSets(spec *v1.GatewaySpec) (v1.FromNamespaces, *metav1.LabelSelector) {
	if a := spec.AllowedListeners; a != nil && a.Namespaces != nil {
		return ptr.Deref(a.Namespaces.From, v1.NamespacesFromNone), a.Namespaces.Selector
	}
	return v1.NamespacesFromNone, nil
}
