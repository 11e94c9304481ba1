package cilium

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/weft-mesh/weft/dialect"
)

// tellTranslation says so where a rule names the port of a Service and not that of its endpoints. Policies apply "after service
// translation" in Cilium, and here.
func (r *reader) tellTranslation(field string, s *section, port uint16) {
	if r.clusterwide() {
		return
	}
	found, target := "", intstr.IntOrString{}
	for _, o := range r.View.List("", "Service", r.namespace()) {
		var spec corev1.ServiceSpec
		if dialect.DecodeField(o, "spec", &spec) != nil || !s.meansAny(spec.Selector) {
			continue
		}
		for _, p := range spec.Ports {
			switch to := p.TargetPort; {
			case to.IntValue() == int(port) || p.Port == int32(port) && (to == intstr.IntOrString{}):
				return // it is the port of some endpoints
			case p.Port == int32(port):
				found, target = o.Name, to
			}
		}
	}
	if found != "" {
		r.Warn(field, fmt.Sprintf("calls are judged by the port of the workload, and port %d of the Service %s goes to port %s there: this matches no call of it",
			port, found, target.String()), "write the port of the workload")
	}
}

// meansAny says whether any selector of the workloads that are called, in the policy's own namespace, has all labels that a Service
// asks for.
func (s *section) meansAny(service map[string]string) bool {
	if len(service) == 0 {
		return false
	}
	workloads := s.endpoints
	if !s.out {
		workloads = []labelSelector{s.subject}
	}
	return slices.ContainsFunc(workloads, func(e labelSelector) bool {
		labels := map[string]string{}
		for key, v := range e.MatchLabels {
			labels[requirementOf("", key, 0, nil).Key] = v
		}
		for key, v := range service {
			if labels[key] != v {
				return false
			}
		}
		return labels[namespaceLabel] == "" || !s.out
	})
}
