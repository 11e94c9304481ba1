package metrics

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

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
	denied := record()
	denied.Status, denied.Local, denied.Deciding = 403, true, decision.Verdict{Outcome: decision.Deny, Reason: decision.NoRuleAllows}
	r.Take(denied)
	tcp := record()
	tcp.Proto, tcp.Reporter = traffic.TCP, observe.Destination
	r.Take(tcp)
	c := r.NewCounts("weft_refused_total", "Refused.", "reason")
	c.Add("malformed")
	r.NewGauge("weft_connections", "Open.", func() float64 { return 1.5 })
	own := `{reporter="source",protocol="http/1.1",source="default/productpage",service="reviews.default.svc.cluster.local",destination="default/reviews",`
	has(t, string(r.Append(nil)),
		"# TYPE weft_requests_total counter",
		`weft_requests_total`+own+`status="200",grpc_status="",outcome="success",reason="",local="false",security="mtls"} 2`,
		`weft_requests_total`+own+`status="403",grpc_status="",outcome="success",reason="no rule allows",local="true",security="mtls"} 1`,
		`weft_retries_total`+own+`status="200",grpc_status="",outcome="success",reason="",local="false",security="mtls"} 2`,
		`weft_sent_bytes_total`+own+`status="200",grpc_status="",outcome="success",reason="",local="false",security="mtls"} 20`,
		`weft_request_duration_seconds_bucket{reporter="source",protocol="http/1.1",source="default/productpage",service="reviews.default.svc.cluster.local",le="0.0025"} 0`,
		`weft_request_duration_seconds_bucket{reporter="source",protocol="http/1.1",source="default/productpage",service="reviews.default.svc.cluster.local",le="0.005"} 3`,
		`weft_request_duration_seconds_bucket{reporter="source",protocol="http/1.1",source="default/productpage",service="reviews.default.svc.cluster.local",le="+Inf"} 3`,
		`weft_request_duration_seconds_sum{reporter="source",protocol="http/1.1",source="default/productpage",service="reviews.default.svc.cluster.local"} 0.009`,
		`weft_request_duration_seconds_count{reporter="source",protocol="http/1.1",source="default/productpage",service="reviews.default.svc.cluster.local"} 3`,
		`istio_requests_total{reporter="source",source_workload="productpage-v1",source_workload_namespace="default",source_principal="spiffe://cluster.local/ns/default/sa/productpage",destination_workload="reviews-v2",destination_workload_namespace="default",destination_principal="spiffe://cluster.local/ns/default/sa/reviews",destination_service="reviews.default.svc.cluster.local",destination_service_name="reviews",destination_service_namespace="default",request_protocol="http",response_flags="-",connection_security_policy="unknown",response_code="200",grpc_response_status=""} 2`,
		`response_total{direction="outbound",dst_service="reviews",dst_namespace="default",client_id="productpage.default.serviceaccount.identity.cluster.local",server_id="reviews.default.serviceaccount.identity.cluster.local",tls="true",status_code="200",grpc_status_code="",classification="success"} 2`,
		`weft_refused_total{reason="malformed"} 1`, `weft_connections 1.5`, `weft_series_lost_total 0`)
}

// TestFormat checks each line against the text format (Prometheus, "Exposition formats").
func TestFormat(t *testing.T) {
	var r Registry
	evil := record()
	evil.Service = "a\"b\\c\nd"
	r.Take(evil)
	line := regexp.MustCompile(`^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{([a-z_]+="([^"\\\n]|\\["\\n])*",?)+\})? [0-9.e+-]+)$`)
	for l := range strings.Lines(string(r.Append(nil))) {
		if !line.MatchString(strings.TrimSuffix(l, "\n")) {
			t.Errorf("malformed: %s", l)
		}
	}
}

func TestBound(t *testing.T) {
	var r Registry
	for i := range 2 * MaxSeries {
		x := record()
		x.Service = fmt.Sprint("s", i)
		r.Take(x)
	}
	if n := len(r.series.all()); n != MaxSeries+1 {
		t.Errorf("%d series", n)
	}
	has(t, string(r.Append(nil)), fmt.Sprint("weft_series_lost_total ", MaxSeries))
}

// TestKeysAreOwned: a record lends its strings.
func TestKeysAreOwned(t *testing.T) {
	var r Registry
	b := []byte("reviews.default")
	x := record()
	x.Service = lend(b)
	r.Take(x)
	copy(b, "XXXXXXX")
	if strings.Contains(string(r.Append(nil)), "XXX") {
		t.Error("a series' label was lent")
	}
}

func TestNoAllocation(t *testing.T) {
	var r Registry
	x := record()
	if n := testing.AllocsPerRun(100, func() { r.Take(x) }); n > 0 {
		t.Errorf("%v allocations", n)
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
