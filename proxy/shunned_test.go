package proxy_test

import (
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weft-mesh/weft/examples/bookinfo/echo"
	"github.com/weft-mesh/weft/proxy"
	"github.com/weft-mesh/weft/wire/http2"
)

// TestShunned: who lost a connection from outside for what it did is turned away for a while, before a byte of it is read; others, what
// is open, and proxies in front of the listener are not.
func TestShunned(t *testing.T) {
	for _, c := range []struct {
		name    string
		trusted []netip.Prefix
		turned  bool
	}{
		{"an address", nil, true},
		{"a trusted proxy", []netip.Prefix{netip.MustParsePrefix("127.0.9.0/24")}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var refused counter
			var ahead atomic.Int64 // of the proxy's clock
			w := newWorld(t)
			b := w.start("callee-1", apps(startEcho(t, echo.Options{})), func(n *node, o *proxy.Options) {
				n.publish(o, 80)
				n.cfg.Trusted, o.Refused = c.trusted, refused.add
				o.Clock = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
			})
			at := b.pub[80].Addr().String()
			before := dialFrom(t, "127.0.9.1", at)
			if got := pinged(t, before); got != http2.NoError {
				t.Fatal(got)
			}
			if got := pinged(t, dialFrom(t, "127.0.9.1", at), flooding...); got != http2.EnhanceYourCalm {
				t.Fatalf("%v: not closed for a flood", got)
			}
			if got := pinged(t, before); got != http2.NoError {
				t.Errorf("%v: what was open does not go on", got)
			}
			if got := pinged(t, dialFrom(t, "127.0.9.1", at)); (got == gone) != c.turned || refused.has("shunned") != c.turned {
				t.Errorf("the next connection: %v %v", got, refused.all())
			}
			if got := pinged(t, dialFrom(t, "127.0.9.2", at)); got != http2.NoError {
				t.Errorf("another address: %v", got)
			}
			ahead.Store(int64(time.Minute))
			if got := pinged(t, dialFrom(t, "127.0.9.1", at)); got != http2.NoError {
				t.Errorf("once the time has passed: %v", got)
			}
		})
	}
}

// counter is reasons that were heard.
type counter struct {
	mu sync.Mutex
	by map[string]int
}

func (c *counter) add(reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.by == nil {
		c.by = map[string]int{}
	}
	c.by[reason]++
}

func (c *counter) has(reason string) bool { return c.all()[reason] > 0 }

func (c *counter) all() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[string]int{}
	for k, n := range c.by {
		out[k] = n
	}
	return out
}

// h2conn is a client's connection, in frames.
type h2conn struct {
	net.Conn
	begun bool
}

func dialFrom(t *testing.T, from, at string) *h2conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: bound}
	c, err := d.Dial("tcp", at)
	must(t, err)
	t.Cleanup(func() { c.Close() })
	must(t, c.SetDeadline(time.Now().Add(bound)))
	return &h2conn{Conn: c}
}

// flooding is more PINGs than a client may send at once.
var flooding = func() (b []byte) {
	for range 5000 {
		b = http2.Ping{}.Append(b)
	}
	return b
}()

// gone is how a connection ends without a word.
const gone = http2.ErrCode(1 << 31)

// pinged sends frames, then a PING, and says what the proxy's GOAWAY has; NoError: it answers the PING.
func pinged(t *testing.T, c *h2conn, frames ...byte) http2.ErrCode {
	t.Helper()
	mark := [8]byte{'m'}
	b := append(frames[:len(frames):len(frames)], http2.Ping{Data: mark}.Append(nil)...)
	if !c.begun {
		c.begun = true
		b = append(http2.AppendSettings([]byte(http2.Preface)), b...)
	}
	go c.Write(b) // what the proxy does not take any more is lost
	buf := make([]byte, http2.HeaderLen+http2.DefaultFrameSize)
	for {
		if _, err := io.ReadFull(c, buf[:http2.HeaderLen]); err != nil {
			return gone
		}
		h, _ := http2.ParseFrameHeader(buf)
		payload := buf[http2.HeaderLen : http2.HeaderLen+h.Length]
		if _, err := io.ReadFull(c, payload); err != nil {
			return gone
		}
		switch h.Type {
		case http2.TypePing:
			if f, err := http2.ParsePing(h, payload); err == nil && f.Ack && f.Data == mark {
				return http2.NoError
			}
		case http2.TypeGoAway:
			f, err := http2.ParseGoAway(h, payload)
			must(t, err)
			return f.Code
		}
	}
}
