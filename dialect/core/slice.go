package core

import (
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/utils/ptr"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/traffic"
)

// lowerSlice reads an EndpointSlice: which addresses stand behind a service.
func lowerSlice(o *dialect.Object, v dialect.View) (part mesh.Part, found []mesh.Finding) {
	r := newReader(o, v)
	var s discoveryv1.EndpointSlice
	if !r.Decode(&s) {
		return part, r.Found
	}
	of := o.Labels[discoveryv1.LabelServiceName]
	if of == "" {
		r.Warn("metadata.labels", "it says of no service whose endpoints these are: they have no effect", "add the label "+discoveryv1.LabelServiceName)
		return part, r.Found
	}
	if s.AddressType == discoveryv1.AddressTypeFQDN {
		r.Warn("addressType", "not supported yet: endpoints are called by address, not by name", "")
		return part, r.Found
	}
	set := mesh.EndpointSet{Ref: r.Ref, Host: dialect.Host(of, o.Namespace)}
	for i, p := range s.Ports {
		r.slicePort(dialect.Index("ports", i), p, &set)
	}
	set.Addrs = slices.Grow(set.Addrs, len(s.Endpoints)) // of most services they are all
	for i, e := range s.Endpoints {
		r.endpoint(dialect.Index("endpoints", i), s.AddressType, e, &set)
	}
	return mesh.Part{Endpoints: []mesh.EndpointSet{set}}, r.Found
}

func (r *reader) slicePort(at string, p discoveryv1.EndpointPort, set *mesh.EndpointSet) {
	over := ptr.Deref(p.Protocol, corev1.ProtocolTCP)
	if !r.isServed(at+".protocol", over) {
		return
	}
	if p.Port == nil {
		r.Warn(at+".port", "not supported yet: a port without a number has no effect", "write the number")
		return
	}
	if !r.isPort(at+".port", *p.Port) {
		return
	}
	out := mesh.Port{Number: uint16(*p.Port), Name: ptr.Deref(p.Name, "")}
	if over == corev1.ProtocolUDP {
		out.Proto = traffic.UDP
		set.Datagrams = append(set.Datagrams, out)
		return
	}
	out.Proto = r.proto(at, out.Name, p.AppProtocol)
	set.Ports = append(set.Ports, out)
}

// endpoint takes the first address: further ones have no meaning (discovery/v1 Endpoint.addresses: "No semantics are defined
// for additional addresses beyond the first"). Conditions that are not there: ready is true, serving is as ready, terminating
// is false (EndpointConditions).
func (r *reader) endpoint(at string, family discoveryv1.AddressType, e discoveryv1.Endpoint, set *mesh.EndpointSet) {
	for i, text := range e.Addresses {
		field := dialect.Index(at+".addresses", i)
		addr, err := netip.ParseAddr(text)
		switch {
		case err != nil:
			r.Refuse(field, "it is no address: "+err.Error(), "")
		case addr.Is4() != (family == discoveryv1.AddressTypeIPv4):
			r.Refuse(field, fmt.Sprintf("%s is not of the addressType %s", addr, family), "")
		case i > 0:
			r.Warn(field, "an endpoint's addresses beyond the first have no effect", "make it an endpoint of its own")
		default:
			if a, ok := r.addressOf(addr, e); ok {
				set.Addrs, set.Hints = append(set.Addrs, a), set.Hints || a.Hints != nil
			}
		}
	}
}

// addressOf is no endpoint if it ends and serves nobody any more: those that end are there for when there are no others.
func (r *reader) addressOf(addr netip.Addr, e discoveryv1.Endpoint) (out mesh.EndpointAddr, ok bool) {
	out = mesh.EndpointAddr{Addr: addr, Zone: ptr.Deref(e.Zone, ""), Ready: ptr.Deref(e.Conditions.Ready, true),
		Draining: ptr.Deref(e.Conditions.Terminating, false)}
	if out.Draining {
		if out.Ready = ptr.Deref(e.Conditions.Serving, out.Ready); !out.Ready {
			return out, false
		}
	}
	if h := e.Hints; h != nil && len(h.ForZones)+len(h.ForNodes) > 0 {
		out.Hints = &mesh.Hints{}
		for _, z := range h.ForZones {
			out.Hints.Zones = append(out.Hints.Zones, z.Name)
		}
		for _, n := range h.ForNodes {
			out.Hints.Nodes = append(out.Hints.Nodes, n.Name)
		}
	}
	if t := e.TargetRef; t != nil && t.Kind == "Pod" { // of the slice's namespace, as its selector is
		out.Workload = r.Object.Namespace + "/" + t.Name
	}
	return out, true
}

// isServed adds a finding for ports that no proxy takes calls of: between services those over UDP, which go as they do without a mesh, and
// everywhere those over anything else.
func (r *reader) isServed(field string, p corev1.Protocol) bool {
	switch p {
	case "", corev1.ProtocolTCP:
		return true
	case corev1.ProtocolUDP:
		r.Info(field, "what is sent over UDP goes through gateways (UDPRoute), and between services past the mesh", "")
		return true
	}
	r.Warn(field, fmt.Sprintf("not supported yet: calls over %s do not go through the mesh, and the port has no effect", p), "")
	return false
}

func (r *reader) isPort(field string, n int32) bool {
	if n >= 1 && n <= 65535 {
		return true
	}
	r.Refuse(field, fmt.Sprintf("%d is no port: 1 to 65535 are", n), "")
	return false
}
