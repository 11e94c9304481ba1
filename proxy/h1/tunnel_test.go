package h1

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/weft-mesh/weft/traffic"
)

// switcher upgrades /ws, accepts CONNECT, and echoes in upper case until its caller half-closes; then it says bye.
func switcher(br *bufio.Reader, w io.Writer) {
	for {
		q, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		switch {
		case q.Method == "CONNECT":
			io.WriteString(w, "HTTP/1.1 200 Connection established\r\n\r\n")
		case q.URL.Path == "/ws" && strings.EqualFold(q.Header.Get("upgrade"), "websocket") && strings.EqualFold(q.Header.Get("connection"), "upgrade"):
			io.WriteString(w, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\nhello ")
		default:
			fmt.Fprintf(w, "HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\n\r\n%s", len(q.URL.Path), q.URL.Path)
			continue
		}
		for b := make([]byte, 100); ; {
			n, err := br.Read(b)
			io.WriteString(w, strings.ToUpper(string(b[:n])))
			if err != nil {
				io.WriteString(w, " bye")
				return
			}
		}
	}
}

const upgrade = " HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n"

func TestUpgrade(t *testing.T) {
	r := newRelay(t, rawBackend(t, switcher), nil)
	nc := dial(t, r.addr())
	io.WriteString(nc, "GET /ws"+upgrade+"ab") // the first bytes may come with the head
	br := bufio.NewReader(nc)
	q, err := http.ReadResponse(br, nil)
	if err != nil || q.StatusCode != 101 || q.Header.Get("upgrade") != "websocket" || q.Header.Get("connection") != "upgrade" || q.Header.Get("sec-websocket-accept") != "x" {
		t.Fatalf("%v %v", q, err)
	}
	expect(t, br, "hello AB")
	io.WriteString(nc, "cd")
	expect(t, br, "CD")
	io.WriteString(nc, "ef")
	nc.CloseWrite() // the callee still has something to say
	if b, _ := io.ReadAll(br); string(b) != "EF bye" {
		t.Errorf("%q", b)
	}
}

func expect(t *testing.T, r io.Reader, want string) {
	t.Helper()
	b := make([]byte, len(want))
	if _, err := io.ReadFull(r, b); string(b) != want {
		t.Fatalf("%q, want %q: %v", b, want, err)
	}
}

// TestUpgradeRefused: what follows is a request like any other, though it was there before the answer.
func TestUpgradeRefused(t *testing.T) {
	r := newRelay(t, rawBackend(t, switcher), nil)
	got := talk(t, r.addr(), "GET /no"+upgrade+"GET /two HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
	if strings.Count(got, "HTTP/1.1 403") != 2 || !strings.Contains(got, "/no") || !strings.HasSuffix(got, "/two") {
		t.Errorf("%q", got)
	}
}

func TestConnect(t *testing.T) {
	r := newRelay(t, rawBackend(t, switcher), nil)
	nc := dial(t, r.addr())
	br := bufio.NewReader(nc)
	io.WriteString(nc, "CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n")
	if line, _ := br.ReadString('\n'); line != "HTTP/1.1 200 OK\r\n" {
		t.Fatalf("%q", line)
	}
	expect(t, br, "\r\n")
	io.WriteString(nc, "abc")
	expect(t, br, "ABC")
	nc.CloseWrite()
	if b, _ := io.ReadAll(br); string(b) != " bye" {
		t.Errorf("%q", b)
	}
}

// TestTunnelCalleeEndsFirst: the caller may go on sending when the callee has said all.
func TestTunnelCalleeEndsFirst(t *testing.T) {
	heard := make(chan string, 1)
	ln := listen(t)
	go func() {
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		br := bufio.NewReader(nc)
		http.ReadRequest(br)
		io.WriteString(nc, "HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nall")
		nc.(*net.TCPConn).CloseWrite()
		b, _ := io.ReadAll(br)
		heard <- string(b)
	}()
	r := newRelay(t, ln.Addr().String(), nil)
	nc := dial(t, r.addr())
	io.WriteString(nc, "GET /ws"+upgrade)
	if b, _ := io.ReadAll(nc); !strings.HasSuffix(string(b), "\r\n\r\nall") {
		t.Fatalf("%q", b)
	}
	io.WriteString(nc, "and ")
	time.Sleep(20 * time.Millisecond)
	io.WriteString(nc, "more")
	nc.CloseWrite()
	if got := <-heard; got != "and more" {
		t.Errorf("%q", got)
	}
}

// TestTunnelHalfOpenIsBounded: a caller that stays silent in a tunnel that the callee has left does not stay for ever.
func TestTunnelHalfOpenIsBounded(t *testing.T) {
	to := rawBackend(t, func(br *bufio.Reader, w io.Writer) {
		http.ReadRequest(br)
		io.WriteString(w, "HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
		w.(*net.TCPConn).CloseWrite()
		io.ReadAll(br)
	})
	r := newRelay(t, to, func(r *relay) { r.s.HalfOpen = 50 * time.Millisecond })
	nc := dial(t, r.addr())
	io.WriteString(nc, "GET /ws"+upgrade)
	io.ReadAll(nc)
	for n := 1; n > 0; time.Sleep(10 * time.Millisecond) {
		r.note(func() { n = len(r.conns) })
	}
}

// TestTunnelAbandoned: nobody reads the caller's side any more, and nobody says so.
func TestTunnelAbandoned(t *testing.T) {
	r := newRelay(t, "", func(r *relay) {
		r.s.HalfOpen = 30 * time.Millisecond
		r.s.Serve = func(c *traffic.Call) error { c.Response.Status = 101; return nil }
	})
	nc := dial(t, r.addr())
	io.WriteString(nc, "GET /ws"+upgrade)
	if b, _ := io.ReadAll(nc); !strings.HasPrefix(string(b), "HTTP/1.1 101") {
		t.Fatalf("%q", b)
	}
	for n := 1; n > 0; time.Sleep(10 * time.Millisecond) {
		r.note(func() { n = len(r.conns) })
	}
}
