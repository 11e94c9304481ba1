package retry

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/traffic"
	"github.com/weft-mesh/weft/traffic/traffictest"
)

func TestWants(t *testing.T) {
	answer := func(status int) *traffic.Response { return &traffic.Response{Status: status} }
	grpc := func(code string) *traffic.Response {
		r := &traffic.Response{Status: 200}
		r.Header.Receive("grpc-status", code)
		return r
	}
	failed := func(err error) *traffic.Response { return &traffic.Response{Err: fmt.Errorf("dial: %w", err)} }
	for _, x := range []struct {
		name   string
		p      Policy
		method string
		r      *traffic.Response
		late   bool
		want   bool
	}{
		{"no connection", Policy{Connect: true}, "POST", failed(traffic.ErrConnect), false, true},
		{"no connection, not asked for", Policy{Reset: true, ServerErr: true, Failed: true}, "GET", failed(traffic.ErrConnect), false, false},
		{"another identity got no byte", Policy{Connect: true}, "POST", failed(traffic.ErrWrongPeer), false, true},
		{"our own certificate", Policy{Connect: true, Reset: true, Failed: true}, "GET", failed(traffic.ErrNoIdentity), false, false},
		{"the caller left", Policy{Connect: true, Reset: true, Failed: true}, "GET", failed(traffic.ErrCanceled), false, false},
		{"refused", Policy{Refused: true}, "POST", failed(traffic.ErrRefused), false, true},
		{"reset", Policy{Reset: true}, "POST", failed(traffic.ErrReset), false, true},
		{"reset of what is idempotent", Policy{ResetSafe: true}, "PUT", failed(traffic.ErrReset), false, true},
		{"reset of what is not", Policy{ResetSafe: true}, "POST", failed(traffic.ErrReset), false, false},
		{"reset of PATCH", Policy{ResetSafe: true}, "PATCH", failed(traffic.ErrReset), false, false},
		{"late", Policy{TimedOut: true}, "GET", failed(traffic.ErrDeadline), true, true},
		{"the call's own deadline", Policy{TimedOut: true}, "GET", failed(traffic.ErrDeadline), false, false},
		{"late, not asked for", Policy{Connect: true, Reset: true}, "GET", failed(traffic.ErrDeadline), true, false},
		{"5xx", Policy{ServerErr: true}, "POST", answer(599), false, true},
		{"not 5xx", Policy{ServerErr: true}, "GET", answer(499), false, false},
		{"a code", Policy{Codes: []int{409}}, "GET", answer(409), false, true},
		{"another code", Policy{Codes: []int{409}}, "GET", answer(503), false, false}, // "no codes: 503 no longer retried"
		{"a gRPC code", Policy{GRPC: []int{14}}, "POST", grpc("14"), false, true},
		{"another gRPC code", Policy{GRPC: []int{14}}, "POST", grpc("7"), false, false},
		{"no gRPC code", Policy{GRPC: []int{0}}, "POST", grpc("x"), false, false},
		{"a failure", Policy{Failed: true}, "POST", answer(500), false, true},
		{"no failure", Policy{Failed: true}, "POST", answer(404), false, false},
		// "isRetryable never retries transport errors"
		{"no answer is no class", Policy{Failed: true}, "GET", failed(traffic.ErrConnect), false, false},
		{"a handler's answer", Policy{ServerErr: true, Codes: []int{503}, Failed: true}, "GET", &traffic.Response{Status: 503, Local: true}, false, false},
	} {
		c := &traffic.Call{Response: *x.r}
		c.Proto, c.Method = traffic.HTTP2, x.method
		if _, ok := x.r.Header.Get("grpc-status"); ok {
			c.Proto = traffic.GRPC
		}
		if got := x.p.Wants(c, x.late); got != x.want {
			t.Errorf("%s: %v", x.name, got)
		}
	}
}

func TestWait(t *testing.T) {
	for _, x := range []struct {
		p    Policy
		n    int
		most time.Duration
	}{
		{Policy{}, 1, 25 * time.Millisecond}, {Policy{}, 2, 50 * time.Millisecond}, {Policy{}, 4, 200 * time.Millisecond},
		{Policy{}, 9, 250 * time.Millisecond}, // at most 10 times the first
		{Policy{Backoff: time.Second}, 3, 4 * time.Second},
		{Policy{Backoff: 1 << 62}, 255, 10 * longest},
	} {
		var low, high time.Duration = 1 << 62, 0
		for i := range uint64(2000) {
			d := x.p.Wait(x.n, &traffic.Attrs{Draw: i})
			low, high = min(low, d), max(high, d)
		}
		if low < 0 || low > x.most/20 || high > x.most || high < x.most-x.most/20 {
			t.Errorf("%+v, %d: from %v to %v, wanted the whole of [0, %v]", x.p, x.n, low, high, x.most)
		}
	}
}

var (
	policy = &Policy{Ref: decision.Ref{Kind: "Test", Name: "policy"}, Attempts: 2, Connect: true, Codes: []int{503}, TimedOut: true}
	budget = &Budget{Ref: decision.Ref{Kind: "Test", Name: "budget"}}
)

func TestServe(t *testing.T) {
	limited := decision.Ref{Name: "limit"}
	late := func(h *traffictest.Host) func(*traffic.Call) error {
		return func(c *traffic.Call) error { h.Time = h.Time.Add(time.Second); return c.Fail(traffic.ErrDeadline) }
	}
	for _, x := range []struct {
		name     string
		answers  func(*traffictest.Host) []func(*traffic.Call) error
		call     func(*traffic.Call)
		ledger   func(*Ledger)
		room     Room
		attempts int
		end      string // status or error
		why      []decision.Reason
	}{
		{name: "success", attempts: 1, end: "200"},
		{name: "once more", answers: first(traffictest.Status(503), traffictest.Status(200)), attempts: 2, end: "200", why: []decision.Reason{decision.Retried}},
		{name: "never connects", answers: first(traffictest.Err(traffic.ErrConnect)), attempts: 3, end: traffic.ErrConnect.Error(),
			why: []decision.Reason{decision.Retried, decision.Retried}},
		{name: "the last answer is the caller's", answers: first(traffictest.Err(traffic.ErrConnect), traffictest.Status(503), traffictest.Status(404)), attempts: 3, end: "404",
			why: []decision.Reason{decision.Retried, decision.Retried}},
		{name: "no budget", answers: first(traffictest.Status(503)), ledger: spend, attempts: 1, end: "503", why: []decision.Reason{decision.NoBudget}},
		{name: "no room", answers: first(traffictest.Status(503)), room: func(*traffic.Call) (*decision.Ref, bool) { return &limited, false }, attempts: 1, end: "503",
			why: []decision.Reason{decision.Limited}},
		{name: "no time", answers: first(traffictest.Status(503)), call: func(c *traffic.Call) { c.Limit(1, nil) }, attempts: 1, end: "503"},
		{name: "late attempts", answers: func(h *traffictest.Host) []func(*traffic.Call) error {
			return []func(*traffic.Call) error{late(h)}
		}, call: func(c *traffic.Call) { c.Limit(time.Minute, nil) }, attempts: 3, end: traffic.ErrDeadline.Error(), why: []decision.Reason{decision.Retried, decision.Retried}},
		{name: "the call itself is late", answers: func(h *traffictest.Host) []func(*traffic.Call) error {
			return []func(*traffic.Call) error{late(h)}
		}, call: func(c *traffic.Call) { c.Limit(time.Second, nil) }, attempts: 1, end: traffic.ErrDeadline.Error()},
		{name: "a body too long to be kept", answers: first(readAll(503)), call: func(c *traffic.Call) { c.Body = &traffic.Bytes{B: make([]byte, 100_000)} }, attempts: 1, end: "503"},
		{name: "a body that is kept", answers: first(readAll(503), readAll(200)), call: func(c *traffic.Call) { c.Body = &traffic.Bytes{B: make([]byte, 60_000)} }, attempts: 2, end: "200",
			why: []decision.Reason{decision.Retried}},
	} {
		h, l := &traffictest.Host{}, &Ledger{}
		if x.answers != nil {
			h.Answer = traffictest.Script(x.answers(h)...)
		}
		c := h.Call()
		if x.call != nil {
			x.call(c)
		}
		if x.ledger != nil {
			x.ledger(l)
		}
		err := traffic.Chain(traffic.Forward{}, With(policy, budget, l, x.room)).Serve(c)
		end := fmt.Sprint(c.Response.Status)
		if err != nil {
			end = err.Error()
		}
		var why []decision.Reason
		for _, v := range c.Verdicts() {
			why = append(why, v.Reason)
			if want := map[decision.Reason]*decision.Ref{decision.Retried: &policy.Ref, decision.NoBudget: &budget.Ref, decision.Limited: &limited}[v.Reason]; v.Ref != want {
				t.Errorf("%s: %v", x.name, v)
			}
		}
		if h.Attempts != x.attempts || int(c.Attempts) != x.attempts || end != x.end || fmt.Sprint(why) != fmt.Sprint(x.why) {
			t.Errorf("%s: %d attempts, %s, %v", x.name, h.Attempts, end, why)
		}
	}
}

func first(answers ...func(*traffic.Call) error) func(*traffictest.Host) []func(*traffic.Call) error {
	return func(*traffictest.Host) []func(*traffic.Call) error { return answers }
}

func readAll(status int) func(*traffic.Call) error {
	return func(c *traffic.Call) error {
		for {
			if _, err := c.Body.Next(); err != nil {
				c.Response.Status = status
				return nil
			}
		}
	}
}

func spend(l *Ledger) {
	for l.Withdraw(budget, traffictest.Epoch) {
	}
}

func TestNothingToDo(t *testing.T) {
	if With(nil, nil, &Ledger{}, nil) != nil || With(&Policy{Connect: true}, nil, &Ledger{}, nil) != nil { // "A retries block lacking attempts disables retries"
		t.Error("no attempts must cost nothing")
	}
}

// TestPauseEnds: a caller that leaves during the pause ends the call.
func TestPauseEnds(t *testing.T) {
	h := &leaving{}
	h.Answer = traffictest.Status(503)
	c := h.Call()
	c.Host, c.Body = h, &traffic.Bytes{B: make([]byte, 10)}
	if err := traffic.Chain(traffic.Forward{}, With(policy, nil, &Ledger{}, nil)).Serve(c); !errors.Is(err, traffic.ErrCanceled) || h.Attempts != 1 || c.Replayable() {
		t.Errorf("%v after %d attempts; the body is kept: %v", err, h.Attempts, c.Replayable())
	}
}

type leaving struct{ traffictest.Host }

func (*leaving) Sleep(*traffic.Call, time.Duration) error { return traffic.ErrCanceled }

// TestAttemptsEnd: a call counts its attempts to 255, and whatever a policy says, no further.
func TestAttemptsEnd(t *testing.T) {
	h := &traffictest.Host{Answer: traffictest.Status(503)}
	c, plenty := h.Call(), &Budget{MinPerSecond: new(uint32(1000))}
	p := &Policy{Attempts: 1000, Codes: []int{503}, Backoff: 1}
	if err := traffic.Chain(traffic.Forward{}, With(p, plenty, &Ledger{}, nil)).Serve(c); err != nil || h.Attempts != 255 || c.Response.Status != 503 {
		t.Errorf("%v, status %d after %d attempts", err, c.Response.Status, h.Attempts)
	}
}

// TestAttemptsBeginAfterThePause: what is learnt of an endpoint from an attempt's time does not hold the pause before it.
func TestAttemptsBeginAfterThePause(t *testing.T) {
	h := &traffictest.Host{}
	var late []time.Duration
	h.Answer = func(c *traffic.Call) error {
		late = append(late, h.Time.Sub(c.Now))
		h.Time = h.Time.Add(time.Millisecond)
		return traffictest.Status(503)(c)
	}
	p := &Policy{Attempts: 3, Codes: []int{503}, Backoff: time.Hour}
	if err := traffic.Chain(traffic.Forward{}, With(p, nil, &Ledger{}, nil)).Serve(h.Call()); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(late) != "[0s 0s 0s 0s]" || len(h.Slept) != 3 || h.Slept[0] == 0 {
		t.Errorf("attempts began %v before they were made, after pauses of %v", late, h.Slept)
	}
}

// TestCallsFillTheBudget: of the calls that are served, the budget's share may be retried; what can't be sent again takes nothing.
func TestCallsFillTheBudget(t *testing.T) {
	h, l := &traffictest.Host{Answer: readAll(503)}, &Ledger{}
	fifth := &Budget{Percent: new(uint32(20)), MinPerSecond: new(uint32(0))}
	serve := traffic.Chain(traffic.Forward{}, With(&Policy{Attempts: 1, Codes: []int{503}}, fifth, l, nil)).Serve
	call := func(body int) {
		c := h.Call()
		c.Body = &traffic.Bytes{B: make([]byte, body)}
		if err := serve(c); err != nil {
			t.Fatal(err)
		}
	}
	for range 10 {
		call(100_000)
	}
	if h.Attempts != 10 {
		t.Errorf("%d attempts of 10 calls that can't be sent again", h.Attempts)
	}
	for range 10 {
		call(1)
	}
	if h.Attempts != 24 {
		t.Errorf("%d attempts of 20 calls, of which a fifth may be retried", h.Attempts)
	}
}

func TestBudget(t *testing.T) {
	var l Ledger
	b := &Budget{Percent: new(uint32(20)), MinPerSecond: new(uint32(1)), Window: 10 * time.Second}
	now := traffictest.Epoch
	for range 100 {
		l.Deposit(b, now)
	}
	count := func() (n int) {
		for l.Withdraw(b, now) {
			n++
		}
		return n
	}
	if n := count(); n != 30 { // 20 % of 100, and 1 a second of 10
		t.Errorf("%d retries of 100 calls", n)
	}
	now = now.Add(9 * time.Second)
	if n := count(); n != 0 {
		t.Errorf("%d more in the same window", n)
	}
	now = now.Add(time.Second)
	if n := count(); n != 10 {
		t.Errorf("%d in the next window, which has no calls", n)
	}
	now = now.Add(time.Hour)
	if n := count(); n != 10 {
		t.Errorf("%d after an hour at rest", n)
	}
}

// TestBudgetHoldsUnderFailure: when everything fails, retries stay a fifth of calls, over any length of time.
func TestBudgetHoldsUnderFailure(t *testing.T) {
	var l Ledger
	b := &Budget{MinPerSecond: new(uint32(1))}
	now, retries := traffictest.Epoch, 0
	const seconds, rate = 300, 100
	for range seconds * rate {
		now = now.Add(time.Second / rate)
		l.Deposit(b, now)
		for range 3 {
			if l.Withdraw(b, now) {
				retries++
			}
		}
	}
	if share := float64(retries) / (seconds * rate); share < 0.19 || share > 0.22 {
		t.Errorf("%.3f of calls were retries", share)
	}
}

// TestWindowChanges: another policy's slots are of another length, and what was counted in them is forgotten.
func TestWindowChanges(t *testing.T) {
	for _, w := range [][2]time.Duration{{10 * time.Second, time.Second}, {time.Second, 10 * time.Second}, {time.Second, time.Minute}, {1, time.Second}} {
		var l Ledger
		before, after := &Budget{Window: w[0]}, &Budget{Window: w[1], MinPerSecond: new(uint32(1))}
		for range 1000 {
			l.Deposit(before, traffictest.Epoch)
			l.Withdraw(before, traffictest.Epoch)
		}
		n := 0
		for l.Withdraw(after, traffictest.Epoch) {
			n++
		}
		if want := int(w[1] / time.Second); n != want {
			t.Errorf("%v: %d retries, wanted %d", w, n, want)
		}
	}
}

// TestNoneIsNotUnset: a budget that says 0 allows none; one that says nothing has the mesh's own share.
func TestNoneIsNotUnset(t *testing.T) {
	for _, x := range []struct {
		b    Budget
		want int
	}{
		{Budget{}, 120}, // 20 % of 100, and 10 a second of 10
		{Budget{Percent: new(uint32(0))}, 100},
		{Budget{MinPerSecond: new(uint32(0))}, 20},
		{Budget{Percent: new(uint32(0)), MinPerSecond: new(uint32(0))}, 0},
	} {
		var l Ledger
		for range 100 {
			l.Deposit(&x.b, traffictest.Epoch)
		}
		n := 0
		for l.Withdraw(&x.b, traffictest.Epoch) {
			n++
		}
		if n != x.want {
			t.Errorf("%+v: %d retries of 100 calls, wanted %d", x.b, n, x.want)
		}
	}
}

func TestLaggingClock(t *testing.T) {
	var l Ledger
	b := &Budget{MinPerSecond: new(uint32(1))}
	for i := range 100 {
		l.Deposit(b, traffictest.Epoch.Add(-time.Duration(i%3)*time.Second))
	}
	if n := sum(&l.calls, b.epoch(traffictest.Epoch)); n != 100 {
		t.Errorf("%d calls were counted of 100", n)
	}
}

func TestLedgerIsShared(t *testing.T) {
	var l Ledger
	var wg sync.WaitGroup
	var mu sync.Mutex
	b, given := &Budget{Percent: new(uint32(10)), MinPerSecond: new(uint32(1)), Window: 10 * time.Second}, 0
	for i := range 8 {
		wg.Go(func() {
			n := 0
			for j := range 1000 {
				now := traffictest.Epoch.Add(time.Duration(i+j) * time.Millisecond)
				l.Deposit(b, now)
				if l.Withdraw(b, now) {
					n++
				}
			}
			mu.Lock()
			given += n
			mu.Unlock()
		})
	}
	if wg.Wait(); given < 700 || given > 810 { // a refused retry counts for a moment, so a few less than 810 may be given
		t.Errorf("%d retries of 8000 calls", given)
	}
}

func TestString(t *testing.T) {
	for want, p := range map[string]Policy{
		"up to 2 more attempts on no connection, resets of idempotent calls":        {Attempts: 2, Connect: true, ResetSafe: true},
		"up to 1 more attempts on 5xx, status 409, gRPC UNAVAILABLE, gRPC 17":       {Attempts: 1, ServerErr: true, Codes: []int{409}, GRPC: []int{14, 17}},
		"up to 3 more attempts on refused streams, resets, late attempts, failures": {Attempts: 3, Refused: true, Reset: true, ResetSafe: true, TimedOut: true, Failed: true},
	} {
		if got := p.String(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestValidate(t *testing.T) {
	for _, p := range []Policy{{Attempts: -1}, {Backoff: -1}} {
		if err := p.Validate(); err == nil || !strings.HasPrefix(err.Error(), "retry: ") {
			t.Errorf("%+v: %v", p, err)
		}
	}
	if err := policy.Validate(); err != nil {
		t.Error(err)
	}
}

func benchmark(b *testing.B, answers ...func(*traffic.Call) error) {
	h, c, conn, l := &traffictest.Host{}, &traffic.Call{}, &traffic.Conn{}, &Ledger{}
	s := traffic.Chain(traffic.Forward{}, With(policy, &Budget{Percent: new(uint32(100))}, l, nil))
	i := 0
	h.Answer = func(c *traffic.Call) error { i++; return answers[i%len(answers)](c) }
	b.ReportAllocs()
	for b.Loop() {
		h.Time, h.Slept = traffictest.Epoch, h.Slept[:0]
		h.Begin(c, conn)
		if _ = s.Serve(c); c.Response.Status != 200 {
			b.Fatal(c.Response.Status, c.Verdicts())
		}
		c.Finish(h.Time)
	}
}

func BenchmarkNoRetry(b *testing.B)  { benchmark(b, traffictest.Status(200)) }
func BenchmarkOneRetry(b *testing.B) { benchmark(b, traffictest.Status(200), traffictest.Status(503)) }
