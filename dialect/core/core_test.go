package core_test

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unique"
	"unsafe"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/core"
	"github.com/weft-mesh/weft/dialect/dialecttest"
	"github.com/weft-mesh/weft/feature/balance"
	"github.com/weft-mesh/weft/feature/outlier"
	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/traffic"
)

const td = "cluster.local"

var kinds = core.Kinds(td)

func lower(t *testing.T, yaml string) ([]mesh.Part, []string) {
	t.Helper()
	parts, found := dialecttest.Lower(t, kinds, yaml)
	var texts []string
	for _, f := range found {
		texts = append(texts, f.Level.String()+" "+f.Field+": "+f.Text)
	}
	return parts, texts
}

// expect compares findings with what they begin with, line by line.
func expect(t *testing.T, found []string, want string) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(want), "\n")
	if want == "" {
		lines = nil
	}
	if !slices.EqualFunc(found, lines, strings.HasPrefix) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(found, "\n"), want)
	}
}

func TestService(t *testing.T) {
	parts, found := lower(t, `
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: shop}
spec:
  selector: {app: reviews, tier: back}
  clusterIP: 10.0.0.1
  clusterIPs: [10.0.0.1, "fd00::1"]
  ports:
  - {name: http, port: 80, targetPort: 9080}
  - {name: web, port: 81, targetPort: named}
  - {name: metrics, port: 9090}
`)
	expect(t, found, "")
	want := mesh.Service{
		Ref:  decision.Ref{Dialect: decision.Core, Kind: "Service", Namespace: "shop", Name: "reviews"},
		Host: "reviews.shop.svc.cluster.local", Name: "reviews", Namespace: "shop",
		IPs:      []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")},
		Selector: &match.Selector{Labels: []string{"app=reviews", "tier=back"}}, Created: dialecttest.Created,
		Ports: []mesh.Port{{Name: "http", Number: 80, Target: 9080, Proto: traffic.HTTP1},
			{Name: "web", Number: 81, TargetName: "named", Proto: traffic.Detect}, {Name: "metrics", Number: 9090, Target: 9090, Proto: traffic.Detect}},
	}
	if got := parts[0].Services; len(got) != 1 || !reflect.DeepEqual(got[0], want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

const head = "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: "

// A caller is kept to an endpoint by its address where the Service asks for it, and by nothing else.
func TestSessions(t *testing.T) {
	for affinity, want := range map[string]*mesh.Outbound{
		"ClientIP": {Balance: &balance.Policy{Ref: decision.Ref{Dialect: decision.Core, Kind: "Service", Namespace: "default", Name: "s", Rule: "sessionAffinity"},
			Algorithm: balance.RingHash, Hash: balance.Hash{SourceIP: true}}},
		"None": nil,
		"''":   nil,
	} {
		parts, _ := lower(t, head+"{sessionAffinity: "+affinity+", ports: [{port: 80}]}")
		got := parts[0].Backends
		if want == nil && len(got) > 0 || want != nil && (len(got) != 1 || got[0].Layer != mesh.LayerAnnotation || !reflect.DeepEqual(got[0].Policy, *want)) {
			t.Errorf("%s: %+v", affinity, got)
		}
	}
}

func TestServiceForms(t *testing.T) {
	for _, c := range []struct {
		name, yaml, found string
		check             func(mesh.Service) bool
	}{
		{"headless", head + "{clusterIP: None, ports: [{port: 80}]}", "", func(s mesh.Service) bool { return s.Headless && s.IPs == nil }},
		{"address to be assigned", head + "{clusterIP: '', ports: [{port: 80}]}", "", func(s mesh.Service) bool { return !s.Headless && s.IPs == nil }},
		// core/v1 ServiceSpec.selector: "If empty or not present, the service is assumed to have an external process managing its
		// endpoints".
		{"without selector", head + "{ports: [{port: 80}]}", "", func(s mesh.Service) bool { return s.Selector == nil }},
		{"empty selector", head + "{selector: {}, ports: [{port: 80}]}", "", func(s mesh.Service) bool { return s.Selector == nil }},
		{"UDP beside TCP", head + "{ports: [{name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53, protocol: TCP}]}",
			"info spec.ports[0].protocol: what is sent over UDP goes through gateways", func(s mesh.Service) bool {
				return len(s.Ports) == 1 && s.Ports[0].Name == "dns-tcp" && len(s.Datagrams) == 1 && s.Datagrams[0].Proto == traffic.UDP
			}},
		{"from outside", head + "{type: LoadBalancer, externalTrafficPolicy: Local, ports: [{port: 80, nodePort: 30080}]}",
			"warning spec.externalTrafficPolicy: not supported yet: weft opens no way\nwarning spec.ports[0].nodePort: not supported yet: weft opens no way",
			func(s mesh.Service) bool { return len(s.Ports) == 1 }},
		{"sessions", head + "{sessionAffinity: ClientIP, sessionAffinityConfig: {clientIP: {timeoutSeconds: 5}}, ports: [{port: 80}]}",
			"", nil},
		{"sessions of another sort", head + "{sessionAffinity: Cookie, ports: [{port: 80}]}", "error spec.sessionAffinity: \"Cookie\" is none of None, ClientIP", nil},
		{"no sessions, as an API server writes it", head + "{sessionAffinity: None, ports: [{port: 80}]}", "", nil},
		{"calls that stay on their node", head + "{internalTrafficPolicy: Local, ports: [{port: 80}]}", "", func(s mesh.Service) bool { return s.Local }},
		{"calls that go anywhere, as an API server writes it", head + "{internalTrafficPolicy: Cluster, ports: [{port: 80}]}", "", func(s mesh.Service) bool { return !s.Local }},
		{"calls that stay elsewhere", head + "{internalTrafficPolicy: Node, ports: [{port: 80}]}", "error spec.internalTrafficPolicy: \"Node\" is none of Cluster, Local", nil},
		{"all endpoints", head + "{publishNotReadyAddresses: true, ports: [{port: 80}]}", "", func(s mesh.Service) bool { return s.Unready }},
		{"several addresses without the first", head + "{clusterIPs: [10.0.0.2], clusterIP: 10.0.0.1, ports: [{port: 80}]}", "error spec.clusterIPs[0]: \"10.0.0.2\" is not the clusterIP", nil},
		{"no address", head + "{clusterIP: ten, ports: [{port: 80}]}", "error spec.clusterIP: it is neither an address nor None", nil},
		{"no name", head + "{ports: [{port: 80}, {name: b, port: 81}]}", "error spec.ports[0].name: required where there are several ports", nil},
		{"a name twice", head + "{ports: [{name: b, port: 80}, {name: b, port: 81}]}", "error spec.ports[1].name: another port is called \"b\" already", nil},
		{"a number twice", head + "{ports: [{name: a, port: 80}, {name: b, port: 80}]}", "error spec.ports[1].port: there is a port 80 already", nil},
		{"no number", head + "{ports: [{name: a}]}", "error spec.ports[0].port: required", nil},
		{"zero", head + "{ports: [{port: 0}]}", "error spec.ports[0].port: 0 is no port", nil},
		{"too big", head + "{ports: [{port: 80, targetPort: 70000}]}", "error spec.ports[0].targetPort: 70000 is no port", nil},
		{"no port's name", head + "{ports: [{port: 80, targetPort: a_b}]}", "error spec.ports[0].targetPort: \"a_b\" is no port's name", nil},
		{"misspelled", head + "{slector: {app: a}, ports: [{port: 80, taregtPort: 81}]}",
			"warning spec.ports[0].taregtPort: unknown field\nwarning spec.slector: unknown field", nil},
		{"annotations that nobody reads", "apiVersion: v1\nkind: Service\nmetadata: {name: s, annotations: {balancer.linkerd.io/failure-acrual: consecutive, balancer.alpha.linkerd.io/penalize-failures: \"true\", prometheus.io/scrape: \"true\"}}\nspec: {ports: [{port: 80}]}",
			"warning metadata.annotations[\"balancer.alpha.linkerd.io/penalize-failures\"]: the annotation has no effect: balancer.linkerd.io/failure-accrual leaves out\nwarning metadata.annotations[\"balancer.linkerd.io/failure-acrual\"]: not supported yet", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			parts, found := lower(t, c.yaml)
			expect(t, found, c.found)
			if strings.Contains(c.found, "error") != parts[0].Empty() {
				t.Errorf("%+v", parts)
			}
			if c.check != nil && !c.check(parts[0].Services[0]) {
				t.Errorf("%+v", parts[0].Services[0])
			}
		})
	}
}

// TestServiceCalled: what Linkerd's annotations say of all calls to a service is in a layer below routes and DestinationRules.
func TestServiceCalled(t *testing.T) {
	const accrual = "balancer.linkerd.io/failure-accrual"
	service := decision.Ref{Dialect: decision.Core, Kind: "Service", Namespace: "default", Name: "s"}
	outlying := func(change func(*outlier.Policy)) *outlier.Policy {
		p := &outlier.Policy{Ref: service.At(accrual), Consecutive: 7, Base: time.Second, Max: time.Minute, MaxPercent: 100, Doubles: true, Wary: true}
		change(p)
		return p
	}
	for _, c := range []struct {
		notes, found string
		outlier      *outlier.Policy
		timeout      time.Duration
		retries      int
	}{
		{notes: ""},
		{notes: "timeout.linkerd.io/request: 3s", timeout: 3 * time.Second},
		{notes: "retry.linkerd.io/http: 5xx, retry.linkerd.io/limit: '4'", retries: 4},
		{notes: accrual + ": consecutive", outlier: outlying(func(*outlier.Policy) {})},
		{notes: accrual + ": consecutive, " + accrual + "-consecutive-max-failures: '3', " + accrual + "-consecutive-min-penalty: 10s, " + accrual + "-consecutive-max-penalty: 2m, " + accrual + "-consecutive-jitter-ratio: '0'",
			outlier: outlying(func(p *outlier.Policy) { p.Consecutive, p.Base, p.Max = 3, 10*time.Second, 2*time.Minute })},
		{notes: accrual + ": consecutive, " + accrual + "-consecutive-jitter-ratio: '1'", outlier: outlying(func(*outlier.Policy) {}),
			found: "info metadata.annotations[\"" + accrual + "-consecutive-jitter-ratio\"]: it has no effect"},
		{notes: accrual + ": consecutive, " + accrual + "-consecutive-max-failures: '0'", found: "warning metadata.annotations[\"" + accrual + "-consecutive-max-failures\"]: \"0\": it is not a number of failures"},
		{notes: accrual + ": consecutive, " + accrual + "-consecutive-min-penalty: '0'", found: "warning metadata.annotations[\"" + accrual + "-consecutive-min-penalty\"]: \"0\": an endpoint that is left out for no time"},
		{notes: accrual + ": consecutive, " + accrual + "-consecutive-max-penalty: long", found: "warning metadata.annotations[\"" + accrual + "-consecutive-max-penalty\"]: \"long\": it is not a whole number and a unit"},
		{notes: accrual + ": consecutive, " + accrual + "-consecutive-jitter-ratio: '101'", found: "warning metadata.annotations[\"" + accrual + "-consecutive-jitter-ratio\"]: \"101\": it is not a ratio"},
	} {
		parts, found := lower(t, "apiVersion: v1\nkind: Service\nmetadata: {name: s, annotations: {"+c.notes+"}}\nspec: {ports: [{port: 80}]}")
		expect(t, found, c.found)
		var got *outlier.Policy
		for _, b := range parts[0].Backends {
			if got = b.Policy.Outlier; b.Host != "s.default.svc.cluster.local" || b.Layer != mesh.LayerAnnotation {
				t.Errorf("%s: %+v", c.notes, b)
			}
		}
		if !reflect.DeepEqual(got, c.outlier) {
			t.Errorf("%s: %+v, want %+v", c.notes, got, c.outlier)
		}
		var limit time.Duration
		var retries int
		for _, p := range parts[0].Profiles {
			if len(p.Rules) != 1 || p.Host != "s.default.svc.cluster.local" || p.Layer != mesh.LayerAnnotation {
				t.Fatalf("%s: %+v", c.notes, p)
			}
			if x := p.Rules[0].Timeout; x != nil {
				limit = x.Limit
			}
			if x := p.Rules[0].Retry; x != nil {
				retries = x.Attempts
			}
		}
		if limit != c.timeout || retries != c.retries {
			t.Errorf("%s: %v, %d retries", c.notes, limit, retries)
		}
	}
}

func TestServiceOutside(t *testing.T) {
	for name, want := range map[string]string{
		"example.com":                         "warning spec.externalName: not supported yet: the service is not in the mesh",
		"reviews.shop.svc.cluster.local":      "info spec.externalName: the cluster's DNS has it as another name of reviews.shop.svc.cluster.local: calls to it are calls to that",
		"reviews.shop.svc.cluster.local.":     "info spec.externalName: the cluster's DNS has it as another name of reviews.shop.svc.cluster.local: calls",
		"reviews.shop.svc.cluster.local.evil": "warning spec.externalName: not supported yet",
		"192.0.2.1":                           "warning spec.externalName: 192.0.2.1 is an address, and DNS takes it for a name",
		`""`:                                  "error spec.externalName: required",
	} {
		parts, found := lower(t, head+"{type: ExternalName, externalName: "+name+"}")
		expect(t, found, want)
		if !parts[0].Empty() {
			t.Errorf("%s: %+v", name, parts)
		}
	}
}

// "appProtocol else <proto>- port-name prefix, else sniff" (Istio); Linkerd's own values of appProtocol are opaque.
func TestProto(t *testing.T) {
	for _, c := range []struct {
		name, app string
		want      traffic.Proto
	}{
		{"http", "", traffic.HTTP1}, {"http-web", "", traffic.HTTP1}, {"http2-x", "", traffic.HTTP2}, {"grpc", "", traffic.GRPC}, {"grpc-web", "", traffic.HTTP1},
		{"grpc-web-x", "", traffic.HTTP1}, {"grpc-x", "", traffic.GRPC}, {"tcp-x", "", traffic.TCP}, {"tls", "", traffic.TCP}, {"https-x", "", traffic.TCP},
		{"mongo", "", traffic.TCP}, {"mysql-a-b", "", traffic.TCP}, {"redis", "", traffic.TCP}, {"", "", traffic.Detect}, {"web", "", traffic.Detect},
		{"httpbin", "", traffic.Detect}, {"web-http", "", traffic.Detect}, {"tcp", "http", traffic.HTTP1}, {"http", "tcp", traffic.TCP}, {"http", "HTTPS", traffic.TCP},
		{"x", "kubernetes.io/h2c", traffic.HTTP2}, {"x", "kubernetes.io/ws", traffic.HTTP1}, {"x", "kubernetes.io/wss", traffic.TCP}, {"x", "grpc", traffic.GRPC},
		{"http", "linkerd.io/opaque", traffic.TCP}, {"http", "linkerd.io/tcp", traffic.TCP}, {"x", "grpc-web", traffic.HTTP1}, {"http", "acme.com/own", traffic.Detect},
	} {
		yaml := head + "{ports: [{port: 80, name: \"" + c.name + "\"}]}"
		if c.app != "" {
			yaml = head + "{ports: [{port: 80, name: \"" + c.name + "\", appProtocol: " + c.app + "}]}"
		}
		parts, found := lower(t, yaml)
		if got := parts[0].Services[0].Ports[0].Proto; got != c.want {
			t.Errorf("%+v: got %s", c, got)
		}
		if c.app == "acme.com/own" {
			expect(t, found, "info spec.ports[0].appProtocol: \"acme.com/own\" is not known: the first bytes of each connection decide")
		} else {
			expect(t, found, "")
		}
	}
}

// Linkerd: an object's own list replaces that of its namespace, and the annotation on a Service is about the Service's ports.
func TestOpaquePorts(t *testing.T) {
	for _, c := range []struct {
		name, namespace, service, found string
		want                            []traffic.Proto
	}{
		{name: "none", want: []traffic.Proto{traffic.HTTP1, traffic.HTTP1}},
		{name: "number", service: "81", want: []traffic.Proto{traffic.HTTP1, traffic.TCP}},
		{name: "range", service: "1, 80-90", want: []traffic.Proto{traffic.TCP, traffic.TCP}},
		{name: "name", service: "http-b", want: []traffic.Proto{traffic.HTTP1, traffic.TCP}},
		{name: "namespace", namespace: "80", want: []traffic.Proto{traffic.TCP, traffic.HTTP1}},
		{name: "own", namespace: "80", service: "81", want: []traffic.Proto{traffic.HTTP1, traffic.TCP}},
		{name: "own is empty", namespace: "80", service: " ", want: []traffic.Proto{traffic.HTTP1, traffic.HTTP1}},
		{name: "wrong", service: "81,9-1,x y,70000", want: []traffic.Proto{traffic.HTTP1, traffic.TCP}, found: `
warning metadata.annotations["config.linkerd.io/opaque-ports"]: "9-1" is neither
warning metadata.annotations["config.linkerd.io/opaque-ports"]: "x y" is neither
warning metadata.annotations["config.linkerd.io/opaque-ports"]: "70000" is neither`},
	} {
		t.Run(c.name, func(t *testing.T) {
			parts, found := lower(t, "apiVersion: v1\nkind: Service\nmetadata:\n  name: s\n  annotations: {"+annotation(c.service)+"}\nspec:\n  ports: [{name: http-a, port: 80}, {name: http-b, port: 81, targetPort: 80}]\n"+
				"---\napiVersion: v1\nkind: Namespace\nmetadata:\n  name: default\n  annotations: {"+annotation(c.namespace)+"}\n")
			expect(t, found, c.found)
			if ports := parts[0].Services[0].Ports; ports[0].Proto != c.want[0] || ports[1].Proto != c.want[1] {
				t.Errorf("%+v", ports)
			}
		})
	}
}

func annotation(ports string) string {
	if ports == "" {
		return ""
	}
	return "config.linkerd.io/opaque-ports: \"" + ports + "\""
}

func TestPod(t *testing.T) {
	parts, found := lower(t, `
apiVersion: v1
kind: Pod
metadata:
  name: reviews-1
  namespace: shop
  labels: {app: reviews, version: v1}
  annotations: {weft.dev/tunnel: "127.64.0.1:15008", config.linkerd.io/opaque-ports: "9090,7000"}
spec:
  serviceAccountName: bookinfo-reviews
  nodeName: node-a
  containers:
  - name: app
    image: x
    ports: [{containerPort: 9080, name: http}, {containerPort: 9090}]
  - name: more
    ports: [{containerPort: 53, protocol: UDP, name: dns}, {containerPort: 8080}]
status:
  phase: Running
  podIP: 10.1.0.7
  podIPs: [{ip: 10.1.0.7}]
  conditions: [{type: Initialized, status: "True"}, {type: Ready, status: "True"}]
---
apiVersion: v1
kind: Node
metadata: {name: node-a, labels: {topology.kubernetes.io/zone: east-1}}
`)
	expect(t, found, "info spec.containers[1].ports[0].protocol: what is sent over UDP")
	want := mesh.Workload{
		Name: "reviews-1", Namespace: "shop",
		Identity: unique.Make(identity.Of(td, "shop", "bookinfo-reviews")), Addr: netip.MustParseAddr("10.1.0.7"), Tunnel: netip.MustParseAddrPort("127.64.0.1:15008"),
		Labels: []string{"app=reviews", "version=v1"}, Node: "node-a", Zone: "east-1", Ready: true,
		Ports: []mesh.WorkloadPort{{Name: "http", Number: 9080, Proto: traffic.HTTP1}, {Number: 9090, Proto: traffic.TCP}, {Number: 8080, Proto: traffic.Detect}, {Number: 7000, Proto: traffic.TCP}},
		Extra: &mesh.Extra{Datagrams: []mesh.WorkloadPort{{Name: "dns", Number: 53, Proto: traffic.UDP}}},
	}
	if got := parts[0].Workloads; len(got) != 1 || !reflect.DeepEqual(got[0], want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// All pods of a node have its name, and one string of it is kept.
func TestNodeNameOnce(t *testing.T) {
	nodes := dialect.NewObject(nil, "v1", "Node", map[string]any{"metadata": map[string]any{"name": "node-a"}}, time.Time{})
	pod := dialect.NewObject(nil, "v1", "Pod", map[string]any{"metadata": map[string]any{"name": "p", "namespace": "shop"}, "spec": map[string]any{"nodeName": strings.Clone("node-a")},
		"status": map[string]any{"podIP": "10.0.0.1"}}, time.Time{})
	part, _ := dialect.Read(kinds, pod, dialecttest.View{nodes})
	if len(part.Workloads) != 1 || unsafe.StringData(part.Workloads[0].Node) != unsafe.StringData(nodes.Name) {
		t.Errorf("%+v", part)
	}
}

// Pods of a deployment have one list of ports; it is nobody else's.
func TestPortsOnce(t *testing.T) {
	pod := func(name, ports string) string {
		return "apiVersion: v1\nkind: Pod\nmetadata: {name: " + name + "}\nspec: {containers: [{name: c, ports: [" + ports + "]}]}\nstatus: {phase: Running, podIP: 10.0.0.1}\n"
	}
	const http = "{containerPort: 80, name: http}"
	parts, _ := lower(t, strings.Join([]string{pod("a", http), pod("b", http), pod("c", http+", {containerPort: 90}")}, "---\n"))
	a, b, c := parts[0].Workloads[0].Ports, parts[1].Workloads[0].Ports, parts[2].Workloads[0].Ports
	if &a[0] != &b[0] {
		t.Error("the same ports are there twice")
	}
	if len(b) != 1 || len(c) != 2 || c[0] != a[0] || c[1].Number != 90 {
		t.Errorf("%v, %v", b, c)
	}
}

func TestPodForms(t *testing.T) {
	pod := func(meta, spec, status string) string {
		return "apiVersion: v1\nkind: Pod\nmetadata: {name: p" + meta + "}\nspec: {" + spec + "}\nstatus: " + status
	}
	running := "{phase: Running, podIP: 10.0.0.1, conditions: [{type: Ready, status: \"True\"}]}"
	for _, c := range []struct {
		name, yaml, found string
		check             func(mesh.Workload) bool
	}{
		{"no account", pod("", "", running), "", func(w mesh.Workload) bool {
			return w.ID() == identity.Of(td, "default", "default") && w.Ready && !w.Draining
		}},
		{"old field", pod("", "serviceAccount: a", running), "", func(w mesh.Workload) bool { return w.ID().ServiceAccount == "a" }},
		{"not ready", pod("", "", `{podIP: 10.0.0.1, conditions: [{type: Ready, status: "False"}]}`), "", func(w mesh.Workload) bool { return !w.Ready }},
		{"nothing known of readiness", pod("", "", "{podIP: 10.0.0.1}"), "", func(w mesh.Workload) bool { return !w.Ready }},
		{"list of addresses alone", pod("", "", "{podIPs: [{ip: '::1'}]}"), "", func(w mesh.Workload) bool { return w.Addr == netip.MustParseAddr("::1") }},
		{"deleted", pod(`, deletionTimestamp: "2026-01-01T00:00:00Z"`, "", running), "", func(w mesh.Workload) bool { return w.Draining && w.Ready }},
		{"zone of its own", pod(", labels: {topology.kubernetes.io/zone: z}", "nodeName: node-a", running), "", func(w mesh.Workload) bool { return w.Zone == "z" }},
		{"node is not known", pod("", "nodeName: node-a", running), "", func(w mesh.Workload) bool { return w.Zone == "" }},
		{"ended", pod("", "", "{phase: Succeeded, podIP: 10.0.0.1}"), "", nil},
		{"failed", pod("", "", "{phase: Failed, podIP: 10.0.0.1}"), "", nil},
		// "the Pod sandbox has been successfully created and networking configured" (Pod lifecycle, PodReadyToStartContainers)
		{"its network is gone", pod("", "", `{phase: Running, podIP: 10.0.0.1, conditions: [{type: PodReadyToStartContainers, status: "False"}, {type: Ready, status: "False"}]}`), "", nil},
		{"its network is there", pod("", "", `{phase: Running, podIP: 10.0.0.1, conditions: [{type: PodReadyToStartContainers, status: "True"}, {type: Ready, status: "False"}]}`), "",
			func(w mesh.Workload) bool { return !w.Ready }},
		{"it serves", pod("", "", `{phase: Running, podIP: 10.0.0.1, conditions: [{type: PodReadyToStartContainers, status: "False"}, {type: Ready, status: "True"}]}`), "",
			func(w mesh.Workload) bool { return w.Ready }},
		{"no address yet", pod("", "", "{phase: Pending}"), "", nil},
		{"only planned", "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c, image: i, env: [{name: A, value: b}]}]}",
			"info : it has no status, so nothing says that it runs", nil},
		{"its node's address", pod("", "hostNetwork: true", running), "", func(w mesh.Workload) bool { return w.Shared && !w.Tunnel.IsValid() }},
		{"a proxy of its node", pod(", annotations: {weft.dev/tunnel: ':15008'}", "hostNetwork: true", running),
			"warning metadata.annotations[\"weft.dev/tunnel\"]: a pod with hostNetwork", func(w mesh.Workload) bool { return !w.Tunnel.IsValid() }},
		{"a proxy of its own", pod(", annotations: {weft.dev/tunnel: ':15008'}", "", "{podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}, {ip: 'fd00::1'}]}"), "",
			func(w mesh.Workload) bool {
				v6 := netip.MustParseAddr("fd00::1")
				return w.Tunnel == netip.MustParseAddrPort("10.0.0.1:15008") && slices.Equal(w.Extras().Also, []netip.Addr{v6}) &&
					w.TunnelAt(v6) == netip.AddrPortFrom(v6, 15008)
			}},
		{"no port", pod(", annotations: {weft.dev/tunnel: ':0'}", "", running), "error metadata.annotations[\"weft.dev/tunnel\"]: \":0\" is neither", nil},
		{"second address", pod("", "", "{podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}, {ip: x}]}"), "error status.podIPs[1].ip: it is no address", nil},
		{"no address at all", pod("", "", "{podIP: ten}"), "error status.podIP: it is no address", nil},
		{"bad tunnel", pod(", annotations: {weft.dev/tunnel: here}", "", running), "error metadata.annotations[\"weft.dev/tunnel\"]: \"here\" is neither ADDRESS:PORT nor :PORT", nil},
		{"another's address", pod(", uid: u, annotations: {weft.dev/tunnel: '10.96.0.1:443'}", "", running), "error metadata.annotations[\"weft.dev/tunnel\"]: 10.96.0.1 is not the pod's own address", nil},
		{"another's address, in a file", pod(", annotations: {weft.dev/tunnel: '10.96.0.1:443'}", "", running), "", func(w mesh.Workload) bool { return w.Tunnel == netip.MustParseAddrPort("10.96.0.1:443") }},
		{"its own address", pod(", uid: u, annotations: {weft.dev/tunnel: '10.0.0.1:15008'}", "", running), "", func(w mesh.Workload) bool { return w.Tunnel == netip.MustParseAddrPort("10.0.0.1:15008") }},
		{"proxies in front", pod(", annotations: {weft.dev/trusted-proxies: '10.0.0.0/8, ::1/128'}", "", running), "", func(w mesh.Workload) bool {
			return slices.Equal(w.Extras().Trusted, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")})
		}},
		{"bad proxies in front", pod(", annotations: {weft.dev/trusted-proxies: '10.0.0.0/8,lb'}", "", running),
			"error metadata.annotations[\"weft.dev/trusted-proxies\"]: \"lb\" is not ADDRESS/BITS", nil},
		{"bad account", pod("", "serviceAccountName: a/b", running), "error spec.serviceAccountName: identity:", nil},
		{"bad port", pod("", "containers: [{name: a, ports: [{containerPort: -1}]}]", running), "error spec.containers[0].ports[0].containerPort: -1 is no port", nil},
		{"misspelled", pod("", "contianers: []", running), "warning spec.contianers: unknown field", func(mesh.Workload) bool { return true }},
	} {
		t.Run(c.name, func(t *testing.T) {
			parts, found := lower(t, c.yaml)
			expect(t, found, c.found)
			switch {
			case c.check == nil && !parts[0].Empty():
				t.Errorf("%+v", parts[0])
			case c.check != nil && (len(parts[0].Workloads) != 1 || !c.check(parts[0].Workloads[0])):
				t.Errorf("%+v", parts[0])
			}
		})
	}
}

// discovery/v1 EndpointConditions: "A nil value should be interpreted as "true"" (ready), "as the value of ready" (serving), "as
// "false"" (terminating).
func TestEndpointSlice(t *testing.T) {
	parts, found := lower(t, `
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: reviews-x
  namespace: shop
  labels: {kubernetes.io/service-name: reviews}
addressType: IPv4
ports:
- {name: http, port: 9080, protocol: TCP}
- {name: dns, port: 53, protocol: UDP}
- {name: any}
endpoints:
- {addresses: [10.0.0.1], zone: a}
- {addresses: [10.0.0.2], conditions: {ready: false}}
- {addresses: [10.0.0.3], conditions: {ready: false, serving: true, terminating: true}}
- {addresses: [10.0.0.4], conditions: {ready: false, serving: false, terminating: true}}
- {addresses: [10.0.0.5], conditions: {ready: false, terminating: true}, targetRef: {kind: Pod, name: p}, nodeName: node-a}
- {addresses: [10.0.0.6, 10.0.0.7], conditions: {ready: true}, hints: {forZones: [{name: a}, {name: b}], forNodes: [{name: node-a}]}}
`)
	expect(t, found, `
info ports[1].protocol: what is sent over UDP
warning ports[2].port: not supported yet: a port without a number
warning endpoints[5].addresses[1]: an endpoint's addresses beyond the first have no effect`)
	want := mesh.EndpointSet{
		Ref:  decision.Ref{Dialect: decision.Core, Kind: "EndpointSlice", Namespace: "shop", Name: "reviews-x"},
		Host: "reviews.shop.svc.cluster.local", Ports: []mesh.Port{{Name: "http", Number: 9080, Proto: traffic.HTTP1}},
		Datagrams: []mesh.Port{{Name: "dns", Number: 53, Proto: traffic.UDP}},
		Addrs: []mesh.EndpointAddr{
			{Addr: netip.MustParseAddr("10.0.0.1"), Zone: "a", Ready: true}, {Addr: netip.MustParseAddr("10.0.0.2")},
			{Addr: netip.MustParseAddr("10.0.0.3"), Ready: true, Draining: true}, // 10.0.0.4 and 10.0.0.5 serve nobody any more
			{Addr: netip.MustParseAddr("10.0.0.6"), Ready: true, Hints: &mesh.Hints{Zones: []string{"a", "b"}, Nodes: []string{"node-a"}}}},
		Hints: true,
	}
	if got := parts[0].Endpoints; len(got) != 1 || !reflect.DeepEqual(got[0], want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestEndpointSliceForms(t *testing.T) {
	slice := func(labels, rest string) string {
		return "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: e, labels: {" + labels + "}}\n" + rest
	}
	const of = "kubernetes.io/service-name: s"
	for _, c := range []struct{ name, yaml, found string }{
		{"of no service", slice("", "addressType: IPv4\nendpoints: []"), "warning metadata.labels: it says of no service"},
		{"names", slice(of, "addressType: FQDN\nendpoints: [{addresses: [example.com]}]"), "warning addressType: not supported yet"},
		{"no type", slice(of, "endpoints: []"), "error addressType: required"},
		{"another type", slice(of, "addressType: IPv5\nendpoints: []"), "error addressType: \"IPv5\" is none of IPv4, IPv6, FQDN"},
		{"of the other family", slice(of, "addressType: IPv6\nendpoints: [{addresses: [10.0.0.1]}]"), "error endpoints[0].addresses[0]: 10.0.0.1 is not of the addressType IPv6"},
		{"no address", slice(of, "addressType: IPv4\nendpoints: [{addresses: [ten]}]"), "error endpoints[0].addresses[0]: it is no address"},
		{"no port", slice(of, "addressType: IPv4\nports: [{port: 99999}]"), "error ports[0].port: 99999 is no port"},
	} {
		t.Run(c.name, func(t *testing.T) {
			parts, found := lower(t, c.yaml)
			expect(t, found, c.found)
			if !parts[0].Empty() {
				t.Errorf("%+v", parts[0])
			}
		})
	}
}

// Kinds that have no part say so once, and what is wrong with them is said all the same.
func TestOthers(t *testing.T) {
	for yaml, want := range map[string]string{
		"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {replicas: 1, template: {spec: {containers: [{name: c, image: i}]}}}": "info : has no part in the mesh: it starts processes; on one machine, start them with weft run",
		"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {replcias: 1}":                                                        "info : has no part in the mesh\nwarning spec.replcias: unknown field",
		"apiVersion: v1\nkind: Endpoints\nmetadata: {name: a}\nsubsets: []":                                                                      "warning : not supported yet: it is deprecated",
		"apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: \"system:node\"}\nrules: []":                              "info : has no part in the mesh",
		"apiVersion: autoscaling/v1\nkind: HorizontalPodAutoscaler\nmetadata: {name: a}\nspec: {targetCPUUtilizationPercentage: 5}":              "info : has no part in the mesh",
		"apiVersion: apps/v1beta1\nkind: Deployment\nmetadata: {name: a}":                                                                        "error apiVersion: version v1beta1 of Deployment is not known",
		"apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: a}\nsecrets: [{name: b}]":                                                        "",
		"apiVersion: v1\nkind: Namespace\nmetadata: {name: a, labels: {istio-injection: enabled}}\nspec: {finalizers: [kubernetes]}":             "",
		"apiVersion: v1\nkind: Namespace\nmetadata: {name: a.b}":                                                                                 "error metadata.name: ",
		"apiVersion: v1\nkind: Service\nmetadata: {name: a.b}\nspec: {ports: [{port: 1}]}":                                                       "error metadata.name: ",
	} {
		parts, found := lower(t, yaml)
		expect(t, found, want)
		if !parts[0].Empty() {
			t.Errorf("%s: %+v", yaml, parts[0])
		}
	}
}

func TestFields(t *testing.T) {
	dialecttest.CheckFields(t, kinds, `
apiVersion: v1
kind: Service
metadata: {name: s}
spec:
  type: ClusterIP
  selector: {app: s}
  clusterIP: 10.0.0.1
  clusterIPs: [10.0.0.1]
  publishNotReadyAddresses: true
  internalTrafficPolicy: Local
  sessionAffinity: ClientIP
  ports: [{name: http-a, port: 80, targetPort: 81, protocol: TCP, appProtocol: http}]
---
apiVersion: v1
kind: Pod
metadata: {name: p}
spec:
  serviceAccountName: a
  nodeName: node-a
  hostNetwork: false
  containers: [{ports: [{name: http, containerPort: 80, protocol: TCP}]}]
status: {phase: Running, podIP: 10.0.0.1, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: q}
spec: {serviceAccount: a}
status: {podIPs: [{ip: 10.0.0.1}]}
---
apiVersion: v1
kind: Node
metadata: {name: node-a, labels: {topology.kubernetes.io/zone: z}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: e, labels: {kubernetes.io/service-name: s}}
addressType: IPv4
ports: [{name: http, port: 80, protocol: TCP, appProtocol: http}]
endpoints:
- {addresses: [10.0.0.1], zone: z, conditions: {ready: true}, targetRef: {kind: Pod, name: p}}
- {addresses: [10.0.0.2], zone: z, conditions: {serving: true, terminating: true}}
- {addresses: [10.0.0.3], hints: {forZones: [{name: z}], forNodes: [{name: node-a}]}}
---
apiVersion: v1
kind: Service
metadata: {name: x}
spec: {type: ExternalName, externalName: s.default.svc.cluster.local}
`)
}

// Every kind has one name in its group, a version and a reason where it has no Lower.
func TestKinds(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range kinds {
		if seen[k.Group+"/"+k.Name] || len(k.Versions) == 0 || k.Dialect != decision.Core {
			t.Errorf("%+v", k)
		}
		seen[k.Group+"/"+k.Name] = true
		if k.Lower == nil && k.Ignored[""] == "" && k.Unsupported[""] == "" {
			t.Errorf("%s has no effect, and nothing says why", k.Name)
		}
	}
}

// What a Secret holds stands in no finding.
func TestSecretsAreNotShown(t *testing.T) {
	for _, rest := range []string{"data: [hush]", "data: {a: 5115}", "data: {a: {b: hush}}", "stringData: hush", "type: [hush]", "other: 5115", "data: hush", "data: {tls.key: hush}"} {
		_, found := dialecttest.Lower(t, kinds, "{apiVersion: v1, kind: Secret, metadata: {name: a}, "+rest+"}")
		for _, f := range found {
			if s := f.Text + f.Remedy; strings.Contains(s, "hush") || strings.Contains(s, "5115") {
				t.Errorf("%s: %s", rest, s)
			}
		}
	}
}
