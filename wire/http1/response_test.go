package http1

import (
	"fmt"
	"testing"
)

// TestResponseRules: how the end of a response is found (RFC 9112 section 6.3), and what is refused.
func TestResponseRules(t *testing.T) {
	for _, c := range []struct{ name, method, in, want string }{
		{"6.3 (1): HEAD has no body", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "200 none keep content-length=5"},
		{"6.3 (1): HEAD has no chunks", "HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "200 none keep"},
		{"6.3 (1): 204 has no body", "GET", "HTTP/1.1 204 No Content\r\n\r\n", "204 none keep"},
		{"9110 8.6: 204 has no length", "GET", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", "204 none keep"},
		{"a 204 with a body cannot be followed", "GET", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", "204 none close"},
		{"a 304 with chunks cannot be followed", "GET", "HTTP/1.1 304 x\r\nTransfer-Encoding: chunked\r\n\r\n", "304 none close"},
		{"6.3 (1): 304 has a length but no body", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "304 none keep content-length=5"},
		{"6.3 (1): 1xx has no body", "GET", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", "103 none keep link=x"},
		{"6.3 (2): 2xx to CONNECT is a tunnel", "CONNECT", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "200 tunnel close"},
		{"6.3 (2): whatever coding it names", "CONNECT", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "200 tunnel close"},
		{"6.3 (2): an error to CONNECT is a response", "CONNECT", "HTTP/1.1 403 No\r\nContent-Length: 5\r\n\r\n", "403 sized 5 keep content-length=5"},
		{"9110 15.2.2: 101 is another protocol", "GET", "HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", "101 tunnel close upgrade websocket"},
		{"6.3 (3): a length beside a coding", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", ErrBothLengths.Error()},
		{"6.3 (4): chunked", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "200 chunked keep"},
		{"6.3 (4): a coding that is not chunked", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", ErrCoding.Error()},
		{"6.1: a coding in HTTP/1.0", "GET", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", ErrCodingIn10.Error()},
		{"6.3 (5): two lengths", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", ErrTwoLengths.Error()},
		{"6.3 (5): a length that is none", "GET", "HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\n", ErrLength.Error()},
		{"6.3 (6): a length", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "200 sized 5 keep content-length=5"},
		{"6.3 (8): until the connection is closed", "GET", "HTTP/1.1 200 OK\r\n\r\n", "200 close close"},
		{"9.3: HTTP/1.0 closes", "GET", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", "200 sized 5 close content-length=5"},
		{"9.3: HTTP/1.0 with keep-alive", "GET", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\n", "200 sized 5 keep content-length=5"},
		{"9.3: close", "GET", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\n", "200 sized 5 close content-length=5"},
		{"9110 7.6.1: what Connection names is for one hop", "GET", "HTTP/1.1 204 x\r\nX: y\r\nConnection: x\r\n\r\n", "204 none keep"},
		{"4: no reason", "GET", "HTTP/1.1 204 \r\n\r\n", "204 none keep"},
		{"4: no reason and no space", "GET", "HTTP/1.1 204\r\n\r\n", "204 none keep"},
		{"4: a reason with obs-text", "GET", "HTTP/1.1 204 \xe4\t b\r\n\r\n", "204 none keep"},
		{"4: four digits", "GET", "HTTP/1.1 2000 OK\r\n\r\n", ErrStatus.Error()},
		{"4: two digits", "GET", "HTTP/1.1 20 OK\r\n\r\n", ErrStatus.Error()},
		{"9110 15: below 100", "GET", "HTTP/1.1 099 OK\r\n\r\n", ErrStatus.Error()},
		{"4: another version", "GET", "HTTP/2.0 200 OK\r\n\r\n", ErrStatus.Error()},
		{"4: another protocol", "GET", "SSH-2.0-OpenSSH\r\n\r\n", ErrStatus.Error()},
		{"2.2: an empty line first is not for clients to ignore", "GET", "\r\nHTTP/1.1 204 x\r\n\r\n", ErrStatus.Error()},
		{"2.2: a control character in the reason", "GET", "HTTP/1.1 204 a\x00\r\n\r\n", ErrControl.Error()},
		{"5.2: a folded line", "GET", "HTTP/1.1 204 x\r\nX: y\r\n z\r\n\r\n", ErrFold.Error()},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := showResponse(c.method, c.in); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func showResponse(method, in string) string {
	var s Scan
	l := Limits{}.Or()
	n, err := s.Head([]byte(in), &l)
	if err != nil {
		return err.Error()
	}
	r := &Response{}
	if err := r.Parse([]byte(in)[:n], method); err != nil {
		return err.Error()
	}
	out := fmt.Sprint(r.Status, " ", [...]string{"none", "sized", "chunked", "close", "tunnel"}[r.Framing.Kind])
	if r.Framing.Kind == Sized {
		out += fmt.Sprint(" ", r.Framing.Length)
	}
	out += map[bool]string{true: " keep", false: " close"}[r.Persists]
	if r.Upgrade != "" {
		out += " upgrade " + r.Upgrade
	}
	for _, f := range r.Fields {
		out += " " + f.Name + "=" + f.Value
	}
	return out
}

func BenchmarkResponse(b *testing.B) {
	in := []byte("HTTP/1.1 200 OK\r\nServer: gunicorn\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nContent-Type: application/json\r\n" +
		"Content-Length: 1024\r\nX-Envoy-Upstream-Service-Time: 3\r\n\r\n")
	buf := make([]byte, len(in))
	r := &Response{}
	l := Limits{}.Or()
	b.ReportAllocs()
	for b.Loop() {
		copy(buf, in)
		var s Scan
		n, _ := s.Head(buf, &l)
		if r.Parse(buf[:n], "GET") != nil {
			b.Fatal()
		}
	}
}
