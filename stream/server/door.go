package server

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"sync"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/peer"
)

// How many connections may be strangers' at once, in all and from one address. A proxy that finds no room comes again within two
// seconds; 10,000 of them that come back at once are let in within some ten. One address is a node's where a cluster hides its pods' own.
const (
	mostStrangers = 512
	mostFromOne   = 64
)

// door is a listener that bounds strangers: who has not proved yet whom he serves costs memory, and anybody may connect.
type door struct {
	net.Listener
	turned func()

	mu        sync.Mutex
	strangers int
	from      map[netip.Addr]int // strangers by address; those of a Unix socket have none, and are not counted here
}

// guest is a connection that came through the door.
type guest struct {
	net.Conn
	door *door
	from netip.Addr
	once sync.Once // it is a stranger no more
}

// Accept turns away strangers that are too many.
func (d *door) Accept() (net.Conn, error) {
	for {
		nc, err := d.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if g := d.enter(nc); g != nil {
			return g, nil
		}
		if d.turned != nil {
			d.turned()
		}
		nc.Close()
	}
}

func (d *door) enter(nc net.Conn) *guest {
	g := &guest{Conn: nc, door: d}
	if at, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
		g.from = at.AddrPort().Addr().Unmap()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.strangers >= mostStrangers || d.from[g.from] >= mostFromOne {
		return nil
	}
	d.strangers++
	if g.from.IsValid() {
		d.from[g.from]++
	}
	return g
}

// known makes g no stranger.
func (g *guest) known() {
	g.once.Do(func() {
		d := g.door
		d.mu.Lock()
		defer d.mu.Unlock()
		d.strangers--
		if d.from[g.from]--; d.from[g.from] <= 0 {
			delete(d.from, g.from)
		}
	})
}

// Close implements net.Conn.
func (g *guest) Close() error {
	g.known()
	return g.Conn.Close()
}

// pass is what a call knows of the connection that it came by.
type pass struct {
	credentials.AuthInfo
	guest *guest
}

// admit makes the connection of a call no stranger's.
func admit(ctx context.Context) {
	if p, ok := peer.FromContext(ctx); ok {
		if of, ok := p.AuthInfo.(pass); ok && of.guest != nil {
			of.guest.known()
		}
	}
}

// handshaker remembers with each connection which guest it is.
type handshaker struct {
	credentials.TransportCredentials
}

func credentialsOf(certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)) credentials.TransportCredentials {
	if certificate == nil {
		return handshaker{insecure.NewCredentials()}
	}
	return handshaker{credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS13, GetCertificate: certificate})}
}

// ServerHandshake implements credentials.TransportCredentials.
func (h handshaker) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	nc, info, err := h.TransportCredentials.ServerHandshake(raw)
	g, _ := raw.(*guest)
	return nc, pass{info, g}, err
}

// Clone implements credentials.TransportCredentials.
func (h handshaker) Clone() credentials.TransportCredentials {
	return handshaker{h.TransportCredentials.Clone()}
}
