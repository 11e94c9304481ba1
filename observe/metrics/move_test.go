package metrics

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/observe"
	"github.com/weft-mesh/weft/traffic"
)

func add(t *testing.T, to *Registry, b []byte) {
	t.Helper()
	if err := to.Add(b); err != nil {
		t.Fatal(err)
	}
}

// TestMove: what one registry had another one has, to the byte, and the first begins anew.
func TestMove(t *testing.T) {
	fill := func(r *Registry) *Counts {
		c := r.NewCounts("weft_refused_total", "Refused.", "reason")
		r.Take(record())
		r.Take(denied())
		r.Take(changed(func(x *observe.Record) { x.Proto, x.Reporter = traffic.TCP, observe.Destination }))
		r.Take(changed(func(x *observe.Record) {
			x.Proto, x.GRPC, x.Failed, x.Secure, x.Err = traffic.GRPC, "14", true, false, traffic.ErrReset
			x.Deciding = decision.Verdict{Outcome: decision.Deny, Reason: decision.ResetByPeer}
		}))
		for i := range MaxSeries + 10 {
			r.Take(changed(func(x *observe.Record) { x.From.ID = identity.Of("x", fmt.Sprint("n", i), "a") }))
		}
		for i := range maxRules + 10 {
			r.fell(observe.Source, decision.Verdict{Outcome: decision.Deny, Ref: &decision.Ref{Kind: "X", Name: fmt.Sprint(i)}})
		}
		for i := range maxServices + 10 {
			r.Take(changed(func(x *observe.Record) { x.Reporter, x.Service = observe.Destination, fmt.Sprint("service", i) }))
		}
		for i := range maxValues + 10 {
			c.Add(fmt.Sprint("value ", i))
		}
		return c
	}
	var whole, from, to Registry
	fill(&whole)
	fill(&from)
	to.NewCounts("weft_refused_total", "Refused.", "reason")
	add(t, &to, from.Move())
	want, got := string(whole.Append(nil)), string(to.Append(nil))
	if got != want {
		t.Errorf("after the move:\n%s\nwant\n%s", difference(got, want), difference(want, got))
	}
	p, _ := read(t, &from)
	for _, name := range []string{"weft_requests_total", "weft_verdicts_total", "weft_refused_total", "weft_series_lost_total", "weft_sent_bytes_total", "weft_request_duration_seconds_count"} {
		if n, _ := p.sum(name); n != 0 {
			t.Errorf("%s is %v after the move", name, n)
		}
	}
	from.Take(record())
	add(t, &to, from.Move())
	whole.Take(record())
	if got, want := string(to.Append(nil)), string(whole.Append(nil)); got != want {
		t.Errorf("what came later:\n%s\nwant\n%s", difference(got, want), difference(want, got))
	}
	if b := from.Move(); len(b) > 0 {
		t.Errorf("%d bytes say that nothing was counted", len(b))
	}
}

func difference(a, b string) string {
	var out []string
	for _, l := range strings.Split(a, "\n") {
		if !strings.Contains(b, l+"\n") {
			out = append(out, l)
		}
	}
	return strings.Join(out, "\n")
}

// TestMoveWhileCounting: whatever is counted while counts move is counted once.
func TestMoveWhileCounting(t *testing.T) {
	var from, to Registry
	const each = 2000
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range each {
				from.Take(record())
				from.Take(denied())
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
		add(t, &to, from.Move())
	}
	p, _ := read(t, &to)
	for name, want := range map[string]float64{"weft_requests_total": 8 * each, "weft_request_duration_seconds_count": 8 * each, "weft_verdicts_total": 4 * each,
		"weft_sent_bytes_total": 80 * each, "weft_retries_total": 8 * each} {
		if n, _ := p.sum(name); n != want {
			t.Errorf("%s is %v, want %v", name, n, want)
		}
	}
}

// TestMoveBetweenVersions: a newer one may count what this one has no word for.
func TestMoveBetweenVersions(t *testing.T) {
	var r Registry
	add(t, &r, config.Append(nil, &moved{
		Series:   []movedSeries{{Reason: "struck by lightning", Reporter: 7, Proto: 99, GRPC: 200, Status: 200, Calls: 3, Buckets: make([]uint64, 100)}},
		Verdicts: []movedVerdict{{Reporter: 9, Outcome: "perhaps", Reason: "struck by lightning", N: 2}},
		Counts:   []movedCount{{Name: "weft_lightning_total", Value: "x", N: 1}},
	}))
	p, text := read(t, &r)
	for name, want := range map[string]float64{"weft_requests_total": 3, "weft_verdicts_total": 2} {
		if n, _ := p.sum(name); n != want {
			t.Errorf("%s is %v, want %v", name, n, want)
		}
	}
	if strings.Contains(text, "lightning") {
		t.Errorf("a counter that it does not have:\n%s", text)
	}
	if err := r.Add([]byte{0xff}); err == nil {
		t.Error("nonsense is added")
	}
}
