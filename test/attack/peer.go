package main

import (
	"context"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weft-mesh/weft/wire/http2"
)

// pace lets so many bytes pass in a second.
type pace struct {
	mu   sync.Mutex
	rate float64
	free time.Time // when the next may
}

func (p *pace) wait(ctx context.Context, n int) {
	p.mu.Lock()
	now := time.Now()
	if p.free.Before(now.Add(-50 * time.Millisecond)) {
		p.free = now.Add(-50 * time.Millisecond)
	}
	p.free = p.free.Add(time.Duration(float64(n) / p.rate * float64(time.Second)))
	wait := p.free.Sub(now)
	p.mu.Unlock()
	if wait < time.Millisecond { // timers are no better than that
		return
	}
	select {
	case <-ctx.Done():
	case <-time.After(wait):
	}
}

// peer is a client of one connection. It reads all that comes, and writes as fast as it may.
type peer struct {
	ctx   context.Context
	nc    net.Conn
	pace  *pace
	ended chan struct{} // closed when the proxy has closed
	calm  atomic.Bool   // with ENHANCE_YOUR_CALM
	heads atomic.Int64  // HEADERS that have come
	sent  atomic.Int64  // bytes
	heard atomic.Bool   // the proxy has said something
}

// handshake is what a connection takes of a client's bytes before its first: SYN, ACK and FIN, with IPv4's headers. Who connects
// again and again has them to send, too.
const handshake = 60 + 52 + 52

// dial connects from an address of loopback, and says hello. The connection's window is opened once and for all: at first it takes 655
// answers, and a client that then waits costs nothing.
func dial(ctx context.Context, from netip.Addr, at string, pc *pace) (*peer, error) {
	pc.wait(ctx, handshake)
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}
	nc, err := d.DialContext(ctx, "tcp", at)
	if err != nil {
		return nil, err
	}
	p := &peer{ctx: ctx, nc: nc, pace: pc, ended: make(chan struct{})}
	go p.read()
	hello := http2.AppendSettings([]byte(http2.Preface))
	p.write(http2.WindowUpdate{Increment: http2.MaxWindow / 2}.Append(hello))
	return p, nil
}

// ask makes the same request again and again, each as soon as it may, from the stream id on.
func (p *peer) ask(id uint32, block []byte) {
	for ; p.write(headers(id, true, block)); id += 2 {
		for int64(id/2)-p.heads.Load() > 100 { // no more at once than servers allow
			select {
			case <-p.ended:
				return
			case <-time.After(time.Millisecond):
			}
		}
	}
}

// write says whether there is more to be written.
func (p *peer) write(b []byte) bool {
	p.pace.wait(p.ctx, len(b))
	select {
	case <-p.ended:
		return false
	case <-p.ctx.Done():
		return false
	default:
	}
	n, err := p.nc.Write(b)
	p.sent.Add(int64(n))
	return err == nil
}

func (p *peer) read() {
	defer close(p.ended)
	buf := make([]byte, http2.HeaderLen+1<<14)
	for {
		if _, err := io.ReadFull(p.nc, buf[:http2.HeaderLen]); err != nil {
			return
		}
		p.heard.Store(true)
		h, _ := http2.ParseFrameHeader(buf)
		if h.Length > http2.DefaultFrameSize {
			return
		}
		payload := buf[http2.HeaderLen : http2.HeaderLen+h.Length]
		if _, err := io.ReadFull(p.nc, payload); err != nil {
			return
		}
		switch h.Type {
		case http2.TypeHeaders:
			p.heads.Add(1)
		case http2.TypeGoAway:
			if f, err := http2.ParseGoAway(h, payload); err == nil && f.Code == http2.EnhanceYourCalm {
				p.calm.Store(true)
			}
		}
	}
}

// close waits for what the proxy still has to say, for a moment: an offender's last frames may have been on their way.
func (p *peer) close() {
	select {
	case <-p.ended:
	case <-p.ctx.Done():
	}
	p.nc.Close()
	<-p.ended
}

// load is an offender at work: one or more connections, each made anew when it ends.
type load struct {
	cancel context.CancelFunc
	all    sync.WaitGroup
	calm   atomic.Int64 // connections that ended with ENHANCE_YOUR_CALM
	conns  atomic.Int64
	turned atomic.Int64 // connections that were closed without a word
	heads  atomic.Int64
	sent   atomic.Int64
}

// start attacks until stop, from an address that nobody had before: what is held against an attack's address is not against the next's.
func (m *meter) start(ctx context.Context, a attack) *load {
	m.loads++
	from := netip.AddrFrom4([4]byte{127, 9, byte(m.loads >> 8), byte(m.loads)})
	l := &load{}
	ctx, l.cancel = context.WithCancel(ctx)
	pc := &pace{rate: float64(m.rate)}
	for range a.conns {
		l.all.Go(func() {
			for ctx.Err() == nil {
				l.one(ctx, from, m.at, a, pc)
			}
		})
	}
	return l
}

func (l *load) one(ctx context.Context, from netip.Addr, at string, a attack, pc *pace) {
	p, err := dial(ctx, from, at, pc)
	if err != nil {
		return
	}
	defer context.AfterFunc(ctx, func() { p.nc.Close() })()
	l.conns.Add(1)
	a.do(p)
	p.close()
	l.heads.Add(p.heads.Load())
	l.sent.Add(p.sent.Load())
	if p.calm.Load() {
		l.calm.Add(1)
	}
	if !p.heard.Load() && ctx.Err() == nil {
		l.turned.Add(1)
	}
}

func (l *load) stop() {
	l.cancel()
	l.all.Wait()
}
