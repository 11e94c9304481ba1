package outlier_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weft-mesh/weft/feature/outlier"
)

var start = time.Unix(1_800_000_000, 0)

// TestSeed: five 5xx in a row leave an endpoint out for 30 s (Istio: consecutive5xxErrors 5, baseEjectionTime 30s).
func TestSeed(t *testing.T) {
	p := &outlier.Policy{Consecutive: 5, Base: 30 * time.Second, Interval: 30 * time.Second}
	var s outlier.State
	for i := range 5 {
		if got := p.Observe(&s, outlier.Failure, start, 2, 0); got != (i == 4) {
			t.Fatalf("failure %d: ejected %v", i+1, got)
		}
	}
	if !s.Ejected(start.Add(30*time.Second-1).UnixNano()) || s.Ejected(start.Add(30*time.Second).UnixNano()) {
		t.Errorf("out until %v", s.Snapshot().Until.Sub(start))
	}
}

func TestSuccessBeginsTheCountAgain(t *testing.T) {
	p := &outlier.Policy{Consecutive: 2}
	var s outlier.State
	for range 10 {
		if p.Observe(&s, outlier.Failure, start, 2, 0) || p.Observe(&s, outlier.Success, start, 2, 0) {
			t.Fatal("ejected without two failures in a row")
		}
	}
}

// TestKinds: which outcomes count for which limit. Istio: gateway errors are useless at or above the 5xx threshold; local
// errors count apart only where they are split.
func TestKinds(t *testing.T) {
	for _, x := range []struct {
		name     string
		p        outlier.Policy
		outcomes []outlier.Outcome
		want     bool
	}{
		{"a 503 counts as a 5xx", outlier.Policy{Consecutive: 2}, []outlier.Outcome{outlier.Gateway, outlier.Failure}, true},
		{"a 500 is no gateway error", outlier.Policy{Gateway: 1}, []outlier.Outcome{outlier.Failure}, false},
		{"a 500 breaks a row of gateway errors", outlier.Policy{Gateway: 2}, []outlier.Outcome{outlier.Gateway, outlier.Failure, outlier.Gateway}, false},
		{"two gateway errors", outlier.Policy{Gateway: 2}, []outlier.Outcome{outlier.Gateway, outlier.Gateway}, true},
		{"no answer is both", outlier.Policy{Consecutive: 2}, []outlier.Outcome{outlier.NoAnswer, outlier.NoAnswer}, true},
		{"split: no answer counts apart", outlier.Policy{Consecutive: 1, Local: 3}, []outlier.Outcome{outlier.NoAnswer, outlier.NoAnswer}, false},
		{"split: until its own limit", outlier.Policy{Consecutive: 9, Local: 2}, []outlier.Outcome{outlier.NoAnswer, outlier.NoAnswer}, true},
		{"no limit, no ejection", outlier.Policy{}, []outlier.Outcome{outlier.Failure, outlier.Gateway, outlier.NoAnswer}, false},
	} {
		var s outlier.State
		out := false
		for _, o := range x.outcomes {
			out = p(x.p).Observe(&s, o, start, 10, 0) || out
		}
		if out != x.want {
			t.Errorf("%s: ejected %v", x.name, out)
		}
	}
}

func p(x outlier.Policy) *outlier.Policy { return &x }

// TestFloor: how many may be out at once. One always may while another is well; DESIGN section 5, and the reference: with
// Linkerd all endpoints can eject.
func TestFloor(t *testing.T) {
	for _, x := range []struct {
		percent, health uint32
		total, out      int
		want            bool
	}{
		{10, 0, 1, 0, false}, {10, 0, 2, 0, true}, {10, 0, 2, 1, false}, {10, 0, 10, 0, true}, {10, 0, 10, 1, false}, {10, 0, 20, 1, true},
		{100, 0, 3, 1, true}, {100, 0, 3, 2, false}, {0, 0, 10, 1, false}, {100, 50, 4, 2, true}, {100, 50, 4, 3, false}, {100, 60, 10, 5, false},
	} {
		policy := outlier.Policy{Consecutive: 1, MaxPercent: x.percent, MinHealth: x.health}
		var s outlier.State
		if got := policy.Observe(&s, outlier.Failure, start, x.total, x.out); got != x.want {
			t.Errorf("%+v: %v", x, got)
		}
	}
}

func TestPanic(t *testing.T) {
	policy := &outlier.Policy{MinHealth: 50}
	if policy.Panic(4, 2) || !policy.Panic(4, 3) || (*outlier.Policy)(nil).Panic(1, 1) || (&outlier.Policy{}).Panic(4, 4) {
		t.Error("all are used again only when fewer than MinHealth percent are well")
	}
}

// TestLonger: each ejection is longer, up to the maximum, and one is forgiven for each interval of good behaviour.
func TestLonger(t *testing.T) {
	policy := &outlier.Policy{Consecutive: 1, Base: 125 * time.Second, Interval: time.Minute}
	var s outlier.State
	now := start
	for _, x := range []struct{ wait, want time.Duration }{{0, 125 * time.Second}, {0, 250 * time.Second}, {0, 300 * time.Second},
		{2 * time.Minute, 250 * time.Second}, {time.Hour, 125 * time.Second}} {
		now = now.Add(x.wait)
		if !policy.Observe(&s, outlier.Failure, now, 2, 0) {
			t.Fatal("not ejected")
		}
		if got := s.Snapshot().Until.Sub(now); got != x.want {
			t.Errorf("out for %v, want %v", got, x.want)
		}
		now = s.Snapshot().Until
	}
}

// TestDoubles: Linkerd's penalties ("the delay grows exponentially"), up to the longest.
func TestDoubles(t *testing.T) {
	policy := &outlier.Policy{Consecutive: 1, Base: time.Second, Max: 10 * time.Second, Doubles: true}
	var s outlier.State
	now := start
	for _, want := range []time.Duration{1, 2, 4, 8, 10, 10} {
		policy.Observe(&s, outlier.Failure, now, 2, 0)
		if got := s.Snapshot().Until.Sub(now); got != want*time.Second {
			t.Errorf("out for %v, want %v", got, want*time.Second)
		}
		now = s.Snapshot().Until
	}
	var often outlier.State
	often.Restore(outlier.Snapshot{Ejections: 1 << 31})
	if policy.Observe(&often, outlier.Failure, start, 2, 0); often.Snapshot().Until.Sub(start) != policy.Max {
		t.Errorf("out until %v", often.Snapshot().Until)
	}
}

// TestWary: who comes back has one failure, and after a success as many as before (Linkerd's probation).
func TestWary(t *testing.T) {
	policy := &outlier.Policy{Consecutive: 3, Base: time.Second, Wary: true}
	var s outlier.State
	observe := func(want bool, o outlier.Outcome, now time.Time) {
		t.Helper()
		if got := policy.Observe(&s, o, now, 2, 0); got != want {
			t.Errorf("ejected: %v", got)
		}
	}
	for i := range 3 {
		observe(i == 2, outlier.Failure, start)
	}
	back := s.Snapshot().Until
	observe(true, outlier.NoAnswer, back)
	back = s.Snapshot().Until
	observe(false, outlier.Success, back)
	for i := range 3 {
		observe(i == 2, outlier.Failure, back)
	}
	never := &outlier.Policy{Gateway: 1, Wary: true}
	s = outlier.State{}
	if never.Observe(&s, outlier.Gateway, start, 2, 0); s.Snapshot().Failures != 0 {
		t.Errorf("%+v: 5xx are not counted", s.Snapshot())
	}
}

// TestVeryLong: a Base that nobody lives to see ejects as long as that.
func TestVeryLong(t *testing.T) {
	policy := &outlier.Policy{Consecutive: 1, Base: 200 * 365 * 24 * time.Hour}
	var s outlier.State
	s.Restore(outlier.Snapshot{Ejections: 9})
	if policy.Observe(&s, outlier.Failure, start, 2, 0); s.Snapshot().Until.Sub(start) != policy.Base {
		t.Errorf("out until %v", s.Snapshot().Until)
	}
}

// TestCallsUnderWay: those begun before the ejection say nothing of how the endpoint is when it comes back.
func TestCallsUnderWay(t *testing.T) {
	policy := &outlier.Policy{Consecutive: 2, Base: time.Second}
	var s outlier.State
	for range 20 {
		policy.Observe(&s, outlier.Failure, start, 2, 0)
	}
	if v := s.Snapshot(); v.Ejections != 1 || v.Failures != 0 {
		t.Errorf("%+v", v)
	}
	if policy.Observe(&s, outlier.Failure, start.Add(2*time.Second), 2, 0) {
		t.Error("one failure after its return is not a row")
	}
}

// TestOneOfManyEjects: calls that fail at once eject once.
func TestOneOfManyEjects(t *testing.T) {
	policy := &outlier.Policy{Consecutive: 3}
	for range 200 {
		var s outlier.State
		var n atomic.Int32
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if policy.Observe(&s, outlier.Failure, start, 2, 0) {
					n.Add(1)
				}
			})
		}
		if wg.Wait(); n.Load() != 1 || s.Snapshot().Ejections != 1 {
			t.Fatalf("ejected %d times: %+v", n.Load(), s.Snapshot())
		}
	}
}

func TestSnapshotRestores(t *testing.T) {
	policy := &outlier.Policy{Consecutive: 1}
	var s, r outlier.State
	policy.Observe(&s, outlier.Failure, start, 2, 0)
	policy.Observe(&s, outlier.Failure, start, 2, 1)
	r.Restore(s.Snapshot())
	if r.Snapshot() != s.Snapshot() || !r.Ejected(start.UnixNano()) {
		t.Errorf("%+v, was %+v", r.Snapshot(), s.Snapshot())
	}
}

func BenchmarkObserveSuccess(b *testing.B) {
	b.ReportAllocs()
	policy := &outlier.Policy{Consecutive: 5}
	var s outlier.State
	for b.Loop() {
		policy.Observe(&s, outlier.Success, start, 3, 0)
	}
}
