package gatewayapi

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/weft-mesh/weft/dialect"
)

// service is what routes ask of a Service.
type service struct {
	namespace, name    string
	external, headless bool
	ports              []servicePort // over TCP
	datagrams          []servicePort // over UDP
}

type servicePort struct {
	name   string
	number uint16
}

func (s *service) String() string { return "Service " + s.namespace + "/" + s.name }

func (s *service) host() string { return dialect.Host(s.name, s.namespace) }

func has(ports []servicePort, port int32) bool {
	return slices.ContainsFunc(ports, func(p servicePort) bool { return int32(p.number) == port })
}

// over are the ports over UDP, or else over TCP.
func (s *service) over(datagrams bool) []servicePort {
	if datagrams {
		return s.datagrams
	}
	return s.ports
}

// offer names the ports that there are.
func offer(ports []servicePort) string {
	var list []string
	for _, p := range ports {
		list = append(list, strings.TrimSpace(fmt.Sprint(p.number, " ", p.name)))
	}
	if len(list) == 0 {
		return ""
	}
	return "its ports are " + strings.Join(list, ", ")
}

// service returns a Service that is in force, or nil.
func (r *reader) service(namespace, name string) *service {
	o := r.View.Get("", "Service", namespace, name)
	var spec corev1.ServiceSpec
	if o == nil || dialect.DecodeField(o, "spec", &spec) != nil {
		return nil
	}
	s := &service{namespace: namespace, name: name, external: spec.Type == corev1.ServiceTypeExternalName,
		headless: spec.ClusterIP == corev1.ClusterIPNone}
	for _, p := range spec.Ports {
		switch p.Protocol {
		case "", corev1.ProtocolTCP:
			s.ports = append(s.ports, servicePort{p.Name, uint16(p.Port)})
		case corev1.ProtocolUDP:
			s.datagrams = append(s.datagrams, servicePort{p.Name, uint16(p.Port)})
		}
	}
	return s
}

// elsewhere says where there is a Service of that name, if there is just one.
func (r *reader) elsewhere(name string) (remedy string) {
	if ns := r.Elsewhere(name); ns != "" {
		remedy = "write namespace: " + ns + ", where there is one"
	}
	return remedy
}
