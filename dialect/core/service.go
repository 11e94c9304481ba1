package core

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/utils/ptr"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/feature/balance"
	"github.com/weft-mesh/weft/feature/route"
	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/traffic"
)

func service() dialect.Kind {
	k := kind[corev1.Service]("Service")
	k.Lower, k.CheckName = lowerService, validation.IsDNS1123Label
	k.Schema.Require("spec.ports[].port").SetEnum("spec.type", "ClusterIP", "NodePort", "LoadBalancer", "ExternalName")
	k.Schema.SetEnum("spec.ports[].protocol", "TCP", "UDP", "SCTP").SetEnum("spec.internalTrafficPolicy", "Cluster", "Local").
		SetEnum("spec.sessionAffinity", "None", "ClientIP")
	k.Annotations = slices.Concat([]string{opaquePorts}, dialect.CallNotes(true, true), dialect.AccrualNotes())
	k.Fields = []string{"spec.clusterIP", "spec.clusterIPs", "spec.type", "spec.selector", "spec.ports[].name", "spec.ports[].port",
		"spec.ports[].targetPort", "spec.ports[].protocol", "spec.ports[].appProtocol", "spec.publishNotReadyAddresses", "spec.externalName",
		"spec.internalTrafficPolicy", "spec.sessionAffinity"}
	k.Ignored["status.*"] = "it is what a controller says"
	k.Kept = []string{"status.loadBalancer.ingress[].ip", "status.loadBalancer.ingress[].hostname"} // for the status of a Gateway that it is made of
	for _, field := range []string{"spec.ipFamilies", "spec.ipFamilyPolicy", "spec.allocateLoadBalancerNodePorts",
		"spec.healthCheckNodePort", "spec.loadBalancerClass"} {
		k.Ignored[field] = "it is for the cluster that gives the service its addresses"
	}
	k.Ignored["spec.trafficDistribution"] = "the cluster gives hints to the service's endpoints by it, and these count"
	for _, field := range []string{"spec.ports[].nodePort", "spec.externalIPs", "spec.externalTrafficPolicy", "spec.loadBalancerIP",
		"spec.loadBalancerSourceRanges"} {
		k.Unsupported[field] = "weft opens no way into the mesh from outside because of it"
	}
	k.Ignored["spec.sessionAffinityConfig.*"] = "a caller keeps its endpoint by a hash of its address, as long as it calls and the endpoint is there: no time bounds that"
	return k
}

// lowerService reads a Service: a name with ports, and which workloads stand behind it.
func lowerService(o *dialect.Object, v dialect.View) (mesh.Part, []mesh.Finding) {
	r := newReader(o, v)
	var s corev1.Service
	if !r.Decode(&s) {
		return mesh.Part{}, r.Found
	}
	if s.Spec.Type == corev1.ServiceTypeExternalName {
		r.external(s.Spec.ExternalName)
		return mesh.Part{}, r.Found
	}
	out := mesh.Service{Ref: r.Ref, Host: dialect.Host(o.Name, o.Namespace), Name: o.Name, Namespace: o.Namespace, Created: o.Created,
		Unready: s.Spec.PublishNotReadyAddresses, Local: ptr.Deref(s.Spec.InternalTrafficPolicy, "") == corev1.ServiceInternalTrafficPolicyLocal}
	r.addresses(&s.Spec, &out)
	if len(s.Spec.Selector) > 0 { // an empty one selects nothing (core/v1 ServiceSpec.selector)
		out.Selector = &match.Selector{Labels: dialect.Labels(s.Spec.Selector)}
	}
	r.ports(s.Spec.Ports, r.opaqueOf(o, v), &out)
	part := mesh.Part{Services: []mesh.Service{out}}
	var policy mesh.Outbound
	if s.Spec.SessionAffinity == corev1.ServiceAffinityClientIP {
		policy.Balance = &balance.Policy{Ref: r.Rule("spec.sessionAffinity"), Algorithm: balance.RingHash, Hash: balance.Hash{SourceIP: true}}
	}
	if len(o.Annotations) > 0 { // most have none
		r.called(&out, &part, &policy)
	}
	if policy != (mesh.Outbound{}) { // where no DestinationRule says it
		part.Backends = []mesh.BackendPolicy{{Ref: r.Ref, Created: out.Created, Host: out.Host, Layer: mesh.LayerAnnotation, Policy: policy}}
	}
	return part, r.Found
}

// called reads what annotations of Linkerd's say of all calls to a service: of requests where no route says it (convert_outbound_route in
// policy-controller/grpc/src/outbound), and of endpoints.
func (r *reader) called(s *mesh.Service, part *mesh.Part, policy *mesh.Outbound) {
	if c := r.Calls(true, true, r.Warn); c != (dialect.Calls{}) {
		rule := mesh.Rule{Rule: route.Rule{Ref: r.Ref}, Timeout: c.Timeout, Attempt: c.Attempt, Retry: c.Retry}
		part.Profiles = []mesh.Profile{{Ref: r.Ref, Created: s.Created, Host: s.Host, Layer: mesh.LayerAnnotation, Rules: []mesh.Rule{rule}}}
	}
	policy.Outlier = r.Accrual()
}

// external says what a name for something else is: the cluster's DNS leads calls there, and what is there decides about them. A name that
// is an address stands for nothing (core/v1 ServiceSpec.externalName).
func (r *reader) external(name string) {
	const field = "spec.externalName"
	_, isAddr := netip.ParseAddr(name)
	host := strings.TrimSuffix(name, ".")
	_, _, ours := dialect.ServiceOf(host)
	switch {
	case name == "":
		r.Refuse(field, "required", "")
	case isAddr == nil:
		r.Warn(field, fmt.Sprintf("%s is an address, and DNS takes it for a name, which nobody has", name), "write a Service without a selector, and an EndpointSlice")
	case ours:
		r.Info(field, fmt.Sprintf("the cluster's DNS has it as another name of %s: calls to it are calls to that, under that one's rules; rules for this name have no effect", host), "")
	default:
		r.Warn(field, "not supported yet: the service is not in the mesh; in a cluster, whose DNS knows the name, calls go to what is outside under it", "")
	}
}

func (r *reader) addresses(spec *corev1.ServiceSpec, out *mesh.Service) {
	list, field := spec.ClusterIPs, func(i int) string { return dialect.Index("spec.clusterIPs", i) }
	if len(list) == 0 && spec.ClusterIP != "" {
		list, field = []string{spec.ClusterIP}, func(int) string { return "spec.clusterIP" }
	} else if len(list) > 0 && spec.ClusterIP != "" && list[0] != spec.ClusterIP {
		r.Refuse("spec.clusterIPs[0]", fmt.Sprintf("%q is not the clusterIP, %q", list[0], spec.ClusterIP), "make them the same")
	}
	for i, text := range list {
		if text == corev1.ClusterIPNone {
			out.Headless = true
			continue
		}
		addr, err := netip.ParseAddr(text)
		if err != nil {
			r.Refuse(field(i), "it is neither an address nor None: "+err.Error(), "")
			continue
		}
		out.IPs = append(out.IPs, addr)
	}
}

func (r *reader) ports(list []corev1.ServicePort, opaque opaque, out *mesh.Service) {
	type number struct {
		port      int32
		datagrams bool
	}
	names, numbers := map[string]bool{}, map[number]bool{}
	for i, p := range list {
		at := dialect.Index("spec.ports", i)
		if !r.isPort(at+".port", p.Port) || !r.isServed(at+".protocol", p.Protocol) {
			continue
		}
		n := number{p.Port, p.Protocol == corev1.ProtocolUDP}
		switch {
		case p.Name == "" && len(list) > 1:
			r.Refuse(at+".name", "required where there are several ports", "")
		case names[p.Name]:
			r.Refuse(at+".name", fmt.Sprintf("another port is called %q already", p.Name), "")
		case numbers[n]:
			r.Refuse(at+".port", fmt.Sprintf("there is a port %d already", p.Port), "")
		}
		names[p.Name], numbers[n] = true, true
		if port := r.port(at, p, opaque); n.datagrams {
			port.Proto = traffic.UDP
			out.Datagrams = append(out.Datagrams, port)
		} else {
			out.Ports = append(out.Ports, port)
		}
	}
}

func (r *reader) port(at string, p corev1.ServicePort, opaque opaque) mesh.Port {
	out := mesh.Port{Name: p.Name, Number: uint16(p.Port), Target: uint16(p.Port)}
	if p.Protocol != corev1.ProtocolUDP {
		out.Proto = r.proto(at, p.Name, p.AppProtocol)
	}
	switch t := p.TargetPort; {
	case t.Type == intstr.String && t.StrVal != "":
		out.Target, out.TargetName = 0, t.StrVal
		if why := validation.IsValidPortName(t.StrVal); len(why) > 0 {
			r.Refuse(at+".targetPort", fmt.Sprintf("%q is no port's name: %s", t.StrVal, why[0]), "")
		}
	case t.Type == intstr.Int && t.IntVal != 0:
		if r.isPort(at+".targetPort", t.IntVal) {
			out.Target = uint16(t.IntVal)
		}
	}
	if opaque.has(p.Name, out.Number) {
		out.Proto = traffic.TCP
	}
	return out
}
