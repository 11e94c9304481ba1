package inject

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/traffic"
)

// probe is what the proxy is told of a probe that it makes in the place of the kubelet: Kubernetes' own Probe, less what the
// kubelet still does itself (how often, and how many count).
type probe struct {
	HTTPGet        *corev1.HTTPGetAction   `json:"httpGet,omitempty"`
	TCPSocket      *corev1.TCPSocketAction `json:"tcpSocket,omitempty"`
	GRPC           *corev1.GRPCAction      `json:"grpc,omitempty"`
	TimeoutSeconds int32                   `json:"timeoutSeconds,omitempty"` // 0: 1 s
}

// probing is a container and where it stands in the pod.
type probing struct {
	c    *corev1.Container
	list string // containers or initContainers
	at   int
}

// probed are the containers that may have probes.
func (p *plan) probed() (out []probing) {
	for i := range p.pod.Spec.Containers {
		out = append(out, probing{&p.pod.Spec.Containers[i], "containers", i})
	}
	for i := range p.pod.Spec.InitContainers {
		if c := &p.pod.Spec.InitContainers[i]; sidecar(c) && c.Name != proxyName {
			out = append(out, probing{c, "initContainers", i})
		}
	}
	return out
}

func sidecar(c *corev1.Container) bool {
	return c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
}

// probes has the kubelet ask the proxy where it would ask the application: its calls come from outside of the mesh, and would be
// refused where mutual TLS is required. It returns what the proxy is to ask instead, by CONTAINER/KIND.
func (p *plan) probes(s *settings) map[string]probe {
	out := map[string]probe{}
	for _, c := range p.probed() {
		for _, x := range []struct {
			kind, field string
			probe       *corev1.Probe
		}{{"liveness", "livenessProbe", c.c.LivenessProbe}, {"readiness", "readinessProbe", c.c.ReadinessProbe}, {"startup", "startupProbe", c.c.StartupProbe}} {
			field := dialect.Index("spec."+c.list, c.at) + "." + x.field
			asks, ok := p.asks(c.c, x.probe, field, s)
			if !ok {
				continue
			}
			name := c.c.Name + "/" + x.kind
			out[name] = asks
			moved := x.probe.DeepCopy()
			moved.ProbeHandler = corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/probe/" + name, Port: intstr.FromInt32(traffic.ReadyPort), Scheme: corev1.URISchemeHTTP}}
			p.replace(fmt.Sprintf("/spec/%s/%d/%s", c.list, c.at, x.field), moved)
		}
		p.lifecycle(c, s)
	}
	return out
}

// asks is what the proxy has to ask for a probe; false: the kubelet asks itself, as for those that run a program in the container.
func (p *plan) asks(c *corev1.Container, of *corev1.Probe, field string, s *settings) (probe, bool) {
	if of == nil {
		return probe{}, false
	}
	out, port := probe{TimeoutSeconds: of.TimeoutSeconds}, intstr.IntOrString{}
	switch {
	case of.HTTPGet != nil:
		out.HTTPGet, port = of.HTTPGet.DeepCopy(), of.HTTPGet.Port
	case of.TCPSocket != nil:
		out.TCPSocket, port = of.TCPSocket.DeepCopy(), of.TCPSocket.Port
	case of.GRPC != nil:
		out.GRPC, port = of.GRPC.DeepCopy(), intstr.FromInt32(of.GRPC.Port)
	default:
		return probe{}, false
	}
	if out.HTTPGet != nil && out.HTTPGet.Host != "" || out.TCPSocket != nil && out.TCPSocket.Host != "" {
		return probe{}, false // it is not the pod that is asked
	}
	number, ok := portOf(c, port)
	if !ok {
		p.warn(field, fmt.Sprintf("the container has no port %q, so the probe will fail", port.StrVal), "")
		return probe{}, false
	}
	if number == traffic.ReadyPort || s.redirect.passes(number) {
		return probe{}, false
	}
	if out.HTTPGet != nil {
		out.HTTPGet.Port = intstr.FromInt32(number)
	}
	if out.TCPSocket != nil {
		out.TCPSocket.Port = intstr.FromInt32(number)
	}
	return out, true
}

// portOf is a port's number; the proxy does not know the names of containers' ports.
func portOf(c *corev1.Container, port intstr.IntOrString) (int32, bool) {
	if port.Type == intstr.Int {
		return port.IntVal, true
	}
	for _, x := range c.Ports {
		if x.Name == port.StrVal {
			return x.ContainerPort, true
		}
	}
	return 0, false
}

// lifecycle warns of what the kubelet calls over the network and no proxy answers for.
func (p *plan) lifecycle(c probing, s *settings) {
	if c.c.Lifecycle == nil {
		return
	}
	for _, x := range []struct {
		field string
		h     *corev1.LifecycleHandler
	}{{"postStart", c.c.Lifecycle.PostStart}, {"preStop", c.c.Lifecycle.PreStop}} {
		if x.h == nil || x.h.HTTPGet == nil || x.h.HTTPGet.Host != "" {
			continue
		}
		if number, ok := portOf(c.c, x.h.HTTPGet.Port); ok && !s.redirect.passes(number) {
			p.warn(dialect.Index("spec."+c.list, c.at)+".lifecycle."+x.field+".httpGet",
				"the kubelet's call comes from outside of the mesh, and is refused where mutual TLS is required",
				fmt.Sprintf("use exec, or leave the port out of the mesh: weft.dev/exclude-inbound-ports: %q", fmt.Sprint(number)))
		}
	}
}

// probesAgain moves the probes of containers that came after the proxy: another webhook added them.
func (p *plan) probesAgain(at int) {
	env := p.pod.Spec.InitContainers[at].Env
	i := slices.IndexFunc(env, func(e corev1.EnvVar) bool { return e.Name == probesEnv })
	added := p.probes(p.settings())
	if len(added) == 0 {
		return
	}
	path := fmt.Sprintf("/spec/initContainers/%d/env", at)
	if i < 0 {
		p.add(path+"/-", corev1.EnvVar{Name: probesEnv, Value: jsonText(added)})
		return
	}
	all := map[string]probe{}
	if err := unmarshalStrict(env[i].Value, &all); err != nil {
		p.refuse(dialect.Index(dialect.Index("spec.initContainers", at)+".env", i), "it is not what injection wrote: "+err.Error(), "remove the container "+proxyName+": injection adds it")
		return
	}
	for name, x := range added {
		all[name] = x
	}
	p.replace(fmt.Sprintf("%s/%d/value", path, i), jsonText(all))
}
