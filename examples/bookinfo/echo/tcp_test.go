package echo

import (
	"bufio"
	"io"
	"strings"
	"testing"
)

func TestTCPSendsBytesBackAndClosesItsHalfLast(t *testing.T) {
	s := start(t, Options{})
	conn := dial(t, s.TCP.Addr())
	if got := exchange(t, conn, conn, "\x00\x01ping\xff"); got != "\x00\x01ping\xff" {
		t.Errorf("got %q", got)
	}
	long := strings.Repeat("0123456789", 10_000)
	go func() { io.WriteString(conn, long); conn.CloseWrite() }()
	if rest, err := io.ReadAll(conn); err != nil || string(rest) != long {
		t.Errorf("%d bytes, error %v", len(rest), err)
	}
}

func TestTCPServerSpeaksFirstWhenTold(t *testing.T) {
	s := start(t, Options{TCPBanner: "220 ready"})
	conn := dial(t, s.TCP.Addr())
	r := bufio.NewReader(conn)
	if line, err := r.ReadString('\n'); err != nil || line != "220 ready\n" {
		t.Errorf("got %q, %v", line, err)
	}
	if got := exchange(t, conn, r, "HELO"); got != "HELO" {
		t.Errorf("got %q", got)
	}
}
