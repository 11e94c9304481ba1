package accesslog

import (
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

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

// buffer is where lines go; a lock makes them wait.
type buffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func TestJSON(t *testing.T) {
	var out buffer
	l := Start(Options{To: &out})
	l.Take(denied())
	failed := denied()
	failed.Err = errors.New("no way")
	l.Take(failed)
	l.Close()
	l.Take(denied()) // nobody writes it any more, and nothing breaks
	lines := strings.Split(strings.TrimSpace(out.b.String()), "\n")
	if len(lines) != 2 {
		t.Fatalf("%q", lines)
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(lines[0]), &got); err != nil {
		t.Fatalf("%v: %s", err, lines[0])
	}
	for name, want := range map[string]any{"time": "2026-05-01T12:00:00Z", "reporter": "destination", "from": "ns/a-1", "fromIdentity": "spiffe://td/ns/ns/sa/a",
		"fromAddress": "127.0.0.1:5", "to": "ns/b-1", "method": "GET", "path": "/a\n\"b\ufffd", "status": 403.0, "local": true, "seconds": 0.0015, "security": "mtls",
		"outcome": "deny", "reason": "no rule allows", "because": "AuthorizationPolicy default/only-friends (istio)"} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
	if v, _ := got["verdicts"].([]any); len(v) != 2 {
		t.Errorf("verdicts %v", got["verdicts"])
	}
}

func TestText(t *testing.T) {
	line := string(appendText(nil, denied()))
	if !strings.HasSuffix(line, ` ns/a-1 -> ns/b-1 http/1.1 GET "/a\n\"b\x80" 403 1.5ms mtls, deny because AuthorizationPolicy default/only-friends (istio): no rule allows`+"\n") {
		t.Error(line)
	}
}

// TestLoss: a writer that is stuck holds up nobody, and what is lost is counted.
func TestLoss(t *testing.T) {
	var out buffer
	out.mu.Lock()
	l := Start(Options{To: &out, Format: Text, Queue: 10})
	for range 100 {
		l.Take(denied())
	}
	if l.Lost() < 50 {
		t.Errorf("%d lost", l.Lost())
	}
	out.mu.Unlock()
	for l.Lost() > 0 {
		l.Take(denied())
	}
	l.Close()
	if !strings.Contains(out.b.String(), "lines were lost") {
		t.Error("nobody was told")
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

func FuzzQuote(f *testing.F) {
	f.Add("a\"\\\n\x00\x7f\u2028\xff")
	f.Fuzz(func(t *testing.T, s string) {
		var back string
		q := quote(nil, s)
		if err := json.Unmarshal(q, &back); err != nil || back != strings.ToValidUTF8(strings.ReplaceAll(s, "", ""), "\ufffd") && len([]rune(back)) != len([]rune(s)) {
			t.Errorf("%q: %s %v", s, q, err)
		}
		for _, c := range q {
			if c < 0x20 {
				t.Errorf("a control character in %q", q)
			}
		}
	})
}

func BenchmarkTake(b *testing.B) {
	l := Start(Options{To: io.Discard})
	defer l.Close()
	r := denied()
	b.ReportAllocs()
	for b.Loop() {
		l.Take(r)
	}
}
