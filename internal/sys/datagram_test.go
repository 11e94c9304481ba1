package sys

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"
)

// A socket waits without a buffer, reads what fits, and hears of a host where nobody takes datagrams.
func TestDatagrams(t *testing.T) {
	l, err := ListenUDP(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d, err := DialUDP(l.LocalAddr().(*net.UDPAddr).AddrPort())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.Send([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 10)
	n, from, err := l.ReadFromUDPAddrPort(b)
	if err != nil || string(b[:n]) != "hello" {
		t.Fatalf("%q %v", b[:n], err)
	}
	if err := d.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	room := func() []byte { t.Error("a buffer is asked for, and there is nothing to read"); return b }
	if _, err := d.Receive(room); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
	if err := d.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"", "answer"} {
		if _, err := l.WriteToUDPAddrPort([]byte(text), from); err != nil {
			t.Fatal(err)
		}
		if n, err := d.Receive(func() []byte { return b }); err != nil || string(b[:n]) != text {
			t.Errorf("%q %v, want %q", b[:n], err, text)
		}
	}
	l.Close()
	_ = d.Send([]byte("x")) // the host's word may come at once
	if _, err := d.Receive(func() []byte { return b }); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Error(err)
	}
}
