package sys

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Poller waits until there is something to read from connections, with some 50 bytes for each where a goroutine that waits in Read
// has a stack of 2 to 8 KB. It is for those that have been silent for a while: to park one costs two system calls.
type Poller struct {
	epoll *os.File
	raw   syscall.RawConn

	mu     sync.Mutex
	parked []*Parked // by descriptor
	late   []func()  // what Expire tries again
	closed bool
}

// Parked is a connection that a Poller waits for.
type Parked struct {
	p     *Poller
	fd    int32 // -1: it does not wait any more
	until int64 // Unix seconds; 0: for ever
	wake  func()
	kept  func(*net.TCPConn, error) // in place of wake, of Keep
}

// NewPoller makes a poller; Run makes it work.
func NewPoller() (*Poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("poller: %w", os.NewSyscallError("epoll_create1", err))
	}
	if err := unix.SetNonblock(fd, true); err != nil { // so that the runtime's own poller waits for this one: no thread is held
		unix.Close(fd)
		return nil, fmt.Errorf("poller: %w", err)
	}
	f := os.NewFile(uintptr(fd), "poller")
	raw, err := f.SyscallConn()
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("poller: %w", err)
	}
	return &Poller{epoll: f, raw: raw}, nil
}

// Close is for a poller that does not run; Run closes it otherwise.
func (p *Poller) Close() error { return p.epoll.Close() }

// Park calls wake, once and on a goroutine of its own, when c has something to read or has ended, when until has passed (zero:
// never; to the second, seen by Expire), when Wake is called, or when the poller ends; seldom without cause. Until then nobody reads
// c. Whoever closes c calls Wake: the descriptor may soon be another connection's.
func (p *Poller) Park(c Conn, until time.Time, wake func()) (*Parked, error) {
	w := p.waiter(until, wake)
	if err := control(c, func(fd int) error { return p.add(w, fd) }); err != nil {
		return nil, fmt.Errorf("park a connection: %w", err)
	}
	return w, nil
}

// Keep is Park for a connection of which the descriptor alone is kept: c is closed, though its peer sees nothing of that, and wake is given
// another in its place. Go has 1 KB for a connection, half of which it never gives back, and a few system calls make one. They need a
// descriptor more for a moment: where there is none c stays as it is (see Short), and one that is kept waits for Expire to try again. Another
// error: there is no connection, and the peer sees it closed.
func (p *Poller) Keep(c *net.TCPConn, until time.Time, wake func(*net.TCPConn, error)) (*Parked, error) {
	fd, err := Duplicate(c)
	if err != nil {
		return nil, fmt.Errorf("park a connection: %w", err)
	}
	w := p.waiter(until, nil)
	w.kept = wake
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.locked(w, fd); err != nil {
		CloseFD(fd)
		return nil, fmt.Errorf("park a connection: %w", err)
	}
	c.Close()
	return w, nil
}

// revive gives back a connection of which f was kept.
func (w *Parked) revive(f *os.File) {
	c, err := tcpConn(f)
	if Short(err) && w.p.postpone(func() { w.revive(f) }) {
		return
	}
	f.Close()
	w.kept(c, err)
}

// postpone has Expire do something; false: it will not be called any more.
func (p *Poller) postpone(do func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.late = append(p.late, do)
	}
	return !p.closed
}

// tcpConn makes a connection of a file, which stays open.
func tcpConn(f *os.File) (*net.TCPConn, error) {
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	t, ok := c.(*net.TCPConn)
	if !ok {
		c.Close()
		return nil, fmt.Errorf("%w: a %T is no TCP connection", errors.ErrUnsupported, c)
	}
	return t, t.SetKeepAliveConfig(keepAlive) // Go has set its own
}

func (p *Poller) waiter(until time.Time, wake func()) *Parked {
	w := &Parked{p: p, fd: -1, wake: wake}
	if !until.IsZero() {
		w.until = until.Unix() + 1
	}
	return w
}

func (p *Poller) add(w *Parked, fd int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.locked(w, fd)
}

// locked is add for who has the lock.
func (p *Poller) locked(w *Parked, fd int) error {
	if p.closed {
		return os.ErrClosed
	}
	e := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLONESHOT, Fd: int32(fd)}
	if err := unix.EpollCtl(p.fd(), unix.EPOLL_CTL_ADD, fd, &e); err != nil {
		return os.NewSyscallError("epoll_ctl", err)
	}
	for len(p.parked) <= fd {
		p.parked = append(p.parked, nil)
	}
	w.fd, p.parked[fd] = int32(fd), w
	return nil
}

// fd is the poller's own; the file stays open as long as the lock is held and closed is false.
func (p *Poller) fd() (fd int) {
	_ = p.raw.Control(func(x uintptr) { fd = int(x) }) // fails when closed, which it is not
	return fd
}

// Wake ends the wait, if nothing else has.
func (w *Parked) Wake() {
	w.p.mu.Lock()
	defer w.p.mu.Unlock()
	w.end()
}

// end needs the lock.
func (w *Parked) end() {
	if w.fd < 0 {
		return
	}
	if !w.p.closed { // a descriptor that was closed has left by itself: the error says no more than that
		_ = unix.EpollCtl(w.p.fd(), unix.EPOLL_CTL_DEL, int(w.fd), nil)
	}
	fd := int(w.fd)
	if w.p.parked[fd], w.fd = nil, -1; w.kept == nil {
		go w.wake()
		return
	}
	go w.revive(os.NewFile(uintptr(fd), "connection"))
}

// Expire wakes those whose time has passed, and those for which there was no descriptor.
func (p *Poller) Expire(now time.Time) {
	p.wake(func(w *Parked) bool { return w.until > 0 && now.Unix() >= w.until })
}

func (p *Poller) wake(which func(*Parked) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.parked {
		if w != nil && which(w) {
			w.end()
		}
	}
	for _, do := range p.late {
		go do()
	}
	p.late = nil
}

// Run waits until ctx ends; then all who are parked are woken, and the poller is closed.
func (p *Poller) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { p.epoll.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	var events [64]unix.EpollEvent
	n := 0
	err := error(nil)
	for ctx.Err() == nil && err == nil {
		if werr := p.raw.Read(func(fd uintptr) bool {
			n, err = unix.EpollWait(int(fd), events[:], 0)
			if err == unix.EINTR {
				n, err = 0, nil
			}
			return n > 0 || err != nil
		}); werr != nil {
			break
		}
		p.arrived(events[:max(n, 0)])
	}
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.wake(func(*Parked) bool { return true })
	p.epoll.Close()
	if err != nil {
		return fmt.Errorf("poller: %w", os.NewSyscallError("epoll_wait", err))
	}
	return ctx.Err()
}

func (p *Poller) arrived(events []unix.EpollEvent) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range events {
		if w := p.parked[e.Fd]; w != nil {
			w.end()
		}
	}
}
