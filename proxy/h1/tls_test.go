package h1

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/weft-mesh/weft/traffic"
)

// TestOverTLS: both sides speak through crypto/tls, whose connections know no writev and whose reads can be interrupted.
func TestOverTLS(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		b, _ := io.ReadAll(q.Body)
		w.Write(b)
	}))
	defer s.Close()
	released := 0
	d := &Options{Release: func(_ *Client, ok bool) {
		if ok {
			released++
		}
	}}
	var cl *Client
	srv := &Server{Done: func(c *traffic.Call) { c.Finish(time.Now()) }, Serve: func(c *traffic.Call) error {
		if c.Path == "/no" {
			refuse(t, c)
			return nil
		}
		if cl == nil || cl.closed.Load() {
			nc, err := tls.Dial("tcp", s.Listener.Addr().String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
			if err != nil {
				return err
			}
			cl = NewClient(nc, d)
		}
		return cl.RoundTrip(c)
	}}
	ln := listen(t)
	over := make(chan error, 1)
	go func() {
		nc, err := ln.Accept()
		if err == nil {
			err = srv.NewConn(tls.Server(nc, s.TLS), nil, clock{}, &traffic.Conn{}, "https").Serve()
		}
		over <- err
	}()
	nc, err := tls.Dial("tcp", ln.Addr().String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	br := bufio.NewReader(nc)
	for _, size := range []int{0, 5, 100000, 1 << 20} {
		body := strings.Repeat("x", size)
		q, _ := http.NewRequest("POST", "https://h/", io.MultiReader(strings.NewReader(body)))
		go q.Write(nc)
		if _, got := read(t, br, "POST"); got != body {
			t.Errorf("%d bytes: %d came back", size, len(got))
		}
	}
	time.Sleep(2 * Tick)
	// An answer while the upload waits for its next byte: the reading of the caller is interrupted, and nothing of it is lost.
	io.WriteString(nc, "POST /no HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n\r\nabc")
	q, err := http.ReadResponse(br, nil)
	if err != nil || q.StatusCode != 403 {
		t.Fatalf("%v %v", q, err)
	}
	io.WriteString(nc, "def")
	io.WriteString(nc, "POST /yes HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 3\r\n\r\nghi")
	if _, got := read(t, br, "POST"); got != "ghi" {
		t.Errorf("%q", got)
	}
	nc.Close()
	if err := <-over; err != nil {
		t.Error(err)
	}
	if released < 4 {
		t.Errorf("only %d calls left the connection reusable", released)
	}
	cl.Close()
}

// refuse answers while the body is being read: the reading ends, and nothing is lost.
func refuse(t *testing.T, c *traffic.Call) {
	if b, err := c.Body.Next(); string(b) != "abc" || err != nil {
		t.Errorf("%q %v", b, err)
	}
	read := make(chan error)
	go func() { _, err := c.Body.Next(); read <- err }()
	time.Sleep(10 * time.Millisecond)
	c.Body.Interrupt(true)
	if err := <-read; err != traffic.ErrInterrupted {
		t.Errorf("interrupted: %v", err)
	}
	c.Body.Interrupt(false)
	c.Response.Status, c.Response.Local = 403, true
}

// memory is a connection that brings some bytes and ends, and forgets what is written.
type memory struct {
	net.Conn
	r   io.Reader
	out strings.Builder
}

func (m *memory) Read(p []byte) (int, error)       { return m.r.Read(p) }
func (m *memory) Write(p []byte) (int, error)      { return m.out.Write(p) }
func (m *memory) Close() error                     { return nil }
func (m *memory) CloseWrite() error                { return nil }
func (m *memory) SetReadDeadline(time.Time) error  { return nil }
func (m *memory) SetWriteDeadline(time.Time) error { return nil }
