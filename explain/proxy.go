package explain

import (
	"cmp"
	"strings"
	"time"

	"github.com/weft-mesh/weft/chain"
	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/traffic"
)

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
	return p.begin(q, draw)
}

// Open is a call that is answered and goes on: it holds its place in limits, and counts as waiting, until End.
type Open struct {
	c *traffic.Call
	h *host
	b Branch
}

func (p *Proxy) begin(q *Query, draw uint64) (*Open, error) {
	p.now = q.Now
	h := &host{Proxy: p, q: q, fail: q.Fail}
	c := &traffic.Call{}
	out, err := h.way(c)
	if err != nil {
		return nil, err
	}
	c.Proto, c.Method, c.Scheme, c.Authority, c.Path, c.Query, c.Now, c.Draw = q.Proto, q.Method, cmp.Or(q.Scheme, "http"), q.Authority, traffic.NormalPath(q.Path), q.Query, q.Now, draw
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
