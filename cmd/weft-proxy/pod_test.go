package main

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/weft-mesh/weft/proxy/launch"
)

func TestPodConfig(t *testing.T) {
	base := map[string]string{"WEFT_POD": "web-0", "WEFT_NAMESPACE": "shop", "WEFT_ACCOUNT": "web", "WEFT_POD_IPS": "10.0.0.7,fd00::7",
		"WEFT_CONTROL": "weft-control.weft-system.svc:15012", "WEFT_PROBES": `{"app/liveness":{"tcpSocket":{"port":80}}}`, "WEFT_DRAIN": "9",
		"WEFT_ACCESS_LOG": "json", "WEFT_TRUST_DOMAIN": "example.org"}
	with := func(change map[string]string) func(string) string {
		return func(name string) string {
			if v, ok := change[name]; ok {
				return v
			}
			return base[name]
		}
	}
	c, err := podConfig(with(nil), "other.example")
	if err != nil {
		t.Fatal(err)
	}
	want := &launch.Config{Workload: "shop/web-0", Account: "web", TrustDomain: "example.org", App: netip.MustParseAddr("10.0.0.7"), Drain: 9, Log: "json", NoResolve: true,
		Remote: launch.Remote{Address: "weft-control.weft-system.svc:15012", Roots: rootsFile, Token: tokenFile}, Admin: "/var/lib/weft/admin.sock", Cache: "/var/lib/weft/config",
		Pod: &launch.Pod{Also: []netip.Addr{netip.MustParseAddr("fd00::7")}, Probes: []byte(base["WEFT_PROBES"])}}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
	if c, err := podConfig(with(map[string]string{"WEFT_TRUST_DOMAIN": "", "WEFT_DRAIN": "", "WEFT_PROBES": ""}), ""); err != nil || c.TrustDomain != "cluster.local" || c.Drain != 5 || c.Pod.Probes != nil {
		t.Errorf("%+v, %v", c, err)
	}
	if c, err := podConfig(with(map[string]string{"WEFT_TRUST_DOMAIN": ""}), "other.example"); err != nil || c.TrustDomain != "other.example" {
		t.Errorf("the control plane tells another trust domain: %+v, %v", c, err)
	}
	if c, err := podConfig(with(map[string]string{"WEFT_GATEWAY": "shop/edge"}), ""); err != nil || c.Gateway != "shop/edge" {
		t.Errorf("%+v, %v", c, err)
	}
	for name, bad := range map[string]string{"WEFT_POD": "", "WEFT_NAMESPACE": "", "WEFT_ACCOUNT": "", "WEFT_CONTROL": "", "WEFT_POD_IPS": "", "WEFT_DRAIN": "soon"} {
		if _, err := podConfig(with(map[string]string{name: bad}), ""); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s=%q: %v", name, bad, err)
		}
	}
}

// TestDialPod: the application is reached at its pod's addresses, the first that takes the call, never at loopback and never at ports of the
// proxy's own.
func TestDialPod(t *testing.T) {
	pid := os.Getpid()
	at := func(n byte) netip.Addr { // nobody else's, and not 127.0.0.1
		return netip.AddrFrom4([4]byte{127, 64 + byte(pid>>16)&3, byte(pid >> 8), byte(pid)&^7 | n})
	}
	first, second := at(1), at(2)
	s := &server{c: &launch.Config{App: first, Pod: &launch.Pod{Also: []netip.Addr{second}}}}
	hidden, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer hidden.Close()
	if c, err := s.dialPod(t.Context(), hidden.Addr().(*net.TCPAddr).AddrPort().Port(), netip.Addr{}); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("what listens on loopback alone: %v, %v", c, err)
	}
	l, err := net.Listen("tcp", netip.AddrPortFrom(second, 0).String())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := s.dialPod(t.Context(), l.Addr().(*net.TCPAddr).AddrPort().Port(), netip.Addr{})
	if err != nil || c.RemoteAddr().String() != l.Addr().String() {
		t.Fatalf("%v, %v", c, err)
	}
	c.Close()
	for _, port := range []uint16{15001, 15006, 15008} {
		if _, err := s.dialPod(t.Context(), port, netip.Addr{}); err == nil || !strings.Contains(err.Error(), "the proxy's own") {
			t.Errorf("port %d: %v", port, err)
		}
	}
}

// TestReleased: a listener that nobody will take over ends when the proxy closes it.
func TestReleased(t *testing.T) {
	fds := &descriptors{}
	var numbers []int
	var addrs []string
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addrs = append(addrs, l.Addr().String())
		n, err := fds.add(l)
		if err != nil {
			t.Fatal(err)
		}
		numbers = append(numbers, n)
	}
	if !slices.Equal(numbers, []int{1, 2}) {
		t.Errorf("%v", numbers)
	}
	l, err := fds.listener(numbers[0], "inbound")
	if err != nil {
		t.Fatal(err)
	}
	fds.release()
	c, err := net.Dial("tcp", addrs[0])
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	l.Close()
	for _, a := range addrs {
		if _, err := net.Dial("tcp", a); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%s: %v", a, err)
		}
	}
}

func TestProbesThatAreNone(t *testing.T) {
	for text, want := range map[string]string{"[": "WEFT_PROBES", `{"app/liveness":{}}`: "app/liveness"} {
		s := &server{c: &launch.Config{App: netip.MustParseAddr("10.0.0.7"), Pod: &launch.Pod{Probes: []byte(text), Probing: 1}}, fds: &descriptors{}}
		if err := s.serveProbes(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
