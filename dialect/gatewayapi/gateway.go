package gatewayapi

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/utils/ptr"
	v1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/mesh"
)

// Controller is the name by which a GatewayClass is weft's (GatewayClassSpec.controllerName).
const Controller = "weft.dev/gateway-controller"

// NameLabel is the label of all that weft makes for a Gateway, with the Gateway's name (GEP-1762).
const NameLabel = v1.GatewayNameLabelKey

const parametersRef = "spec.infrastructure.parametersRef"

// suffix ends the names of what weft makes for a Gateway: "<NAME>-<GATEWAY CLASS>" (GEP-1762), for weft's own class.
const suffix = "-weft"

// ProxyName names what weft makes for a Gateway, in the Gateway's namespace: its Deployment, Service and ServiceAccount.
func ProxyName(gateway string) string { return dialect.Fit("", gateway, suffix) }

func gatewayKind() dialect.Kind {
	k := kind[v1.Gateway]("Gateway", "v1", "v1beta1")
	k.Lower, k.Status = lowerGateway, statusOfGateway
	k.Fields = slices.Concat([]string{"spec.gatewayClassName"}, listenerFields("spec.listeners[]"), selectorFields("spec.allowedListeners.namespaces"),
		[]string{"spec.addresses[].type", "spec.addresses[].value", "spec.infrastructure.labels{}", "spec.infrastructure.annotations{}"})
	k.Unsupported[parametersRef] = "weft's Gateways have no parameters: one that names some is not accepted"
	for _, at := range []string{"spec.tls.frontend.default", "spec.tls.frontend.perPort[].tls"} {
		k.Fields = append(k.Fields, dialect.Below(at+".validation", "mode", "caCertificateRefs[].group", "caCertificateRefs[].kind", "caCertificateRefs[].name",
			"caCertificateRefs[].namespace")...)
		k.Schema.SetEnum(at+".validation.mode", "AllowValidOnly", "AllowInsecureFallback")
		k.Schema.Require(at+".validation.caCertificateRefs", at+".validation.caCertificateRefs[].name")
	}
	k.Fields = append(k.Fields, "spec.tls.frontend.perPort[].port")
	k.Fields = append(k.Fields, dialect.Below("spec.tls.backend.clientCertificateRef", "group", "kind", "namespace", "name")...)
	k.Unsupported["spec.defaultScope"] = "routes name their Gateway"
	k.Unsupported["spec.listeners[].tls.options"] = "weft takes TLS 1.2 and 1.3, with what Go takes for secure"
	k.Schema.SetEnum("spec.listeners[].tls.mode", "Terminate", "Passthrough").SetEnum("spec.listeners[].allowedRoutes.namespaces.from", "All", "Selector", "Same").
		SetEnum("spec.allowedListeners.namespaces.from", "All", "Selector", "Same", "None")
	k.Schema.Require("spec.gatewayClassName", "spec.listeners", "spec.listeners[].name", "spec.listeners[].port", "spec.listeners[].protocol")
	return k
}

// listenerFields are those of listeners, of a Gateway and of a ListenerSet.
func listenerFields(path string) []string {
	return slices.Concat(dialect.Below(path, "name", "hostname", "port", "protocol", "tls.mode", "allowedRoutes.kinds[].group", "allowedRoutes.kinds[].kind"),
		dialect.Below(path+".tls.certificateRefs[]", "group", "kind", "namespace", "name"), selectorFields(path+".allowedRoutes.namespaces"))
}

func selectorFields(path string) []string {
	return dialect.Below(path, "from", "selector.matchLabels", "selector.matchExpressions[].key", "selector.matchExpressions[].operator",
		"selector.matchExpressions[].values")
}

// gateway is what is to be known of a Gateway of weft's: for itself, for the routes that name it, and for statuses.
type gateway struct {
	object    *dialect.Object
	spec      v1.GatewaySpec
	listeners []*listener // its own, then those of ListenerSets, in the order in which they go before each other
}

func (g *gateway) key() string { return g.object.Namespace + "/" + g.object.Name }

// gateway reads a Gateway that is in force and of weft's, without certificates; nil: there is none. absent: there is none of any
// controller's.
func (r *reader) gateway(namespace, name string) (g *gateway, absent bool) {
	if g := r.read[namespace+"/"+name]; g != nil {
		return g, false
	}
	o := r.View.Get(group, "Gateway", namespace, name)
	if o == nil {
		return nil, true
	}
	g = &gateway{object: o}
	if dialect.DecodeField(o, "spec", &g.spec) != nil || !r.class(string(g.spec.GatewayClassName)) {
		return nil, false
	}
	r.readListeners(g)
	if r.read == nil {
		r.read = map[string]*gateway{}
	}
	r.read[g.key()] = g
	return g, false
}

// class says whether a GatewayClass is there and weft's.
func (r *reader) class(name string) bool {
	o := r.View.Get(group, "GatewayClass", "", name)
	var spec v1.GatewayClassSpec
	return o != nil && dialect.DecodeField(o, "spec", &spec) == nil && spec.ControllerName == Controller && spec.ParametersRef == nil
}

func lowerGateway(o *dialect.Object, v dialect.View) (part mesh.Part, found []mesh.Finding) {
	r := newReader(o, v)
	var spec v1.GatewaySpec
	if !r.Spec(&spec) {
		return part, r.Found
	}
	r.checkListeners(spec.Listeners)
	if !r.class(string(spec.GatewayClassName)) {
		r.tellClass(string(spec.GatewayClassName))
		return part, r.Found
	}
	g := &gateway{object: o, spec: spec}
	r.readListeners(g)
	r.readCertificates(g)
	for i, a := range spec.Addresses {
		if t := ptr.Deref(a.Type, v1.IPAddressType); t != v1.IPAddressType {
			r.Warn(dialect.Index("spec.addresses", i)+".type", fmt.Sprintf("an address of the type %s cannot be asked for", t), "an IPAddress can")
		}
		if i == 1 {
			r.Warn("spec.addresses", "a load balancer can be asked for one address: the Gateway will not have the others", "leave one alone")
		}
	}
	if spec.Infrastructure != nil && spec.Infrastructure.ParametersRef != nil {
		r.Refuse(parametersRef, "the Gateway is not opened with it, since what it asks for is not known", "leave it out")
	}
	if why := validation.IsValidLabelValue(o.Name); len(why) > 0 {
		r.Refuse("metadata.name", "all that weft makes for the Gateway has the name as its label "+NameLabel+": "+why[0], "choose a shorter name")
	}
	out := mesh.Gateway{Ref: r.Ref, Name: o.Name, Namespace: o.Namespace, Account: ProxyName(o.Name), Made: madeOf(o, &spec)}
	r.tellAnnotations(out.Made.Annotations)
	out.Made.Replicas = r.replicas(out.Made.Annotations)
	if out.Cert = r.shows(g); r.insecure(g) {
		r.Warn("spec.tls.frontend", "with AllowInsecureFallback callers are let in whatever certificate they show, or without one", "write mode: AllowValidOnly, or leave it out")
	}
	for _, l := range g.listeners {
		if l.owner.Key() == o.Key() {
			l.tell(r)
		}
		if l.open() {
			out.Listeners = append(out.Listeners, l.mesh())
		}
	}
	part.Gateways = append(part.Gateways, out)
	return part, r.Found
}

// tellAnnotations says which are on the Service alone.
func (r *reader) tellAnnotations(annotations map[string]string) {
	own := []string{mesh.ServiceType, ReplicasAnnotation, CPUAnnotation}
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		if !mesh.Plain(key) && !slices.Contains(own, key) {
			r.Info(dialect.Child("spec.infrastructure.annotations", key), "it is put on the Gateway's Service, and not on its pods or other objects: it may ask there for what a Gateway's author need not be allowed", "")
		}
	}
}

// Annotations of a Gateway's infrastructure say how many proxies it has ("3", or "2-10" for as many as their load asks for), and how much of
// a processor each uses on average before there are more.
const (
	ReplicasAnnotation = "weft.dev/replicas"
	CPUAnnotation      = "weft.dev/replicas-cpu"
)

func (r *reader) replicas(annotations map[string]string) (out mesh.Replicas) {
	field := func(name string) string { return "spec.infrastructure.annotations." + name }
	if text := annotations[ReplicasAnnotation]; text != "" {
		var err error
		if out, err = mesh.ParseReplicas(text); err != nil {
			r.Warn(field(ReplicasAnnotation), err.Error(), "")
		}
	}
	if text := annotations[CPUAnnotation]; text != "" {
		if q, err := resource.ParseQuantity(text); err != nil || q.Sign() <= 0 {
			r.Warn(field(CPUAnnotation), fmt.Sprintf("%q is no part of a processor", text), "write 500m for a half of one")
		} else {
			out.CPU = text
		}
	}
	return out
}

// madeOf says what is asked of the objects that weft makes of a Gateway.
func madeOf(o *dialect.Object, spec *v1.GatewaySpec) mesh.Made {
	meta, _ := o.Tree["metadata"].(map[string]any)
	uid, _ := meta["uid"].(string)
	out := mesh.Made{Selector: map[string]string{NameLabel: o.Name}, Labels: map[string]string{}, Annotations: map[string]string{}}
	if uid != "" {
		out.Owners = []mesh.Owner{{Ref: o.Ref(decision.GatewayAPI), APIVersion: o.Group + "/" + o.Version, UID: uid}}
	}
	for _, a := range spec.Addresses {
		if ptr.Deref(a.Type, v1.IPAddressType) == v1.IPAddressType && a.Value != "" {
			out.Addresses = append(out.Addresses, a.Value)
		}
	}
	if x := spec.Infrastructure; x != nil {
		for k, v := range x.Labels {
			out.Labels[string(k)] = string(v)
		}
		for k, v := range x.Annotations {
			out.Annotations[string(k)] = string(v)
		}
	}
	return out
}

// tellClass says why a Gateway is not weft's. One of another controller's is its own affair.
func (r *reader) tellClass(name string) {
	o := r.View.Get(group, "GatewayClass", "", name)
	var spec v1.GatewayClassSpec
	switch {
	case o == nil:
		r.Warn("spec.gatewayClassName", "there is no GatewayClass "+name+": nobody opens the Gateway", "use the class weft, or write a GatewayClass with controllerName: "+Controller)
	case dialect.DecodeField(o, "spec", &spec) == nil && spec.ControllerName != Controller:
		r.Info("spec.gatewayClassName", "the GatewayClass "+name+" is of "+string(spec.ControllerName)+": the Gateway is that controller's", "")
	default:
		r.Warn("spec.gatewayClassName", "the GatewayClass "+name+" is not accepted, so that the Gateway is not opened", "")
	}
}

func gatewayClassKind() dialect.Kind {
	k := dialect.Cluster(kind[v1.GatewayClass]("GatewayClass", "v1", "v1beta1"))
	k.Lower, k.Status = lowerClass, statusOfClass
	k.Fields = []string{"spec.controllerName"}
	k.Unsupported["spec.parametersRef"] = "weft's Gateways have no parameters: those of a class that names some are not opened"
	k.Ignored["spec.description"] = "it is for people"
	k.Schema.Require("spec.controllerName")
	return k
}

func lowerClass(o *dialect.Object, v dialect.View) (part mesh.Part, found []mesh.Finding) {
	r := newReader(o, v)
	var spec v1.GatewayClassSpec
	if r.Spec(&spec) && spec.ControllerName != Controller {
		r.Info("spec.controllerName", "Gateways of this class are another controller's", "")
	}
	return part, r.Found
}

// checkListeners refuses what the API's own validation does.
func (r *reader) checkListeners(list []v1.Listener) {
	names := map[v1.SectionName]bool{}
	for i := range list {
		l, field := &list[i], dialect.Index("spec.listeners", i)
		if names[l.Name] {
			r.Refuse(field+".name", "there is a listener of this name already", "")
		}
		names[l.Name] = true
		if l.Port < 1 || l.Port > 65535 {
			r.Refuse(field+".port", "a port is from 1 to 65535", "")
		}
		r.checkTLS(field, l)
		if l.Hostname != nil {
			r.checkHost(field+".hostname", string(*l.Hostname))
		}
	}
}

func (r *reader) checkTLS(field string, l *v1.Listener) {
	mode := v1.TLSModeType("")
	if l.TLS != nil {
		mode = ptr.Deref(l.TLS.Mode, "")
	}
	switch l.Protocol {
	case v1.HTTPProtocolType, v1.TCPProtocolType, v1.UDPProtocolType:
		if l.TLS != nil {
			r.Refuse(field+".tls", "a listener for "+string(l.Protocol)+" has no tls", "write protocol: HTTPS or TLS, or leave out tls")
		}
		if l.Protocol != v1.HTTPProtocolType && ptr.Deref(l.Hostname, "") != "" {
			r.Refuse(field+".hostname", "connections of "+string(l.Protocol)+" name no host", "leave it out")
		}
	case v1.HTTPSProtocolType:
		if mode == v1.TLSModePassthrough {
			r.Refuse(field+".tls.mode", "HTTPS ends at the gateway: mode is Terminate", "write protocol: TLS to pass it through")
		}
	case v1.TLSProtocolType:
		if mode == "" {
			r.Refuse(field+".tls.mode", "a listener for TLS says whether it ends there", "write mode: Terminate or mode: Passthrough")
		}
	}
}

// clash says why two listeners that share a port cannot both be served: "a traffic flow MUST be able to be assigned to exactly one
// listener" (GatewaySpec.listeners); empty: they can.
func clash(a, b *listener) v1.ListenerConditionReason {
	switch {
	case a.spec.Port != b.spec.Port || a.entry.Datagrams() != b.entry.Datagrams() || a.refused() || b.refused():
		return ""
	case family(a.entry) != family(b.entry), a.entry == mesh.EntryTCP, a.entry.Datagrams():
		return v1.ListenerReasonProtocolConflict
	case a.host != b.host:
		return ""
	case a.spec.Protocol != b.spec.Protocol:
		return v1.ListenerReasonProtocolConflict
	}
	return v1.ListenerReasonHostnameConflict
}

// family is what the first bytes of a connection can be: those of several cannot be told apart.
func family(e mesh.Entry) int {
	switch {
	case e.TLS():
		return 1
	case e == mesh.EntryTCP:
		return 2
	}
	return 0
}

// findConflicts marks listeners that cannot be told apart. Of one object's none is served; one of a ListenerSet gives way to those that
// go before it (ListenerSetSpec.listeners), and is then in nobody's way any more.
func (g *gateway) findConflicts() {
	gone := map[*listener]bool{}
	for j, b := range g.listeners {
		gone[b] = slices.ContainsFunc(g.listeners[:j], func(a *listener) bool { return a.owner != b.owner && !gone[a] && clash(a, b) != "" })
		for _, a := range g.listeners[:j] {
			reason := clash(a, b)
			if reason == "" || gone[a] || gone[b] && a.owner == b.owner {
				continue
			}
			b.conflict = cmp.Or(b.conflict, verdict{string(reason), "port " + b.port() + " is " + a.words() + "'s too, and calls cannot be told apart", ""})
			if a.owner == b.owner {
				a.conflict = cmp.Or(a.conflict, verdict{string(reason), "port " + a.port() + " is " + b.words() + "'s too, and calls cannot be told apart", ""})
			}
		}
	}
	g.findOverlaps()
}

// findOverlaps marks the listeners that are served and of which a client may take a connection, which it began for one, for a call to the other
// (ListenerConditionOverlappingTLSConfig).
func (g *gateway) findOverlaps() {
	served := func(l *listener) bool { return l.entry.TLS() && !l.refused() && l.conflict.reason == "" }
	for j, b := range g.listeners {
		for _, a := range g.listeners[:j] {
			if served(a) && served(b) && a.spec.Port == b.spec.Port && mesh.Overlap(a.host, b.host) {
				a.overlaps, b.overlaps = cmp.Or(a.overlaps, b.words()), cmp.Or(b.overlaps, a.words())
			}
		}
	}
}
