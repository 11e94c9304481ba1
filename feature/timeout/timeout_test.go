package timeout

import (
	"testing"
	"time"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/traffic"
	"github.com/weft-mesh/weft/traffic/traffictest"
)

func TestDeadlines(t *testing.T) {
	p, try := &Policy{Ref: decision.Ref{Kind: "Test", Name: "p"}, Limit: 10 * time.Second}, &Policy{Ref: decision.Ref{Kind: "Test", Name: "try"}, Limit: 2 * time.Second}
	short := &Policy{Limit: time.Second}
	for _, x := range []struct {
		name  string
		wraps []traffic.Wrap
		grpc  string
		want  time.Duration // 0: none
		by    *Policy
	}{
		{"nothing", []traffic.Wrap{With(nil), Attempt(nil), With(&Policy{}), Attempt(&Policy{})}, "", 0, nil},
		{"request", []traffic.Wrap{With(p)}, "", 10 * time.Second, p},
		{"attempt", []traffic.Wrap{With(p), Attempt(try)}, "", 2 * time.Second, try},
		{"the attempt's is longer", []traffic.Wrap{With(short), Attempt(try)}, "", time.Second, short},
		{"the caller's is shorter", []traffic.Wrap{With(p)}, "1500m", 1500 * time.Millisecond, nil},
		{"the caller's is longer", []traffic.Wrap{With(p)}, "1H", 10 * time.Second, p},
		{"the caller's is nonsense", []traffic.Wrap{With(p)}, "soon", 10 * time.Second, p},
		{"no bound takes the caller's cap away", []traffic.Wrap{With(nil)}, "1S", 0, nil},
	} {
		c := (&traffictest.Host{}).Call()
		if x.grpc != "" {
			c.Proto = traffic.GRPC
			c.Header.Receive("grpc-timeout", x.grpc)
		}
		_ = traffic.Chain(traffic.Forward{}, x.wraps...).Serve(c)
		var want time.Time
		if x.want > 0 {
			want = traffictest.Epoch.Add(x.want)
		}
		var by *decision.Ref
		if x.by != nil {
			by = &x.by.Ref
		}
		if c.Deadline.At != want || c.Deadline.Ref != by {
			t.Errorf("%s: %+v, want %v", x.name, c.Deadline, want)
		}
	}
}

// TestAttemptsEachHaveTheirOwn: going back to before an attempt takes its bound away, and leaves the request's.
func TestAttemptsEachHaveTheirOwn(t *testing.T) {
	p, try := &Policy{Limit: 10 * time.Second}, &Policy{Limit: 2 * time.Second}
	h := &traffictest.Host{}
	c := h.Call()
	again := func(next traffic.Handler) traffic.Handler { return twice{next} }
	if _ = traffic.Chain(traffic.Forward{}, With(p), again, Attempt(try)).Serve(c); c.Deadline.At != traffictest.Epoch.Add(5*time.Second) {
		t.Errorf("the second attempt ends at %v", c.Deadline.At)
	}
}

type twice struct{ next traffic.Handler }

func (w twice) Serve(c *traffic.Call) error {
	m := c.Mark()
	_ = w.next.Serve(c)
	c.Rewind(m, traffictest.Epoch.Add(3*time.Second))
	return w.next.Serve(c)
}

func TestParseGRPC(t *testing.T) {
	for s, want := range map[string]time.Duration{"1H": time.Hour, "2M": 2 * time.Minute, "3S": 3 * time.Second, "100m": 100 * time.Millisecond,
		"5u": 5 * time.Microsecond, "99999999n": 99999999, "0S": 0, "99999999H": time.Duration(1<<63-1) / time.Hour * time.Hour} {
		if d, ok := ParseGRPC(s); !ok || d != want {
			t.Errorf("%s: %v %v", s, d, ok)
		}
	}
	for _, s := range []string{"", "1", "S", "-1S", "+1S", "1s", "1.5S", "123456789S", "1 S"} {
		if d, ok := ParseGRPC(s); ok {
			t.Errorf("%q is read as %v", s, d)
		}
	}
}

func FuzzParseGRPC(f *testing.F) {
	f.Add("100m")
	f.Add("99999999H")
	f.Fuzz(func(t *testing.T, s string) {
		if d, ok := ParseGRPC(s); ok && d < 0 {
			t.Errorf("%q is %v", s, d)
		}
	})
}

func TestValidate(t *testing.T) {
	if (&Policy{Limit: -1}).Validate() == nil || (&Policy{Limit: 1}).Validate() != nil {
		t.Error("negative durations and no others are refused")
	}
}

func BenchmarkTimeout(b *testing.B) {
	p, try := &Policy{Limit: 10 * time.Second}, &Policy{Limit: 2 * time.Second}
	h, c, conn := &traffictest.Host{}, &traffic.Call{}, &traffic.Conn{}
	s := traffic.Chain(traffic.Forward{}, With(p), Attempt(try))
	b.ReportAllocs()
	for b.Loop() {
		h.Begin(c, conn)
		c.Proto = traffic.GRPC
		c.Header.Receive("grpc-timeout", "100m")
		_ = s.Serve(c)
	}
}
