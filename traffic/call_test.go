package traffic

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/weft-mesh/weft/decision"
)

var epoch = time.Unix(1_800_000_000, 0)

func begun() *Call {
	c := &Call{}
	c.Begin(nil, &Conn{})
	c.Proto, c.Method, c.Path, c.Now = HTTP2, "GET", "/", epoch
	return c
}

func TestReply(t *testing.T) {
	for _, x := range []struct {
		proto  Proto
		status int
		why    decision.Reason
		want   string
	}{
		{HTTP1, 403, decision.Matched, "403 "},
		{HTTP2, 504, decision.TimedOut, "504 "},
		{GRPC, 400, decision.Malformed, "200 13"}, // http-grpc-status-mapping.md: 400 Bad Request, INTERNAL
		{GRPC, 401, decision.Matched, "200 16"},
		{GRPC, 403, decision.NoRuleAllows, "200 7"},
		{GRPC, 404, decision.NoRoute, "200 12"}, // 404 Not Found, UNIMPLEMENTED
		{GRPC, 429, decision.Limited, "200 14"}, // 429 Too Many Requests, UNAVAILABLE
		{GRPC, 502, decision.ConnectFailed, "200 14"},
		{GRPC, 503, decision.NoEndpoint, "200 14"},
		{GRPC, 504, decision.ConnectFailed, "200 14"}, // 504 Gateway Timeout, UNAVAILABLE
		{GRPC, 504, decision.TimedOut, "200 4"},
		{GRPC, 500, decision.Injected, "200 2"},   // all other codes, UNKNOWN
		{GRPC, 500, decision.NoBackend, "200 14"}, // "all traffic which matches this rule MUST receive an UNAVAILABLE status"
	} {
		c := begun()
		c.Proto = x.proto
		v := decision.Verdict{Outcome: decision.Deny, Reason: x.why}
		if err := c.Reply(x.status, v); err != nil {
			t.Fatal(err)
		}
		code, _ := c.GRPCStatus()
		if got := fmt.Sprint(c.Response.Status, " ", code); got != x.want || !c.Response.Local || c.Verdicts()[0] != v {
			t.Errorf("%v %d %v: got %q, want %q", x.proto, x.status, x.why, got, x.want)
		}
	}
}

func TestHTTPStatusOfAnyCode(t *testing.T) {
	for code, want := range map[int]int{-1: 500, 0: 200, 4: 504, 7: 403, 8: 429, 14: 503, 16: 401, 17: 500} {
		if got := HTTPStatus(code); got != want {
			t.Errorf("%d: %d, want %d", code, got, want)
		}
	}
}

type judge struct{ failed, ok bool }

var judgeRef = &decision.Ref{Name: "class"}

func (j judge) Judge(*Call) (bool, *decision.Ref, bool) { return j.failed, judgeRef, j.ok }

func TestFailed(t *testing.T) {
	for _, x := range []struct {
		name   string
		proto  Proto
		status int
		grpc   string
		err    error
		judge  Judge
		want   bool
		ref    *decision.Ref
	}{
		{name: "a page", status: 200},
		{name: "not found", status: 404},
		{name: "unavailable", status: 503, want: true},
		{name: "no answer", err: ErrConnect, want: true},
		{name: "too late", err: fmt.Errorf("read: %w", ErrDeadline), want: true},
		{name: "another identity", err: ErrWrongPeer, want: true},
		{name: "the caller left", err: ErrCanceled},
		{name: "our own certificate", err: ErrNoIdentity},
		{name: "grpc in an HTTP/2 call", proto: HTTP2, status: 200, grpc: "14"},
		{name: "grpc unavailable", proto: GRPC, status: 200, grpc: "14", want: true},
		{name: "grpc unknown", proto: GRPC, status: 200, grpc: "2", want: true}, // Linkerd counts it, though its manual omits it
		{name: "grpc not found", proto: GRPC, status: 200, grpc: "5"},
		{name: "grpc exhausted", proto: GRPC, status: 200, grpc: "8"},
		{name: "a class: failure", status: 404, judge: judge{true, true}, want: true, ref: judgeRef},
		{name: "a class: success", status: 503, judge: judge{false, true}, ref: judgeRef},
		{name: "no class, server error", status: 500, judge: judge{false, false}, want: true},
		{name: "no class, no error", status: 200, judge: judge{true, false}},
		{name: "no answer is no success", err: ErrReset, judge: judge{false, true}, want: true},
	} {
		c := begun()
		c.Proto, c.Response.Status, c.Response.Err, c.Judge = x.proto, x.status, x.err, x.judge
		if x.grpc != "" {
			c.Response.Trailer.Receive("grpc-status", x.grpc)
		}
		if got, ref := c.FailedBy(); got != x.want || ref != x.ref || c.Failed() != got {
			t.Errorf("%s: %v because %v", x.name, got, ref)
		}
	}
}

type logged struct {
	name string
	to   *[]string
}

func (l logged) End(_ *Call, since, now time.Time) {
	*l.to = append(*l.to, fmt.Sprint(l.name, now.Sub(since)))
}

func TestEndsRunOnceLastFirst(t *testing.T) {
	c := begun()
	var got []string
	c.AtEnd(logged{"call", &got})
	m := c.Mark()
	c.AtEnd(logged{"first", &got})
	if !c.Rewind(m, epoch.Add(time.Second)) {
		t.Fatal("a call without a body can always be made again")
	}
	c.AtEnd(logged{"second", &got})
	c.Finish(epoch.Add(3 * time.Second))
	c.Finish(epoch.Add(9 * time.Second))
	if want := "first1s second2s call3s"; strings.Join(got, " ") != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestRewindRestores(t *testing.T) {
	c := begun()
	c.Header.Receive("a", "1")
	c.Limit(time.Minute, nil)
	m := c.Mark()
	c.Header.Set("a", "2")
	c.Header.Add("b", "3")
	c.Path, c.Query, c.Authority = "/x", "y", "z"
	c.To, c.Upstream, c.Judge = &Endpoint{}, &Upstream{}, judge{}
	c.Limit(time.Second, judgeRef)
	c.Response.Status, c.Response.Local = 503, true
	c.Response.Header.Receive("c", "4")
	if !c.Rewind(m, epoch.Add(time.Second)) {
		t.Fatal("refused")
	}
	a, _ := c.Header.Get("a")
	_, b := c.Header.Get("b")
	_, rc := c.Response.Header.Get("c")
	if a != "1" || b || rc || c.Path != "/" || c.Query != "" || c.Authority != "" || c.Response.Status != 0 || c.Response.Local {
		t.Errorf("the call is not as it was: %+v", c)
	}
	if c.To != nil || c.Upstream != nil || c.Judge != nil || len(c.Tried()) != 1 || c.Deadline.Ref != nil || c.Deadline.At != epoch.Add(time.Minute) {
		t.Errorf("the choice of the first attempt is left over: %+v", c)
	}
	if c.Now != epoch.Add(time.Second) {
		t.Error("the call's time must go on")
	}
}

func TestForkOwnsItsStrings(t *testing.T) {
	wire := []byte("GET /path?q host v")
	c := begun()
	lend := func(s string) string { i := strings.Index(string(wire), s); return unsafeString(wire[i : i+len(s)]) }
	c.Method, c.Path, c.Query, c.Authority = lend("GET"), lend("/path"), lend("q"), lend("host")
	c.Header.Receive("x", lend("v"))
	c.Header.Receive("gone", "1")
	c.Header.Del("gone")
	c.Limit(time.Second, nil)
	f, ok := c.Fork(epoch.Add(time.Second))
	clear(wire)
	x, _ := f.Header.Get("x")
	if _, gone := f.Header.Get("gone"); !ok || gone || f.Method+f.Path+f.Query+f.Authority+x != "GET/pathqhostv" {
		t.Errorf("%v %+v", ok, f.Attrs)
	}
	if f.Now != epoch.Add(time.Second) || !f.Deadline.At.IsZero() {
		t.Error("a copy lives on its own time")
	}
}

func TestForkOfBody(t *testing.T) {
	for _, x := range []struct {
		body  string
		limit int
		read  int // bytes of one chunk each
		ok    bool
	}{
		{"abc", 3, 4, true},
		{"abc", 2, 4, false},
		{"abc", 3, 2, false}, // the pump stopped before the end
		{"", 3, 1, true},
	} {
		c := begun()
		c.Body = &bytewise{s: x.body}
		c.Keep(x.limit)
		for range x.read {
			_, _ = c.Body.Next()
		}
		f, ok := c.Fork(epoch)
		c.Finish(epoch)
		var got string
		if f.Body != nil {
			b, _ := f.Body.Next()
			got = string(b)
		}
		if ok != x.ok || ok && got != x.body {
			t.Errorf("%+v: %v %q", x, ok, got)
		}
	}
}

func TestCommitCountsHolders(t *testing.T) {
	c := begun()
	c.Body = &bytewise{s: "abc"}
	c.Keep(10)
	c.Keep(5)
	c.Commit()
	if !c.Replayable() {
		t.Error("a mirror still needs the body")
	}
	c.Commit()
	if c.Replayable() || c.Rewind(c.Mark(), epoch) {
		t.Error("nobody wanted it any more")
	}
	n := begun()
	n.Keep(10)
	n.Commit()
	if !n.Replayable() {
		t.Error("a call without a body can always be made again")
	}
}

// bytewise hands out one byte at a time.
type bytewise struct{ s string }

func (b *bytewise) Next() ([]byte, error) {
	if b.s == "" {
		return nil, io.EOF
	}
	c := b.s[:1]
	b.s = b.s[1:]
	return []byte(c), nil
}
func (b *bytewise) Close(error)    {}
func (b *bytewise) Interrupt(bool) {}

func TestHeaderJournal(t *testing.T) {
	var h Header
	for _, n := range []string{"a", "b", "a"} {
		h.Receive(n, "received")
	}
	h.Set("a", "set")
	at := h.edit
	h.Add("c", "added")
	h.Del("b")
	h.rewind(at)
	var got string
	for n, v := range h.All {
		got += n + "=" + v + " "
	}
	if got != "b=received a=set " {
		t.Errorf("got %q", got)
	}
	h.rewind(0)
	if v, _ := h.Joined("a"); v != "received,received" {
		t.Errorf("got %q", v)
	}
}

func TestDrawFor(t *testing.T) {
	for _, x := range [][2]uint64{{10, 0}, {10, 9}, {1000, 500}, {1 << 32, 0}, {1 << 32, 1<<32 - 1}, {1 << 63, 1 << 62}} {
		for _, salt := range []uint64{0, 7, 0x726f757465} {
			a := Attrs{Draw: DrawFor(salt, x[1])}
			if c := a.Chance(salt, x[0]); c != x[1] {
				t.Errorf("%d of %v: %d", salt, x, c)
			}
		}
	}
}

func TestChanceIsFair(t *testing.T) {
	var hits [10]int
	for i := range uint64(100_000) { // neighbouring draws must not fall together
		hits[(&Attrs{Draw: i}).Chance(0x726f757465, 10)]++
	}
	for i, n := range hits {
		if n < 9_500 || n > 10_500 { // 5 standard deviations
			t.Errorf("%d fell %d times", i, n)
		}
	}
}
