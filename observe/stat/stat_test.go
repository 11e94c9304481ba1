package stat

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/observe"
	"github.com/weft-mesh/weft/traffic"
)

func TestBuckets(t *testing.T) {
	last := -1
	for d := time.Duration(0); d < 2*time.Minute; d = d*101/100 + time.Microsecond {
		i := bucketOf(d)
		if i < last || i >= buckets {
			t.Fatalf("%v is in bucket %d, after %d", d, i, last)
		}
		if last = i; i == buckets-1 {
			continue
		}
		if b := Bound(i); b <= d || i > 0 && Bound(i-1) > d || d > unit && float64(b-Bound(i-1))/float64(b) > .13 {
			t.Fatalf("%v is in bucket %d, from %v to %v", d, i, Bound(max(i-1, 0)), b)
		}
	}
}

func TestQuantile(t *testing.T) {
	var table Table
	for i := range 1000 {
		table.Take(&observe.Record{Took: time.Duration(i) * time.Millisecond})
	}
	h := table.Snapshot().Edges[0].Latency
	for q, want := range map[float64]time.Duration{.5: 500 * time.Millisecond, .95: 950 * time.Millisecond, .99: 990 * time.Millisecond} {
		if got := h.Quantile(q); got < want || got > want*115/100 {
			t.Errorf("p%v is %v, want %v", q*100, got, want)
		}
	}
	if (Histogram{}).Quantile(.5) != 0 {
		t.Error("a quantile of nothing")
	}
}

func TestTable(t *testing.T) {
	var table Table
	r := &observe.Record{Reporter: observe.Source, Proto: traffic.HTTP1, Service: "b.default", Port: 80, Status: 200, Secure: true, Attempts: 3, Sent: 1, Received: 2,
		From: observe.Party{ID: identity.Of("td", "ns", "a"), Workload: "ns/a-1"}, To: observe.Party{ID: identity.Of("td", "ns", "b"), Workload: "ns/b-1"}, Took: time.Millisecond}
	table.Take(r)
	before := table.Snapshot()
	failed := *r
	failed.Status, failed.Failed, failed.Err = 503, true, errors.New("no way")
	table.Take(&failed)
	denied := *r
	denied.Local, denied.Deciding = true, decision.Verdict{Ref: &decision.Ref{Kind: "AuthorizationPolicy", Name: "x"}, Outcome: decision.Deny, Reason: decision.NoRuleAllows}
	table.Take(&denied)
	b, err := json.Marshal(table.Snapshot())
	var s Snapshot
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	if err != nil || len(s.Edges) != 1 {
		t.Fatalf("%s %v", b, err)
	}
	e := s.Edges[0]
	if e.Calls != 3 || e.Failed != 1 || e.Denied != 1 || e.Secure != 3 || e.Retries != 6 || e.Sent != 3 || e.Received != 6 || e.From != "ns/a-1" || e.To != "ns/b-1" ||
		e.LastFailure != "mesh default (no way)" || e.LastDenial != "no rule allows: AuthorizationPolicy x (weft)" {
		t.Errorf("%+v", e)
	}
	if d := Sub(s.Edges, before.Edges); len(d) != 1 || d[0].Calls != 2 || d[0].Failed != 1 || d[0].Latency.Quantile(1) == 0 {
		t.Errorf("%+v", d)
	}
	if d := Sub(s.Edges, s.Edges); len(d) != 0 {
		t.Errorf("%+v", d)
	}
}

func TestBound(t *testing.T) {
	var table Table
	for i := range MaxEdges + 5 {
		table.Take(&observe.Record{Service: fmt.Sprint(i)})
	}
	if s := table.Snapshot(); len(s.Edges) != MaxEdges || s.Lost != 5 {
		t.Errorf("%d edges, %d lost", len(s.Edges), s.Lost)
	}
}

func BenchmarkTake(b *testing.B) {
	var table Table
	r := &observe.Record{Service: "b.default", Took: time.Millisecond}
	b.ReportAllocs()
	for b.Loop() {
		table.Take(r)
	}
}
