package main

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"

	"github.com/weft-mesh/weft/proxy/launch"
)

// TestLowPorts: without a sandbox an application that may not open port 80 is found at 10080; one that may is found at 80.
func TestLowPorts(t *testing.T) {
	pid := os.Getpid()
	app := netip.AddrFrom4([4]byte{127, 60 + byte(pid>>16)&3, byte(pid >> 8), byte(pid) | 1}) // nobody else's
	s := &server{c: &launch.Config{App: app}}
	at := func(port uint16) string { return netip.AddrPortFrom(app, port).String() }
	if _, err := s.dialLoopback(t.Context(), 80, netip.Addr{}); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("nobody listens: %v", err)
	}
	moved, err := net.Listen("tcp", at(80+lowPorts))
	if err != nil {
		t.Fatal(err)
	}
	defer moved.Close()
	reaches := func(port uint16, want string) {
		t.Helper()
		c, err := s.dialLoopback(t.Context(), port, netip.Addr{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if got := c.RemoteAddr().String(); got != want {
			t.Errorf("port %d is at %s, want %s", port, got, want)
		}
	}
	reaches(80, at(80+lowPorts))
	if low, err := net.Listen("tcp", at(80)); err == nil { // as root, or where the kernel lets everybody
		defer low.Close()
		reaches(80, at(80))
	}
	if _, err := s.dialLoopback(t.Context(), 1080, netip.Addr{}); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a port that anybody may open: %v", err)
	}
}
