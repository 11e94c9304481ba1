package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/weft-mesh/weft/dialect"
)

// shape is how large a cluster is.
type shape struct {
	Services  int `json:"services"`
	Endpoints int `json:"endpoints"` // of each service
	Pods      int `json:"pods"`      // of all services, and further ones that are in none
}

const (
	podsOfNode      = 100
	servicesOfSpace = 50 // of a namespace
)

// objects are those of a cluster, made when they are asked for: 100,000 Pods of 11 KB do not fit beside what is measured. What changes
// of them is who is ready.
type objects struct {
	shape
	pod     corev1.Pod // whose name, address and so on are replaced
	born    metav1.Time
	unready []bool // by pod
}

// newObjects reads the Pod that all are like.
func newObjects(s shape, podFile string) (*objects, error) {
	text, err := os.ReadFile(podFile)
	if err != nil {
		return nil, fmt.Errorf("%w; run this where the repository is", err)
	}
	if s.Pods < s.Services*s.Endpoints {
		return nil, fmt.Errorf("%d pods are not enough for %d services of %d endpoints", s.Pods, s.Services, s.Endpoints)
	}
	c := &objects{shape: s, born: metav1.NewTime(time.Unix(1_790_000_000, 0)), unready: make([]bool, s.Pods)}
	return c, json.Unmarshal(text, &c.pod)
}

func (c *objects) spaces() int { return (c.Services + servicesOfSpace - 1) / servicesOfSpace }
func (c *objects) nodes() int  { return (c.Pods + podsOfNode - 1) / podsOfNode }

// workload is the number of what a pod belongs to: of a service, or of one of the jobs that are in none.
func (c *objects) workload(pod int) int { return pod / c.Endpoints }

func (c *objects) spaceOf(workload int) string { return fmt.Sprintf("team-%03d", workload%c.spaces()) }
func appOf(workload int) string                { return fmt.Sprintf("shop-backend-%05d", workload) }

func (c *objects) hostOf(service int) string {
	return dialect.Host(appOf(service), c.spaceOf(service))
}

// podName is as a ReplicaSet makes it.
func podName(workload, pod int) string {
	return fmt.Sprintf("%s-%08x-%05x", appOf(workload), uint32(workload)*2654435761, uint32(pod)*40503&0xfffff)
}

func podUID(pod int) types.UID {
	return types.UID(fmt.Sprintf("%08x-8a3d-4c55-9f4e-%012x", uint32(pod)*2654435761, pod))
}

// podIP is one of those set aside for benchmarks (RFC 2544, appendix C.2.2): nobody is there.
func podIP(pod int) string { return fmt.Sprintf("198.%d.%d.%d", 18+pod>>16, pod>>8&255, pod&255) }

func nodeName(n int) string {
	return fmt.Sprintf("ip-10-0-%d-%d.eu-central-1.compute.internal", n>>8, n&255)
}
func zoneOf(node int) string { return "eu-central-1" + string(rune('a'+node%3)) }

func (c *objects) meta(namespace, name string, revision int) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name, ResourceVersion: fmt.Sprint(revision), CreationTimestamp: c.born, Generation: 1}
}

func (c *objects) podAt(i, revision int) *corev1.Pod {
	w := c.workload(i)
	app, namespace, name, node := appOf(w), c.spaceOf(w), podName(w, i), nodeName(i%c.nodes())
	hash := fmt.Sprintf("%08x", uint32(w)*2654435761)
	p := c.pod
	p.Name, p.Namespace, p.UID, p.GenerateName = name, namespace, podUID(i), app+"-"+hash+"-"
	p.ResourceVersion, p.CreationTimestamp = fmt.Sprint(revision), c.born
	p.Labels = map[string]string{"app": app, "version": "v1", "pod-template-hash": hash, "app.kubernetes.io/name": app, "app.kubernetes.io/part-of": "shop"}
	p.Spec.ServiceAccountName, p.Spec.DeprecatedServiceAccount, p.Spec.NodeName = app, app, node
	p.Status.PodIP, p.Status.PodIPs = podIP(i), []corev1.PodIP{{IP: podIP(i)}}
	p.Status.Conditions = append([]corev1.PodCondition(nil), p.Status.Conditions...)
	for j := range p.Status.Conditions {
		if x := &p.Status.Conditions[j]; x.Type == corev1.PodReady {
			x.Status = corev1.ConditionTrue
			if c.unready[i] {
				x.Status = corev1.ConditionFalse
			}
		}
	}
	return &p
}

// sliceAt is the EndpointSlice of a service.
func (c *objects) sliceAt(service, revision int) *discoveryv1.EndpointSlice {
	app, namespace := appOf(service), c.spaceOf(service)
	s := &discoveryv1.EndpointSlice{ObjectMeta: c.meta(namespace, app+"-x7k2p", revision), AddressType: discoveryv1.AddressTypeIPv4,
		Ports: []discoveryv1.EndpointPort{{Name: ptr.To("http"), Port: ptr.To[int32](9080), Protocol: ptr.To(corev1.ProtocolTCP)},
			{Name: ptr.To("grpc"), Port: ptr.To[int32](9090), Protocol: ptr.To(corev1.ProtocolTCP)}}}
	s.GenerateName, s.UID = app+"-", types.UID(fmt.Sprintf("%08x-0000-4c55-9f4e-000000000001", service))
	s.Labels = map[string]string{"kubernetes.io/service-name": app, "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io", "app": app}
	s.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Service", Name: app, UID: s.UID, Controller: ptr.To(true), BlockOwnerDeletion: ptr.To(true)}}
	s.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kube-controller-manager", Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: "discovery.k8s.io/v1", Time: &c.born,
		FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(sliceFields)}}
	for i := service * c.Endpoints; i < (service+1)*c.Endpoints; i++ {
		ready := !c.unready[i]
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{podIP(i)}, NodeName: ptr.To(nodeName(i % c.nodes())), Zone: ptr.To(zoneOf(i % c.nodes())),
			Conditions: discoveryv1.EndpointConditions{Ready: &ready, Serving: &ready, Terminating: ptr.To(false)},
			TargetRef:  &corev1.ObjectReference{Kind: "Pod", Namespace: namespace, Name: podName(service, i), UID: podUID(i)}})
	}
	return s
}

const sliceFields = `{"f:addressType":{},"f:endpoints":{},"f:metadata":{"f:annotations":{".":{},"f:endpoints.kubernetes.io/last-change-trigger-time":{}},"f:generateName":{},` +
	`"f:labels":{".":{},"f:app":{},"f:endpointslice.kubernetes.io/managed-by":{},"f:kubernetes.io/service-name":{}},"f:ownerReferences":{".":{},"k:{\"uid\":\"x\"}":{}}},"f:ports":{}}`

func (c *objects) serviceAt(i, revision int) *corev1.Service {
	app := appOf(i)
	s := &corev1.Service{ObjectMeta: c.meta(c.spaceOf(i), app, revision), Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeClusterIP,
		ClusterIP: serviceIP(i), ClusterIPs: []string{serviceIP(i)}, Selector: map[string]string{"app": app}, IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol},
		IPFamilyPolicy: ptr.To(corev1.IPFamilyPolicySingleStack), InternalTrafficPolicy: ptr.To(corev1.ServiceInternalTrafficPolicyCluster), SessionAffinity: corev1.ServiceAffinityNone,
		Ports: []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt32(9080), Protocol: corev1.ProtocolTCP},
			{Name: "grpc", Port: 9090, TargetPort: intstr.FromInt32(9090), Protocol: corev1.ProtocolTCP}}}}
	s.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Service"}
	s.Labels = map[string]string{"app": app, "app.kubernetes.io/name": app, "app.kubernetes.io/part-of": "shop", "helm.sh/chart": "shop-1.4.2"}
	s.Annotations = map[string]string{"meta.helm.sh/release-name": app, "meta.helm.sh/release-namespace": s.Namespace, "prometheus.io/scrape": "true"}
	s.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "helm", Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: "v1", Time: &c.born, FieldsType: "FieldsV1",
		FieldsV1: metav1.NewFieldsV1(`{"f:metadata":{"f:annotations":{".":{},"f:meta.helm.sh/release-name":{},"f:meta.helm.sh/release-namespace":{}},"f:labels":{".":{},"f:app":{}}},` +
			`"f:spec":{"f:internalTrafficPolicy":{},"f:ports":{".":{},"k:{\"port\":80,\"protocol\":\"TCP\"}":{".":{},"f:name":{},"f:port":{},"f:protocol":{},"f:targetPort":{}}},"f:selector":{},"f:sessionAffinity":{},"f:type":{}}}`)}}
	return s
}

func serviceIP(i int) string { return fmt.Sprintf("172.20.%d.%d", i>>8, i&255) }

func (c *objects) accountAt(i, revision int) *corev1.ServiceAccount {
	a := &corev1.ServiceAccount{ObjectMeta: c.meta(c.spaceOf(i), appOf(i), revision)}
	a.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceAccount"}
	return a
}

func (c *objects) namespaceAt(i, revision int) *corev1.Namespace {
	name := fmt.Sprintf("team-%03d", i)
	n := &corev1.Namespace{ObjectMeta: c.meta("", name, revision), Status: corev1.NamespaceStatus{Phase: corev1.NamespaceActive}}
	n.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"}
	n.Labels = map[string]string{"kubernetes.io/metadata.name": name, "weft.dev/inject": "enabled"}
	return n
}

// nodeAt is a Node, with the images that a kubelet lists: 50 of two names each.
func (c *objects) nodeAt(i, revision int) *corev1.Node {
	name := nodeName(i)
	n := &corev1.Node{ObjectMeta: c.meta("", name, revision), Spec: corev1.NodeSpec{ProviderID: "aws:///" + zoneOf(i) + "/i-0" + fmt.Sprintf("%016x", i)}}
	n.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Node"}
	n.Labels = map[string]string{"kubernetes.io/hostname": name, corev1.LabelTopologyZone: zoneOf(i), corev1.LabelTopologyRegion: "eu-central-1", "kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux",
		"node.kubernetes.io/instance-type": "m5.4xlarge"}
	for j := range 50 {
		n.Status.Images = append(n.Status.Images, corev1.ContainerImage{SizeBytes: int64(10_000_000 + j), Names: []string{
			fmt.Sprintf("registry.example.com/shop/backend-%d@sha256:%s", j, strings.Repeat("ab", 32)), fmt.Sprintf("registry.example.com/shop/backend-%d:v1.%d", j, i)}})
	}
	return n
}
