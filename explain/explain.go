// Package explain runs a call that is not made through the chains that would serve it, and returns everything that was
// decided. It is a traffic.Host without a network or a clock: order and rules cannot differ from the proxy's.
package explain

import (
	"cmp"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/weft-mesh/weft/chain"
	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/feature/balance"
	"github.com/weft-mesh/weft/traffic"
)

// Query is a call to be explained.
type Query struct {
	From      string         `json:"from"` // the calling workload, namespace/name; empty: from outside of the mesh, in the clear, to To
	To        string         `json:"to,omitempty"`
	Proto     traffic.Proto  `json:"proto"`
	Host      string         `json:"host,omitempty"` // full name of the service that is called; empty: Addr is
	Port      uint16         `json:"port,omitempty"`
	Addr      netip.AddrPort `json:"addr,omitzero"` // an address that is no service's
	Method    string         `json:"method,omitempty"`
	Authority string         `json:"authority,omitempty"` // as the call says it
	Path      string         `json:"path,omitempty"`
	Query     string         `json:"query,omitempty"`
	Header    [][2]string    `json:"header,omitempty"`
	Now       time.Time      `json:"now,omitzero"`
	Source    netip.Addr     `json:"source,omitzero"`  // of a call from outside; not valid: unknown, and ErrNoAddress where it counts
	Fail      int            `json:"fail,omitempty"`   // so many attempts fail to connect: what if
	Status    int            `json:"status,omitempty"` // what the application answers [200]; below 100: a gRPC status
	Takes     time.Duration  `json:"takes,omitempty"`  // how long the application takes to answer
	Apps      map[string]App `json:"apps,omitempty"`   // applications that answer otherwise, by workload
}

// App is how one workload's application answers, whatever a call asks for. Zero: as the call asks.
type App struct {
	Status  int           `json:"status,omitempty"`
	Takes   time.Duration `json:"takes,omitempty"`
	Refuses bool          `json:"refuses,omitempty"` // nobody is there to connect to
}

// Branch is one way that the call can go.
type Branch struct {
	Share   float64            `json:"share"`            // of calls, in (0, 1]
	Draw    uint64             `json:"draw,omitempty"`   // a lot by which calls go this way
	Status  int                `json:"status,omitempty"` // of TCP: as if it were HTTP
	GRPC    string             `json:"grpcStatus,omitempty"`
	Failed  string             `json:"failed,omitempty"` // why no callee answered; Status is what the proxy makes of it
	Target  traffic.Target     `json:"target,omitzero"`
	To      *traffic.Endpoint  `json:"to,omitempty"`
	Attempt int                `json:"attempts,omitempty"`
	Copies  []traffic.Target   `json:"copies,omitempty"`  // where mirrors send the call too
	Path    string             `json:"path,omitempty"`    // as the application gets it
	Header  [][2]string        `json:"header,omitempty"`  // as the application gets them
	Returns [][2]string        `json:"returns,omitempty"` // headers of the answer
	Failure bool               `json:"failure,omitempty"` // what the call counts as
	Class   *decision.Ref      `json:"class,omitempty"`   // the rule that says so; nil: the mesh's own
	By      decision.Verdict   `json:"by"`                // what answered, or what let the call pass last
	Because []decision.Verdict `json:"because,omitempty"`
	Steps   []decision.Step    `json:"steps"`
}

// Call explains q. cfg holds what the caller's and the callees' proxies have: what compile.All made for q.From. learnt, which may
// be nil, is what the caller's proxy has learnt of endpoints.
func Call(cfg *config.Set, learnt map[traffic.Target][]balance.Snapshot, q Query) ([]Branch, error) {
	if err := addressed(cfg, &q); err != nil {
		return nil, err
	}
	first, err := once(cfg, learnt, &q, 0)
	if err != nil {
		return nil, err
	}
	for _, s := range first.Steps {
		if len(s.Options) < 2 {
			continue
		}
		var all []Branch
		for _, o := range s.Options {
			b, err := once(cfg, learnt, &q, o.Draw)
			if err != nil {
				return nil, err
			}
			b.Share = o.Share
			all = append(all, b)
		}
		return all, nil
	}
	return []Branch{first}, nil
}

func once(cfg *config.Set, learnt map[traffic.Target][]balance.Snapshot, q *Query, draw uint64) (Branch, error) {
	o, err := begin(NewProxy(cfg), learnt, q, draw)
	if err != nil {
		return Branch{}, err
	}
	return o.End(), nil
}

// Proxy is what a caller's proxy would hold: what it learns of one call counts for the next. It is for one goroutine.
type Proxy struct {
	cfg      *config.Set
	state    *chain.State
	services map[string]*chain.Service
	self     *config.Workload
	now      time.Time
}

// NewProxy has learnt nothing. cfg is what compile.All made for the caller.
func NewProxy(cfg *config.Set) *Proxy {
	return &Proxy{cfg: cfg, state: chain.NewState(), services: map[string]*chain.Service{}}
}

// Begin takes a call, which goes by draw where chance decides, to its answer.
func (p *Proxy) Begin(q *Query, draw uint64) (*Open, error) {
	if err := addressed(p.cfg, q); err != nil {
		return nil, err
	}
	return begin(p, nil, q, draw)
}

// Open is a call that is answered and goes on: it holds its place in limits, and counts as waiting, until End.
type Open struct {
	c *traffic.Call
	h *host
	b Branch
}

func begin(p *Proxy, learnt map[traffic.Target][]balance.Snapshot, q *Query, draw uint64) (*Open, error) {
	p.now = q.Now
	h := &host{Proxy: p, q: q, fail: q.Fail}
	c := &traffic.Call{}
	out, err := h.way(c)
	if err != nil {
		return nil, err
	}
	h.state.Restore(learnt, q.Now)
	c.Proto, c.Method, c.Scheme, c.Authority, c.Path, c.Query, c.Now, c.Draw = q.Proto, q.Method, "http", q.Authority, traffic.NormalPath(q.Path), q.Query, q.Now, draw
	for _, f := range q.Header {
		c.Header.Receive(strings.ToLower(f[0]), f[1])
	}
	if q.From == "" {
		fromOutside(c, q.Source, p.cfg.Workloads[q.To])
	} else {
		chain.FromApp(&c.Header)
	}
	c.Trail = &decision.Trail{Side: "caller"}
	o := &Open{c: c, h: h, b: Branch{Share: 1, Draw: draw}}
	if err := out.Serve(c); err != nil {
		status, v := chain.Unanswered(c, err)
		o.b.Failed = err.Error()
		_ = c.Reply(status, v)
	}
	return o, nil
}

// Now is when the call was answered.
func (o *Open) Now() time.Time { return o.h.now }

// End ends the call, and returns all that was decided.
func (o *Open) End() Branch {
	c, h, b := o.c, o.h, o.b
	b.Status, b.Target, b.To, b.Attempt = c.Response.Status, c.Target, c.To, int(c.Attempts)
	b.Header, b.Path = h.arrived, h.path
	b.GRPC, _ = c.GRPCStatus()
	c.Response.Header.All(func(name, value string) bool {
		b.Returns = append(b.Returns, [2]string{strings.Clone(name), strings.Clone(value)})
		return true
	})
	b.Failure, b.Class = c.FailedBy()
	c.Finish(h.now) // what ends may have a word too: an ejection
	b.Because = append(b.Because, c.Verdicts()...)
	b.By = decision.Deciding(b.Because)
	b.Steps, b.Copies = c.Trail.Steps, h.copies
	return b
}

// host carries a call from the caller's chain to the callee's.
type host struct {
	*Proxy
	q    *Query
	fail int

	arrived [][2]string // headers as the application gets them
	path    string
	copying bool // what is served is a mirror's copy
	copies  []traffic.Target
}

// way begins the call and returns where it enters the mesh.
func (h *host) way(c *traffic.Call) (traffic.Handler, error) {
	if h.q.From == "" {
		return h.published(c)
	}
	if h.cfg.Workloads[h.q.From] == nil {
		return nil, fmt.Errorf("explain: there is no workload %s", h.q.From)
	}
	var err error
	if h.self, err = received(h.cfg.Workloads[h.q.From]); err != nil {
		return nil, err
	}
	conn := &traffic.Conn{Source: peer(h.self)}
	c.Begin(h, conn)
	if h.q.Host == "" {
		conn.Original = h.q.Addr
		c.To, c.Upstream = &traffic.Endpoint{Addr: h.q.Addr}, &traffic.Upstream{}
		return chain.NewPassthrough(h.self.Egress)
	}
	svc := h.cfg.Services[h.q.Host]
	if svc == nil {
		return refusal{decision.NoService, 502, "there is no service " + h.q.Host}, nil
	}
	c.Target = traffic.Target{Service: h.q.Host, Port: h.q.Port}
	if len(svc.IPs) > 0 {
		conn.Original = netip.AddrPortFrom(svc.IPs[0], h.q.Port)
	} else {
		conn.Original = netip.AddrPortFrom(netip.IPv4Unspecified(), h.q.Port)
	}
	s, err := h.service(h.q.Host)
	if err != nil {
		return nil, err
	}
	if p := s.Port(h.q.Port); p != nil {
		return p, nil
	}
	return refusal{decision.NoService, 502, s.Lacks(h.q.Host, h.q.Port)}, nil
}

// published is the way of a call from outside of the mesh.
func (h *host) published(c *traffic.Call) (traffic.Handler, error) {
	w := h.cfg.Workloads[h.q.To]
	if w == nil {
		return nil, fmt.Errorf("explain: there is no workload %s", h.q.To)
	}
	conn := &traffic.Conn{Source: traffic.Peer{Addr: netip.AddrPortFrom(h.q.Source, 0)}, Original: netip.AddrPortFrom(w.Addr, h.q.Port)}
	c.Begin(arrived{h, h.q.To}, conn)
	return inbound(w)
}

func inbound(w *config.Workload) (traffic.Handler, error) {
	got, err := received(w)
	if err != nil {
		return nil, err
	}
	return chain.NewInbound(got)
}

// received is a resource as a proxy has it, that is, as it comes out of the codec. A chain readies what it is built of; it must not
// be what the mesh and all who ask of it share.
func received[T any](sent *T) (*T, error) {
	got := new(T)
	return got, config.Parse(config.Append(nil, sent), got)
}

func peer(w *config.Workload) traffic.Peer {
	return traffic.Peer{Addr: netip.AddrPortFrom(w.Addr, 0), ID: w.ID, Workload: w.Namespace + "/" + w.Name, Labels: w.Labels}
}

func (p *Proxy) service(name string) (*chain.Service, error) {
	if s := p.services[name]; s != nil {
		return s, nil
	}
	if p.cfg.Services[name] == nil {
		return nil, nil
	}
	cfg, err := received(p.cfg.Services[name])
	if err != nil {
		return nil, err
	}
	s, err := chain.NewService(cfg, p.state, p.find, p.self.Egress, p.now)
	p.services[name] = s
	return s, err
}

func (p *Proxy) find(t traffic.Target) (traffic.Handler, string) {
	s, err := p.service(t.Service)
	if err != nil {
		return nil, err.Error()
	}
	return s.Find(t)
}

// refusal answers what has no way.
type refusal struct {
	why    decision.Reason
	status int
	detail string
}

func (r refusal) Serve(c *traffic.Call) error {
	v := decision.Verdict{Outcome: decision.Deny, Reason: r.why}
	c.Trail.Took("service", v, r.detail)
	return c.Reply(r.status, v)
}

func (h *host) Now() time.Time { return h.now }

func (h *host) Sleep(c *traffic.Call, d time.Duration) error {
	at := h.now.Add(d)
	if end := c.Deadline.At; !end.IsZero() && at.After(end) {
		h.now = end
		return traffic.ErrDeadline
	}
	h.now, c.Now = at, at
	return nil
}

func (h *host) Forward(c *traffic.Call) error {
	if h.fail > 0 || h.q.Apps[c.To.Workload].Refuses {
		h.fail = max(h.fail-1, 0)
		return c.Fail(traffic.ErrConnect)
	}
	w := h.cfg.Workloads[c.To.Workload]
	if w == nil {
		c.Trail.Took("callee", decision.Verdict{Reason: decision.Assumed}, "nothing is known of it")
		h.deliver(c, "")
		return nil
	}
	in, err := inbound(w)
	if err != nil {
		return err
	}
	r := &traffic.Call{}
	secure := !c.To.ID.IsZero() && c.Upstream.Secure.Mode == traffic.Mutual
	conn := &traffic.Conn{Source: peer(h.self), Original: c.To.Addr, Secure: secure}
	if !secure {
		conn.Source.ID, conn.Source.Workload, conn.Source.Labels = traffic.Peer{}.ID, "", nil
	}
	r.Begin(arrived{h, c.To.Workload}, conn)
	r.Attrs = c.Attrs
	r.Conn, r.Now = conn, h.now
	r.Header = traffic.Header{}
	c.Header.All(func(name, value string) bool { r.Header.Receive(name, value); return true })
	h.hop(r, w)
	r.Trail.At("callee")
	defer r.Trail.At("caller")
	err = in.Serve(r)
	r.Finish(h.now)
	for _, v := range r.Verdicts() {
		c.Because(v)
	}
	if err == nil && !r.Response.Local && h.late(c) {
		return c.Fail(traffic.ErrDeadline)
	}
	c.Response.Status = r.Response.Status
	r.Response.Header.All(func(name, value string) bool { c.Response.Header.Receive(name, value); return true })
	return err
}

// hop does to headers what the two proxies of a call do.
func (h *host) hop(r *traffic.Call, to *config.Workload) {
	switch {
	case r.Proto == traffic.TCP:
	case r.Conn.Secure:
		chain.Forwarded(&r.Header, h.self.Addr.String(), "http")
		chain.FromPeer(&r.Header)
		r.Header.Add("x-forwarded-client-cert", "By="+to.ID.String()+";URI="+h.self.ID.String())
	default:
		fromOutside(r, h.self.Addr, to)
	}
}

// fromOutside does what the proxy of a workload does to headers that come in the clear.
func fromOutside(c *traffic.Call, from netip.Addr, to *config.Workload) {
	if c.Proto == traffic.TCP {
		return
	}
	if to.Trusts(from) {
		chain.FromTrusted(&c.Header, to.Trusts)
	} else {
		chain.FromOutside(&c.Header)
	}
	addr := ""
	if from.IsValid() {
		addr = from.String()
	}
	chain.Forwarded(&c.Header, addr, "http")
}

// late lets the time pass that the application takes; true: the call's deadline came first.
func (h *host) late(c *traffic.Call) bool {
	if h.copying { // nobody waits for it
		return false
	}
	at := h.now.Add(cmp.Or(h.q.Apps[c.To.Workload].Takes, h.q.Takes))
	if end := c.Deadline.At; !end.IsZero() && at.After(end) {
		h.now = end
		return true
	}
	h.now = at
	return false
}

// deliver is the answer of a workload's application.
func (h *host) deliver(c *traffic.Call, by string) {
	if !h.copying {
		h.arrived, h.path = [][2]string{{"host", strings.Clone(c.Authority)}, {"query", strings.Clone(c.Query)}}, strings.Clone(c.Path)
		c.Header.All(func(name, value string) bool {
			h.arrived = append(h.arrived, [2]string{strings.Clone(name), strings.Clone(value)})
			return true
		})
	}
	c.Response.Status = cmp.Or(h.q.Apps[by].Status, h.q.Status, 200)
	if c.Proto != traffic.GRPC {
		return
	}
	code := 0
	if c.Response.Status < 100 {
		code, c.Response.Status = c.Response.Status, 200
	}
	c.Response.Header.Receive("grpc-status", strconv.Itoa(code))
}

func (h *host) Detach(c *traffic.Call, to traffic.Handler) {
	c.Trail.At("mirror")
	h.copying = true
	_ = to.Serve(c)
	h.copies = append(h.copies, c.Target)
	h.copying = false
	c.Finish(h.now)
	c.Trail.At("caller")
}

// arrived is the host of the callee's chain.
type arrived struct {
	*host
	at string // the workload
}

func (a arrived) Forward(c *traffic.Call) error { a.deliver(c, a.at); return nil }
