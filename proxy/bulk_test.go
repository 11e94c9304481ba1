package proxy_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"

	"github.com/weft-mesh/weft/proxy"
	"github.com/weft-mesh/weft/traffic"
)

// bulk is a published port of a workload whose application does this with each connection.
func bulk(t *testing.T, app func(*net.TCPConn)) (n *node, dial func() *net.TCPConn) {
	t.Helper()
	w := newWorld(t)
	l := listen(t).(*net.TCPListener)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.AcceptTCP()
			if err != nil {
				return
			}
			go func() { defer c.Close(); app(c) }()
		}
	}()
	n = w.start("callee-1", map[uint16]string{90: l.Addr().String()}, func(n *node, o *proxy.Options) { n.publish(o, 90) })
	n.cfg.Ports[0].Proto = traffic.TCP
	w.set("workload", n.name, &n.cfg)
	eventually(t, "declared", func() bool { n.feed.mu.Lock(); defer n.feed.mu.Unlock(); return n.feed.applied["workload/"+n.name] > 1 })
	return n, func() *net.TCPConn {
		c, err := net.Dial("tcp", n.pub[90].Addr().String())
		must(t, err)
		t.Cleanup(func() { c.Close() })
		return c.(*net.TCPConn)
	}
}

// TestBulk: a stream that is long enough to be passed on without being read comes through as it is, each way by itself and both at
// once, and is counted to the byte.
func TestBulk(t *testing.T) {
	const size = 5<<20 + 7
	data := make([]byte, size)
	rand.Read(data)
	for name, app := range map[string]func(*net.TCPConn){
		"one after the other": func(c *net.TCPConn) {
			got, err := io.ReadAll(c) // until the caller half-closes
			if err == nil {
				c.Write(got)
			}
		},
		"both at once": func(c *net.TCPConn) { io.Copy(struct{ io.Writer }{c}, c) },
	} {
		t.Run(name, func(t *testing.T) {
			n, dial := bulk(t, app)
			c := dial()
			go func() {
				c.Write(data)
				c.CloseWrite()
			}()
			got, err := io.ReadAll(c)
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("%d bytes of %d came back, or others: %v", len(got), size, err)
			}
			if r := n.records.wait(t, 1)[0]; r.Sent != size || r.Received != size || r.Failed {
				t.Errorf("%d sent, %d received, failed %v, want %d", r.Sent, r.Received, r.Failed, size)
			}
		})
	}
}

// TestBulkBreaks: a reset in the middle of a long stream is a reset at the other end, whoever did it, and never an end.
func TestBulkBreaks(t *testing.T) {
	const before = 3 << 20
	t.Run("the application", func(t *testing.T) {
		n, dial := bulk(t, func(c *net.TCPConn) {
			c.Write(make([]byte, before))
			io.ReadFull(c, make([]byte, 1)) // the caller has all that
			c.SetLinger(0)
		})
		c := dial()
		_, err := io.ReadFull(c, make([]byte, before))
		must(t, err)
		c.Write([]byte{1})
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the caller sees %v", err)
		}
		if r := n.records.wait(t, 1)[0]; !r.Failed || r.Received != before {
			t.Errorf("%+v", r)
		}
	})
	t.Run("the caller", func(t *testing.T) {
		seen := make(chan error, 1)
		n, dial := bulk(t, func(c *net.TCPConn) {
			_, err := io.ReadFull(c, make([]byte, before))
			if err == nil {
				c.Write([]byte{1})
				_, err = c.Read(make([]byte, 1))
			}
			seen <- err
		})
		c := dial()
		c.Write(make([]byte, before))
		_, err := c.Read(make([]byte, 1))
		must(t, err)
		c.SetLinger(0)
		c.Close()
		if err := <-seen; !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the application sees %v", err)
		}
		n.records.wait(t, 1)
	})
	t.Run("the proxy", func(t *testing.T) {
		n, dial := bulk(t, func(c *net.TCPConn) { io.Copy(c, zeros{}) })
		c := dial()
		_, err := io.ReadFull(c, make([]byte, before))
		must(t, err)
		n.stop()
		if _, err := io.Copy(io.Discard, c); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the caller sees %v", err)
		}
	})
}

// zeros never end.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }
