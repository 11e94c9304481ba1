package stat

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
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
	return &observe.Record{Reporter: observe.Source, Proto: traffic.HTTP1, Service: "b.default", Port: 80, Subset: "v1", Status: 200, Secure: true, Attempts: 3, Sent: 1, Received: 2,
		From: observe.Party{ID: identity.Of("td", "ns", "a"), Workload: "ns/a-1"}, To: observe.Party{ID: identity.Of("td", "ns", "b"), Workload: "ns/b-1"}, Took: time.Millisecond}
}

func denied() *observe.Record {
	r := record()
	r.Local, r.Deciding = true, decision.Verdict{Ref: &decision.Ref{Kind: "AuthorizationPolicy", Name: "x"}, Outcome: decision.Deny, Reason: decision.NoRuleAllows}
	return r
}

func failed() *observe.Record {
	r := record()
	r.Status, r.Failed, r.Err = 503, true, errors.New("no way")
	return r
}

// TestBuckets: they are in order, without gaps, and no wider than Histogram says.
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
	if bucketOf(-time.Second) != 0 || bucketOf(math.MaxInt64) != buckets-1 || Bound(buckets-2) < time.Minute {
		t.Errorf("the ends: %d, %d, %v", bucketOf(-time.Second), bucketOf(math.MaxInt64), Bound(buckets-2))
	}
	for i := 1; i < buckets; i++ {
		if bucketOf(Bound(i-1)) != i || bucketOf(Bound(i)-1) != i {
			t.Errorf("bucket %d does not reach from %v to %v", i, Bound(i-1), Bound(i))
		}
	}
}

// TestQuantile compares with the exact quantile of the same durations ("nearest rank"): it is off by a sixteenth, or 4 µs, at most.
func TestQuantile(t *testing.T) {
	lot := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		all := make([]time.Duration, 1+lot.IntN(500))
		spread := math.Pow(10, 3+7*lot.Float64()) // up to 10 s, each magnitude alike
		var table Table
		for i := range all {
			all[i] = time.Duration(spread * lot.Float64() * lot.Float64())
			table.Take(&observe.Record{Took: all[i]})
		}
		slices.Sort(all)
		h := table.Snapshot().Edges[0].Latency
		for _, q := range []float64{0, .01, .07, .25, .5, .75, .9, .95, .99, .999, 1, lot.Float64()} {
			want := all[max(int(math.Ceil(q*float64(len(all))-1e-6)), 1)-1]
			got := h.Quantile(q)
			if off := (got - want).Abs(); off > max(want/16, 4*time.Microsecond) {
				t.Fatalf("p%v of %d is %v, want %v: off by %v", q*100, len(all), got, want, off)
			}
		}
	}
	if (Histogram{}).Quantile(.5) != 0 || (Histogram{3: 1}).Quantile(-1) != (Histogram{3: 1}).Quantile(2) {
		t.Error("a quantile of nothing, or beyond the ends")
	}
}

// TestHistogram: what was added and taken away leaves what was there.
func TestHistogram(t *testing.T) {
	lot := rand.New(rand.NewPCG(3, 4))
	some := func() Histogram {
		h := Histogram{}
		for range lot.IntN(20) {
			h[lot.IntN(buckets)] += lot.Uint64N(100) + 1
		}
		return h
	}
	for range 100 {
		a, b, sum := some(), some(), Histogram{}
		sum.Add(a)
		sum.Add(b)
		if sum.Sub(b); !reflect.DeepEqual(sum, a) {
			t.Fatalf("%v and %v less %v is %v", a, b, b, sum)
		}
		if sum.Sub(a); len(sum) != 0 {
			t.Fatalf("%v is left", sum)
		}
	}
	h := Histogram{1: 1}
	if h.Sub(Histogram{1: 5, 2: 5}); len(h) != 0 {
		t.Errorf("less than nothing: %v", h)
	}
}

func TestTable(t *testing.T) {
	var table Table
	table.Take(record())
	before := table.Snapshot()
	table.Take(failed())
	table.Take(denied())
	both := denied()
	both.Failed = true // a class calls denials failures: one call is one of the two
	table.Take(both)
	b, err := json.Marshal(table.Snapshot())
	var s Snapshot
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	if err != nil || len(s.Edges) != 1 {
		t.Fatalf("%s %v", b, err)
	}
	e := s.Edges[0]
	want := Edge{Reporter: "source", From: "ns/a-1", FromAccount: "spiffe://td/ns/ns/sa/a", Service: "b.default", Port: 80, Subset: "v1", To: "ns/b-1",
		ToAccount: "spiffe://td/ns/ns/sa/b", Protocol: "http/1.1", Calls: 4, Failed: 1, Denied: 2, Secure: 4, Retries: 8, Sent: 4, Received: 8,
		Latency: Histogram{bucketOf(time.Millisecond): 4}, LastFailure: "no way", LastDenial: "no rule allows: AuthorizationPolicy x (weft)"}
	if !reflect.DeepEqual(e, want) {
		t.Errorf("%+v, want\n%+v", e, want)
	}
	d := Sub(s.Edges, before.Edges)
	if len(d) != 1 || d[0].Calls != 3 || d[0].Failed != 1 || d[0].Denied != 2 || d[0].Retries != 6 || d[0].Latency[bucketOf(time.Millisecond)] != 3 || d[0].LastDenial == "" {
		t.Errorf("%+v", d)
	}
	if d := Sub(s.Edges, s.Edges); len(d) != 0 {
		t.Errorf("%+v", d)
	}
}

// TestSub: causes are those of the time in between; an edge that began anew counts from there; parts are never more than the whole.
func TestSub(t *testing.T) {
	edge := func(calls, failed, denied uint64) Edge {
		return Edge{From: "a", Calls: calls, Failed: failed, Denied: denied, Secure: calls, Sent: calls, LastFailure: "f", LastDenial: "d", Latency: Histogram{1: calls}}
	}
	for _, x := range []struct {
		name      string
		now, old  Edge
		calls     uint64
		bad, no   uint64
		why, deny string
	}{
		{"all is well again", edge(10, 2, 2), edge(5, 2, 2), 5, 0, 0, "", ""},
		{"failures", edge(10, 4, 2), edge(5, 2, 2), 5, 2, 0, "f", ""},
		{"denials", edge(10, 2, 3), edge(5, 2, 2), 5, 0, 1, "", "d"},
		{"began anew", edge(3, 1, 1), edge(5, 2, 2), 3, 1, 1, "f", "d"},
		{"counted before, and noted after", edge(6, 5, 3), edge(5, 0, 0), 1, 1, 0, "f", ""},
	} {
		got := Sub([]Edge{x.now}, []Edge{x.old, {From: "other", Calls: 100}})
		if len(got) != 1 || got[0].Calls != x.calls || got[0].Failed != x.bad || got[0].Denied != x.no || got[0].LastFailure != x.why || got[0].LastDenial != x.deny ||
			got[0].Secure > x.calls || got[0].Latency[1] != x.calls {
			t.Errorf("%s: %+v", x.name, got)
		}
		if x.now.Latency[1] != x.now.Calls {
			t.Errorf("%s: the snapshot has changed", x.name)
		}
	}
	if got := Sub([]Edge{edge(1, 0, 0)}, nil); len(got) != 1 || got[0].Calls != 1 {
		t.Errorf("a new edge: %+v", got)
	}
}

// TestOrder: each snapshot of the same numbers is the same.
func TestOrder(t *testing.T) {
	var table Table
	for i := range 64 {
		r := record()
		r.Reporter = observe.Reporter(i & 1)
		for bit, s := range map[int]*string{2: &r.From.Workload, 4: &r.Service, 8: &r.Subset, 16: &r.To.Workload} {
			if i&bit > 0 {
				*s = ""
			}
		}
		if i&32 > 0 {
			r.From.ID = identity.ID{}
		}
		table.Take(r)
	}
	first := table.Snapshot()
	if len(first.Edges) != 64 {
		t.Errorf("%d edges", len(first.Edges))
	}
	for range 5 {
		if !reflect.DeepEqual(first, table.Snapshot()) {
			t.Fatal("another order")
		}
	}
}

func TestBound(t *testing.T) {
	var table Table
	for i := range MaxEdges + 5 {
		table.Take(&observe.Record{Service: fmt.Sprint(i)})
	}
	table.Take(&observe.Record{Service: "0"})
	if s := table.Snapshot(); len(s.Edges) != MaxEdges || s.Lost != 5 {
		t.Errorf("%d edges, %d lost", len(s.Edges), s.Lost)
	}
}

// TestIdleEdgesMakeRoom: workloads come and go; an edge without a call for ten minutes is forgotten when there is need of its place.
func TestIdleEdgesMakeRoom(t *testing.T) {
	var table Table
	now := time.Unix(1_800_000_000, 0)
	at := func(service string, d time.Duration) {
		table.Take(&observe.Record{Service: service, Start: now.Add(d)})
	}
	for i := range MaxEdges {
		at(fmt.Sprint(i), time.Duration(i%2)*9*time.Minute)
	}
	at("lost", 9*time.Minute)
	at("new", 11*time.Minute)
	s := table.Snapshot()
	if len(s.Edges) != MaxEdges/2+1 || s.Lost != 1 || !slices.ContainsFunc(s.Edges, func(e Edge) bool { return e.Service == "new" }) {
		t.Errorf("%d edges, %d lost", len(s.Edges), s.Lost)
	}
}

// TestServices: hosts at the destination are words of callers. One that makes them up can't use up all edges.
func TestServices(t *testing.T) {
	var table Table
	for i := range 5000 {
		table.Take(&observe.Record{Reporter: observe.Destination, Port: 80, Service: fmt.Sprint(i), From: observe.Party{Workload: "ns/evil"}})
	}
	table.Take(&observe.Record{Reporter: observe.Destination, Port: 80, Service: "0", From: observe.Party{Workload: "ns/good"}})
	s := table.Snapshot()
	sum := uint64(0)
	for _, e := range s.Edges {
		sum += e.Calls
	}
	if len(s.Edges) != maxServices+2 || s.Lost != 0 || sum != 5001 {
		t.Errorf("%d edges, %d lost, %d counted", len(s.Edges), s.Lost, sum)
	}
}

// TestAtOnce: calls are counted and read by many at the same time; none is lost, and no snapshot has more failures than calls.
func TestAtOnce(t *testing.T) {
	const workers, each = 8, 1500
	var table Table
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			lot := rand.New(rand.NewPCG(1, uint64(w)))
			for range each {
				r := []*observe.Record{record(), failed(), denied()}[lot.IntN(3)]
				r.Service = fmt.Sprint(lot.IntN(20))
				table.Take(r)
				if lot.IntN(100) > 0 {
					continue
				}
				for _, e := range table.Snapshot().Edges {
					if e.Failed+e.Denied > e.Calls || e.Secure > e.Calls {
						t.Errorf("%+v", e)
					}
				}
			}
		})
	}
	wg.Wait()
	sum := uint64(0)
	for _, e := range table.Snapshot().Edges {
		sum += e.Calls
	}
	if sum != workers*each {
		t.Errorf("%d counted of %d", sum, workers*each)
	}
}

// TestKeysAreOwned: a record lends its strings, and a table keeps none.
func TestKeysAreOwned(t *testing.T) {
	var table Table
	var lent [][]byte
	lend := func(s string) string {
		b := []byte(s)
		lent = append(lent, b)
		return unsafe.String(&b[0], len(b))
	}
	r := denied()
	r.Reporter, r.Local, r.Deciding = observe.Source, false, decision.Verdict{}
	r.Service, r.Subset, r.From.Workload, r.To.Workload, r.Remote = lend("service"), lend("subset"), lend("from"), lend("to"), lend("matched; AuthorizationPolicy x")
	table.Take(r)
	f := failed()
	f.Service, f.GRPC, f.Err = r.Service, lend("14"), nil
	f.Subset, f.From.Workload, f.To.Workload = r.Subset, r.From.Workload, r.To.Workload
	table.Take(f)
	before := table.Snapshot()
	if e := before.Edges[0]; len(before.Edges) != 1 || e.LastDenial != "AuthorizationPolicy x" || e.LastFailure != "gRPC status 14" {
		t.Fatalf("%+v", before)
	}
	text := fmt.Sprint(before)
	for _, b := range lent {
		for i := range b {
			b[i] = '#'
		}
	}
	if after := fmt.Sprint(table.Snapshot()); after != text {
		t.Errorf("what was lent is kept: %s", after)
	}
}

func TestNoAllocation(t *testing.T) {
	var table Table
	r := record()
	if n := testing.AllocsPerRun(100, func() { table.Take(r) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkTake(b *testing.B) {
	var table Table
	r := record()
	b.ReportAllocs()
	for b.Loop() {
		table.Take(r)
	}
}
