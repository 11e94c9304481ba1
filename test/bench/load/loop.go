package load

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"syscall"
	"time"
	"unsafe"
)

// loop is one epoll instance with its connections, used by one goroutine.
type loop struct {
	ep     int
	events []syscall.EpollEvent // on the heap: the kernel writes to it, and stacks move
	conns  []*conn              // by descriptor
	buf    []byte
}

// handler is one end of a protocol on one connection.
type handler interface {
	// opened is called when the connection is there.
	opened(c *conn) error
	// received takes bytes off p and says how many; what it leaves comes again, with more behind it.
	received(c *conn, p []byte) (int, error)
	// writable is called when there is nothing more to be written and the kernel takes more, where something had to wait or
	// conn.interest has asked for it.
	writable(c *conn) error
	// closed is called once, with io.EOF if the peer has ended the connection.
	closed(c *conn, err error)
}

// conn is a non-blocking socket.
type conn struct {
	l      *loop
	fd     int
	h      handler
	accept func(fd int) // of a listener
	in     []byte       // received and not taken
	out    []byte       // to be written
	owned  bool         // it is a copy
	want   uint32       // events that epoll was told of
	dead   bool
}

const (
	readSize  = 256 << 10
	maxEvents = 512
)

func newLoop() (*loop, error) {
	ep, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	return &loop{ep: ep, events: make([]syscall.EpollEvent, maxEvents), buf: make([]byte, readSize)}, nil
}

// close ends the loop and all of its connections.
func (l *loop) close() {
	for _, c := range l.conns {
		if c != nil {
			syscall.Close(c.fd)
		}
	}
	syscall.Close(l.ep)
}

// add takes a descriptor into the loop.
func (l *loop) add(fd int, c *conn) error {
	c.l, c.fd = l, fd
	for len(l.conns) <= fd {
		l.conns = append(l.conns, nil)
	}
	l.conns[fd] = c
	c.want = syscall.EPOLLIN
	return syscall.EpollCtl(l.ep, syscall.EPOLL_CTL_ADD, fd, &syscall.EpollEvent{Events: c.want, Fd: int32(fd)})
}

// turn waits for events, at most for so long (negative: for ever), and handles them.
func (l *loop) turn(wait time.Duration) error {
	n, err := l.wait(wait)
	if err != nil {
		return err
	}
	for _, e := range l.events[:n] {
		c := l.conns[e.Fd]
		if c == nil {
			continue // closed by an event before this one
		}
		if c.accept != nil {
			l.acceptAll(c)
			continue
		}
		if e.Events&syscall.EPOLLOUT != 0 {
			c.flushed()
		}
		if e.Events&^uint32(syscall.EPOLLOUT) != 0 && !c.dead {
			c.read()
		}
	}
	return nil
}

// wait is epoll_pwait2, whose timeout is not in milliseconds.
func (l *loop) wait(d time.Duration) (int, error) {
	const epollPwait2 = 441 // on all architectures but alpha and MIPS
	var ts *syscall.Timespec
	if d >= 0 {
		t := syscall.NsecToTimespec(int64(d))
		ts = &t
	}
	n, _, errno := syscall.Syscall6(epollPwait2, uintptr(l.ep), uintptr(unsafe.Pointer(&l.events[0])), maxEvents, uintptr(unsafe.Pointer(ts)), 0, 0)
	if errno == syscall.EINTR {
		return 0, nil
	}
	if errno != 0 {
		return 0, fmt.Errorf("epoll_pwait2: %w", errno)
	}
	return int(n), nil
}

func (l *loop) acceptAll(c *conn) {
	for {
		fd, _, err := syscall.Accept4(c.fd, syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC)
		if err != nil {
			return // EAGAIN, or a peer that is gone
		}
		c.accept(fd)
	}
}

// listen opens a listener in the loop; handlers are made by each.
func (l *loop) listen(at netip.AddrPort, each func() handler) error {
	fd, err := socket()
	if err != nil {
		return err
	}
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return err
	}
	if err := syscall.Bind(fd, sockaddr(at)); err != nil {
		return fmt.Errorf("listen on %v: %w", at, err)
	}
	if err := syscall.Listen(fd, 8192); err != nil {
		return fmt.Errorf("listen on %v: %w", at, err)
	}
	return l.add(fd, &conn{accept: func(fd int) {
		c := &conn{h: each()}
		if noDelay(fd) != nil || l.add(fd, c) != nil {
			syscall.Close(fd)
			return
		}
		if err := c.h.opened(c); err != nil {
			c.close(err)
		}
	}})
}

// dial connects, waiting for it: the peer's kernel answers on loopback, whether or not the peer is awake.
func (l *loop) dial(to netip.AddrPort, h handler) (*conn, error) {
	fd, err := socket()
	if err != nil {
		return nil, err
	}
	if err := connect(fd, sockaddr(to)); err != nil {
		syscall.Close(fd)
		return nil, fmt.Errorf("connect to %v: %w", to, err)
	}
	c := &conn{h: h}
	if err := errors.Join(noDelay(fd), syscall.SetNonblock(fd, true)); err != nil {
		return nil, err
	}
	if err := l.add(fd, c); err != nil {
		return nil, err
	}
	return c, h.opened(c)
}

func connect(fd int, to syscall.Sockaddr) (err error) {
	if err = syscall.SetNonblock(fd, false); err == nil {
		err = syscall.Connect(fd, to)
	}
	return err
}

func socket() (int, error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("socket: %w; the limit of descriptors may be reached (ulimit -n)", err)
	}
	return fd, nil
}

func noDelay(fd int) error {
	return syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
}

func sockaddr(a netip.AddrPort) syscall.Sockaddr {
	return &syscall.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
}

// read takes what is there, once: epoll says so again if there is more.
func (c *conn) read() {
	buf := c.l.buf
	have := copy(buf, c.in)
	n, _, errno := syscall.RawSyscall(syscall.SYS_READ, uintptr(c.fd), uintptr(unsafe.Pointer(&buf[have])), uintptr(len(buf)-have))
	switch {
	case errno == syscall.EAGAIN:
		return
	case errno != 0:
		c.close(errno)
		return
	case n == 0:
		c.close(io.EOF)
		return
	}
	p := buf[:have+int(n)]
	taken, err := c.h.received(c, p)
	if err != nil {
		c.close(err)
		return
	}
	if c.dead {
		return
	}
	if len(p)-taken > readSize/2 {
		c.close(errors.New("a message that is too long"))
		return
	}
	c.in = append(c.in[:0], p[taken:]...)
}

// send writes p, now or as soon as the kernel takes it; until then p is lent.
func (c *conn) send(p []byte) error {
	if len(c.out) > 0 {
		c.own()
		c.out = append(c.out, p...)
		return nil
	}
	n, err := c.write(p)
	if err != nil || n == len(p) {
		return err
	}
	c.out, c.owned = p[n:], false
	return c.interest(syscall.EPOLLIN | syscall.EPOLLOUT)
}

// own makes a copy of what waits, if it is lent.
func (c *conn) own() {
	if !c.owned {
		c.out, c.owned = bytes.Clone(c.out), true
	}
}

// sendCopy is send for bytes that the caller needs again.
func (c *conn) sendCopy(p []byte) error {
	err := c.send(p)
	c.own()
	return err
}

func (c *conn) write(p []byte) (int, error) {
	n, _, errno := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(c.fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	switch errno {
	case 0:
		return int(n), nil
	case syscall.EAGAIN:
		return 0, nil
	}
	return 0, errno
}

func (c *conn) interest(events uint32) error {
	if c.want == events {
		return nil
	}
	c.want = events
	return syscall.EpollCtl(c.l.ep, syscall.EPOLL_CTL_MOD, c.fd, &syscall.EpollEvent{Events: events, Fd: int32(c.fd)})
}

func (c *conn) flushed() {
	if len(c.out) > 0 {
		n, err := c.write(c.out)
		if err != nil {
			c.close(err)
			return
		}
		if c.out = c.out[n:]; len(c.out) > 0 {
			return
		}
	}
	c.out = nil
	err := c.interest(syscall.EPOLLIN)
	if err == nil {
		err = c.h.writable(c)
	}
	if err != nil {
		c.close(err)
	}
}

func (c *conn) close(err error) {
	if c.dead {
		return
	}
	c.dead = true
	c.l.conns[c.fd] = nil
	syscall.Close(c.fd)
	c.h.closed(c, err)
}

// quiet is the part of a handler that most do not need.
type quiet struct{}

func (quiet) opened(*conn) error   { return nil }
func (quiet) writable(*conn) error { return nil }
func (quiet) closed(*conn, error)  {}
