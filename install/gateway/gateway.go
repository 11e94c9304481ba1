// Package gateway makes of a gateway's object the objects by which its proxies run in a cluster: a Deployment, the Service that leads to
// them, the ServiceAccount whose identity they have, a PodDisruptionBudget, and, if their number is to follow their load, a
// HorizontalPodAutoscaler. It is a function of values: whoever leads applies what it returns. The objects
// are owned by the gateway's, and go with it.
package gateway

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/inject"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/traffic"
)

// Options are the mesh's own part. Zero fields take the value in brackets.
type Options struct {
	Inject      inject.Options // how proxies run; required
	ServiceType string         // of Kubernetes [LoadBalancer]
	Replicas    mesh.Replicas  // of gateways that do not say it themselves [as many as somebody else sets, one at first]
}

// Kind is one of the kinds of the objects that a gateway may have.
type Kind = schema.GroupKind

// Kinds are those of the objects that a gateway may have, in the order in which they are taken away.
var Kinds = []Kind{{Group: "autoscaling", Kind: "HorizontalPodAutoscaler"}, {Group: "policy", Kind: "PodDisruptionBudget"}, {Group: "apps", Kind: "Deployment"},
	{Kind: "Service"}, {Kind: "ServiceAccount"}}

// KindOf is that of an object's tree.
func KindOf(o map[string]any) Kind {
	version, _ := o["apiVersion"].(string)
	kind, _ := o["kind"].(string)
	return schema.FromAPIVersionAndKind(version, kind).GroupKind()
}

// What marks the objects as weft's, beside the owner that they have.
const (
	ManagedLabel = "app.kubernetes.io/managed-by"
	Manager      = "weft"
)

// Objects returns the objects of a gateway, in the order in which they are to be applied. One that has no open listener has no Service,
// since a Service has a port at least.
func Objects(g *mesh.Gateway, o Options) ([]map[string]any, error) {
	m := maker{g, o}
	list := []any{m.account()}
	if len(g.Listeners) > 0 {
		list = append(list, m.service())
	}
	list = append(list, m.deployment(), m.budget())
	if x := m.autoscaler(); x != nil {
		list = append(list, x)
	}
	var out []map[string]any
	for _, x := range list {
		tree, err := treeOf(x)
		if err != nil {
			return nil, fmt.Errorf("the objects of %v: %w", &g.Ref, err)
		}
		out = append(out, tree)
	}
	return out, nil
}

type maker struct {
	g *mesh.Gateway
	o Options
}

// meta is what all objects have.
func (m *maker) meta() metav1.ObjectMeta {
	out := metav1.ObjectMeta{Name: m.g.Account, Namespace: m.g.Namespace, Labels: m.labels(), Annotations: m.plain()}
	for i, x := range m.g.Made.Owners { // one alone may be the controller, which the others are no less
		out.OwnerReferences = append(out.OwnerReferences, metav1.OwnerReference{APIVersion: x.APIVersion, Kind: x.Ref.Kind, Name: x.Ref.Name,
			UID: types.UID(x.UID), Controller: ptr.To(i == 0)})
	}
	return out
}

// plain are the annotations that all objects have.
func (m *maker) plain() map[string]string {
	out := maps.Clone(m.g.Made.Annotations)
	maps.DeleteFunc(out, func(key, _ string) bool { return !mesh.Plain(key) })
	return out
}

func (m *maker) labels() map[string]string {
	out := maps.Clone(m.g.Made.Labels)
	if out == nil {
		out = map[string]string{}
	}
	maps.Copy(out, m.marks())
	return out
}

// marks are the labels by which weft's objects are known, whatever others are asked for.
func (m *maker) marks() map[string]string {
	out := m.selector()
	if out == nil {
		out = map[string]string{}
	}
	out[ManagedLabel], out["app.kubernetes.io/part-of"] = Manager, "weft"
	return out
}

// podLabels are those of the pods that are weft's own to say.
func (m *maker) podLabels() map[string]string {
	out := m.marks()
	out[inject.Label] = "disabled" // it is a proxy
	return out
}

func (m *maker) selector() map[string]string { return maps.Clone(m.g.Made.Selector) }

func (m *maker) account() *corev1.ServiceAccount {
	return &corev1.ServiceAccount{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceAccount"}, ObjectMeta: m.meta()}
}

func (m *maker) service() *corev1.Service {
	s := &corev1.Service{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Service"}, ObjectMeta: m.meta(),
		Spec: corev1.ServiceSpec{Type: m.serviceType(), Selector: m.selector(), IPFamilyPolicy: ptr.To(corev1.IPFamilyPolicyPreferDualStack), LoadBalancerIP: m.address()}}
	s.Annotations = maps.Clone(m.g.Made.Annotations)
	for _, port := range m.ports(false) {
		s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{Name: portName(port), Port: port, TargetPort: intstr.FromInt32(port), Protocol: corev1.ProtocolTCP,
			AppProtocol: ptr.To("tcp")}) // who calls a gateway from inside of the mesh is not judged by rules of its Service
	}
	for _, port := range m.ports(true) {
		s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{Name: "udp-" + strconv.Itoa(int(port)), Port: port, TargetPort: intstr.FromInt32(port), Protocol: corev1.ProtocolUDP})
	}
	for _, f := range m.g.Made.Ports {
		s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{Name: portName(int32(f.Port)), Port: int32(f.Port), TargetPort: intstr.FromInt32(int32(f.Listener)),
			Protocol: corev1.ProtocolTCP, AppProtocol: ptr.To("tcp")})
	}
	return s
}

// address is the one to ask a load balancer for. It is not put into externalIPs, where every node would lead all that is for it to the
// gateway, whosever address it is (CVE-2020-8554).
func (m *maker) address() string {
	if m.serviceType() != corev1.ServiceTypeLoadBalancer || len(m.g.Made.Addresses) == 0 {
		return ""
	}
	return m.g.Made.Addresses[0]
}

func portName(port int32) string { return "port-" + strconv.Itoa(int(port)) }

func (m *maker) serviceType() corev1.ServiceType {
	switch t := corev1.ServiceType(m.g.Made.Annotations[mesh.ServiceType]); {
	case t == corev1.ServiceTypeClusterIP, t == corev1.ServiceTypeNodePort, t == corev1.ServiceTypeLoadBalancer:
		return t
	case m.o.ServiceType != "":
		return corev1.ServiceType(m.o.ServiceType)
	}
	return corev1.ServiceTypeLoadBalancer
}

// ports are those of TCP, or of UDP.
func (m *maker) ports(datagrams bool) (out []int32) {
	for i := range m.g.Listeners {
		if p := int32(m.g.Listeners[i].Port); m.g.Listeners[i].Entry.Datagrams() == datagrams && !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	slices.Sort(out)
	return out
}

// drain is how long a pod that ends serves on: until load balancers and nodes know, and calls under way have ended.
const drain = 20

func (m *maker) deployment() *appsv1.Deployment {
	d := &appsv1.Deployment{TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"}, ObjectMeta: m.meta()}
	d.Spec = appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: m.selector()},
		Strategy: appsv1.DeploymentStrategy{Type: appsv1.RollingUpdateDeploymentStrategyType,
			RollingUpdate: &appsv1.RollingUpdateDeployment{MaxUnavailable: ptr.To(intstr.FromInt32(0)), MaxSurge: ptr.To(intstr.FromInt32(1))}},
		Template: m.pod()}
	if r := m.replicas(); r.Min > 0 && r.Max == r.Min { // else it is an autoscaler's, or a person's
		d.Spec.Replicas = ptr.To(int32(r.Min))
	}
	return d
}

func (m *maker) replicas() mesh.Replicas {
	r := m.g.Made.Replicas
	if r.Min == 0 {
		r.Min, r.Max = m.o.Replicas.Min, m.o.Replicas.Max
	}
	r.CPU = cmp.Or(r.CPU, m.o.Replicas.CPU, usualCPU)
	return r
}

// usualCPU is how much of a processor each proxy uses, on average, before there are more of them.
const usualCPU = "800m"

// budget lets one proxy at a time be taken away on purpose. It does not keep the only one that there is, nor any that is not ready, though another
// is not either: its node could not be emptied.
func (m *maker) budget() *policyv1.PodDisruptionBudget {
	return &policyv1.PodDisruptionBudget{TypeMeta: metav1.TypeMeta{APIVersion: "policy/v1", Kind: "PodDisruptionBudget"}, ObjectMeta: m.meta(),
		Spec: policyv1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{MatchLabels: m.selector()}, MaxUnavailable: ptr.To(intstr.FromInt32(1)),
			UnhealthyPodEvictionPolicy: ptr.To(policyv1.AlwaysAllow)}}
}

// autoscaler follows the processor time that proxies use: an absolute one, since what they ask for at least is far below. nil: their number
// is fixed, or nobody has said anything.
func (m *maker) autoscaler() *autoscalingv2.HorizontalPodAutoscaler {
	r := m.replicas()
	if r.Max <= r.Min {
		return nil
	}
	cpu, err := resource.ParseQuantity(r.CPU)
	if err != nil || cpu.Sign() <= 0 { // who has written it was told
		cpu = resource.MustParse(usualCPU)
	}
	return &autoscalingv2.HorizontalPodAutoscaler{TypeMeta: metav1.TypeMeta{APIVersion: "autoscaling/v2", Kind: "HorizontalPodAutoscaler"}, ObjectMeta: m.meta(),
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: m.g.Account},
			MinReplicas: ptr.To(int32(r.Min)), MaxReplicas: int32(r.Max),
			Metrics: []autoscalingv2.MetricSpec{{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricSource{Name: corev1.ResourceCPU,
				Target: autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: &cpu}}}}}}
}

func (m *maker) pod() (t corev1.PodTemplateSpec) {
	t.Labels, t.Annotations = m.labels(), m.plain()
	maps.Copy(t.Labels, m.podLabels())
	if t.Annotations == nil {
		t.Annotations = map[string]string{}
	}
	t.Annotations[dialect.Tunnel] = fmt.Sprintf(":%d", traffic.TunnelPort)
	t.Annotations[inject.Injected] = m.o.Inject.Version
	t.Spec = corev1.PodSpec{ServiceAccountName: m.g.Account, AutomountServiceAccountToken: ptr.To(false), Volumes: inject.Volumes(),
		TerminationGracePeriodSeconds: ptr.To[int64](2 * drain), Containers: []corev1.Container{m.container()},
		SecurityContext: &corev1.PodSecurityContext{RunAsNonRoot: ptr.To(true), SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			Sysctls: []corev1.Sysctl{{Name: "net.ipv4.ip_unprivileged_port_start", Value: "0"}}}, // one of those that Kubernetes calls safe
		TopologySpreadConstraints: []corev1.TopologySpreadConstraint{m.spread(corev1.LabelTopologyZone), m.spread(corev1.LabelHostname)}}
	for _, name := range m.o.Inject.PullSecrets {
		t.Spec.ImagePullSecrets = append(t.Spec.ImagePullSecrets, corev1.LocalObjectReference{Name: name})
	}
	return t
}

// spread has proxies of one version be on different nodes, or in different zones, where that can be.
func (m *maker) spread(key string) corev1.TopologySpreadConstraint {
	return corev1.TopologySpreadConstraint{MaxSkew: 1, TopologyKey: key, WhenUnsatisfiable: corev1.ScheduleAnyway,
		LabelSelector: &metav1.LabelSelector{MatchLabels: m.selector()}, MatchLabelKeys: []string{appsv1.DefaultDeploymentUniqueLabelKey}}
}

// container is the sidecar's, as the pod's only one: ready as long as it serves, and not before callers have heard of its end does it end.
func (m *maker) container() corev1.Container {
	c := inject.Container(&m.o.Inject, corev1.EnvVar{Name: "WEFT_GATEWAY", Value: m.g.Key()}, corev1.EnvVar{Name: "WEFT_DRAIN", Value: strconv.Itoa(drain)},
		corev1.EnvVar{Name: "WEFT_ACCESS_LOG", Value: accessLog(m.o.Inject.AccessLog)})
	c.RestartPolicy = nil
	c.ReadinessProbe = &corev1.Probe{ProbeHandler: c.StartupProbe.ProbeHandler, PeriodSeconds: 5, FailureThreshold: 2}
	c.Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: 5}}}
	return c
}

func accessLog(s string) string {
	if s == "" {
		return "off"
	}
	return s
}

// treeOf is an object as JSON has it, without what the API server fills in.
func treeOf(x any) (map[string]any, error) {
	text, err := json.Marshal(x)
	if err != nil {
		return nil, err
	}
	var tree map[string]any
	if err := json.Unmarshal(text, &tree); err != nil {
		return nil, err
	}
	delete(tree, "status")
	return tree, nil
}
