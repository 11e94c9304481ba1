package istio_test

import (
	"testing"
	"time"

	"github.com/weft-mesh/weft/dialect/dialecttest"
	"github.com/weft-mesh/weft/feature/balance"
	"github.com/weft-mesh/weft/feature/breaker"
	"github.com/weft-mesh/weft/feature/outlier"
	"github.com/weft-mesh/weft/feature/retry"
	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/traffic"
)

func destinationRule(spec string) string {
	return object("networking.istio.io", "DestinationRule", "host: reviews\n"+spec)
}

// backend lowers a DestinationRule of reviews.
func backend(t *testing.T, spec string) mesh.BackendPolicy {
	t.Helper()
	part, found := lower(t, destinationRule(spec))
	if len(part.Backends) != 1 {
		t.Fatalf("%d backend policies, wanted 1:%s", len(part.Backends), dialecttest.Show(found))
	}
	return part.Backends[0]
}

// TestDestinationRule is the seed's: every field of it takes effect.
func TestDestinationRule(t *testing.T) {
	part, found := lower(t, destinationRule(`
trafficPolicy:
  connectionPool:
    tcp: {maxConnections: 100}
    http: {h2UpgradePolicy: UPGRADE, http2MaxRequests: 1000}
  outlierDetection: {consecutive5xxErrors: 5, interval: 30s, baseEjectionTime: 30s}
subsets:
- {name: v1, labels: {version: v1}}
- {name: v2, labels: {version: v2, app: reviews}}`))
	dialecttest.None(t, found)
	dr := ref("DestinationRule", "")
	pool := dr.At("trafficPolicy.connectionPool")
	want := []mesh.BackendPolicy{{Ref: dr, Created: part.Backends[0].Created, Host: reviews, Policy: mesh.Outbound{
		Outlier: &outlier.Policy{Ref: dr.At("trafficPolicy.outlierDetection"), Consecutive: 5, Interval: 30 * time.Second, Base: 30 * time.Second},
		Breaker: &breaker.Policy{Ref: pool, MaxConnections: 100, MaxRequests: 1000},
		Connect: &traffic.Connect{Ref: pool, Upgrade: true},
	}, Subsets: []mesh.Subset{{Ref: dr.At("subsets[0]"), Name: "v1", Labels: []string{"version=v1"}},
		{Ref: dr.At("subsets[1]"), Name: "v2", Labels: []string{"app=reviews", "version=v2"}}}}}
	if d := dialecttest.Diff(want, part.Backends); d != "" {
		t.Error(d)
	}
}

func TestLoadBalancer(t *testing.T) {
	at := ref("DestinationRule", "trafficPolicy.loadBalancer")
	ring := func(h balance.Hash) balance.Policy { return balance.Policy{Algorithm: balance.RingHash, Hash: h} }
	for _, c := range []struct {
		lb   string
		want balance.Policy
	}{
		{"{simple: UNSPECIFIED}", balance.Policy{Algorithm: balance.LeastRequest}},
		{"{simple: LEAST_CONN}", balance.Policy{Algorithm: balance.LeastRequest}},
		{"{simple: LEAST_REQUEST}", balance.Policy{Algorithm: balance.LeastRequest}},
		{"{simple: RANDOM}", balance.Policy{Algorithm: balance.Random}},
		{"{simple: ROUND_ROBIN, warmup: {duration: 1m}}", balance.Policy{Algorithm: balance.RoundRobin, SlowStart: time.Minute}},
		{"{warmupDurationSecs: 30s}", balance.Policy{Algorithm: balance.LeastRequest, SlowStart: 30 * time.Second}},
		{"{simple: PASSTHROUGH}", balance.Policy{Algorithm: balance.LeastRequest}},
		{"{consistentHash: {httpHeaderName: X-User}}", ring(balance.Hash{Header: "x-user"})},
		{"{consistentHash: {httpCookie: {name: c}}}", ring(balance.Hash{Cookie: "c"})},
		{"{consistentHash: {httpCookie: {name: c, ttl: 0s, path: /p}}}", ring(balance.Hash{Cookie: "c", SetTTL: true, Path: "/p"})},
		{"{consistentHash: {httpCookie: {name: c, ttl: 1h}}}", ring(balance.Hash{Cookie: "c", SetTTL: true, TTL: time.Hour})},
		{"{consistentHash: {useSourceIp: true, minimumRingSize: 7}}", ring(balance.Hash{SourceIP: true, MinRing: 7})},
		{"{consistentHash: {httpQueryParameterName: q, ringHash: {minimumRingSize: 9}}}", ring(balance.Hash{Param: "q", MinRing: 9})},
	} {
		c.want.Ref = at
		if d := dialecttest.Diff(&c.want, backend(t, "trafficPolicy: {loadBalancer: "+c.lb+"}").Policy.Balance); d != "" {
			t.Errorf("%s: %s", c.lb, d)
		}
	}
}

// TestOutlierDetection: five 5xx in a row by default; gateway errors are off; local errors count apart only where that is asked for.
func TestOutlierDetection(t *testing.T) {
	for _, c := range []struct {
		fields string
		want   outlier.Policy
	}{
		{"{}", outlier.Policy{Consecutive: 5}},
		{"{consecutive5xxErrors: 0}", outlier.Policy{}},
		{"{consecutive5xxErrors: 0, consecutiveGatewayErrors: 3}", outlier.Policy{Gateway: 3}},
		{"{maxEjectionPercent: 50, minHealthPercent: 20}", outlier.Policy{Consecutive: 5, MaxPercent: 50, MinHealth: 20}},
		{"{splitExternalLocalOriginErrors: true}", outlier.Policy{Consecutive: 5, Local: 5}},
		{"{splitExternalLocalOriginErrors: true, consecutiveLocalOriginFailures: 2}", outlier.Policy{Consecutive: 5, Local: 2}},
	} {
		c.want.Ref = ref("DestinationRule", "trafficPolicy.outlierDetection")
		if d := dialecttest.Diff(&c.want, backend(t, "trafficPolicy: {outlierDetection: "+c.fields+"}").Policy.Outlier); d != "" {
			t.Errorf("%s: %s", c.fields, d)
		}
	}
}

func TestConnectionPool(t *testing.T) {
	at := ref("DestinationRule", "trafficPolicy.connectionPool")
	p := backend(t, `
trafficPolicy:
  connectionPool:
    tcp: {maxConnections: 1, connectTimeout: 30ms, idleTimeout: 5m}
    http: {http1MaxPendingRequests: 2, http2MaxRequests: 3, maxRequestsPerConnection: 4, maxRetries: 5, idleTimeout: 1m}`).Policy
	if d := dialecttest.Diff(&breaker.Policy{Ref: at, MaxConnections: 1, MaxPending: 2, MaxRequests: 3, MaxRetries: 5}, p.Breaker); d != "" {
		t.Error(d)
	}
	if d := dialecttest.Diff(&traffic.Connect{Ref: at, Timeout: 30 * time.Millisecond, Idle: time.Minute, MaxRequests: 4}, p.Connect); d != "" {
		t.Error(d)
	}
}

func TestTLS(t *testing.T) {
	for _, c := range []struct {
		fields string
		want   traffic.Secure
	}{
		{"{mode: DISABLE}", traffic.Secure{Mode: traffic.Clear}},
		{"{mode: ISTIO_MUTUAL}", traffic.Secure{Mode: traffic.Required}},
		{"{mode: SIMPLE}", traffic.Secure{Mode: traffic.Simple, SNI: reviews}},
		{"{mode: SIMPLE, sni: other}", traffic.Secure{Mode: traffic.Simple, SNI: "other"}},
		{"{mode: MUTUAL, clientCertificate: /c, privateKey: /k}", traffic.Secure{Mode: traffic.Simple, SNI: reviews}},
	} {
		c.want.Ref = ref("DestinationRule", "trafficPolicy.tls")
		if d := dialecttest.Diff(&c.want, backend(t, "trafficPolicy: {tls: "+c.fields+"}").Policy.Secure); d != "" {
			t.Errorf("%s: %s", c.fields, d)
		}
	}
	if s := backend(t, "trafficPolicy: {loadBalancer: {simple: RANDOM}}").Policy.Secure; s != nil {
		t.Errorf("without tls the endpoint decides, not %v", s)
	}
}

func TestRetryBudget(t *testing.T) {
	at := ref("DestinationRule", "trafficPolicy.retryBudget")
	for _, c := range []struct {
		fields string
		want   retry.Budget
	}{
		{"{}", retry.Budget{}},
		{"{percent: 0}", retry.Budget{Percent: new(uint32(0))}}, // unset and zero are different
		{"{percent: 12.5, budgetInterval: 5s}", retry.Budget{Percent: new(uint32(13)), Window: 5 * time.Second}},
	} {
		c.want.Ref = at
		if d := dialecttest.Diff(&c.want, backend(t, "trafficPolicy: {retryBudget: "+c.fields+"}").Policy.Budget); d != "" {
			t.Errorf("%s: %s", c.fields, d)
		}
	}
}

// TestPortLevelSettings: "traffic settings specified at the destination-level will not be inherited when overridden by port-level
// settings" (TrafficPolicy.portLevelSettings).
func TestPortLevelSettings(t *testing.T) {
	b := backend(t, `
trafficPolicy:
  loadBalancer: {simple: RANDOM}
  outlierDetection: {consecutive5xxErrors: 1}
  connectionPool: {tcp: {maxConnections: 1}}
  tls: {mode: DISABLE}
  portLevelSettings:
  - {port: {number: 9080}, loadBalancer: {simple: ROUND_ROBIN}}`)
	at := ref("DestinationRule", "trafficPolicy.portLevelSettings[0]")
	want := []mesh.PortPolicy{{Port: 9080, Policy: mesh.Outbound{
		Balance: &balance.Policy{Ref: at.At(at.Rule + ".loadBalancer"), Algorithm: balance.RoundRobin},
		Outlier: &outlier.Policy{Ref: at}, Breaker: &breaker.Policy{Ref: at}, Connect: &traffic.Connect{Ref: at}, Secure: &traffic.Secure{Ref: at}}}}
	if d := dialecttest.Diff(want, b.Ports); d != "" {
		t.Error(d)
	}
}

// TestSubsetPolicy: a subset's blocks are its own; what it does not say stays unset, for the merge to fill in.
func TestSubsetPolicy(t *testing.T) {
	b := backend(t, "trafficPolicy: {loadBalancer: {simple: RANDOM}}\nsubsets: [{name: v1, trafficPolicy: {tls: {mode: DISABLE}}}]")
	want := mesh.Outbound{Secure: &traffic.Secure{Ref: ref("DestinationRule", "subsets[0].trafficPolicy.tls"), Mode: traffic.Clear}}
	if d := dialecttest.Diff(want, b.Subsets[0].Policy); d != "" {
		t.Error(d)
	}
}

func TestWhoseDestinationRule(t *testing.T) {
	b := backend(t, "workloadSelector: {matchLabels: {app: web}}\nexportTo: ['.']")
	if d := dialecttest.Diff(&match.Selector{Labels: []string{"app=web"}}, b.Selector); d != "" || b.Root || len(b.Exports) != 1 || b.Exports[0] != "default" {
		t.Errorf("%+v %s", b, d)
	}
	part, _ := lower(t, `
apiVersion: networking.istio.io/v1beta1
kind: DestinationRule
metadata: {name: it, namespace: istio-system}
spec: {host: "*.svc.cluster.local", trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}`)
	if b := part.Backends[0]; !b.Root || b.Host != "*.svc.cluster.local" {
		t.Errorf("a rule in the root namespace is for all: %+v", b)
	}
	_, found := lower(t, destinationRule("workloadSelector: {matchLabels: {app: web}}\nexportTo: [prod]"))
	dialecttest.Want(t, found, mesh.Error, "spec.exportTo", "its own namespace alone")
}

func TestDestinationRuleFindings(t *testing.T) {
	for _, c := range []struct {
		spec  string
		level mesh.Level
		field string
		says  string
	}{
		{"trafficPolicy: {loadBalancer: {simple: PASSTHROUGH}}", mesh.Warning, "spec.trafficPolicy.loadBalancer.simple", "least request"},
		{"trafficPolicy: {loadBalancer: {localityLbSetting: {enabled: true}}}", mesh.Warning, "spec.trafficPolicy.loadBalancer.localityLbSetting", "localities"},
		{"trafficPolicy: {loadBalancer: {consistentHash: {httpHeaderName: a, maglev: {tableSize: 7}}}}", mesh.Warning,
			"spec.trafficPolicy.loadBalancer.consistentHash.maglev", "ring"},
		{"trafficPolicy: {loadBalancer: {consistentHash: {}}}", mesh.Warning, "spec.trafficPolicy.loadBalancer.consistentHash", "nothing to hash"},
		{"trafficPolicy: {loadBalancer: {simple: RANDOM, warmup: {duration: 1s}}}", mesh.Info, "spec.trafficPolicy.loadBalancer", "warmed up"},
		{"trafficPolicy: {tls: {mode: ISTIO_MUTUAL, sni: a}}", mesh.Info, "spec.trafficPolicy.tls.sni", "no effect"},
		{"trafficPolicy: {loadBalancer: {policy: RANDOM}}", mesh.Warning, "spec.trafficPolicy.loadBalancer.policy", "did you mean simple?"},
		{"trafficPolicy: {loadBalancer: {simple: RONDOM}}", mesh.Error, "spec.trafficPolicy.loadBalancer.simple", "did you mean RANDOM?"},
		{"trafficPolicy: {connectionPool: {tcp: {tcpKeepalive: {probes: 1}}}}", mesh.Warning, "spec.trafficPolicy.connectionPool.tcp.tcpKeepalive", "kept alive"},
		{"trafficPolicy: {connectionPool: {maxConnections: 1, tcp: {maxConnections: 1}}}", mesh.Warning, "spec.trafficPolicy.connectionPool.maxConnections",
			"connectionPool.tcp.maxConnections"},
		{"trafficPolicy: {connectionPool: {http: {http1MaxPendingRequests: 1}}}", mesh.Info, "spec.trafficPolicy.connectionPool.http.http1MaxPendingRequests",
			"tcp.maxConnections"},
		{"trafficPolicy: {connectionPool: {http: {h2UpgradePolicy: UPGRADE, useClientProtocol: true}}}", mesh.Error,
			"spec.trafficPolicy.connectionPool.http.useClientProtocol", "UPGRADE"},
		{"trafficPolicy: {outlierDetection: {consecutiveErrors: 3}}", mesh.Warning, "spec.trafficPolicy.outlierDetection.consecutiveErrors", "consecutive5xxErrors"},
		{"trafficPolicy: {outlierDetection: {consecutiveGatewayErrors: 5}}", mesh.Info, "spec.trafficPolicy.outlierDetection.consecutiveGatewayErrors", "eject already"},
		{"trafficPolicy: {outlierDetection: {consecutiveLocalOriginFailures: 5}}", mesh.Error,
			"spec.trafficPolicy.outlierDetection.consecutiveLocalOriginFailures", "splitExternalLocalOriginErrors"},
		{"trafficPolicy: {outlierDetection: {maxEjectionPercent: 101}}", mesh.Error, "spec.trafficPolicy.outlierDetection.maxEjectionPercent", "from 0 to 100"},
		{"trafficPolicy: {tls: {mode: MUTUAL}}", mesh.Warning, "spec.trafficPolicy.tls.mode", "without one"},
		{"trafficPolicy: {tls: {mode: SIMPLE, subjectAltNames: [a]}}", mesh.Warning, "spec.trafficPolicy.tls.subjectAltNames", "sni alone"},
		{"trafficPolicy: {circuitBreaker: {}}", mesh.Warning, "spec.trafficPolicy.circuitBreaker", "outlierDetection"},
		{"subsets: [{name: a}, {name: a}]", mesh.Error, "spec.subsets[1].name", "defined twice"},
		{"subsets: [{labels: {a: b}}]", mesh.Error, "spec.subsets[0].name", "required"},
		{"trafficPolicy: {portLevelSettings: [{tls: {mode: SIMPLE}}]}", mesh.Error, "spec.trafficPolicy.portLevelSettings[0].port.number", "1 to 65535"},
		{"exportTo: ['*', prod]", mesh.Error, "spec.exportTo[0]", "everybody"},
	} {
		_, found := lower(t, destinationRule(c.spec))
		dialecttest.Want(t, found, c.level, c.field, c.says)
	}
}
