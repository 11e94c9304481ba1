package h1

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/weft-mesh/weft/traffic"
)

// FuzzConn: the requests that a connection sees in some bytes are those that net/http sees there, as far as it accepts them.
// A request that only one of the two sees is a smuggled one.
func FuzzConn(f *testing.F) {
	for _, s := range []string{
		"GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n",
		"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabcGET /b HTTP/1.1\r\nHost: h\r\n\r\n",
		"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n0\r\nT: u\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /a HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n",
		"POST /a HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabcGET /b HTTP/1.1\r\nHost: h\r\n\r\n",
		"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /b HTTP/1.0\r\n\r\n",
	} {
		f.Add([]byte(s), true)
		f.Add([]byte(s), false)
	}
	f.Fuzz(func(t *testing.T, in []byte, bytewise bool) {
		ours := requests(in, bytewise)
		theirs := oracle(in)
		for i, q := range ours {
			if i >= len(theirs) {
				if last := i == len(theirs); !last {
					t.Fatalf("%q: %q, net/http %q", in, ours, theirs)
				}
				return // net/http refuses it, for a reason that FuzzRequest of the codec knows, or its body broke off
			}
			if q != theirs[i] {
				t.Fatalf("%q: request %d is %q, net/http %q", in, i, q, theirs[i])
			}
		}
	})
}

func requests(in []byte, bytewise bool) (all []string) {
	s := &Server{Serve: func(c *traffic.Call) error {
		body, err := "", error(nil)
		if c.Upgrade == "" && c.Method != "CONNECT" {
			body, err = drain(c.Body)
		}
		if err != nil {
			return err
		}
		all = append(all, fmt.Sprintf("%s %s %s %q", c.Method, c.Authority, strings.Trim(c.Path, "/"), body))
		c.Response.Status, c.Response.Local = 200, true
		if c.Method == "CONNECT" {
			c.Response.Status = 400
		}
		return nil
	}}
	r := io.Reader(bytes.NewReader(in))
	if bytewise {
		r = iotest.OneByteReader(r)
	}
	s.NewConn(&memory{r: r}, nil, clock{}, &traffic.Conn{}, "http").Serve()
	return all
}

func oracle(in []byte) (all []string) {
	for br := bufio.NewReader(bytes.NewReader(in)); ; {
		skipEmpty(br)
		q, err := http.ReadRequest(br)
		if err != nil {
			return all
		}
		body, err := io.ReadAll(q.Body)
		if err != nil {
			return all
		}
		all = append(all, fmt.Sprintf("%s %s %s %q", q.Method, q.Host, strings.Trim(traffic.NormalPath(rawPath(q)), "/"), body))
		if q.Close {
			return all
		}
	}
}

// skipEmpty skips the one empty line that a server should (RFC 9112 section 2.2).
func skipEmpty(br *bufio.Reader) {
	if b, _ := br.Peek(2); string(b) == "\r\n" {
		br.Discard(2)
	}
}

func rawPath(q *http.Request) string {
	t := q.RequestURI
	if q.Method == "CONNECT" {
		return ""
	}
	if _, rest, ok := strings.Cut(t, "://"); ok && !strings.HasPrefix(t, "/") {
		if i := strings.IndexAny(rest, "/?"); i >= 0 {
			t = rest[i:]
		} else if t = "/"; q.Method == "OPTIONS" {
			t = "*"
		}
	}
	t, _, _ = strings.Cut(t, "?")
	return t
}
