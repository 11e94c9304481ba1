package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/weft-mesh/weft/internal/sys"
)

// ErrGone says that a sandbox, and the application in it, has ended.
var ErrGone = errors.New("the sandbox is gone: its application has ended, or `weft run` was killed")

const (
	low      = 8  // sockets left when the next batch is asked for
	capacity = 64 // sockets kept at most: low + two batches fit
)

// Dialer connects to an application inside a sandbox, from outside, with sockets that the broker made inside. A batch is
// kept in hand and the next one asked for in time, so that a call waits for the broker only in a burst. Any number of
// goroutines may use it.
type Dialer struct {
	address netip.Addr
	broker  *net.UnixConn
	v4, v6  pool
	gone    chan struct{}
	close   sync.Once
}

// pool holds the sockets of one family.
type pool struct {
	family sys.Family
	ready  chan made
	asked  atomic.Bool
}

// made is a socket, or why there is none.
type made struct {
	fd    int
	err   error
	stale bool // the error is the broker's, of some time ago
}

// NewDialer returns a dialer for the application at address, inside the sandbox whose broker is at the other end. The file
// stays the caller's.
func NewDialer(broker *os.File, address netip.Addr) (*Dialer, error) {
	c, err := openChannel(broker)
	if err != nil {
		return nil, err
	}
	d := &Dialer{
		address: address, broker: c, gone: make(chan struct{}),
		v4: pool{family: sys.IPv4, ready: make(chan made, capacity)},
		v6: pool{family: sys.IPv6, ready: make(chan made, capacity)},
	}
	go d.receive()
	return d, nil
}

// Gone is closed when the sandbox has ended. A proxy that serves it alone then ends too: while it lives, its listeners keep
// the dead sandbox's network namespace.
func (d *Dialer) Gone() <-chan struct{} { return d.gone }

// DialApp connects to the application's port: at the workload's address, or, if nobody listens there, at 127.0.0.1 and then
// at ::1. The application sees the connection come from the address from, if that is in 127.0.0.0/8 as mesh addresses are,
// else from a loopback address.
func (d *Dialer) DialApp(ctx context.Context, port uint16, from netip.Addr) (c *net.TCPConn, err error) {
	for _, at := range [...]netip.Addr{d.address, netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()} {
		o := sys.DialOptions{}
		if from.Is4() && from.IsLoopback() && at.Is4() {
			o.From = from
		}
		c, failed := d.Dial(ctx, netip.AddrPortFrom(at, port), o)
		if failed == nil {
			return c, nil
		}
		if err == nil { // the first one is the one to tell
			err = failed
		}
		if !errors.Is(failed, syscall.ECONNREFUSED) {
			break
		}
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		err = fmt.Errorf("%w (the application does not listen on port %d, or not yet)", err, port)
	}
	return nil, err
}

// Dial connects to an address inside the sandbox. It waits for the broker, and for the connection, as long as ctx allows.
func (d *Dialer) Dial(ctx context.Context, to netip.AddrPort, o sys.DialOptions) (*net.TCPConn, error) {
	p := &d.v6
	if sys.FamilyOf(to.Addr()) == sys.IPv4 {
		p = &d.v4
	}
	return sys.DialWith(ctx, to, o, func(ctx context.Context) (int, error) { return d.take(ctx, p) })
}

// take returns a socket made inside. An error that lay in the pool may be old; one that it had to wait for is not.
func (d *Dialer) take(ctx context.Context, p *pool) (fd int, err error) {
	for {
		waits := len(p.ready) == 0
		m := d.next(ctx, p)
		if m.err == nil || waits || !m.stale {
			return m.fd, m.err
		}
	}
}

func (d *Dialer) next(ctx context.Context, p *pool) made {
	d.refill(p)
	select {
	case m := <-p.ready:
		d.refill(p)
		return m
	case <-d.gone:
		return made{fd: -1, err: ErrGone}
	case <-ctx.Done():
		return made{fd: -1, err: fmt.Errorf("waiting for a socket in the sandbox: %w", context.Cause(ctx))}
	}
}

// refill asks for a batch when few are left, unless one is on its way.
func (d *Dialer) refill(p *pool) {
	if len(p.ready) >= low || !p.asked.CompareAndSwap(false, true) {
		return
	}
	if _, err := d.broker.Write([]byte{byte(p.family), batch}); err != nil {
		p.asked.Store(false) // receive notices a dead broker
	}
}

// receive takes in what the broker makes until it is gone.
func (d *Dialer) receive() {
	defer close(d.gone)
	for {
		var answer [answerLen]byte
		n, fds, err := sys.RecvRawFDs(d.broker, answer[:], mostBatch)
		lost := errors.Is(err, sys.ErrTooLong) // the broker lives: this process has no descriptors left for what it sent
		if !lost && (err != nil || n < 2) {
			break
		}
		p := &d.v6
		if sys.Family(answer[0]) == sys.IPv4 {
			p = &d.v4
		}
		p.asked.Store(false) // first: who takes the last of these asks for more
		if lost {
			p.put(made{fd: -1, err: errNoRoom, stale: true})
		} else if answer[1] != 0 {
			p.put(made{fd: -1, err: fmt.Errorf("socket in the sandbox: %s", answer[2:n]), stale: true})
		}
		for _, fd := range fds {
			p.put(made{fd: fd})
		}
	}
}

var errNoRoom = errors.New("socket in the sandbox: the proxy has too many open files; raise its limit (ulimit -n)")

// put keeps m, or closes it if there are enough.
func (p *pool) put(m made) {
	select {
	case p.ready <- m:
	default:
		if m.err == nil {
			sys.CloseFD(m.fd)
		}
	}
}

// Close lets go of the broker and of the sockets in hand. Connections stay open.
func (d *Dialer) Close() error {
	var err error
	d.close.Do(func() {
		err = d.broker.Close()
		<-d.gone
		d.v4.empty()
		d.v6.empty()
	})
	return err
}

func (p *pool) empty() {
	for {
		select {
		case m := <-p.ready:
			if m.err == nil {
				sys.CloseFD(m.fd)
			}
		default:
			return
		}
	}
}
