package proxy_test

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/weft-mesh/weft/proxy/h1"
	"github.com/weft-mesh/weft/traffic"
)

// choices makes a stream of requests by a grammar, one byte for each choice. Where there are no more bytes the first alternative is
// taken, which is the usual and valid one: nearly all bytes of a stream are right, as those of an attack are.
type choices []byte

func (c *choices) of(n int) int {
	if len(*c) == 0 {
		return 0
	}
	b := (*c)[0]
	*c = (*c)[1:]
	return int(b) % n
}

func (c *choices) pick(list ...string) string { return list[c.of(len(list))] }

// rarely takes the first alternative seven times in eight.
func (c *choices) rarely(usual string, others ...string) string {
	if c.of(8) < 7 {
		return usual
	}
	return c.pick(others...)
}

// end is how a line ends.
func (c *choices) end() string {
	return c.rarely("\r\n", "\r\n", "\r\n", "\r\n", "\n", "\r", "\r\r\n", "\n\r\n", " \r\n", "\t\r\n", "\x00\r\n")
}

func (c *choices) stream() []byte {
	var b bytes.Buffer
	for i := range 1 + c.of(3) {
		c.request(&b, i)
	}
	s := b.Bytes()
	for range c.of(8) / 6 { // a byte that is wrong
		at := c.of(256) * len(s) / 256
		switch odd := c.pick("\x00", "\n", "\r", " ", "\t", ":", ",", ";", "0", "\xff", "\x0b"); c.of(3) {
		case 0:
			s = slices.Insert(s, at, odd[0])
		case 1:
			s[at] = odd[0]
		default:
			s = slices.Delete(s, at, at+1)
		}
	}
	return s
}

func (c *choices) request(b *bytes.Buffer, i int) {
	b.WriteString(c.rarely("", "\r\n", "\n", "\r\n\r\n", " "))
	b.WriteString(c.pick("GET", "POST", "PUT", "HEAD", "OPTIONS", "DELETE", "get", "BREW", "CONNECT", "TRACE"))
	b.WriteString(c.rarely(" ", "  ", "\t", ""))
	fmt.Fprintf(b, c.pick("/r%d", "/r%d", "/r%d?q=1", "http://h/r%d", "http://g:80/r%d?x", "HTTP://h/r%d", "https://h/r%d", "h:%d", "r%d", "/r%d x", "//h/r%d", "/a/../r%d", "/r%d#f", "http://u@h/r%d"), i)
	b.WriteString(c.rarely(" ", "  ", "\t", ""))
	b.WriteString(c.rarely("HTTP/1.1", "HTTP/1.0", "HTTP/1.0", "HTTP/1.2", "HTTP/2.0", "http/1.1", "HTTP/1.01", "", "HTTP/1.1 "))
	b.WriteString(c.end())
	b.WriteString(c.rarely("Host: h", "Host: g", "Host:", "Host: h\r\nHost: h", "Host: h/x", "host : h", "X-No: host"))
	b.WriteString(c.end())
	body := strings.Repeat("x", c.of(20))
	for range c.of(4) {
		b.WriteString(c.pick("X: y", "Connection: keep-alive", "Connection: close", "Expect: 100-continue", "TE: trailers", "X: a\r\n b", "X:", "Connection: x, content-length",
			"Connection: upgrade\r\nUpgrade: websocket", "X : y", " X: y", "X", ": y", "X\x00: y", "Content-Length: 0", "Transfer-Encoding: chunked", "Transfer-Encoding: identity",
			"Trailer: x", "Content-Encoding: gzip", "Connection: transfer-encoding", "X: \xff", "X\xff: y", "x_y: z", "Proxy-Connection: keep-alive"))
		b.WriteString(c.end())
	}
	switch c.of(8) {
	case 0, 1, 2:
		b.WriteString(c.end())
	case 3, 4:
		c.sized(b, body)
	default:
		c.chunked(b, body)
	}
}

// sized writes a length, which may be wrong: what is too much is then a request of its own, or the beginning of one.
func (c *choices) sized(b *bytes.Buffer, body string) {
	n := len(body)
	fmt.Fprintf(b, c.rarely("Content-Length: %d", "Content-Length:%d", "content-length:  %d ", "Content-Length: +%d", "Content-Length: %d, %[1]d", "Content-Length: %d\r\nContent-Length: %[1]d",
		"Content-Length: 0%d", "Content-Length : %d", "Content-Length:\r\n %d", "Content-Length: 1%d", "Content-Length: 0x%x", "Content-Length: %d\r\nTransfer-Encoding: chunked", "Content_Length: %d"), n)
	b.WriteString(c.end())
	b.WriteString(c.end())
	b.WriteString(body)
	b.WriteString(c.rarely("", "\r\n", "GET /over HTTP/1.1\r\nHost: h\r\n\r\n", "x"))
}

func (c *choices) chunked(b *bytes.Buffer, body string) {
	b.WriteString(c.rarely("Transfer-Encoding: chunked", "transfer-encoding:chunked", "Transfer-Encoding: Chunked", "Transfer-Encoding: chunked, chunked", "Transfer-Encoding: gzip, chunked",
		"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", "Transfer-Encoding : chunked", "Transfer-Encoding:\r\n chunked", "Transfer-Encoding: chunked;q=1", "Transfer-Encoding: xchunked",
		"Transfer-Encoding: chunked\r\nContent-Length: 3", "Content-Length: 3\r\nTransfer-Encoding: chunked", "Transfer-Encoding: \x0bchunked", "Transfer_Encoding: chunked", "Transfer-Encoding: \"chunked\""))
	b.WriteString(c.end())
	b.WriteString(c.end())
	for len(body) > 0 {
		n := min(len(body), 1+c.of(9))
		c.chunk(b, body[:n])
		body = body[n:]
	}
	b.WriteString(c.rarely("0", "00", "000000000000000000", "0;x", "0 ", "-0", "+0", "0x0", ""))
	b.WriteString(c.end())
	if c.of(4) == 3 {
		b.WriteString(c.pick("X: y", "Content-Length: 3", "Transfer-Encoding: chunked", "Host: g", "X : y", " X: y", "X"))
		b.WriteString(c.end())
	}
	b.WriteString(c.end())
}

func (c *choices) chunk(b *bytes.Buffer, data string) {
	fmt.Fprintf(b, c.rarely("%x", "%X", "0%x", "+%x", "-%x", "0x%x", " %x", "%x ", "%x\t", "1%x", "%x0", "10000000000000000%x", "f%x", "%x_"), len(data))
	b.WriteString(c.rarely("", "", ";", ";a", ";a=b", ";a=\"b\r\n\"", " ;a", ";a\n", ";a\rb", " a", ";\x00"))
	b.WriteString(c.end())
	b.WriteString(data)
	b.WriteString(c.end())
}

// seen is the requests that an application got whole.
type seen struct {
	mu  sync.Mutex
	all []string
}

func (s *seen) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.all
	s.all = nil
	return all
}

// The statuses by which an application shows that it has answered: 4xx to CONNECT, so that there is no tunnel.
const (
	taken     = 222
	untunnels = 444
)

// ServeHTTP notes what it got, in a form that does not depend on the way.
func (s *seen) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(q.Body)
	if err != nil {
		w.Header().Set("Connection", "close")
		w.WriteHeader(400)
		return
	}
	path := q.RequestURI
	if _, rest, ok := strings.Cut(path, "://"); ok && path[0] != '/' {
		path = rest[strings.IndexAny(rest+"/", "/?"):]
	}
	path, query, _ := strings.Cut(path, "?")
	if path == "" && q.Method == "OPTIONS" {
		path = "*"
	}
	if path = traffic.NormalPath(path); path == "" {
		path = "/"
	}
	host, _, _ := strings.Cut(q.Host, ":") // nginx's variable has no port
	if q.Method == "CONNECT" {
		path = q.Host
	}
	if host != "h" && host != "g" {
		host = "-" // HTTP/1.0 may leave it out; proxies give it names of their own
	}
	s.mu.Lock()
	s.all = append(s.all, fmt.Sprintf("%s %s %s?%s %q", q.Method, host, path, query, body))
	s.mu.Unlock()
	if q.Method == "CONNECT" {
		w.WriteHeader(untunnels)
		return
	}
	w.WriteHeader(taken)
}

var finals = regexp.MustCompile(`HTTP/1\.[01] ([2-9]\d\d)`)

// judged compares what an application got through weft with what it got, of the same bytes, by another way: weft may refuse what
// the other passes, and nothing else.
func judged(in []byte, ours []string, back string, theirs []string, theirBack string) error {
	accepts := func(back string) (n int, refused bool) {
		for _, m := range finals.FindAllStringSubmatch(back, -1) {
			if m[1] == fmt.Sprint(taken) || m[1] == fmt.Sprint(untunnels) {
				n++
			} else {
				refused = true
			}
		}
		return n, refused
	}
	n, refused := accepts(back)
	_, theyEnd := accepts(theirBack)
	// net/http looks for keep-alive of HTTP/1.0 in the first Connection field only, and says in its answer that it will not go on.
	theyEnd = theyEnd || strings.HasPrefix(theirBack[max(0, strings.LastIndex(theirBack, "HTTP/1.")):], "HTTP/1.0")
	show := func(what string) error {
		return fmt.Errorf("%s\nbytes  %q\nweft   %q\n       %q\nother  %q\n       %q", what, in, ours, back, theirs, theirBack)
	}
	if n != len(ours) {
		return show("an answer is nobody's")
	}
	for i, q := range ours {
		switch {
		case i >= len(theirs) && theyEnd:
			return nil
		case i >= len(theirs):
			return show("a request that the other does not see")
		case q != theirs[i]:
			return show("two requests differ")
		}
	}
	if len(ours) < len(theirs) && !refused {
		return show("a request is missing, and was not refused")
	}
	return nil
}

// sockets are the two ends of a connection.
func sockets(t testing.TB) (a, b net.Conn) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	must(t, err)
	end := func(fd int) net.Conn {
		f := os.NewFile(uintptr(fd), "")
		defer f.Close()
		c, err := net.FileConn(f)
		must(t, err)
		return c
	}
	return end(fds[0]), end(fds[1])
}

// one is a listener with the connections that it is given.
type one chan net.Conn

func (l one) Accept() (net.Conn, error) {
	c, ok := <-l
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (l one) Close() error   { return nil }
func (l one) Addr() net.Addr { return &net.UnixAddr{Name: "one", Net: "unix"} }

// say writes bytes, half-closes, and reads to the end.
func say(c net.Conn, in []byte) string {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(bound))
	_, _ = c.Write(in)
	_ = c.(interface{ CloseWrite() error }).CloseWrite()
	b, _ := io.ReadAll(c)
	return string(b)
}

// silence: nobody reads what net/http has to say of broken requests.
var silence = log.New(io.Discard, "", 0)

// serving runs net/http's server on a listener.
func serving(t testing.TB, h http.Handler) one {
	l := make(one)
	s := &http.Server{Handler: h, ReadTimeout: 5 * time.Second, ErrorLog: silence}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()
	t.Cleanup(func() { close(l); s.Close(); <-done })
	return l
}

// hop is the smallest proxy of weft's codecs and connections.
type hop struct {
	traffic.Host
	t   testing.TB
	app one
	o   h1.Options
}

func (h *hop) Now() time.Time { return time.Now() }

func (h *hop) serve(c *traffic.Call) error {
	ours, theirs := sockets(h.t)
	h.app <- theirs
	return c.Fail(h1.NewClient(ours, &h.o).RoundTrip(c))
}

// FuzzStreams: of each stream of requests, an application gets through weft what it gets without, or weft refuses.
func FuzzStreams(f *testing.F) {
	f.Add([]byte{})
	r := rand.New(rand.NewPCG(1, 2))
	for range 40 {
		b := make([]byte, 60)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		c := choices(in)
		stream := c.stream()
		var direct, through seen
		ours, theirs := sockets(t)
		serving(t, &direct) <- theirs
		theirBack := say(ours, stream)

		h := &hop{t: t, app: serving(t, &through)}
		h.o.Release = func(c *h1.Client, _ bool) { c.Close() }
		s := &h1.Server{Serve: h.serve, Done: func(c *traffic.Call) { c.Finish(time.Now()) }}
		ours, theirs = sockets(t)
		conn := s.NewConn(theirs, nil, h, &traffic.Conn{}, "http")
		done := make(chan struct{})
		go func() { defer close(done); _ = conn.Serve() }()
		back := say(ours, stream)
		<-done
		if err := judged(stream, through.take(), back, direct.take(), theirBack); err != nil {
			t.Error(err)
		}
	})
}
