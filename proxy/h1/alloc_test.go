package h1

import (
	"bytes"
	"io"
	"net"
	"testing"

	"github.com/weft-mesh/weft/traffic"
)

// answerer answers each head it reads with the same bytes, and makes no garbage.
func answerer(tb testing.TB, answer string) string {
	ln := listen(tb)
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer nc.Close()
				out, buf, end := []byte(answer), make([]byte, 8<<10), []byte("\r\n\r\n")
				for n := 0; ; {
					k, err := nc.Read(buf[n:])
					if err != nil {
						return
					}
					if n += k; bytes.HasSuffix(buf[:n], end) {
						nc.Write(out)
						n = 0
					}
				}
			}()
		}
	}()
	return ln.Addr().String()
}

const (
	getRequest = "GET /api/v1/products/0 HTTP/1.1\r\nHost: reviews.default.svc.cluster.local:9080\r\nUser-Agent: bench/1.0\r\nAccept: */*\r\n" +
		"X-Request-Id: 7b2f2d0a-5d4e-4f43-9f0a-1c2d3e4f5a6b\r\nEnd-User: jason\r\n\r\n"
	getResponse = "HTTP/1.1 200 OK\r\nServer: x\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n0123456789abcdef"
)

// quiet is a relay without notes: what it costs is the connections' cost.
func quiet(tb testing.TB, to string) (*relay, net.Conn, func()) {
	var one *Client
	r := newRelay(tb, to, func(r *relay) {
		r.o.Release = func(c *Client, ok bool) { one = c }
		r.s.Done = func(c *traffic.Call) { c.Finish(c.Now) }
		r.s.Serve = func(c *traffic.Call) error {
			if one == nil {
				nc, err := net.Dial("tcp", to)
				if err != nil {
					return err
				}
				one = NewClient(nc, &r.o)
				tb.Cleanup(one.Close)
			}
			return one.RoundTrip(c)
		}
	})
	nc := dial(tb, r.addr())
	in, out := []byte(getRequest), make([]byte, 4<<10)
	return r, nc, func() {
		nc.Write(in)
		for n := 0; !bytes.HasSuffix(out[:n], []byte("abcdef")); {
			k, err := nc.Read(out[n:])
			if err != nil {
				tb.Fatal(err)
			}
			n += k
		}
	}
}

// TestAllocations: a kept-alive GET makes no garbage, through both connections and back.
func TestAllocations(t *testing.T) {
	if race {
		t.Skip("the race detector makes pools forget")
	}
	_, _, get := quiet(t, answerer(t, getResponse))
	for range 100 {
		get()
	}
	if n := testing.AllocsPerRun(2000, get); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkGet(b *testing.B) {
	_, _, get := quiet(b, answerer(b, getResponse))
	b.ReportAllocs()
	for b.Loop() {
		get()
	}
}

// BenchmarkDirect is BenchmarkGet without the proxy.
func BenchmarkDirect(b *testing.B) {
	nc := dial(b, answerer(b, getResponse))
	in, out := []byte(getRequest), make([]byte, 4<<10)
	b.ReportAllocs()
	for b.Loop() {
		nc.Write(in)
		for n := 0; !bytes.HasSuffix(out[:n], []byte("abcdef")); {
			k, err := nc.Read(out[n:])
			if err != nil {
				b.Fatal(err)
			}
			n += k
		}
	}
}

// BenchmarkDownload moves one large body.
func BenchmarkDownload(b *testing.B) {
	const size = 64 << 20
	ln := listen(b)
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				buf := make([]byte, 256<<10)
				for {
					if _, err := nc.Read(buf); err != nil {
						return
					}
					io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n")
					for n := 0; n < size; n += len(buf) {
						nc.Write(buf)
					}
				}
			}()
		}
	}()
	_, nc, _ := quiet(b, ln.Addr().String())
	buf := make([]byte, 256<<10)
	b.SetBytes(size)
	for b.Loop() {
		io.WriteString(nc, getRequest)
		for n := 0; n < size; {
			k, err := nc.Read(buf)
			if err != nil {
				b.Fatal(err)
			}
			n += k
		}
	}
}
