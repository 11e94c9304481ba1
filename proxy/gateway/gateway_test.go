package gateway_test

import (
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/chain"
	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/proxy/gateway"
	"github.com/weft-mesh/weft/traffic"
	"github.com/weft-mesh/weft/wire/tlshello"
)

// listener is one that only knows whether it is closed.
type listener struct {
	net.Listener
	closed bool
}

func (l *listener) Close() error { l.closed = true; return nil }

// TestPorts: they are opened and closed as is said, once somebody serves them; one that cannot be opened is tried again.
func TestPorts(t *testing.T) {
	open := map[uint16]*listener{}
	busy := map[uint16]bool{}
	var failed []error
	p := gateway.Ports[net.Listener]{Failed: func(err error) { failed = append(failed, err) }, Accept: func(uint16, net.Listener) {},
		Listen: func(port uint16) (net.Listener, error) {
			if busy[port] {
				return nil, errors.New("busy")
			}
			open[port] = &listener{}
			return open[port], nil
		}}
	is := func(want ...uint16) {
		t.Helper()
		var got []uint16
		for port, l := range open {
			if !l.closed {
				got = append(got, port)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("open %v, want %v", got, want)
		}
	}
	p.Set([]uint16{80, 443})
	is()
	p.Begin()
	is(80, 443)
	kept := open[443]
	busy[8080] = true
	p.Set([]uint16{443, 8080})
	is(443)
	if open[443] != kept || len(failed) != 1 || p.Missing() == nil {
		t.Errorf("%v, %v", failed, p.Missing())
	}
	busy[8080] = false
	p.Retry()
	is(443, 8080)
	if err := p.Missing(); err != nil {
		t.Error(err)
	}
	p.Retry()
	p.Set(nil)
	is()
}

// TestHello: the first message of TLS may come in pieces, and everything read is given on.
func TestHello(t *testing.T) {
	client, server := net.Pipe()
	defer server.Close()
	want := hello(t, "shop.example")
	go func() {
		defer client.Close()
		for _, b := range want {
			if _, err := client.Write([]byte{b}); err != nil {
				return
			}
		}
	}()
	h, read, err := gateway.Hello(server)
	if err != nil || h.ServerName != "shop.example" || string(read) != string(want) {
		t.Errorf("%v: %+v, %d of %d bytes", err, h, len(read), len(want))
	}
}

func TestHelloRefuses(t *testing.T) {
	for _, x := range []struct {
		sent string
		want error
	}{{"GET / HTTP/1.1\r\n\r\n", tlshello.ErrNotTLS}, {"\x16\x03\x01", io.EOF}, {"", io.EOF}} {
		client, server := net.Pipe()
		go func() {
			_, _ = io.WriteString(client, x.sent)
			client.Close()
		}()
		if _, _, err := gateway.Hello(server); !errors.Is(err, x.want) {
			t.Errorf("%q: %v", x.sent, err)
		}
		server.Close()
	}
}

// TestNewRefuses: the error names the object, and tells nothing of the key.
func TestNewRefuses(t *testing.T) {
	for _, certs := range [][]mesh.Certificate{nil, {{Chain: [][]byte{{1}}, Key: []byte("not a key")}}, {{}}} {
		l := config.Listener{Listener: mesh.Listener{Port: 443, Entry: mesh.EntryHTTPS, Certs: certs}}
		if _, err := gateway.New(&config.Gateway{Listeners: []config.Listener{l}}, chain.NewState(), nil); err == nil {
			t.Errorf("%v is taken", certs)
		}
	}
}

// TestUnreadable: what would have a listener or a backend checked by less than is wanted is refused, and the last good version stays.
func TestUnreadable(t *testing.T) {
	none := [][]byte{[]byte("no certificate")}
	simple := traffic.Secure{Mode: traffic.Simple, Roots: none}
	for name, cfg := range map[string]*config.Gateway{
		"an authority for a backend":      {Origins: []config.Origin{{Target: traffic.Target{Service: "a", Port: 80}, Secure: simple}}},
		"a mode of a newer control plane": {Origins: []config.Origin{{Target: traffic.Target{Service: "a", Port: 80}, Secure: traffic.Secure{Mode: traffic.Barred + 1}}}},
		"a certificate for backends":      {Cert: &mesh.Certificate{Chain: none, Key: mesh.PrivateKey("no key")}},
	} {
		if _, err := gateway.New(cfg, chain.NewState(), nil); err == nil {
			t.Errorf("%s that cannot be read is taken", name)
		} else if strings.Contains(err.Error(), "no key") {
			t.Errorf("%s: the key shows: %v", name, err)
		}
	}
}
