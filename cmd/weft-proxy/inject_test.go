package main

import (
	"encoding/json"
	"reflect"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/weft-mesh/weft/inject"
	"github.com/weft-mesh/weft/node/podnet"
	"github.com/weft-mesh/weft/proxy/launch"
	"github.com/weft-mesh/weft/proxy/probe"
)

// TestInjected: what the injector writes is what the proxy reads. The two share no types, so that the injector links nothing of a proxy and
// the proxy nothing of Kubernetes.
func TestInjected(t *testing.T) {
	service := "shop"
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "web-0", Namespace: "shop", Annotations: map[string]string{"weft.dev/exclude-inbound-ports": "9090,8000-8010",
			"weft.dev/exclude-outbound-ports": "25", "weft.dev/exclude-outbound-cidrs": "10.0.0.0/8,fd00::/8", "weft.dev/exclude-uids": "0", "weft.dev/drain": "9s"}},
		Spec: corev1.PodSpec{ServiceAccountName: "web", Containers: []corev1.Container{
			{Name: "app", Image: "app", Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}},
				LivenessProbe: &corev1.Probe{TimeoutSeconds: 3, ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/healthz?full", Port: intstr.FromString("http"),
					Scheme: corev1.URISchemeHTTPS, HTTPHeaders: []corev1.HTTPHeader{{Name: "Host", Value: "shop"}}}}},
				ReadinessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{GRPC: &corev1.GRPCAction{Port: 7070, Service: &service}}},
				StartupProbe:   &corev1.Probe{ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(8080)}}}}}}}
	got, found, err := inject.Patch(pod, inject.Namespace{Name: "shop"}, inject.Options{Version: "v1", Image: "weft:v1", Namespace: "weft-system", TrustDomain: "example.org",
		Control: "weft-control.weft-system.svc:15012", Requested: true})
	if err != nil || len(found) > 0 {
		t.Fatal(found, err)
	}
	fields := map[string]string{"metadata.name": "web-0", "metadata.namespace": "shop", "spec.serviceAccountName": "web", "status.podIPs": "10.0.0.7,fd00::7"}
	env := map[string]string{}
	for _, c := range got.Spec.InitContainers {
		for _, v := range c.Env {
			if env[v.Name] = v.Value; v.ValueFrom != nil {
				env[v.Name] = fields[v.ValueFrom.FieldRef.FieldPath]
			}
		}
	}
	c, err := podConfig(func(name string) string { return env[name] }, "")
	if err != nil {
		t.Fatal(err)
	}
	if c.Workload != "shop/web-0" || c.Account != "web" || c.TrustDomain != "example.org" || c.App.String() != "10.0.0.7" || len(c.Pod.Also) != 1 || c.Drain != 9 ||
		c.Remote != (launch.Remote{Address: "weft-control.weft-system.svc:15012", Roots: rootsFile, Token: tokenFile}) {
		t.Errorf("%+v", c)
	}
	probes := map[string]probe.Probe{}
	if err := json.Unmarshal(c.Pod.Probes, &probes); err != nil {
		t.Fatal(err)
	}
	want := map[string]probe.Probe{
		"app/liveness":  {TimeoutSeconds: 3, HTTPGet: &probe.HTTPGet{Path: "/healthz?full", Port: 8080, Scheme: "HTTPS", HTTPHeaders: []probe.Header{{Name: "Host", Value: "shop"}}}},
		"app/readiness": {GRPC: &probe.GRPC{Port: 7070, Service: "shop"}},
		"app/startup":   {TCPSocket: &probe.TCPSocket{Port: 8080}},
	}
	if !reflect.DeepEqual(probes, want) {
		t.Errorf("got  %+v\nwant %+v", probes, want)
	}
	if _, err := probe.New(probes, c.App, nil); err != nil {
		t.Error(err)
	}
	spec, err := podnet.Parse(env["WEFT_REDIRECT"])
	if err != nil {
		t.Fatal(err)
	}
	if spec.ProxyUID != podnet.ProxyUID || !reflect.DeepEqual(spec.ExcludeUIDs, []uint32{0}) || len(spec.ExcludeInboundPorts) != 2 || spec.ExcludeInboundPorts[1] != (podnet.Ports{First: 8000, Last: 8010}) ||
		len(spec.ExcludeOutboundPorts) != 1 || len(spec.ExcludeOutboundCIDRs) != 2 || len(spec.IncludeInboundPorts) != 0 {
		t.Errorf("%+v", spec)
	}
}
