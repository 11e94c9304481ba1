package proxy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weft-mesh/weft/chain"
	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/feature/authz"
	"github.com/weft-mesh/weft/internal/sys"
	"github.com/weft-mesh/weft/proxy/caller"
	"github.com/weft-mesh/weft/proxy/dns"
	"github.com/weft-mesh/weft/proxy/entrance"
	"github.com/weft-mesh/weft/proxy/gateway"
	"github.com/weft-mesh/weft/proxy/h1"
	"github.com/weft-mesh/weft/proxy/held"
	"github.com/weft-mesh/weft/proxy/pool"
	"github.com/weft-mesh/weft/proxy/renew"
	"github.com/weft-mesh/weft/proxy/shun"
	"github.com/weft-mesh/weft/proxy/sniff"
	"github.com/weft-mesh/weft/proxy/stamp"
	"github.com/weft-mesh/weft/stream"
	"github.com/weft-mesh/weft/traffic"
)

// Proxy serves one workload.
type Proxy struct {
	opts   Options
	store  *held.Store
	state  *chain.State // what was learnt from calls
	renew  *renew.Renewer
	memory sniff.Memory // which ports speak what
	dates  stamp.Dates

	self    atomic.Pointer[self] // nil: not known yet
	useSelf sync.Mutex           // held while self is changed

	links    links             // to other proxies
	plain    pool.Pool[place]  // to endpoints in the clear
	app      pool.Pool[uint16] // to the application, by port
	sessions sessions          // connections that were accepted
	admins   sessions          // those of questions about the proxy
	live     living            // calls that last
	gate     entrance.Gate     // to the application
	mirrors  atomic.Int32
	shunned  shun.List // who lost a connection from outside for what it did
	callers  caller.Finder
	out, in  h1.Server

	entry         atomic.Pointer[gateway.Gateway] // of a gateway's proxy; nil: not known yet, or it is none
	ports         gateway.Ports[net.Listener]
	datagrams     gateway.Ports[*net.UDPConn]
	edge, edgeTLS h1.Server // of calls that come to the gateway, in the clear and by TLS

	poller *sys.Poller              // of connections that idle
	latest [16]atomic.Pointer[talk] // see alike

	saving  sync.Mutex // held while the cache is written
	yielded bool       // guarded by saving: another process has taken over

	ctx   context.Context    // ends with the proxy
	end   context.CancelFunc // ends it
	tasks sync.WaitGroup     // all goroutines
}

// self is the workload that is served, as its latest configuration has it.
type self struct {
	cfg    *config.Workload
	in     traffic.Handler // calls into it
	egress traffic.Handler // calls to what is no service
	ports  map[uint16]traffic.Proto
	peer   traffic.Peer // as the source of calls

	entering, judging traffic.Handler // of calls that come to the gateway: whole, and who may come
}

func (s *self) config() *config.Workload {
	if s == nil {
		return nil
	}
	return s.cfg
}

// New readies a proxy: it takes up what an earlier one left in Options.Cache, and asks for what it will need. Run serves.
func New(o Options) (*Proxy, error) {
	o, err := o.validate()
	if err != nil {
		return nil, err
	}
	poller, err := sys.NewPoller()
	if err != nil {
		return nil, err
	}
	p := &Proxy{opts: o, state: chain.NewState(), poller: poller}
	p.ctx, p.end = context.WithCancel(context.Background())
	p.store = held.New(held.Options{Want: o.Config, Build: p.buildService, Workload: p.useWorkload, Trust: p.useTrust, Peer: p.changedPeer,
		Forget: p.state.Forget, Gateway: p.useGateway})
	p.callers.Get, p.callers.Disown, p.callers.Lookup, p.callers.Clock = p.resource, p.store.Disown, o.Lookup, o.Clock
	p.renew = renew.New(renew.Options{ID: o.ID, Store: o.Cert, Certify: o.Certify, Clock: o.Clock,
		Failed:  func(err error) { o.Renewed(err); o.Warn(err) },
		Renewed: func() { o.Renewed(nil); p.store.Stir() }})
	p.links.p = p
	p.sessions.begin(p)
	p.admins.begin(p)
	p.plain.Dial, p.app.Dial = p.dialPlain, p.dialPort
	p.out = h1.Server{Serve: serveOutbound, Done: p.done, Refused: p.refusedHTTP, Trailer: chain.FromApp, Idle: o.Idle, Parks: true, Crowded: p.sessions.crowded}
	p.in = h1.Server{Serve: servePublished, Done: p.done, Refused: p.refusedHTTP, Trailer: chain.FromOutside, Idle: min(o.Idle, o.IdleOutside), Rate: minRate, Parks: true, Crowded: p.sessions.crowded}
	p.edge = h1.Server{Serve: serveEdgeCall, Done: p.done, Refused: p.refusedHTTP, Trailer: chain.FromOutside, Idle: min(o.Idle, time.Minute), Rate: minRate, Parks: true, Crowded: p.sessions.crowded}
	p.edgeTLS = h1.Server{Serve: serveEdgeCall, Done: p.done, Refused: p.refusedHTTP, Trailer: chain.FromOutside, Idle: min(o.Idle, time.Minute), Rate: minRate}
	p.ports = gateway.Ports[net.Listener]{Listen: o.Listen, Accept: p.openPort, Failed: o.Warn}
	p.datagrams = gateway.Ports[*net.UDPConn]{Listen: o.ListenUDP, Accept: p.openDatagrams, Failed: o.Warn}
	if err := p.restore(); err != nil {
		poller.Close()
		return nil, err
	}
	for _, name := range p.needed() {
		if !p.store.Expect(name, p.now()) {
			o.Config.Want(name)
		}
	}
	return p, nil
}

// needed names what the proxy asks for before any call does.
func (p *Proxy) needed() []string {
	names := []string{p.selfName(), config.Name(config.KindTrust, p.opts.ID.TrustDomain)}
	if p.opts.Gateway != "" {
		names = append(names, p.gatewayName())
	}
	return names
}

func (p *Proxy) now() time.Time { return p.opts.Clock() }

func (p *Proxy) selfName() string { return config.Name(config.KindWorkload, p.opts.Workload) }

// Apply takes configuration into use; it is for stream.Client. The errors are those of resources that were refused: their last
// good version stays.
func (p *Proxy) Apply(updates []stream.Update) map[string]error {
	return p.store.Apply(updates, p.now())
}

// Away tells that the control plane is away, or back. Names that are not known are then answered at once with a failure: resolvers
// walk through their search lists, and would wait for each.
func (p *Proxy) Away(away bool) { p.callers.Away(away) }

// Ready says why calls cannot be served now, or nil.
func (p *Proxy) Ready() error {
	switch {
	case p.sessions.draining() || p.gate.Shutting():
		return errDraining
	case p.self.Load() == nil:
		return errors.New("the workload's own configuration has not arrived; is the control plane running?")
	}
	return cmp.Or(p.opts.Cert.Ready(), p.readyGateway())
}

// Run serves until ctx ends, and then closes what is left at once: Drain comes first where calls are to end by themselves.
// When it returns, nothing of the proxy runs any more.
func (p *Proxy) Run(ctx context.Context) error {
	defer p.opts.Cert.OnChange(func() { p.sessions.retire(); p.links.retire() })() // what rests on a root that is not believed any more
	for _, l := range p.opts.Outbound {
		p.sessions.accept(l, nil, func(s *slot) { p.serveOut(s, l) })
	}
	for _, l := range p.opts.Published {
		p.sessions.accept(l, &p.gate, func(s *slot) { p.servePub(s, l) })
	}
	if p.opts.Inbound != nil {
		p.sessions.accept(p.opts.Inbound, &p.gate, p.serveIn)
	}
	p.ports.Begin()
	p.datagrams.Begin()
	names := &dns.Server{Lookup: p.resolve, Resolvers: p.opts.Resolvers, Go: p.tasks.Go}
	for _, c := range p.opts.DNS {
		p.tasks.Go(func() { names.ServePacket(p.ctx, c) })
		context.AfterFunc(p.ctx, func() { c.Close() })
	}
	for _, l := range p.opts.DNSStream {
		p.sessions.accept(l, nil, func(s *slot) {
			s.becomes(s.closeIdle)
			names.ServeConn(p.ctx, s.Conn)
		})
	}
	if p.opts.Certify != nil {
		p.tasks.Go(func() { p.renew.Run(p.ctx) })
	}
	p.tasks.Go(func() { _ = p.poller.Run(p.ctx) }) // an error is that of a descriptor which nobody else has
	p.tasks.Go(p.keep)
	<-ctx.Done()
	p.close()
	return ctx.Err()
}

func (p *Proxy) close() {
	p.end()
	p.sessions.close()
	p.admins.close()
	p.links.close()
	p.plain.Close()
	p.app.Close()
	p.tasks.Wait()
	p.save()
}

// keep does what is due from time to time.
func (p *Proxy) keep() {
	tick := time.NewTicker(tickTime)
	defer tick.Stop()
	for {
		select {
		case <-p.ctx.Done():
			return
		case <-p.store.Changed():
			if p.opts.Cache != "" {
				p.rest(saveAfter) // changes come in crowds
				p.save()
			}
		case <-tick.C:
			p.poller.Expire(p.now())
			p.plain.Idle(p.now())
			p.app.Idle(p.now())
			p.links.idle(p.now())
			p.ports.Retry()
			p.datagrams.Retry()
			p.live.keep()
			p.store.Idle(p.now().Add(-p.opts.Forget))
		}
	}
}

const (
	tickTime  = 5 * time.Second
	saveAfter = 200 * time.Millisecond
)

// rest waits, or until the proxy ends.
func (p *Proxy) rest(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-p.ctx.Done():
	}
}

// known returns the workload's own configuration, waiting for it a while.
func (p *Proxy) known() (*self, error) {
	if s := p.self.Load(); s != nil {
		return s, nil
	}
	ctx, cancel := context.WithTimeout(p.ctx, p.opts.Lookup)
	defer cancel()
	_, _, err := p.store.Get(ctx, p.selfName(), p.now())
	if s := p.self.Load(); s != nil {
		return s, nil
	}
	if err == nil {
		err = fmt.Errorf("workload %s is not registered", p.opts.Workload)
	}
	return nil, err
}

func (p *Proxy) buildService(cfg *config.Service) (*held.Service, error) {
	var egress []authz.Engine
	if s := p.self.Load(); s != nil {
		egress = s.cfg.Egress
	}
	way, err := chain.NewService(cfg, p.state, p.store.Find, egress, p.now())
	if err != nil {
		return nil, err
	}
	return &held.Service{Config: cfg, Way: way}, nil
}

// useWorkload takes the workload's own configuration into use, and closes what it does not allow any more. A workload that the
// control plane does not know (yet, after its restart) goes on with the last that it knew.
func (p *Proxy) useWorkload(name string, w *config.Workload) error {
	if name != p.selfName() || w == nil {
		return nil
	}
	s := &self{cfg: w, ports: map[uint16]traffic.Proto{}, peer: traffic.Peer{Addr: netip.AddrPortFrom(w.Addr, 0), ID: p.opts.ID,
		Workload: p.opts.Workload, Labels: w.Labels}}
	var err error
	if s.in, err = chain.NewInbound(w); err != nil {
		return err
	}
	if s.egress, err = chain.NewPassthrough(w.Egress); err != nil {
		return err
	}
	s.entering, s.judging = chain.AtGateway(w, enteredBy{p}), chain.AtGateway(w, traffic.Forward{})
	for _, x := range w.Ports {
		s.ports[x.Number] = x.Proto
	}
	p.useSelf.Lock()
	defer p.useSelf.Unlock()
	old := p.self.Swap(s)
	if err := p.store.Rebuild(); err != nil {
		p.self.Store(old)
		return err
	}
	p.spawn(p.rejudge)
	return nil
}

// spawn runs f on a goroutine of the proxy's, unless the proxy has ended.
func (p *Proxy) spawn(f func()) {
	if p.ctx.Err() == nil {
		p.tasks.Go(f)
	}
}

func (p *Proxy) useTrust(t *config.Trust) error { return p.renew.Trust(t) }

func (p *Proxy) changedPeer(string) { p.spawn(p.rejudge) }

func (p *Proxy) resource(ctx context.Context, name string) (any, error) {
	_, v, err := p.store.Get(ctx, name, p.now())
	return v, err
}

// service finds a service by its full name; nil: there is none.
func (p *Proxy) service(ctx context.Context, host string) (*config.Service, error) {
	ctx, cancel := context.WithTimeout(ctx, p.opts.Lookup)
	defer cancel()
	v, err := p.resource(ctx, config.Name(config.KindService, host))
	svc, _ := v.(*config.Service)
	return svc, err
}
