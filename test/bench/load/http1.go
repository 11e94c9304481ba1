package load

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"syscall"
)

// message reads the framing of HTTP/1.1 messages, and little more of them: both ends are ours, only what is between them is not.
type message struct {
	left    int // of the body or chunk
	chunked bool
	body    int // bytes so far
	inside  bool
}

var (
	headEnd = []byte("\r\n\r\n")
	length  = []byte("\r\ncontent-length:")
	chunks  = []byte("\r\ntransfer-encoding: chunked")
)

// next takes one message off p, as far as it is there. head is lent when the head has just been read.
func (m *message) next(p []byte) (taken int, head []byte, done bool, err error) {
	if !m.inside {
		i := bytes.Index(p, headEnd)
		if i < 0 {
			return 0, nil, false, nil
		}
		head, taken = p[:i+2], i+len(headEnd)
		if err := m.begin(head); err != nil {
			return 0, nil, false, err
		}
	}
	n, done, err := m.take(p[taken:])
	if done {
		m.inside = false
	}
	return taken + n, head, done, err
}

func (m *message) begin(head []byte) error {
	*m = message{inside: true}
	if v, ok := value(head, length); ok {
		n, err := strconv.Atoi(v)
		m.left = n
		return err
	}
	_, m.chunked = value(head, chunks)
	return nil
}

// value finds a field by its lower-case name, in one pass and without copying the head.
func value(head, name []byte) (string, bool) {
	for at := 0; ; {
		i := bytes.IndexByte(head[at:], '\r')
		if i < 0 || at+i+len(name) > len(head) {
			return "", false
		}
		at += i
		if bytes.EqualFold(head[at:at+len(name)], name) {
			rest := head[at+len(name):]
			return string(bytes.TrimSpace(rest[:bytes.IndexByte(rest, '\r')])), true
		}
		at++
	}
}

func (m *message) take(p []byte) (taken int, done bool, err error) {
	if !m.chunked {
		n := min(m.left, len(p))
		m.left -= n
		m.body += n
		return n, m.left == 0, nil
	}
	for {
		if m.left > 2 { // of the chunk with its line end
			n := min(m.left-2, len(p)-taken)
			m.left -= n
			m.body += n
			taken += n
			if m.left > 2 {
				return taken, false, nil
			}
		}
		line, skip, ok := chunkLine(p[taken:], m.left)
		if !ok {
			return taken, false, nil
		}
		taken += skip
		size, err := strconv.ParseUint(string(line), 16, 31)
		if err != nil {
			return taken, false, fmt.Errorf("chunk size %q", line)
		}
		if size == 0 { // no trailers come here
			if len(p)-taken < 2 {
				return taken - skip, false, nil
			}
			return taken + 2, true, nil
		}
		m.left = int(size) + 2
	}
}

// chunkLine is the next chunk's size, behind the last one's line end.
func chunkLine(p []byte, lineEnd int) (line []byte, skip int, ok bool) {
	if len(p) < lineEnd {
		return nil, 0, false
	}
	i := bytes.IndexByte(p[lineEnd:], '\n')
	if i < 0 {
		return nil, 0, false
	}
	return bytes.TrimRight(p[lineEnd:lineEnd+i], "\r"), lineEnd + i + 1, true
}

var errStatus = errors.New("a status that is not 200")

func checkStatus(head []byte) error {
	if !bytes.HasPrefix(head, []byte("HTTP/1.1 200")) {
		line, _, _ := bytes.Cut(head, []byte("\r"))
		return fmt.Errorf("%w: %s", errStatus, line)
	}
	return nil
}

// BigPath is answered with 1 GB.
const BigPath = "/big"

const bigSize = 1 << 30

// http1Server answers each request, when it has ended, with the same response.
type http1Server struct {
	quiet
	m      message
	answer []byte
	big    int // what is left to be sent of a big answer
}

func (s *http1Server) writable(c *conn) error {
	for range 4 {
		if s.big == 0 {
			return nil
		}
		n := min(s.big, len(zeros))
		s.big -= n
		if err := c.send(zeros[:n]); err != nil || len(c.out) > 0 {
			return err
		}
	}
	return c.interest(syscall.EPOLLIN | syscall.EPOLLOUT)
}

var zeros = make([]byte, 256<<10)

func (s *http1Server) received(c *conn, p []byte) (taken int, err error) {
	for taken < len(p) {
		n, head, done, err := s.m.next(p[taken:])
		taken += n
		if err != nil || !done {
			return taken, err
		}
		if bytes.HasPrefix(head, []byte("GET "+BigPath)) {
			s.big = bigSize
			return taken, errors.Join(c.send(fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", bigSize)), s.writable(c))
		}
		if err := c.send(s.answer); err != nil {
			return taken, err
		}
	}
	return taken, nil
}

// answer1 is a response with a body of n bytes.
func answer1(n int) []byte {
	return append(fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nServer: app\r\nDate: Sat, 28 Nov 2026 09:28:07 GMT\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n", n),
		bytes.Repeat([]byte("x"), n)...)
}

// request1 is a request as browsers and libraries make them.
func request1(s *Spec) []byte {
	method := "GET"
	if s.Send > 0 {
		method = "POST"
	}
	b := fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: bench/1.0\r\nAccept: application/json\r\nAccept-Encoding: gzip\r\n", method, s.Path, s.Host)
	for _, h := range s.Headers {
		b = fmt.Appendf(b, "%s: %s\r\n", h[0], h[1])
	}
	if s.Send > 0 {
		b = fmt.Appendf(b, "Content-Type: application/octet-stream\r\nContent-Length: %d\r\n", s.Send)
	}
	return append(append(b, "\r\n"...), bytes.Repeat([]byte("y"), s.Send)...)
}

// http1Client is one caller with a connection of its own.
type http1Client struct {
	*caller
	quiet
	m       message
	request []byte
	c       *conn
}

func (k *http1Client) opened(c *conn) error {
	k.c = c
	return nil
}

func (k *http1Client) begin() error {
	if k.run.spec.Protocol == Fresh {
		if k.c != nil {
			k.c.close(errFinished)
		}
		if _, err := k.run.loop.dial(k.run.to, k); err != nil {
			return err
		}
	}
	return k.c.send(k.request)
}

func (k *http1Client) received(_ *conn, p []byte) (int, error) {
	n, head, done, err := k.m.next(p)
	if err == nil && head != nil {
		err = checkStatus(head)
	}
	if err != nil || !done {
		return n, err
	}
	if k.run.spec.Get > 0 && k.m.body != k.run.spec.Get {
		return n, fmt.Errorf("an answer of %d bytes, want %d", k.m.body, k.run.spec.Get)
	}
	return n, k.run.done(k.caller)
}

func (k *http1Client) closed(_ *conn, err error) { k.run.failed(err) }
