package core

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"unique"

	corev1 "k8s.io/api/core/v1"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/traffic"
)

func pod(trustDomain string) dialect.Kind {
	k := kind[corev1.Pod]("Pod")
	k.Annotations = []string{dialect.Tunnel, dialect.TrustedProxies, opaquePorts, inboundPolicy, identityPorts}
	k.Lower = func(o *dialect.Object, v dialect.View) (mesh.Part, []mesh.Finding) {
		return lowerPod(trustDomain, o, v)
	}
	k.Schema.SetEnum("spec.containers[].ports[].protocol", "TCP", "UDP", "SCTP")
	k.Schema.SetEnum("status.phase", "Pending", "Running", "Succeeded", "Failed", "Unknown")
	k.Fields = []string{"spec.serviceAccountName", "spec.serviceAccount", "spec.nodeName", "spec.hostNetwork",
		"spec.containers[].ports[].name", "spec.containers[].ports[].containerPort", "spec.containers[].ports[].protocol",
		"status.podIP", "status.podIPs[].ip", "status.phase", "status.conditions[].type", "status.conditions[].status"}
	ignoreRest(&k)
	return k
}

// ignoreRest says of all other fields of a Pod that they are for those who run it.
func ignoreRest(k *dialect.Kind) {
	const why = "it is for the node that runs the pod"
	for _, at := range []string{"spec", "spec.containers[]", "spec.containers[].ports[]", "status", "status.podIPs[]", "status.conditions[]"} {
		for name := range k.Schema.At(at).Fields {
			path := at + "." + name
			if !slices.ContainsFunc(k.Fields, func(f string) bool {
				return f == path || strings.HasPrefix(f, path+".") || strings.HasPrefix(f, path+"[")
			}) {
				k.Ignored[path+".*"] = why
			}
		}
	}
}

// lowerPod reads a Pod: a running instance. One that has no address yet, or has ended, is none, nor one whose network is gone while its end, or its
// new beginning after its node's, is not yet said: the next pod may have its address by now, before anybody has heard of that one.
func lowerPod(trustDomain string, o *dialect.Object, v dialect.View) (mesh.Part, []mesh.Finding) {
	r := newReader(o, v)
	var p corev1.Pod
	if !r.Decode(&p) {
		return mesh.Part{}, r.Found
	}
	if o.Tree["status"] == nil {
		r.Info("", "it has no status, so nothing says that it runs, and where", "on one machine, start its process with weft run")
	}
	addr, also, ok := r.podIPs(&p.Status)
	ready := condition(&p.Status, corev1.PodReady) == corev1.ConditionTrue
	gone := !ready && condition(&p.Status, corev1.PodReadyToStartContainers) == corev1.ConditionFalse
	if !ok || gone || p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
		return mesh.Part{}, r.Found
	}
	w := mesh.Workload{Name: o.Name, Namespace: o.Namespace, Addr: addr, Shared: p.Spec.HostNetwork, Labels: dialect.Labels(o.Labels),
		Identity: r.account(trustDomain, o, &p.Spec), Tunnel: r.tunnel(o, &p.Spec, addr), Ready: ready, Draining: deleted(o)}
	w.Node, w.Zone = place(o, &p.Spec, v)
	x := mesh.Extra{Also: also, Trusted: r.trusted(o), Otherwise: r.otherwise()}
	r.podPorts(&p.Spec, r.opaqueOf(o, v), &w, &x)
	if len(x.Also)+len(x.Datagrams)+len(x.Trusted) > 0 || x.Otherwise != nil {
		w.Extra = &mesh.Extra{Also: x.Also, Datagrams: x.Datagrams, Trusted: x.Trusted, Otherwise: x.Otherwise}
	}
	return mesh.Part{Workloads: []mesh.Workload{w}}, r.Found
}

// podIPs are the pod's addresses, one of each family at most; ok: it has any. "If this field is specified, the 0th entry must match the podIP
// field" (core/v1 PodStatus.podIPs).
func (r *reader) podIPs(s *corev1.PodStatus) (first netip.Addr, also []netip.Addr, ok bool) {
	if s.PodIP != "" {
		first, ok = r.address("status.podIP", s.PodIP)
	}
	for i, x := range s.PodIPs {
		if x.IP == "" || x.IP == s.PodIP {
			continue
		}
		switch a, good := r.address(dialect.Index("status.podIPs", i)+".ip", x.IP); {
		case !good:
		case !ok:
			first, ok = a, true
		default:
			also = append(also, a)
		}
	}
	return first, also, ok
}

func (r *reader) address(field, text string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(text)
	if err != nil {
		r.Refuse(field, "it is no address: "+err.Error(), "")
	}
	return addr, err == nil
}

// account is the pod's identity. Its name was never checked by an API server that would have refused a bad one.
func (r *reader) account(trustDomain string, o *dialect.Object, spec *corev1.PodSpec) unique.Handle[identity.ID] {
	name, field := spec.ServiceAccountName, "spec.serviceAccountName"
	if name == "" && spec.DeprecatedServiceAccount != "" {
		name, field = spec.DeprecatedServiceAccount, "spec.serviceAccount"
	}
	if name == "" {
		name = "default" // every namespace has this account, and pods that name none run as it
	}
	id := identity.Of(trustDomain, o.Namespace, name)
	if err := id.Validate(); err != nil {
		r.Refuse(field, err.Error(), "")
	}
	return unique.Make(id)
}

// tunnel: a pod in its node's network has none. A proxy there would be the node's.
func (r *reader) tunnel(o *dialect.Object, spec *corev1.PodSpec, own netip.Addr) netip.AddrPort {
	text, ok := o.Annotations[dialect.Tunnel]
	if !ok {
		return netip.AddrPort{}
	}
	field := dialect.Child("metadata.annotations", dialect.Tunnel)
	if spec.HostNetwork {
		r.Warn(field, "a pod with hostNetwork has no network of its own that a proxy could serve: calls to it go in the clear", "remove the annotation")
		return netip.AddrPort{}
	}
	if port, short := strings.CutPrefix(text, ":"); short {
		if n, err := strconv.ParseUint(port, 10, 16); err == nil && n > 0 {
			return netip.AddrPortFrom(own, uint16(n))
		}
	}
	at, err := netip.ParseAddrPort(text)
	if err != nil {
		r.Refuse(field, fmt.Sprintf("%q is neither ADDRESS:PORT nor :PORT: %v", text, err), "")
		return at
	}
	if ofCluster(o) && at.Addr() != own {
		r.Refuse(field, fmt.Sprintf("%s is not the pod's own address, %s: whoever may write a Pod could have proxies connect to any address", at.Addr(), own), "write :"+strconv.Itoa(int(at.Port())))
	}
	return at
}

// ofCluster says whether an API server gave the object: it gives each a uid.
func ofCluster(o *dialect.Object) bool {
	meta, _ := o.Tree["metadata"].(map[string]any)
	return meta["uid"] != nil
}

func (r *reader) trusted(o *dialect.Object) (out []netip.Prefix) {
	text, ok := o.Annotations[dialect.TrustedProxies]
	if !ok {
		return nil
	}
	for s := range strings.SplitSeq(text, ",") {
		p, err := netip.ParsePrefix(strings.TrimSpace(s))
		if err != nil {
			r.Refuse(dialect.Child("metadata.annotations", dialect.TrustedProxies), fmt.Sprintf("%q is not ADDRESS/BITS: %v", s, err), "")
			continue
		}
		out = append(out, p)
	}
	return out
}

// place is the pod's node and zone. The zone is that of the pod's own label, which newer clusters copy there, else of its node's. The name is
// the node's own, where it is known: a hundred pods say it, and one string is kept.
func place(o *dialect.Object, spec *corev1.PodSpec, v dialect.View) (node, zone string) {
	node, zone = spec.NodeName, o.Labels[corev1.LabelTopologyZone]
	if node == "" || zone != "" {
		return node, zone
	}
	if n := v.Get("", "Node", "", node); n != nil {
		return n.Name, n.Labels[corev1.LabelTopologyZone]
	}
	return node, ""
}

// condition is what is said of one; empty: nothing.
func condition(s *corev1.PodStatus, kind corev1.PodConditionType) corev1.ConditionStatus {
	for _, c := range s.Conditions {
		if c.Type == kind {
			return c.Status
		}
	}
	return ""
}

func deleted(o *dialect.Object) bool {
	meta, _ := o.Tree["metadata"].(map[string]any)
	return meta["deletionTimestamp"] != nil
}

func (r *reader) podPorts(spec *corev1.PodSpec, opaque opaque, w *mesh.Workload, x *mesh.Extra) {
	for i, c := range spec.Containers {
		for j, p := range c.Ports {
			at := dialect.Index(dialect.Index("spec.containers", i)+".ports", j)
			if !r.isPort(at+".containerPort", p.ContainerPort) || !r.isServed(at+".protocol", p.Protocol) {
				continue
			}
			if p.Protocol == corev1.ProtocolUDP {
				if p.Name != "" {
					x.Datagrams = append(x.Datagrams, mesh.WorkloadPort{Name: p.Name, Number: uint16(p.ContainerPort), Proto: traffic.UDP})
				}
				continue
			}
			out := mesh.WorkloadPort{Name: p.Name, Number: uint16(p.ContainerPort), Proto: protoOfName(p.Name)}
			if opaque.has(out.Name, out.Number) {
				out.Proto = traffic.TCP
			}
			w.Ports = append(w.Ports, out)
		}
	}
	for _, n := range opaque.numbers {
		if n.First == n.Last && !declared(w, n.First) {
			w.Ports = append(w.Ports, mesh.WorkloadPort{Number: n.First, Proto: traffic.TCP})
		}
	}
	if last := lastPorts.Load(); last != nil && slices.Equal(*last, w.Ports) {
		w.Ports = *last
	} else if ports := w.Ports; len(ports) > 0 {
		lastPorts.Store(&ports)
	}
}

// lastPorts are those of the pod that was read last: pods of a deployment, which come one after the other, have the same list, as of labels.
var lastPorts atomic.Pointer[[]mesh.WorkloadPort]

func declared(w *mesh.Workload, number uint16) bool {
	for i := range w.Ports {
		if w.Ports[i].Number == number {
			return true
		}
	}
	return false
}
