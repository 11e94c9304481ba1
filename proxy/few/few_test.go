package few_test

import (
	"errors"
	"net"
	"net/netip"
	"testing"

	"github.com/weft-mesh/weft/proxy/few"
)

// from is a connection of an address.
type from struct {
	net.Conn
	addr   string
	closed bool
}

func (f *from) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(f.addr), 1))
}

func (f *from) Close() error { f.closed = true; return nil }

// list gives connections one by one.
type list struct {
	net.Listener
	next *from
}

func (l *list) Accept() (net.Conn, error) {
	if l.next == nil {
		return nil, net.ErrClosed
	}
	return l.next, nil
}

// Who opens too many closes his own oldest; many who do close the oldest of all; the newest is served.
func TestTheOldestGoes(t *testing.T) {
	src := &list{}
	l := few.Listen(src)
	var all []*from
	var conns []net.Conn
	accept := func(addr string) {
		t.Helper()
		src.next = &from{addr: addr}
		nc, err := l.Accept()
		if err != nil || src.next.closed {
			t.Fatalf("%v, closed: %v", err, src.next.closed)
		}
		all, conns = append(all, src.next), append(conns, nc)
	}
	accept("10.0.0.1")
	for range few.One + 1 {
		accept("::ffff:10.0.0.2")
	}
	if all[0].closed || !all[1].closed || all[2].closed {
		t.Error("not the oldest of the same address is closed")
	}
	conns[2].Close()
	accept("10.0.0.2")
	if all[3].closed {
		t.Error("one that has ended counts")
	}
	open := 1 + few.One
	for n := range few.All - open {
		accept(netip.AddrFrom4([4]byte{10, 1, byte(n >> 8), byte(n)}).String())
	}
	if all[0].closed {
		t.Error("there is room")
	}
	accept("10.9.9.9")
	if !all[0].closed || all[3].closed {
		t.Error("not the oldest of all is closed")
	}
	src.next = nil
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}
