package stat

import (
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/observe"
	"github.com/weft-mesh/weft/traffic"
)

// moving are records that differ in all that a table tells apart or counts.
func moving() []*observe.Record {
	at := time.Unix(1_000_000, 0)
	return []*observe.Record{
		{Reporter: observe.Source, Proto: traffic.HTTP1, Service: "a.b.svc", Port: 80, Subset: "v1", Took: time.Millisecond, Attempts: 3, Secure: true, Start: at, Sent: 1, Received: 2,
			From: observe.Party{Workload: "n/a"}, To: observe.Party{Workload: "n/b"}},
		{Reporter: observe.Destination, Proto: traffic.GRPC, Port: 81, Took: time.Hour, Start: at, Failed: true, Status: 500},
		{Reporter: observe.Destination, Proto: traffic.TCP, Port: 82, Start: at, Deciding: decision.Verdict{Outcome: decision.Deny, Reason: decision.NoRuleAllows}},
		{Reporter: observe.Source, Proto: traffic.HTTP2, Port: 83, Start: at},
	}
}

func TestMove(t *testing.T) {
	var whole, from, to Table
	for range 2 {
		for _, r := range moving() {
			whole.Take(r)
			from.Take(r)
		}
		if err := to.Add(from.Move(), time.Unix(1_000_001, 0)); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := to.Snapshot(), whole.Snapshot(); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nwant\n%+v", got, want)
	}
	for _, e := range from.Snapshot().Edges {
		if !e.empty() {
			t.Errorf("after the move there is %+v", e)
		}
	}
	if err := to.Add([]byte("{"), time.Unix(0, 0)); err == nil {
		t.Error("nonsense is added")
	}
}

func TestMoveWhileCounting(t *testing.T) {
	var from, to Table
	const each = 2000
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range each {
				for _, r := range moving() {
					from.Take(r)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	for over := false; !over; {
		select {
		case <-done:
			over = true
		default:
		}
		if err := to.Add(from.Move(), time.Unix(1_000_000, 0)); err != nil {
			t.Fatal(err)
		}
	}
	edges := to.Snapshot().Edges
	if len(edges) != 4 {
		t.Fatalf("%d edges", len(edges))
	}
	for _, e := range edges {
		var n uint64
		for _, c := range e.Latency {
			n += c
		}
		if e.Calls != 4*each || n != 4*each {
			t.Errorf("%d calls, %d latencies, want %d: %+v", e.Calls, n, 4*each, e)
		}
	}
}

// TestMovedEdgesAreForgotten: like others, when nobody calls for long.
func TestMovedEdgesAreForgotten(t *testing.T) {
	var from, to Table
	from.Take(moving()[0])
	if err := to.Add(from.Move(), time.Unix(1_000_000, 0)); err != nil {
		t.Fatal(err)
	}
	if n := to.forget(1_000_000 + idle + 1); n != 1 {
		t.Errorf("%d edges are forgotten", n)
	}
}
