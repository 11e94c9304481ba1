package accesslog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"
	"unsafe"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/observe"
	"github.com/weft-mesh/weft/traffic"
)

func denied() *observe.Record {
	v := decision.Verdict{Ref: &decision.Ref{Dialect: decision.Istio, Kind: "AuthorizationPolicy", Namespace: "default", Name: "only-friends"}, Outcome: decision.Deny, Reason: decision.NoRuleAllows}
	return &observe.Record{Reporter: observe.Destination, Start: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC), Took: 1500 * time.Microsecond, Proto: traffic.HTTP1,
		From: observe.Party{ID: identity.Of("td", "ns", "a"), Workload: "ns/a-1", Addr: netip.MustParseAddrPort("127.0.0.1:5")}, To: observe.Party{Workload: "ns/b-1"},
		Port: 80, Method: "GET", Path: "/a\n\"b\x80", Status: 403, Local: true, Secure: true, Deciding: v, Verdicts: []decision.Verdict{{Reason: decision.Matched}, v}}
}

// hostile is a record of which everything that somebody outside of the proxy can name is s.
func hostile(s string) *observe.Record {
	v := decision.Verdict{Ref: &decision.Ref{Kind: s, Namespace: s, Name: s, Rule: s}, Outcome: decision.Deny, Reason: decision.Matched}
	p := observe.Party{ID: identity.Of(s, s, s), Workload: s, Addr: netip.MustParseAddrPort("[::1]:80")}
	return &observe.Record{Proto: traffic.GRPC, From: p, To: p, Service: s, Subset: s, Method: s, Authority: s, Path: s, RequestID: s, GRPC: s, Remote: s, Attempts: 9,
		Class: v.Ref, Deciding: v, Verdicts: []decision.Verdict{v, v, v}, Err: errors.New(s)}
}

// buffer is where lines go; a lock makes them wait.
type buffer struct {
	mu     sync.Mutex
	b      strings.Builder
	writes int
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.writes++
	return b.b.Write(p)
}

func TestJSON(t *testing.T) {
	var out buffer
	l := Start(Options{To: &out})
	l.Take(denied())
	failed := denied()
	failed.Err, failed.Remote, failed.Class = errors.New("no way"), "timed out; X", failed.Deciding.Ref
	l.Take(failed)
	l.Close()
	l.Take(denied()) // nobody writes it any more, and nothing breaks
	lines := strings.Split(strings.TrimSpace(out.b.String()), "\n")
	if len(lines) != 2 || l.Lost() != 1 {
		t.Fatalf("%d lost of %q", l.Lost(), lines)
	}
	is(t, lines[0], map[string]any{"time": "2026-05-01T12:00:00Z", "reporter": "destination", "from": "ns/a-1", "fromIdentity": "spiffe://td/ns/ns/sa/a",
		"fromAddress": "127.0.0.1:5", "to": "ns/b-1", "method": "GET", "path": "/a\n\"b\ufffd", "status": 403.0, "local": true, "seconds": 0.0015, "security": "mtls",
		"outcome": "deny", "reason": "no rule allows", "because": "AuthorizationPolicy default/only-friends (istio)", "error": nil, "toAddress": nil, "failed": nil,
		"verdicts": []any{"pass because mesh default: matched", "deny because AuthorizationPolicy default/only-friends (istio): no rule allows"}})
	is(t, lines[1], map[string]any{"error": "no way", "calleeProxy": "timed out; X", "classifiedBy": "AuthorizationPolicy default/only-friends (istio)"})
}

func is(t *testing.T, line string, fields map[string]any) {
	t.Helper()
	var got map[string]any
	if err := json.Unmarshal([]byte(line), &got); err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	for name, want := range fields {
		if fmt.Sprint(got[name]) != fmt.Sprint(want) {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
}

func TestText(t *testing.T) {
	line := string(appendText(nil, denied()))
	if !strings.HasSuffix(line, ` ns/a-1 -> ns/b-1 http/1.1 GET "/a\n\"b\x80" 403 1.5ms mtls, deny because AuthorizationPolicy default/only-friends (istio): no rule allows`+"\n") {
		t.Error(line)
	}
	r := &observe.Record{Proto: traffic.GRPC, Service: "b.default", Port: 80, Subset: "v1", Method: "POST", Path: "/x", Status: 200, GRPC: "14", Attempts: 3, Remote: "timed out",
		From: observe.Party{Addr: netip.MustParseAddrPort("1.2.3.4:5")}, Class: &decision.Ref{Kind: "K", Name: "c"}, Err: errors.New("no way")}
	if line = string(appendText(nil, r)); !strings.HasSuffix(line, " 1.2.3.4:5 -> b.default:80 subset v1 grpc POST /x 200 grpc 14 0s plaintext 3 attempts, "+
		"callee's proxy: timed out, classified by K c (weft), no way\n") {
		t.Error(line)
	}
	tcp := &observe.Record{Method: "never"}
	if line = string(appendText(nil, tcp)); !strings.HasSuffix(line, " - -> - tcp 0 0s plaintext\n") {
		t.Error(line)
	}
}

var evil = []string{"a\nb", "\r\n{\"forged\":true}\n", `"},{"x":"`, "\x1b[2J\x9b2J", "\xff\xfe\x00", "\u2028\u2029\u0085", "\u202eevil", "a b 200 1ms mtls", strings.Repeat("é", 100_000),
	strings.Repeat("\n", 5000), "", `\`, `\u000a`, "😀"}

// TestHostile: a record is one line, and one object, whatever is said in it.
func TestHostile(t *testing.T) {
	for _, s := range evil {
		line := appendJSON(nil, hostile(s))
		var back map[string]any
		if err := json.Unmarshal(line, &back); err != nil || !utf8.Valid(line) || bytes.Count(line, []byte("\n")) != 1 || line[len(line)-1] != '\n' {
			t.Errorf("%.20q: %v in %.400q", s, err, line)
		}
		if want := strings.ToValidUTF8(s, "\ufffd"); len(s) < maxText && s != "" && len([]rune(back["path"].(string))) < len([]rune(want)) || back["forged"] != nil {
			t.Errorf("%.20q becomes %.40q", s, back["path"])
		}
		for _, c := range string(line[:len(line)-1]) {
			if hidden(c) {
				t.Errorf("%.20q: %q stays as it is", s, c)
			}
		}
		text := appendText(nil, hostile(s))
		for i, c := range text {
			if c < ' ' && (c != '\n' || i < len(text)-1) || c >= 0x7f {
				t.Errorf("%.20q: byte %q in %.400q", s, c, text)
				break
			}
		}
		if n := len(line) + len(text); n > 600_000 {
			t.Errorf("%.20q makes lines of %d bytes", s, n)
		}
	}
}

// TestNobodyWritesAColumn: a path of several words is quoted, so that it can't look like a status.
func TestNobodyWritesAColumn(t *testing.T) {
	r := &observe.Record{Proto: traffic.HTTP1, Method: "GET", Path: "/ 200 1ms mtls", Status: 403}
	if line := string(appendText(nil, r)); !strings.Contains(line, `GET "/ 200 1ms mtls" 403`) {
		t.Error(line)
	}
}

// TestBoundOfALine: a call can't make a line as long as it likes.
func TestBoundOfALine(t *testing.T) {
	r := &observe.Record{Proto: traffic.HTTP1, Method: "GET", Path: strings.Repeat("a", 1<<20), Verdicts: make([]decision.Verdict, 10_000)}
	if n := len(appendJSON(nil, r)); n > 5000 {
		t.Errorf("%d bytes", n)
	}
}

// TestNoSecrets: a query, a password in an authority and the headers of a call are in no line.
func TestNoSecrets(t *testing.T) {
	c := &traffic.Call{}
	c.Begin(nil, &traffic.Conn{})
	c.Proto, c.Method, c.Path, c.Query, c.Authority = traffic.HTTP1, "GET", "/a", "token=secret", "me:secret@shop"
	c.Response.Status = 200
	for _, h := range []string{"authorization", "proxy-authorization", "cookie", "x-api-key", "referer"} {
		c.Header.Receive(h, "secret")
		c.Response.Header.Receive("set-cookie", "secret")
	}
	r := observe.Of(c, observe.Source, time.Time{}, time.Time{}, time.Time{})
	for _, line := range [][]byte{appendJSON(nil, &r), appendText(nil, &r)} {
		if bytes.Contains(line, []byte("secret")) || bytes.Contains(line, []byte("token")) {
			t.Errorf("%s", line)
		}
	}
}

// TestLoss: a writer that is stuck holds up nobody, what waits is bounded, and what is lost is counted and told of.
func TestLoss(t *testing.T) {
	for _, f := range []Format{JSON, Text} {
		var out buffer
		out.mu.Lock()
		l := Start(Options{To: &out, Format: f, Queue: 2000})
		for range 1000 {
			l.Take(denied())
		}
		if n := l.Lost(); n < 900 || len(l.wait) > 2000 {
			t.Errorf("%d lost, %d bytes wait", n, len(l.wait))
		}
		out.mu.Unlock()
		l.Close()
		told := 0
		for _, m := range regexp.MustCompile(`(?m)^{"lost":(\d+)}$|^(\d+) lines were lost`).FindAllStringSubmatch(out.b.String(), -1) {
			var n int
			fmt.Sscan(m[1]+m[2], &n)
			told += n
		}
		if written := strings.Count(out.b.String(), "only-friends"); f == Text && written+told != 1000 || told != int(l.Lost()) {
			t.Errorf("%s: %d written, %d told, %d lost", f, written, told, l.Lost())
		}
	}
}

type broken struct{ n int }

func (b *broken) Write(p []byte) (int, error) { return b.n, io.ErrClosedPipe }

func TestBrokenWriter(t *testing.T) {
	l := Start(Options{To: &broken{}})
	for range 10 {
		l.Take(denied())
	}
	l.Close()
	if l.Lost() < 10 {
		t.Errorf("%d lost", l.Lost())
	}
}

// TestClose writes what waits, though the writer was stuck when it was asked to end; it may be asked twice.
func TestClose(t *testing.T) {
	var out buffer
	out.mu.Lock()
	l := Start(Options{To: &out})
	for range 100 {
		l.Take(denied())
	}
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(l.Close)
	}
	out.mu.Unlock()
	wg.Wait()
	if n := strings.Count(out.b.String(), "\n"); n != 100 || l.Lost() != 0 {
		t.Errorf("%d lines, %d lost", n, l.Lost())
	}
}

// TestAtOnce: lines of many callers are whole, and all of them there.
func TestAtOnce(t *testing.T) {
	var out buffer
	l := Start(Options{To: &out, Queue: 64 << 20})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 500 {
				l.Take(denied())
			}
		})
	}
	wg.Wait()
	l.Close()
	n := 0
	for line := range strings.Lines(out.b.String()) {
		if n++; !json.Valid([]byte(line)) {
			t.Fatalf("%q", line)
		}
	}
	if n != 4000 || l.Lost() != 0 {
		t.Errorf("%d lines, %d lost", n, l.Lost())
	}
}

// TestNothingIsKept: what a record lends may change as soon as Take has returned.
func TestNothingIsKept(t *testing.T) {
	var out buffer
	out.mu.Lock()
	l := Start(Options{To: &out})
	b := []byte("/path")
	r := denied()
	r.Path = unsafe.String(&b[0], len(b))
	l.Take(r)
	copy(b, "#####")
	out.mu.Unlock()
	l.Close()
	if !strings.Contains(out.b.String(), `"path":"/path"`) {
		t.Error(out.b.String())
	}
}

func TestOnly(t *testing.T) {
	var out buffer
	l := Start(Options{To: &out, Only: (*observe.Record).Denied})
	l.Take(&observe.Record{Status: 200})
	l.Take(denied())
	l.Close()
	if n := strings.Count(out.b.String(), "\n"); n != 1 {
		t.Errorf("%d lines", n)
	}
}

func plainRecord() *observe.Record {
	r := denied()
	r.Path, r.Status, r.Local, r.Deciding, r.Verdicts = "/a", 200, false, decision.Verdict{}, nil
	return r
}

func TestNoAllocation(t *testing.T) {
	for _, f := range []Format{JSON, Text} {
		l := Start(Options{To: io.Discard, Format: f})
		r := plainRecord()
		for range 10_000 { // the buffers have their size then
			l.Take(r)
		}
		most := 0.
		if f == Text {
			most = 2 // the words of a duration, and of a name of people's time zone
		}
		if n := testing.AllocsPerRun(1000, func() { l.Take(r) }); n > most {
			t.Errorf("%s: %v allocations", f, n)
		}
		l.Close()
	}
}

func FuzzLine(f *testing.F) {
	for _, s := range evil {
		f.Add(s[:min(len(s), 100)])
	}
	f.Add("a\"\\\n\x00\x7f\u2028\xff")
	f.Fuzz(func(t *testing.T, s string) {
		var back string
		q := quote(nil, s)
		if err := json.Unmarshal(q, &back); err != nil || back != string([]rune(s)) {
			t.Errorf("%q: %s %v", s, q, err)
		}
		if line := appendJSON(nil, hostile(s)); !json.Valid(line) || bytes.Count(line, []byte("\n")) != 1 {
			t.Errorf("%q: %q", s, line)
		}
		if line := appendText(nil, hostile(s)); bytes.Count(line, []byte("\n")) != 1 {
			t.Errorf("%q: %q", s, line)
		}
	})
}

func BenchmarkTake(b *testing.B) {
	for name, r := range map[string]*observe.Record{"plain": plainRecord(), "denied": denied()} {
		b.Run(name, func(b *testing.B) {
			l := Start(Options{To: io.Discard})
			defer l.Close()
			b.ReportAllocs()
			for b.Loop() {
				l.Take(r)
			}
		})
	}
}
