package gateway_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/inject"
	"github.com/weft-mesh/weft/install/gateway"
	"github.com/weft-mesh/weft/mesh"
)

func edge() *mesh.Gateway {
	return &mesh.Gateway{Ref: decision.Ref{Dialect: decision.GatewayAPI, Kind: "Gateway", Namespace: "shop", Name: "edge"}, Name: "edge", Namespace: "shop", Account: "edge-weft",
		Listeners: []mesh.Listener{{Name: "b", Port: 443, Host: "b.example"}, {Name: "a", Port: 80}, {Name: "c", Port: 443}},
		Made: mesh.Made{Owners: []mesh.Owner{{Ref: decision.Ref{Kind: "Gateway", Name: "edge"}, APIVersion: "gateway.networking.k8s.io/v1", UID: "u-1"}},
			Selector: map[string]string{"gateway.networking.k8s.io/gateway-name": "edge"}, Addresses: []string{"192.0.2.1"}, Labels: map[string]string{"team": "shop"},
			Annotations: map[string]string{"note": "x"}}}
}

var options = gateway.Options{Inject: inject.Options{Version: "v1", Image: "weft:v1", Control: "weft-control.weft-system.svc:15012", TrustDomain: "cluster.local"}}

// field reads a path of keys and indexes.
func field(t *testing.T, o any, path ...any) any {
	t.Helper()
	for _, p := range path {
		switch p := p.(type) {
		case string:
			o = o.(map[string]any)[p]
		case int:
			o = o.([]any)[p]
		}
	}
	return o
}

func objects(t *testing.T, g *mesh.Gateway, o gateway.Options) map[string]map[string]any {
	t.Helper()
	list, err := gateway.Objects(g, o)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]map[string]any{}
	for _, x := range list {
		out[x["kind"].(string)] = x
	}
	return out
}

// TestObjects: what all have, and what each is for.
func TestObjects(t *testing.T) {
	all := objects(t, edge(), options)
	for _, k := range gateway.Kinds {
		o := all[k.Kind]
		if k.Kind == "HorizontalPodAutoscaler" {
			if o != nil {
				t.Error("nobody has asked for an autoscaler")
			}
			continue
		}
		owner := field(t, o, "metadata", "ownerReferences", 0)
		if field(t, o, "metadata", "name") != "edge-weft" || field(t, o, "metadata", "namespace") != "shop" || field(t, owner, "uid") != "u-1" ||
			field(t, owner, "kind") != "Gateway" || field(t, owner, "controller") != true {
			t.Errorf("%s: %v", k.Kind, o["metadata"])
		}
		// GatewayInfrastructurePropagation; GEP-1762: "The Gateway name must be set as a label"
		if l, a := field(t, o, "metadata", "labels"), field(t, o, "metadata", "annotations"); field(t, l, "team") != "shop" || field(t, a, "note") != "x" ||
			field(t, l, "gateway.networking.k8s.io/gateway-name") != "edge" {
			t.Errorf("%s: %v %v", k.Kind, l, a)
		}
	}
	s := all["Service"]["spec"]
	if field(t, s, "type") != "LoadBalancer" || field(t, s, "loadBalancerIP") != "192.0.2.1" || len(field(t, s, "ports").([]any)) != 2 ||
		field(t, s, "ports", 0, "port") != 80.0 || field(t, s, "ports", 1, "port") != 443.0 || field(t, s, "selector", "gateway.networking.k8s.io/gateway-name") != "edge" {
		t.Errorf("%v", s)
	}
	if field(t, s, "ipFamilyPolicy") != "PreferDualStack" {
		t.Errorf("in a cluster of two families it has %v", field(t, s, "ipFamilyPolicy"))
	}
	// A rolling restart: no proxy goes before another is there, and none ends before callers have heard of it.
	if r := field(t, all["Deployment"], "spec", "strategy", "rollingUpdate"); field(t, r, "maxUnavailable") != 0.0 || field(t, r, "maxSurge") != 1.0 {
		t.Errorf("%v", r)
	}
	pod := field(t, all["Deployment"], "spec", "template")
	if sleep := field(t, pod, "spec", "containers", 0, "lifecycle", "preStop", "sleep", "seconds").(float64); sleep < 1 || sleep+20 > field(t, pod, "spec", "terminationGracePeriodSeconds").(float64) ||
		!slices.ContainsFunc(field(t, pod, "spec", "containers", 0, "env").([]any), func(e any) bool { return field(t, e, "name") == "WEFT_DRAIN" && field(t, e, "value") == "20" }) {
		t.Errorf("%v", pod)
	}
	c := field(t, pod, "spec", "containers", 0)
	if field(t, pod, "spec", "serviceAccountName") != "edge-weft" || field(t, pod, "metadata", "labels", "weft.dev/inject") != "disabled" ||
		field(t, pod, "metadata", "annotations", "weft.dev/tunnel") != ":15008" || field(t, pod, "metadata", "labels", "team") != "shop" {
		t.Errorf("%v", pod)
	}
	if !slices.ContainsFunc(field(t, c, "env").([]any), func(e any) bool { return field(t, e, "name") == "WEFT_GATEWAY" && field(t, e, "value") == "shop/edge" }) {
		t.Errorf("%v", c)
	}
	if c.(map[string]any)["restartPolicy"] != nil || field(t, c, "readinessProbe", "httpGet", "path") != "/ready" {
		t.Errorf("%v", c)
	}
	if field(t, all["Deployment"], "spec").(map[string]any)["replicas"] != nil {
		t.Error("the number of replicas is not weft's to keep")
	}
}

// TestPodIsRestricted: as the Pod Security Standard "restricted" asks; the one sysctl is among those that it allows.
func TestPodIsRestricted(t *testing.T) {
	spec := field(t, objects(t, edge(), options)["Deployment"], "spec", "template", "spec")
	c := field(t, spec, "containers", 0, "securityContext")
	if field(t, c, "allowPrivilegeEscalation") != false || fmt.Sprint(field(t, c, "capabilities")) != "map[drop:[ALL]]" || field(t, c, "runAsNonRoot") != true ||
		field(t, spec, "securityContext", "seccompProfile", "type") != "RuntimeDefault" {
		t.Errorf("%v", spec)
	}
	if fmt.Sprint(field(t, spec, "securityContext", "sysctls")) != "[map[name:net.ipv4.ip_unprivileged_port_start value:0]]" {
		t.Errorf("%v", spec)
	}
}

// TestAnnotations: what has a domain tells a program what to do, and who may write a Gateway need not be allowed to have it of pods or accounts.
func TestAnnotations(t *testing.T) {
	g := edge()
	asked := map[string]string{"note": "x", "prometheus.io/scrape": "true", "weft.dev/trusted-proxies": "10.0.0.0/8"}
	harmful := map[string]string{"k8s.v1.cni.cncf.io/networks": "vault", "container.apparmor.security.beta.kubernetes.io/weft-proxy": "unconfined",
		"eks.amazonaws.com/role-arn": "admin", "weft.dev/redirect": "{}"}
	maps.Copy(g.Made.Annotations, asked)
	maps.Copy(g.Made.Annotations, harmful)
	g.Made.Replicas = mesh.Replicas{Min: 1, Max: 2}
	all := objects(t, g, options)
	metas := map[string]any{"pod": field(t, all["Deployment"], "spec", "template", "metadata")}
	for _, k := range gateway.Kinds {
		metas[k.Kind] = all[k.Kind]["metadata"]
	}
	for kind, meta := range metas {
		has := field(t, meta, "annotations").(map[string]any)
		for key, value := range asked {
			if has[key] != value {
				t.Errorf("%s: %s is %v", kind, key, has[key])
			}
		}
		for key := range harmful {
			if (has[key] != nil) != (kind == "Service") {
				t.Errorf("%s: %s is %v", kind, key, has[key])
			}
		}
	}
}

// TestReplicas: a fixed number is the Deployment's; else an autoscaler has the word, and the Deployment says nothing of it.
func TestReplicas(t *testing.T) {
	g, o := edge(), options
	o.Replicas = mesh.Replicas{Min: 2, Max: 2, CPU: "600m"}
	g.Made.Replicas = mesh.Replicas{Min: 3, Max: 9}
	all := objects(t, g, o)
	x := all["HorizontalPodAutoscaler"]
	if x == nil || all["Deployment"]["spec"].(map[string]any)["replicas"] != nil {
		t.Fatalf("%v", all)
	}
	if field(t, x, "spec", "minReplicas") != 3.0 || field(t, x, "spec", "maxReplicas") != 9.0 || field(t, x, "spec", "scaleTargetRef", "name") != "edge-weft" ||
		field(t, x, "spec", "metrics", 0, "resource", "target", "averageValue") != "600m" || field(t, x, "metadata", "ownerReferences", 0, "uid") != "u-1" {
		t.Errorf("%v", x)
	}
	budget := field(t, all["PodDisruptionBudget"], "spec")
	if field(t, budget, "maxUnavailable") != 1.0 || field(t, budget, "unhealthyPodEvictionPolicy") != "AlwaysAllow" || field(t, budget, "selector", "matchLabels", "gateway.networking.k8s.io/gateway-name") != "edge" {
		t.Errorf("%v", budget)
	}
	spread := field(t, all["Deployment"], "spec", "template", "spec", "topologySpreadConstraints").([]any)
	if len(spread) != 2 || field(t, spread[0], "topologyKey") != "topology.kubernetes.io/zone" || field(t, spread[1], "topologyKey") != "kubernetes.io/hostname" {
		t.Errorf("%v", spread)
	}
	g.Made.Replicas = mesh.Replicas{}
	if all := objects(t, g, o); all["HorizontalPodAutoscaler"] != nil || field(t, all["Deployment"], "spec", "replicas") != 2.0 {
		t.Errorf("%v", all)
	}
	g.Made.Replicas = mesh.Replicas{Min: 1, Max: 2, CPU: "much"}
	if got := field(t, objects(t, g, o)["HorizontalPodAutoscaler"], "spec", "metrics", 0, "resource", "target", "averageValue"); got != "800m" {
		t.Errorf("%v", got)
	}
}

// TestPortsOfUDP stand beside those of TCP, also with the same number.
func TestPortsOfUDP(t *testing.T) {
	g := edge()
	g.Listeners = append(g.Listeners, mesh.Listener{Name: "d", Port: 443, Entry: mesh.EntryUDP})
	ports := field(t, objects(t, g, options)["Service"], "spec", "ports").([]any)
	if len(ports) != 3 || field(t, ports[2], "protocol") != "UDP" || field(t, ports[2], "port") != 443.0 || field(t, ports[2], "name") == field(t, ports[1], "name") {
		t.Errorf("%v", ports)
	}
}

func TestChoices(t *testing.T) {
	g := edge()
	g.Listeners = nil
	if all := objects(t, g, options); all["Service"] != nil || all["Deployment"] == nil {
		t.Error("a Service without ports")
	}
	g = edge()
	o := options
	o.ServiceType, o.Replicas = "ClusterIP", mesh.Replicas{Min: 3, Max: 3}
	all := objects(t, g, o)
	if field(t, all["Service"], "spec", "type") != "ClusterIP" || field(t, all["Deployment"], "spec", "replicas") != 3.0 {
		t.Errorf("%v", all)
	}
	g.Made.Annotations[mesh.ServiceType] = "NodePort"
	if all := objects(t, g, o); field(t, all["Service"], "spec", "type") != "NodePort" {
		t.Errorf("%v", all["Service"])
	}
}

// TestNoKeys: what is applied holds nothing of a certificate.
func TestNoKeys(t *testing.T) {
	g := edge()
	g.Listeners[0].Certs = []mesh.Certificate{{Key: mesh.PrivateKey("very private")}}
	list, err := gateway.Objects(g, options)
	if err != nil {
		t.Fatal(err)
	}
	if text, _ := json.Marshal(list); strings.Contains(string(text), "private") && strings.Contains(string(text), "very") {
		t.Error(string(text))
	}
}
