package server

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/peer"
)

// What strangers may have at once, in all and from one address: connections, and bytes that were read of them, since what is not a whole
// message yet is kept. Where there is no room for a connection, one of the address that has most gives way, so that who has a few addresses
// keeps nobody out. A proxy that finds no room comes again within two seconds; 10,000 of them that come back at once are let in
// within some ten. One address is a node's where a cluster hides its pods' own.
const (
	mostStrangers = 512
	mostFromOne   = 64

	free         = 64 << 10 // bytes of each that count for nothing: the token, and what most proxies want
	mostBytes    = 64 << 20
	mostBytesOne = 8 << 20 // twice what a message may have

	strangerTime = 30 * time.Second // in which a stranger has to have proved whom he serves
)

// door is a listener that bounds strangers: who has not proved yet whom he serves costs memory, and anybody may connect.
type door struct {
	net.Listener
	turned func()

	mu  sync.Mutex
	all room
	of  map[netip.Addr]*room // by address; those of a Unix socket have none, and are not counted here
	in  []*guest             // strangers, the oldest first
}

// room is what strangers have.
type room struct{ strangers, bytes int }

// guest is a connection that came through the door.
type guest struct {
	net.Conn
	door *door
	from netip.Addr

	stranger atomic.Bool // changes with the door's lock
	// The rest is guarded by the door's lock.
	rooms    []*room // that it counts in, while it is a stranger
	read     int     // bytes, since it became one
	sessions int     // for which it has proved whom it serves
	closed   bool
	late     *time.Timer
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
	old, ok := d.room(g)
	if !ok {
		return nil
	}
	if old != nil {
		if old.Close(); d.turned != nil {
			d.turned()
		}
	}
	return g
}

// room makes g a stranger if there is room for it, and returns who has to go for that; nil: nobody.
func (d *door) room(g *guest) (old *guest, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	most := 0
	if r := d.of[g.from]; r != nil {
		most = r.strangers
	}
	if most >= mostFromOne {
		return nil, false
	}
	if d.all.strangers >= mostStrangers {
		for _, x := range d.in {
			if r := d.of[x.from]; r != nil && r.strangers > most {
				most, old = r.strangers, x
			}
		}
		if old == nil {
			return nil, false
		}
	}
	g.count()
	return old, true
}

// count makes g a stranger. It needs the lock.
func (g *guest) count() {
	d := g.door
	g.rooms, g.read = append(g.rooms[:0], &d.all), 0
	if g.from.IsValid() {
		r := d.of[g.from]
		if r == nil {
			r = &room{}
			d.of[g.from] = r
		}
		g.rooms = append(g.rooms, r)
	}
	for _, r := range g.rooms {
		r.strangers++
	}
	d.in = append(d.in, g)
	g.stranger.Store(true)
	g.late = time.AfterFunc(strangerTime, func() { g.Close() })
}

// known makes g no stranger. It needs the lock.
func (g *guest) known() {
	if !g.stranger.Load() {
		return
	}
	g.stranger.Store(false)
	g.late.Stop()
	for _, r := range g.rooms {
		r.strangers--
		r.bytes -= max(0, g.read-free)
	}
	d := g.door
	d.in = slices.DeleteFunc(d.in, func(x *guest) bool { return x == g })
	if g.from.IsValid() && d.of[g.from].strangers == 0 {
		delete(d.of, g.from)
	}
}

var errTooMuch = errors.New("strangers have sent more than is kept of them")

// Read implements net.Conn. A stranger of whom too much would be kept is cut.
func (g *guest) Read(b []byte) (int, error) {
	n, err := g.Conn.Read(b)
	if g.stranger.Load() && !g.kept(n) {
		if g.door.turned != nil {
			g.door.turned()
		}
		g.Close()
		return 0, errTooMuch
	}
	return n, err
}

// kept counts bytes of a stranger; false: they are too many.
func (g *guest) kept(n int) bool {
	d := g.door
	d.mu.Lock()
	defer d.mu.Unlock()
	if !g.stranger.Load() {
		return true
	}
	more := max(0, g.read+n-free) - max(0, g.read-free)
	g.read += n
	for _, r := range g.rooms {
		r.bytes += more
	}
	return more == 0 || d.all.bytes <= mostBytes && (len(g.rooms) < 2 || g.rooms[1].bytes <= mostBytesOne)
}

// serves says that a session has begun on the connection, or ended. Without any it is a stranger's again.
func (g *guest) serves(begun bool) {
	g.door.mu.Lock()
	defer g.door.mu.Unlock()
	switch {
	case begun:
		g.sessions++
		g.known()
	default:
		if g.sessions--; g.sessions == 0 && !g.closed {
			g.count()
		}
	}
}

// Close implements net.Conn.
func (g *guest) Close() error {
	g.door.mu.Lock()
	g.closed = true
	g.known()
	g.door.mu.Unlock()
	return g.Conn.Close()
}

// pass is what a call knows of the connection that it came by.
type pass struct {
	credentials.AuthInfo
	guest *guest
}

// admit makes the connection of a call no stranger's until leave is called.
func admit(ctx context.Context) (leave func()) {
	g := guestOf(ctx)
	if g == nil {
		return func() {}
	}
	g.serves(true)
	return func() { g.serves(false) }
}

// cut closes the connection of a call.
func cut(ctx context.Context) {
	if g := guestOf(ctx); g != nil {
		g.Close()
	}
}

func guestOf(ctx context.Context) *guest {
	if p, ok := peer.FromContext(ctx); ok {
		if of, ok := p.AuthInfo.(pass); ok {
			return of.guest
		}
	}
	return nil
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
