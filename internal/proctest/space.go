package proctest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
)

// Space is a network namespace: a thread that is in it, and in no other one ever. It has no name, so nothing of it is left when the
// thread, and what was started there, has ended. It needs root.
type Space struct{ do chan func() }

// NewSpace makes one that lasts as long as the test, or skips it where that is not allowed.
func NewSpace(t testing.TB) *Space {
	t.Helper()
	s := &Space{do: make(chan func())}
	made, ended := make(chan error), make(chan struct{})
	go func() {
		defer close(ended)
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		err := syscall.Unshare(syscall.CLONE_NEWNET)
		made <- err
		if err != nil {
			return
		}
		for f := range s.do {
			f()
		}
	}()
	if err := <-made; err != nil {
		t.Skip("a network namespace of the test's own: ", err)
	}
	t.Cleanup(func() { close(s.do); <-ended })
	return s
}

// Run runs f there: sockets that it opens and processes that it starts are in the namespace.
func (s *Space) Run(f func() error) error {
	done := make(chan error, 1)
	s.do <- func() { done <- f() }
	return <-done
}

// Must is Run, and ends the test on an error.
func (s *Space) Must(t testing.TB, f func() error) {
	t.Helper()
	if err := s.Run(f); err != nil {
		t.Fatal(err)
	}
}

// FD is a descriptor of the namespace, as long as the test lasts.
func (s *Space) FD(t testing.TB) int {
	t.Helper()
	var f *os.File
	s.Must(t, func() (err error) { f, err = os.Open("/proc/thread-self/ns/net"); return err })
	t.Cleanup(func() { f.Close() })
	return int(f.Fd())
}

// As runs f, inside of a Space's Run, with sockets that belong to a user.
func As(uid int, f func() error) error {
	if _, _, e := syscall.RawSyscall(syscall.SYS_SETFSUID, uintptr(uid), 0, 0); e != 0 {
		return e
	}
	defer func() { _, _, _ = syscall.RawSyscall(syscall.SYS_SETFSUID, uintptr(os.Getuid()), 0, 0) }() // back to one's own, which is always allowed
	return f()
}

// Bridge makes the space a node's: what it joins are its pods. Addresses are ADDRESS/BITS.
func (s *Space) Bridge(t testing.TB, addrs ...string) {
	t.Helper()
	s.Must(t, func() error {
		b := &netlink.Bridge{LinkAttrs: netlink.NewLinkAttrs()}
		b.Name = bridge
		if err := netlink.LinkAdd(b); err != nil {
			return fmt.Errorf("bridge: %w", err)
		}
		return errors.Join(Up("lo"), Up(bridge, addrs...))
	})
}

const bridge = "pods0"

// Join makes the space a pod's: it has the device eth0 with the addresses, on the node's bridge, and its default routes lead to gateways.
func (s *Space) Join(t testing.TB, node *Space, name string, addrs, gateways []string) {
	t.Helper()
	at := node.FD(t)
	s.Must(t, func() error {
		v := &netlink.Veth{LinkAttrs: netlink.NewLinkAttrs(), PeerName: name, PeerNamespace: netlink.NsFd(at)}
		v.Name = "eth0"
		if err := netlink.LinkAdd(v); err != nil {
			return fmt.Errorf("pair of devices: %w", err)
		}
		return errors.Join(Up("lo"), Up("eth0", addrs...))
	})
	node.Must(t, func() error {
		b, err := netlink.LinkByName(bridge)
		if err != nil {
			return err
		}
		l, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		return errors.Join(netlink.LinkSetMaster(l, b), netlink.LinkSetUp(l))
	})
	s.Must(t, func() error {
		for _, g := range gateways {
			l, err := netlink.LinkByName("eth0")
			if err != nil {
				return err
			}
			if err := netlink.RouteAdd(&netlink.Route{LinkIndex: l.Attrs().Index, Gw: net.ParseIP(g)}); err != nil {
				return fmt.Errorf("route by way of %s: %w", g, err)
			}
		}
		return nil
	})
}

// Up gives a device of the space that it runs in addresses, which are usable at once, and sets it up.
func Up(name string, addrs ...string) error {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	for _, text := range addrs {
		a, err := netlink.ParseAddr(text)
		if err != nil {
			return err
		}
		a.Flags = syscall.IFA_F_NODAD
		if err := netlink.AddrAdd(l, a); err != nil {
			return fmt.Errorf("%s on %s: %w", text, name, err)
		}
	}
	return netlink.LinkSetUp(l)
}
