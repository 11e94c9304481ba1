package metrics

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/observe"
	"github.com/weft-mesh/weft/traffic"
)

func record() *observe.Record {
	return &observe.Record{Reporter: observe.Source, Proto: traffic.HTTP1, Service: "reviews.default.svc.cluster.local", Status: 200, Attempts: 2, Secure: true,
		Took: 3 * time.Millisecond, Sent: 10, Received: 20,
		From: observe.Party{ID: identity.Of("cluster.local", "default", "productpage"), Workload: "default/productpage-v1-1"},
		To:   observe.Party{ID: identity.Of("cluster.local", "default", "reviews"), Workload: "default/reviews-v2-12"}}
}

func changed(change func(*observe.Record)) *observe.Record {
	r := record()
	change(r)
	return r
}

var rule = &decision.Ref{Dialect: decision.Istio, Kind: "AuthorizationPolicy", Namespace: "default", Name: "x", Rule: "rules[0]"}

func denied() *observe.Record {
	return changed(func(r *observe.Record) {
		r.Status, r.Local, r.Deciding = 403, true, decision.Verdict{Ref: rule, Outcome: decision.Deny, Reason: decision.NoRuleAllows}
		r.Verdicts = []decision.Verdict{{Reason: decision.Matched}, r.Deciding}
	})
}

// read parses what a scraper would get.
func read(t *testing.T, r *Registry) (parsed, string) {
	t.Helper()
	text := string(r.Append(nil))
	p, err := parse(text)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return p, text
}

func has(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, l := range lines {
		if !strings.Contains(text, l+"\n") {
			t.Errorf("there is no %s in\n%s", l, text)
		}
	}
}

func TestText(t *testing.T) {
	var r Registry
	r.Take(record())
	r.Take(record())
	r.Take(denied())
	r.Take(changed(func(x *observe.Record) { x.Proto, x.Reporter = traffic.TCP, observe.Destination }))
	c := r.NewCounts("weft_refused_total", "Refused.", "reason")
	c.Add("malformed")
	r.NewGauge("weft_connections", "Open.", func() float64 { return 1.5 })
	own := `{reporter="source",protocol="http/1.1",source="default/productpage",service="reviews.default.svc.cluster.local",destination="default/reviews",`
	took := `reporter="source",protocol="http/1.1",source="default/productpage",service="reviews.default.svc.cluster.local"`
	_, text := read(t, &r)
	has(t, text,
		"# TYPE weft_requests_total counter",
		`weft_requests_total`+own+`status="200",grpc_status="",outcome="success",reason="",local="false",security="mtls"} 2`,
		`weft_requests_total`+own+`status="403",grpc_status="",outcome="success",reason="no rule allows",local="true",security="mtls"} 1`,
		`weft_retries_total`+own+`status="200",grpc_status="",outcome="success",reason="",local="false",security="mtls"} 2`,
		`weft_sent_bytes_total`+own+`status="200",grpc_status="",outcome="success",reason="",local="false",security="mtls"} 20`,
		`weft_received_bytes_total`+own+`status="200",grpc_status="",outcome="success",reason="",local="false",security="mtls"} 40`,
		`weft_request_duration_seconds_bucket{`+took+`,le="0.0025"} 0`,
		`weft_request_duration_seconds_bucket{`+took+`,le="0.005"} 3`,
		`weft_request_duration_seconds_bucket{`+took+`,le="+Inf"} 3`,
		`weft_request_duration_seconds_sum{`+took+`} 0.009`,
		`weft_request_duration_seconds_count{`+took+`} 3`,
		`weft_verdicts_total{reporter="source",outcome="deny",reason="no rule allows",rule="AuthorizationPolicy default/x rules[0] (istio)"} 1`,
		`weft_refused_total{reason="malformed"} 1`, `weft_connections 1.5`, `weft_series_lost_total 0`)
	if again := string(r.Append(nil)); again != text {
		t.Error("the same counts are written in another order")
	}
}

// TestIstio: the labels of https://istio.io/latest/docs/reference/config/metrics, each of them.
func TestIstio(t *testing.T) {
	var r Registry
	r.Take(record())
	r.Take(changed(func(x *observe.Record) {
		x.Reporter, x.Proto, x.GRPC, x.Secure = observe.Destination, traffic.GRPC, "14", false
		x.From, x.To.Workload = observe.Party{}, "default/reviews"
	}))
	r.Take(changed(func(x *observe.Record) { x.Proto, x.Reporter = traffic.TCP, observe.Destination }))
	r.Take(changed(func(x *observe.Record) {
		x.Service, x.To, x.Status, x.Local = "api.example.com", observe.Party{Workload: "other/vm"}, 503, true
		x.Deciding = decision.Verdict{Outcome: decision.Deny, Reason: decision.NoEndpoint}
	}))
	none := `_app="unknown",%[1]s_version="unknown",%[1]s_cluster="unknown",%[1]s_canonical_service="unknown",%[1]s_canonical_revision="unknown"`
	party := func(side, workload, namespace, principal string) string {
		return fmt.Sprintf(`%[1]s_workload="%[2]s",%[1]s_workload_namespace="%[3]s",%[1]s_principal="%[4]s",%[1]s`+none+",", side, workload, namespace, principal)
	}
	page := party("source", "productpage-v1", "default", "spiffe://cluster.local/ns/default/sa/productpage")
	reviews := `destination_service="reviews.default.svc.cluster.local",destination_service_name="reviews",destination_service_namespace="default",`
	_, text := read(t, &r)
	has(t, text,
		`istio_requests_total{reporter="source",`+page+party("destination", "reviews-v2", "default", "spiffe://cluster.local/ns/default/sa/reviews")+reviews+
			`request_protocol="http",response_flags="-",connection_security_policy="unknown",response_code="200",grpc_response_status=""} 1`,
		`istio_requests_total{reporter="destination",`+party("source", "unknown", "unknown", "unknown")+
			party("destination", "reviews", "default", "spiffe://cluster.local/ns/default/sa/reviews")+reviews+
			`request_protocol="grpc",response_flags="-",connection_security_policy="none",response_code="200",grpc_response_status="14"} 1`,
		`istio_requests_total{reporter="source",`+page+party("destination", "vm", "other", "unknown")+
			`destination_service="api.example.com",destination_service_name="api.example.com",destination_service_namespace="unknown",`+
			`request_protocol="http",response_flags="UH",connection_security_policy="unknown",response_code="503",grpc_response_status=""} 1`,
		`istio_tcp_connections_closed_total{reporter="destination",`+page+party("destination", "reviews-v2", "default", "spiffe://cluster.local/ns/default/sa/reviews")+
			reviews+`request_protocol="tcp",response_flags="-",connection_security_policy="mutual_tls"} 1`)
}

func TestFlags(t *testing.T) {
	for why, want := range map[decision.Reason]string{decision.Default: "-", decision.NoRuleAllows: "-", decision.NoEndpoint: "UH", decision.ConnectFailed: "UF",
		decision.ResetByPeer: "UC", decision.Limited: "UO", decision.NoRoute: "NR", decision.NoBackend: "NC", decision.TimedOut: "UT", decision.Injected: "FI",
		decision.Malformed: "DPE"} {
		if got := (&entry{key: key{reason: why}}).flags(); got != want {
			t.Errorf("%v: %s, want %s", why, got, want)
		}
	}
}

// TestLinkerd: the labels of https://linkerd.io/2/reference/proxy-metrics: dst_* and server_id of calls out, client_id of calls in.
func TestLinkerd(t *testing.T) {
	var r Registry
	r.Take(record())
	r.Take(changed(func(x *observe.Record) {
		x.Reporter, x.Proto, x.GRPC, x.Failed = observe.Destination, traffic.GRPC, "2", true
	}))
	r.Take(changed(func(x *observe.Record) { x.Reporter, x.From, x.Secure = observe.Destination, observe.Party{}, false }))
	_, text := read(t, &r)
	has(t, text,
		`response_total{direction="outbound",dst_service="reviews",dst_namespace="default",server_id="reviews.default.serviceaccount.identity.cluster.local",`+
			`tls="true",status_code="200",grpc_status_code="",classification="success"} 1`,
		`response_total{direction="inbound",client_id="productpage.default.serviceaccount.identity.cluster.local",`+
			`tls="true",status_code="200",grpc_status_code="2",classification="failure"} 1`,
		`response_total{direction="inbound",client_id="",tls="no_identity",status_code="200",grpc_status_code="",classification="success"} 1`)
}

// TestOneLineEach: keys tell more apart than labels do; a scraper takes no line twice. Each pair differs in one thing.
func TestOneLineEach(t *testing.T) {
	var r Registry
	for i, change := range []func(*observe.Record){
		func(*observe.Record) {},
		func(x *observe.Record) { x.From.Workload = "default/productpage-v2-1" },
		func(x *observe.Record) { x.To.Workload = "default/reviews-v3" },
		func(x *observe.Record) { x.From.ID = identity.Of("elsewhere", "default", "productpage") },
		func(x *observe.Record) { x.Proto = traffic.HTTP2 },
		func(x *observe.Record) { x.Local, x.Deciding.Reason = true, decision.NoRoute },
		func(x *observe.Record) { x.Local, x.Deciding.Reason = true, decision.NoService },
		func(x *observe.Record) { x.Failed = true },
		func(x *observe.Record) { x.Service = "reviews.other.svc.cluster.local" },
		func(x *observe.Record) { x.Reporter, x.Service = observe.Destination, "a.b.svc" },
		func(x *observe.Record) { x.Reporter, x.Service = observe.Destination, "c.d.svc" },
	} {
		r.Take(changed(change))
		p, _ := read(t, &r)
		for _, name := range []string{"weft_requests_total", "istio_requests_total", "response_total", "weft_request_duration_seconds_count"} {
			if n, _ := p.sum(name); n != float64(i+1) {
				t.Errorf("%s counts %v of %d", name, n, i+1)
			}
		}
	}
}

// TestHostile: nothing that a caller, a callee or an object is named makes the text invalid, or more than one line.
func TestHostile(t *testing.T) {
	for _, evil := range []string{"a\"b\\c\nd", "\xff\xfe", "}\nweft_requests_total 1\n# ", "", " ", strings.Repeat("é\n", 1000), `\`, `\n`, "x\x00y"} {
		var r Registry
		id := identity.Of(evil, evil, evil)
		for _, by := range []observe.Reporter{observe.Source, observe.Destination} {
			for _, proto := range []traffic.Proto{traffic.TCP, traffic.HTTP1, traffic.HTTP2, traffic.GRPC} {
				v := decision.Verdict{Ref: &decision.Ref{Kind: evil, Namespace: evil, Name: evil, Rule: evil}, Outcome: decision.Deny, Reason: decision.Matched}
				r.Take(&observe.Record{Reporter: by, Proto: proto, From: observe.Party{ID: id, Workload: evil}, To: observe.Party{ID: id, Workload: evil}, Service: evil,
					Subset: evil, Method: evil, Authority: evil, Path: evil, RequestID: evil, GRPC: evil, Remote: evil, Local: true, Deciding: v, Verdicts: []decision.Verdict{v}})
			}
		}
		r.NewCounts("weft_x_total", evil, "reason").Add(evil)
		p, text := read(t, &r)
		if n, _ := p.sum("weft_requests_total"); n != 8 {
			t.Errorf("%.20q: %v counted in\n%s", evil, n, text)
		}
		if want := strings.ToValidUTF8(evil, "\ufffd"); evil != "" && p[fmt.Sprintf("weft_x_total reason=%q", want)] != 1 {
			t.Errorf("%.20q does not come back", evil)
		}
	}
}

// FuzzLabel: a label comes back as it was, but for what is no UTF-8.
func FuzzLabel(f *testing.F) {
	f.Add("a\"b\\c\nd")
	f.Add("\xff\\")
	f.Fuzz(func(t *testing.T, v string) {
		fam := newFamily("x_total", v)
		fam.add(labels{{"l", v}, {"m", "1"}}, 7)
		p, err := parse(string(fam.append(nil)))
		if want := series1("x_total", map[string]string{"l": strings.ToValidUTF8(v, "\ufffd"), "m": "1"}); err != nil || p[want] != 7 {
			t.Errorf("%q: %v %v", v, p, err)
		}
	})
}

// TestBound: "Cardinality is bounded and loss is counted" (DESIGN section 8), and no call goes uncounted, of whatever sort.
func TestBound(t *testing.T) {
	var r Registry
	for i := range MaxSeries {
		r.Take(changed(func(x *observe.Record) { x.Service = fmt.Sprint("s", i) }))
	}
	p, _ := read(t, &r)
	if n, lines := p.sum("weft_requests_total"); n != MaxSeries || lines != MaxSeries || p["weft_series_lost_total"] != 0 {
		t.Errorf("%v in %d lines, %v lost", n, lines, p["weft_series_lost_total"])
	}
	more := 0
	for _, by := range []observe.Reporter{observe.Source, observe.Destination} {
		for proto := traffic.TCP; proto <= traffic.Detect; proto++ {
			for _, failed := range []bool{true, false} {
				for _, secure := range []bool{true, false} {
					for i := range 3 {
						more++
						r.Take(changed(func(x *observe.Record) {
							x.Reporter, x.Proto, x.Failed, x.Secure, x.Service = by, proto, failed, secure, fmt.Sprint("more", i)
						}))
					}
				}
			}
		}
	}
	p, text := read(t, &r)
	if n, lines := p.sum("weft_requests_total"); n != float64(MaxSeries+more) || lines > MaxSeries+2*5*2*2 || p["weft_series_lost_total"] != float64(more) {
		t.Errorf("%v in %d lines, %v lost of %d", n, lines, p["weft_series_lost_total"], more)
	}
	if n, _ := p.sum("weft_requests_total", ` service="overflow"`, ` source="overflow"`, ` destination="overflow"`); n != float64(more) {
		t.Errorf("%v of %d are in the overflow", n, more)
	}
	has(t, text, `weft_requests_total{reporter="source",protocol="grpc",source="overflow",service="overflow",destination="overflow",status="",grpc_status="",`+
		`outcome="failure",reason="",local="false",security="mtls"} 3`)
}

// TestServices: hosts at the destination are words of callers. One that makes them up can't use up all series.
func TestServices(t *testing.T) {
	var r Registry
	in := func(service, account string) {
		r.Take(changed(func(x *observe.Record) {
			x.Reporter, x.Service, x.From.ID = observe.Destination, service, identity.Of("td", "ns", account)
		}))
	}
	in("known", "a")
	for i := range 5000 {
		in(fmt.Sprint("made-up-", i), "evil")
	}
	in("known", "b")
	p, _ := read(t, &r)
	if n, lines := p.sum("weft_requests_total"); n != 5002 || lines > maxServices+3 {
		t.Errorf("%v in %d lines", n, lines)
	}
	if n, _ := p.sum("weft_requests_total", ` service="known"`, ` source="ns/b"`); n != 1 {
		t.Errorf("%v calls of another caller are told apart", n)
	}
	if n, _ := p.sum("weft_requests_total", ` service="overflow"`, ` source="ns/evil"`); n != 5000-maxServices+1 || p["weft_series_lost_total"] != n {
		t.Errorf("%v in the overflow, %v lost", n, p["weft_series_lost_total"])
	}
}

// TestGRPCStatus: the codes that there are (grpc/grpc doc/statuscodes.md); an application can make up no other label.
func TestGRPCStatus(t *testing.T) {
	for in, want := range map[string]string{"": "", "0": "0", "7": "7", "16": "16", "17": "invalid", "00": "invalid", "07": "invalid", "-1": "invalid", "+1": "invalid",
		"ab": "invalid", "\xff\xff": "invalid", "1e1": "invalid", strings.Repeat("1", 100): "invalid"} {
		if got := grpcOf(in).String(); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestGroup(t *testing.T) {
	for in, want := range map[string]string{"ns/reviews-v1-12": "ns/reviews-v1", "ns/reviews-v1": "ns/reviews-v1", "ns/reviews": "ns/reviews", "ns/reviews-": "ns/reviews-",
		"": "", "7": "7", "-7": "-7", "a-7": "a"} {
		if got := group(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestStatus(t *testing.T) {
	var r Registry
	for _, s := range []int{0, -1, 1000, 99999} {
		r.Take(changed(func(x *observe.Record) { x.Status = s }))
	}
	p, _ := read(t, &r)
	if n, lines := p.sum("weft_requests_total", ` status=""`); n != 4 || lines != 1 {
		t.Errorf("%v in %d lines", n, lines)
	}
}

// TestBuckets: "le" is inclusive ("less than or equal"), and what takes longest is in +Inf.
func TestBuckets(t *testing.T) {
	var r Registry
	for _, d := range []time.Duration{0, 500 * time.Microsecond, 500*time.Microsecond + 1, 10 * time.Second, time.Hour} {
		r.Take(changed(func(x *observe.Record) { x.Took = d }))
	}
	p, _ := read(t, &r)
	for le, want := range map[string]float64{"0.0005": 2, "0.001": 3, "5": 3, "10": 4, "+Inf": 5} {
		if n, _ := p.sum("weft_request_duration_seconds_bucket", fmt.Sprintf(" le=%q", le)); n != want {
			t.Errorf("up to %s: %v, want %v", le, n, want)
		}
	}
	if s, _ := p.sum("weft_request_duration_seconds_sum"); math.Abs(s-3610.001000001) > 1e-6 {
		t.Errorf("sum %v", s)
	}
}

// TestVerdicts: "every [...] denial, retry and failure names the object that caused it, in [...] the metric" (DESIGN section 1).
func TestVerdicts(t *testing.T) {
	var r Registry
	again := decision.Verdict{Ref: &decision.Ref{Dialect: decision.Istio, Kind: "VirtualService", Namespace: "default", Name: "v"}, Reason: decision.Retried}
	r.Take(changed(func(x *observe.Record) {
		x.Verdicts = []decision.Verdict{{Ref: again.Ref, Reason: decision.Matched}, again, again, {Outcome: decision.Deny, Reason: decision.ConnectFailed}}
	}))
	_, text := read(t, &r)
	has(t, text,
		`weft_verdicts_total{reporter="source",outcome="pass",reason="retried",rule="VirtualService default/v (istio)"} 2`,
		`weft_verdicts_total{reporter="source",outcome="deny",reason="connect failed",rule="mesh default"} 1`)
	if strings.Contains(text, `reason="matched"`) {
		t.Error("what matched and let the call pass is counted")
	}
	for i := range maxRules + 3 {
		r.Take(changed(func(x *observe.Record) {
			x.Verdicts = []decision.Verdict{{Ref: &decision.Ref{Kind: "K", Name: fmt.Sprint(i)}, Outcome: decision.Deny}}
		}))
	}
	p, text := read(t, &r)
	if n, lines := p.sum("weft_verdicts_total"); n != maxRules+6 || lines != maxRules+1 {
		t.Errorf("%v in %d lines", n, lines)
	}
	has(t, text, `weft_verdicts_total{reporter="overflow",outcome="overflow",reason="overflow",rule="overflow"} 5`, "weft_series_lost_total 5")
}

// TestRemote: what the callee's proxy answered is told from what its application did.
func TestRemote(t *testing.T) {
	var r Registry
	r.Take(changed(func(x *observe.Record) { x.Status, x.Remote = 403, "no rule allows; X" }))
	_, text := read(t, &r)
	if !strings.Contains(text, `status="403",grpc_status="",outcome="success",reason="no rule allows",local="false"`) {
		t.Error(text)
	}
}

func TestCounts(t *testing.T) {
	var r Registry
	c := r.NewCounts("weft_refused_total", "Refused.", "reason")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 500 {
				c.Add(fmt.Sprint(i))
			}
		})
	}
	wg.Wait()
	sum := uint64(0)
	for _, n := range c.All() {
		sum += n
	}
	if all := c.All(); sum != 2000 || len(all) != maxValues+1 || all[overflow] != 4*(500-maxValues) {
		t.Errorf("%d in %d values, %d in the overflow", sum, len(all), all[overflow])
	}
	if p, _ := read(t, &r); p[`weft_refused_total reason="overflow"`] != 4*(500-maxValues) {
		t.Errorf("%v", p)
	}
}

// TestAtOnce: calls are counted and read at the same time, by many; none is lost.
func TestAtOnce(t *testing.T) {
	const workers, each = 4, 1000
	var r Registry
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			lot := rand.New(rand.NewPCG(1, uint64(w)))
			for i := range each {
				x := denied()
				x.Service, x.Reporter = fmt.Sprint(lot.IntN(60)), observe.Reporter(lot.IntN(2))
				if r.Take(x); i%500 == 0 {
					if _, err := parse(string(r.Append(nil))); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	p, _ := read(t, &r)
	for _, name := range []string{"weft_requests_total", "istio_requests_total", "response_total", "weft_request_duration_seconds_count", "weft_verdicts_total"} {
		if n, _ := p.sum(name); n != workers*each {
			t.Errorf("%s: %v of %d", name, n, workers*each)
		}
	}
	if n := len(r.series.All()); n > MaxSeries {
		t.Errorf("%d series", n)
	}
}

// TestKeysAreOwned: a record lends its strings, and a registry keeps none.
func TestKeysAreOwned(t *testing.T) {
	var r Registry
	lent := map[string][]byte{}
	lend := func(s string) string {
		b := []byte(s)
		lent[s] = b
		return unsafe.String(&b[0], len(b))
	}
	x := denied()
	x.Service, x.From.Workload, x.To.Workload = lend("reviews.default.svc"), lend("default/a-1"), lend("default/b-1")
	x.Reporter, x.Proto, x.GRPC, x.Remote = observe.Destination, traffic.GRPC, lend("14"), lend("no rule allows; Y")
	x.Verdicts = []decision.Verdict{{Ref: &decision.Ref{Kind: lend("Kind"), Namespace: lend("ns"), Name: lend("name"), Rule: lend("rule")}, Outcome: decision.Deny}}
	r.Take(x)
	r.NewCounts("weft_x_total", "X.", "reason").Add(lend("value"))
	before := string(r.Append(nil))
	for _, b := range lent {
		for i := range b {
			b[i] = '#'
		}
	}
	if after := string(r.Append(nil)); after != before {
		t.Errorf("what was lent is kept:\n%s", after)
	}
}

func TestNoAllocation(t *testing.T) {
	for name, x := range map[string]*observe.Record{"plain": record(), "denied": denied(), "grpc": changed(func(x *observe.Record) { x.Proto, x.GRPC = traffic.GRPC, "14" }),
		"inbound": changed(func(x *observe.Record) { x.Reporter = observe.Destination })} {
		var r Registry
		if n := testing.AllocsPerRun(100, func() { r.Take(x) }); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	var r Registry
	for i := range MaxSeries + 10 {
		r.Take(changed(func(x *observe.Record) { x.Service = fmt.Sprint(i) }))
	}
	x := changed(func(x *observe.Record) { x.Service = "one too many" })
	if n := testing.AllocsPerRun(100, func() { r.Take(x) }); n > 0 {
		t.Errorf("in the overflow: %v allocations", n)
	}
}

func BenchmarkTake(b *testing.B) {
	var r Registry
	x := record()
	b.ReportAllocs()
	for b.Loop() {
		r.Take(x)
	}
}

func BenchmarkAppend(b *testing.B) {
	var r Registry
	for i := range MaxSeries {
		r.Take(changed(func(x *observe.Record) { x.Service = fmt.Sprint("s", i, ".default.svc.cluster.local") }))
	}
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		out = r.Append(out[:0])
	}
	b.ReportMetric(float64(len(out)), "B/scrape")
}
