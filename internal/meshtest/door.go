package meshtest

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
)

// door is the listener for all that a workload sends. In place of the kernel, which would redirect connections and remember where
// they were going, the dialler says it.
type door struct {
	net.Listener
	going sync.Map // netip.AddrPort of the dialler -> chan netip.AddrPort
}

func newDoor() (*door, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	return &door{Listener: l}, err
}

// dial connects as the workload's application would to an address.
func (d *door) dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	var dialer net.Dialer
	c, err := dialer.DialContext(ctx, "tcp", d.Addr().String())
	if err != nil {
		return nil, err
	}
	d.at(c.LocalAddr()) <- to
	return c, nil
}

func (d *door) at(a net.Addr) chan netip.AddrPort {
	c, _ := d.going.LoadOrStore(a.(*net.TCPAddr).AddrPort(), make(chan netip.AddrPort, 1))
	return c.(chan netip.AddrPort)
}

// original says where a connection that was accepted was going.
func (d *door) original(ctx context.Context, c net.Conn) (netip.AddrPort, error) {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	defer d.going.Delete(c.RemoteAddr().(*net.TCPAddr).AddrPort())
	select {
	case to := <-d.at(c.RemoteAddr()):
		return to, nil
	case <-ctx.Done():
		return netip.AddrPort{}, errors.New("meshtest: a connection that no test made")
	}
}
