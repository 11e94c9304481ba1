package http1

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

// readRequest reads one message as a connection would, and returns its body and what follows it.
func readRequest(in []byte) (r *Request, body, rest []byte, ok bool) {
	r, err := head(string(in))
	if err != nil {
		return nil, nil, nil, false
	}
	var s Scan
	l := Limits{}.Or()
	n, _ := s.Head(in, &l)
	body, rest, ok = readBody(r.Framing, in[n:])
	return r, body, rest, ok
}

func readBody(f Framing, in []byte) (body, rest []byte, ok bool) {
	d := &Decoder{}
	d.Begin(f, Limits{})
	for {
		b, n, err := d.Next(in)
		body = append(body, b...)
		in = in[n:]
		if err == io.EOF {
			return body, in, true
		}
		if err != nil || n == 0 && b == nil {
			return body, nil, f.Kind == UntilClose
		}
	}
}

var seeds = []string{
	typical,
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nHost: a\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: x\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
	"GET http://b/c?d HTTP/1.1\r\nHost: a\r\n\r\n", "CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.1\nHost: a\n\n", "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
}

// FuzzRequest: what is accepted, net/http accepts and ends at the same byte with the same body, or it is stricter than we
// are in a way that cannot move the end. Two readers that disagree there are a smuggling hole.
func FuzzRequest(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		r, body, rest, ok := readRequest(bytes.Clone(in))
		if !ok {
			return
		}
		oracle := bytes.NewReader(bytes.TrimPrefix(in, []byte("\r\n")))
		br := bufio.NewReader(oracle)
		q, err := http.ReadRequest(br)
		if err != nil {
			stricter(t, in, r, err)
			return
		}
		want, err := io.ReadAll(q.Body)
		if err != nil {
			stricter(t, in, r, err)
			return
		}
		left, _ := io.ReadAll(br)
		if r.Method != "CONNECT" && (!bytes.Equal(body, want) || !bytes.Equal(rest, left)) {
			t.Errorf("%q:\nbody %q rest %q\nnet/http %q rest %q", in, body, rest, want, left)
		}
		if r.Method != q.Method {
			t.Errorf("%q: method %q, net/http %q", in, r.Method, q.Method)
		}
		if r.Authority != q.Host && !strings.EqualFold(r.Authority, q.Host) {
			t.Errorf("%q: authority %q, net/http %q", in, r.Authority, q.Host)
		}
		if len(r.Fields) > len(seen(q)) && len(q.Trailer) == 0 {
			t.Errorf("%q: fields %v, net/http %v", in, r.Fields, q.Header)
		}
	})
}

func seen(q *http.Request) (all []string) {
	for _, vs := range q.Header {
		all = append(all, vs...)
	}
	if q.ContentLength >= 0 && q.Header.Get("Content-Length") == "" {
		all = append(all, "content-length")
	}
	return append(all, "trailer")
}

// stricter lists where net/http refuses what RFC 9112 allows.
func stricter(t *testing.T, in []byte, r *Request, err error) {
	for _, known := range []string{
		"invalid URI", "invalid port", "invalid URL escape", "invalid character", "missing ']'", "first path segment", "malformed HTTP version", "invalid host",
		"net/url", "bad trailer key", "invalid userinfo", "chunked line ends", "too many", "suspiciously", "invalid Read on closed Body",
		"malformed MIME header", "invalid IP", "invalid or empty host", "bad Request-URI", "trailer header",
	} {
		if strings.Contains(err.Error(), known) {
			return
		}
	}
	t.Errorf("%q: accepted with %+v; net/http: %v", in, r, err)
}

func FuzzResponse(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 204 x\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nA: b\r\n\r\n",
		"HTTP/1.0 200 OK\r\n\r\nabc", "HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	} {
		f.Add([]byte(s), false)
		f.Add([]byte(s), true)
	}
	f.Fuzz(func(t *testing.T, in []byte, isHead bool) {
		method := map[bool]string{true: "HEAD", false: "GET"}[isHead]
		var s Scan
		l := Limits{}.Or()
		n, err := s.Head(in, &l)
		if n == 0 || err != nil {
			return
		}
		r := &Response{}
		if r.Parse(bytes.Clone(in[:n]), method) != nil || r.Status < 200 {
			return
		}
		body, rest, ok := readBody(r.Framing, in[n:])
		if !ok {
			return
		}
		br := bufio.NewReader(bytes.NewReader(in))
		q, err := http.ReadResponse(br, &http.Request{Method: method})
		if err != nil {
			if !strings.Contains(err.Error(), "malformed HTTP") && !strings.Contains(err.Error(), "bad trailer key") {
				t.Errorf("%q: net/http: %v", in, err)
			}
			return
		}
		want, err := io.ReadAll(q.Body)
		left, _ := io.ReadAll(br)
		if err == nil && (!bytes.Equal(body, want) || !bytes.Equal(rest, left)) {
			t.Errorf("%q:\nbody %q rest %q\nnet/http %q rest %q", in, body, rest, want, left)
		}
	})
}

// FuzzChunked: cut anywhere, a body reads the same, and what is accepted net/http reads as the same body.
func FuzzChunked(f *testing.F) {
	for _, s := range []string{"3\r\nabc\r\n0\r\n\r\n", "1;a=b\r\nx\r\n0\r\nT: y\r\n\r\n", "ffffffffffffffff\r\n", "0\r\n\r\nrest", "1\nx\n0\n\n", "1 ;a\r\nx\r\n0\r\n\r\n"} {
		f.Add([]byte(s), 3)
	}
	f.Fuzz(func(t *testing.T, in []byte, step int) {
		whole, trailer, rest, err := decode(Framing{Kind: Chunked}, string(in), 1<<20)
		b, tr, re, er := decode(Framing{Kind: Chunked}, string(in), max(1, step%16))
		if (er == nil) != (err == nil) || err == nil && (b != whole || tr != trailer || re != rest) {
			t.Fatalf("%q: %q %q %q %v, in pieces %q %q %q %v", in, whole, trailer, rest, err, b, tr, re, er)
		}
		if err != nil {
			return
		}
		req := append([]byte("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"), in...)
		br := bufio.NewReader(bytes.NewReader(req))
		q, err := http.ReadRequest(br)
		if err != nil {
			t.Fatal(err)
		}
		want, err := io.ReadAll(q.Body)
		left, _ := io.ReadAll(br)
		if err == nil && (string(want) != whole || string(left) != rest) {
			t.Errorf("%q: %q rest %q; net/http: %q rest %q", in, whole, rest, want, left)
		}
	})
}
