package inject

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/weft-mesh/weft/dialect"
)

// conflicts refuses what in a pod would make it fail, or pass by its proxy, once it has one.
func (p *plan) conflicts() {
	spec := &p.pod.Spec
	for i := range spec.InitContainers {
		p.container(&spec.InitContainers[i], dialect.Index("spec.initContainers", i))
	}
	for i := range spec.Containers {
		p.container(&spec.Containers[i], dialect.Index("spec.containers", i))
	}
	for i, v := range spec.Volumes {
		if slices.Contains(volumeNames, v.Name) {
			p.refuse(dialect.Index("spec.volumes", i)+".name", v.Name+" is the name of a volume of the proxy", "give it another name")
		}
	}
	if s := spec.SecurityContext; s != nil && s.RunAsUser != nil && *s.RunAsUser == proxyUID {
		p.refuseUser("spec.securityContext.runAsUser")
	}
	if c := spec.DNSPolicy; c == corev1.DNSDefault || c == corev1.DNSNone {
		p.warn("spec.dnsPolicy", fmt.Sprintf("with %s the proxy may not find the control plane, %s, whose name the cluster's DNS alone knows", c, p.o.Control),
			"leave dnsPolicy out, or name the cluster's DNS and search domain in dnsConfig")
	}
	p.ambient()
	p.podSecurity()
	p.quality()
}

// ambient refuses a pod whose calls Istio's proxy of the node takes: its CNI plugin leaves out only pods with a sidecar of Istio's own.
func (p *plan) ambient() {
	const key, mode = "istio.io/dataplane-mode", "ambient"
	const text, remedy = "%s=%s has Istio's proxy of the node take the pod's calls, and two proxies cannot both have them", "remove the label, or give the pod the label " + key + ": none"
	if own, ok := p.pod.Labels[key]; ok && own == mode {
		p.refuse(dialect.Child("metadata.labels", key), fmt.Sprintf(text, key, mode), remedy)
	} else if !ok && p.namespace.Labels[key] == mode {
		p.refuse("", fmt.Sprintf("the namespace's label "+text, key, mode), remedy)
	}
}

func (p *plan) container(c *corev1.Container, field string) {
	if of := sidecars[c.Name]; of != "" {
		p.refuse(field, fmt.Sprintf("%s is of %s's proxy, and two proxies cannot both have the pod's calls", c.Name, title(of)),
			fmt.Sprintf("end %s's injection of it, or say %s: %s", title(of), Label, disabled))
	}
	if c.Name == proxyName || c.Name == redirectName {
		p.refuse(field+".name", c.Name+" is the name of the proxy's own container", "give it another name; or remove it, and injection adds it as it is to be")
	}
	if s := c.SecurityContext; s != nil && s.RunAsUser != nil && *s.RunAsUser == proxyUID {
		p.refuseUser(field + ".securityContext.runAsUser")
	}
	for i, port := range c.Ports {
		if slices.Contains(proxyPorts, port.ContainerPort) && port.Protocol != corev1.ProtocolUDP && port.Protocol != corev1.ProtocolSCTP {
			p.refuse(dialect.Index(field+".ports", i)+".containerPort", fmt.Sprintf("the proxy listens on port %d", port.ContainerPort), "have the application listen on another")
		}
	}
}

func (p *plan) refuseUser(field string) {
	p.refuse(field, fmt.Sprintf("user %d is the proxy's: what the application calls would pass by the proxy, in plaintext", proxyUID), "run it as another user")
}

// podSecurity foresees that the API server refuses the pod: no level but privileged lets a container change its network.
func (p *plan) podSecurity() {
	const key = "pod-security.kubernetes.io/enforce"
	if level := p.namespace.Labels[key]; !p.o.CNI && (level == "baseline" || level == "restricted") {
		p.refuse("", fmt.Sprintf("the namespace's label %s=%s forbids the container %s, which has NET_ADMIN to redirect the pod's calls", key, level, redirectName),
			"have weft's CNI plugin redirect in its place: weft upgrade --set inject.cni=true")
	}
}

// quality says when a pod of the class Guaranteed leaves that class.
func (p *plan) quality() {
	if s := p.o.Resources; guaranteed(&s) || !slices.ContainsFunc(p.pod.Spec.Containers, func(c corev1.Container) bool { return guaranteed(&c.Resources) }) {
		return
	}
	for _, c := range slices.Concat(p.pod.Spec.Containers, p.pod.Spec.InitContainers) {
		if !guaranteed(&c.Resources) {
			return
		}
	}
	if p.named("cpu-limit") && p.named("memory-limit") {
		return
	}
	p.info("", "its quality of service is no more Guaranteed: the proxy's requests are below its limits",
		"where that matters, set weft.dev/cpu-request and weft.dev/cpu-limit to one value, and weft.dev/memory-request and weft.dev/memory-limit")
}

// named says whether the pod has weft's annotation of that name.
func (p *plan) named(name string) bool { _, ok := p.pod.Annotations["weft.dev/"+name]; return ok }

// guaranteed says whether a container asks for all that it may use.
func guaranteed(r *corev1.ResourceRequirements) bool {
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		bound, ok := r.Limits[name]
		ask, asked := r.Requests[name]
		if !ok || asked && ask.Cmp(bound) != 0 {
			return false
		}
	}
	return true
}
