package retry_test // what handlers and an engine owe each other, shown with retries, edits and mirrors in one chain

import (
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/feature/headers"
	"github.com/weft-mesh/weft/feature/mirror"
	"github.com/weft-mesh/weft/feature/retry"
	"github.com/weft-mesh/weft/traffic"
)

// upload is a request body that arrives in chunks while the callee may be answering.
type upload struct {
	chunks chan string
	c      *traffic.Call
	mu     sync.Mutex
	stop   chan struct{} // not nil: interrupted when closed
}

func (u *upload) stopped() chan struct{} {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.stop == nil {
		u.stop = make(chan struct{})
	}
	return u.stop
}

func (u *upload) Next() ([]byte, error) {
	select {
	case <-u.stopped():
		return nil, traffic.ErrInterrupted
	case s, ok := <-u.chunks:
		if !ok {
			u.c.Trailer.Receive("checksum", "42")
			return nil, io.EOF
		}
		return []byte(s), nil
	}
}
func (u *upload) Close(error) {}

func (u *upload) Interrupt(on bool) {
	if on {
		close(u.stopped())
		return
	}
	u.mu.Lock()
	u.stop = nil
	u.mu.Unlock()
}

// wire is a host whose attempts are scripted; each pumps the request body from a goroutine of its own, as HTTP/2 does.
type wire struct {
	t        *testing.T
	attempts []attempt
	got      []string // request body of each attempt
	headers  []string
	mirrored sync.WaitGroup

	attemptStops bool
	mirrors      []string
}

// attempt answers when the body holds after; status 0 is a reset.
type attempt struct {
	after, status int
	grpc          string
}

func (w *wire) Now() time.Time                           { return time.Unix(1_800_000_000, 0) }
func (w *wire) Sleep(*traffic.Call, time.Duration) error { return nil }

func (w *wire) Detach(c *traffic.Call, h traffic.Handler) {
	w.mirrored.Go(func() {
		b, _ := c.Body.Next()
		w.mirrors = append(w.mirrors, c.Authority+" "+string(b))
	})
}

func (w *wire) Forward(c *traffic.Call) error {
	a := w.attempts[0]
	w.attempts = w.attempts[1:]
	var all string
	c.Header.All(func(n, v string) bool { all += n + "=" + v + ";"; return true })
	w.headers = append(w.headers, all)
	p := &pump{w: w, body: c.Body, index: len(w.got), reached: make(chan struct{}), done: make(chan struct{}), after: a.after}
	w.got = append(w.got, "")
	go p.run()
	<-p.reached
	if a.status == 0 {
		p.stop.Do(func() { p.cancelled = true })
		<-p.done
		return c.Fail(traffic.ErrReset)
	}
	c.Response.Status = a.status
	c.Response.Body = p
	if a.grpc != "" {
		c.Response.Header.Receive("grpc-status", a.grpc)
	}
	return nil
}

// pump moves the request body up; as a Body, it is the response, which ends when the request has.
type pump struct {
	w         *wire
	body      traffic.Body
	index     int
	after     int
	reached   chan struct{}
	done      chan struct{}
	stop      sync.Once
	cancelled bool
}

func (p *pump) run() {
	defer close(p.done)
	once := sync.OnceFunc(func() { close(p.reached) })
	defer once()
	var sent string
	defer func() { p.w.got[p.index] = sent }()
	for {
		if len(sent) >= p.after {
			once()
		}
		if p.w.attemptStops && p.index == 0 && len(sent) >= p.after {
			return // a callee that stops reading once it has refused
		}
		b, err := p.body.Next()
		if sent += string(b); err != nil {
			return
		}
		if len(sent) >= p.after && p.after > 0 {
			once()
		}
	}
}
func (p *pump) Next() ([]byte, error) { <-p.done; return nil, io.EOF }
func (p *pump) Close(error)           { <-p.done }
func (p *pump) Interrupt(bool)        {}

func call(w *wire, chunks ...string) *traffic.Call {
	c := &traffic.Call{}
	c.Begin(w, &traffic.Conn{})
	c.Proto, c.Method, c.Authority, c.Now = traffic.HTTP2, "POST", "svc", w.Now()
	u := &upload{chunks: make(chan string, len(chunks)), c: c}
	for _, s := range chunks {
		u.chunks <- s
	}
	close(u.chunks)
	c.Body = u
	return c
}

var policy = &retry.Policy{Ref: decision.Ref{Kind: "Test"}, Attempts: 2, Reset: true, Codes: []int{503}, GRPC: []int{14}}

func serve(c *traffic.Call, p *retry.Policy) error {
	edit := &headers.Policy{Request: headers.Edit{Set: []headers.Pair{{Name: "x-backend", Value: "a"}}}}
	add := func(next traffic.Handler) traffic.Handler { return adder{next} }
	return traffic.Chain(traffic.Forward{}, retry.With(p, nil, &retry.Ledger{}, nil), headers.With(edit), add).Serve(c)
}

// adder adds a header on each attempt: without the journal the second would carry it twice.
type adder struct{ next traffic.Handler }

func (a adder) Serve(c *traffic.Call) error { c.Header.Add("via", "weft"); return a.next.Serve(c) }

func TestEarlyRefusalThenReplay(t *testing.T) {
	for _, first := range []attempt{{after: 3, status: 503}, {after: 3}, {after: 3, status: 200, grpc: "14"}} {
		w := &wire{t: t, attempts: []attempt{first, {after: 9, status: 200}}, attemptStops: true}
		c := call(w, "one", "two", "333")
		if first.grpc != "" {
			c.Proto = traffic.GRPC
		}
		if err := serve(c, policy); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Response.Body.Next(); err != io.EOF {
			t.Fatal(err)
		}
		if c.Response.Status != 200 || w.got[1] != "onetwo333" || c.Attempts != 2 {
			t.Errorf("%+v: status %d, attempts saw %q", first, c.Response.Status, w.got)
		}
		if w.headers[0] != w.headers[1] {
			t.Errorf("headers of attempts differ: %q", w.headers)
		}
		if v, _ := c.Trailer.Get("checksum"); v != "42" {
			t.Error("request trailers lost")
		}
	}
}

// TestRefusedWhileTheCallerWaits: the callee refuses while the pump waits for a byte that the caller will not send before it
// has its answer.
func TestRefusedWhileTheCallerWaits(t *testing.T) {
	w := &wire{t: t, attempts: []attempt{{after: 3, status: 503}, {after: 3, status: 200}}}
	c := &traffic.Call{}
	c.Begin(w, &traffic.Conn{})
	c.Proto, c.Now = traffic.HTTP2, w.Now()
	u := &upload{chunks: make(chan string, 2), c: c}
	u.chunks <- "ask"
	c.Body = u
	if err := serve(c, policy); err != nil || c.Response.Status != 200 {
		t.Fatal(err, c.Response.Status)
	}
	u.chunks <- " more"
	close(u.chunks)
	_, _ = c.Response.Body.Next()
	if w.got[1] != "ask more" {
		t.Errorf("attempts saw %q", w.got)
	}
}

func TestTooBigToReplay(t *testing.T) {
	const kept = 64 << 10
	w := &wire{t: t, attempts: []attempt{{after: kept + 1, status: 503}}}
	c := call(w, strings.Repeat("x", kept), "y")
	if err := serve(c, policy); err != nil || c.Response.Status != 503 || c.Response.Body == nil {
		t.Errorf("the first answer must reach the caller whole: %d, %v", c.Response.Status, err)
	}
}

func TestUpgradeGoesOnAfterTheChain(t *testing.T) {
	w := &wire{t: t, attempts: []attempt{{after: 0, status: 101}}}
	c := call(w)
	u := &upload{chunks: make(chan string), c: c}
	c.Body = u
	if err := serve(c, policy); err != nil || c.Response.Status != 101 {
		t.Fatal(err, c.Response.Status)
	}
	if c.Replayable() {
		t.Error("what comes is kept, though nothing will be sent again")
	}
	u.chunks <- "frame " // the chain has returned; bytes flow, and are not kept
	u.chunks <- strings.Repeat("x", 1000)
	close(u.chunks)
	if _, err := c.Response.Body.Next(); err != io.EOF || len(w.got[0]) != 1006 {
		t.Errorf("%v, %d bytes", err, len(w.got[0]))
	}
}

func TestMirrorOwnsItsCopy(t *testing.T) {
	w := &wire{t: t, attempts: []attempt{{after: 7, status: 200}}} // reads to the end
	c := call(w, "one", "two")
	p := []mirror.Policy{{Share: mirror.All, Shadow: true}}
	h := traffic.Chain(traffic.Forward{}, mirror.With(p, []traffic.Handler{traffic.Forward{}}), retry.With(policy, nil, &retry.Ledger{}, nil))
	if err := h.Serve(c); err != nil {
		t.Fatal(err)
	}
	_, _ = c.Response.Body.Next()
	c.Finish(w.Now())
	c.Begin(w, c.Conn)
	w.mirrored.Wait()
	if len(w.mirrors) != 1 || w.mirrors[0] != "svc-shadow onetwo" {
		t.Errorf("mirrored %q", w.mirrors)
	}
}

func TestErrorsAreTyped(t *testing.T) {
	w := &wire{t: t, attempts: []attempt{{}, {}, {}}}
	c := call(w)
	c.Body = nil
	w.attempts = nil
	refuse := handlerFunc(func(c *traffic.Call) error { return c.Fail(traffic.ErrReset) })
	err := traffic.Chain(refuse, retry.With(policy, nil, &retry.Ledger{}, nil)).Serve(c)
	if !errors.Is(err, traffic.ErrReset) || c.Attempts != 3 {
		t.Errorf("%v after %d attempts", err, c.Attempts)
	}
}

type handlerFunc func(*traffic.Call) error

func (f handlerFunc) Serve(c *traffic.Call) error { return f(c) }
