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
	"github.com/weft-mesh/weft/traffic"
)

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
	switch {
	case h.q.Gateway != "":
		return h.gateway(c)
	case h.q.From == "":
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
		return h.toAddress(c)
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

// toAddress is the way of a call to an address that is no service's: of a workload's, by the rules of a headless service that it is of.
func (h *host) toAddress(c *traffic.Call) (traffic.Handler, error) {
	c.To, c.Upstream = &traffic.Endpoint{Addr: h.q.Addr}, &traffic.Upstream{}
	a := h.cfg.Addresses[h.q.Addr.Addr().String()]
	if a == nil || a.Workload == nil {
		return chain.NewPassthrough(h.self.Egress)
	}
	for _, name := range a.Members {
		port, to := h.cfg.Services[name].Endpoint(h.q.Addr)
		if to == nil {
			continue
		}
		c.Target = traffic.Target{Service: name, Port: port.Number}
		if port.Route != (decision.Ref{}) {
			s, err := h.service(name)
			if err != nil {
				return nil, err
			}
			return s.Port(port.Number), nil
		}
		c.To, c.Upstream = to, chain.Upstream(&port.Pools[0].Policy, port.Proto)
		return chain.NewPassthrough(h.self.Egress)
	}
	to, proto := a.At(h.q.Addr.Port())
	c.To, c.Upstream.Proto = &to, proto
	return chain.NewPassthrough(h.self.Egress)
}

// published is the way of a call from outside of the mesh.
func (h *host) published(c *traffic.Call) (traffic.Handler, error) {
	w := h.cfg.Workloads[h.q.To]
	if w == nil {
		return nil, fmt.Errorf("explain: there is no workload %s", h.q.To)
	}
	conn := &traffic.Conn{Source: h.source(w, h.q.Source), Original: netip.AddrPortFrom(w.Addr, h.q.Port)}
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
	secure := c.Mutual(c.To)
	if s := c.Secures(); s != nil && s.Mode == traffic.Required && !secure {
		c.Trail.Took("callee", decision.Verdict{Ref: &s.Ref, Reason: decision.ConnectFailed}, "it has no proxy that takes mutual TLS")
		return c.Fail(traffic.ErrConnect)
	}
	w := h.cfg.Workloads[c.To.Workload]
	switch {
	case w == nil:
		c.Trail.Took("callee", decision.Verdict{Reason: decision.Assumed}, "nothing is known of it")
		h.deliver(c, "")
		return nil
	case !c.To.Tunnel.IsValid():
		c.Trail.Took("callee", decision.Verdict{Reason: decision.Assumed}, "it has no proxy, so nothing judges the call")
		h.deliver(c, c.To.Workload)
		return nil
	}
	in, err := inbound(w)
	if err != nil {
		return err
	}
	r := &traffic.Call{}
	conn := &traffic.Conn{Source: peer(h.self), Original: c.To.Addr, Secure: secure}
	if !secure {
		conn.Source = h.source(w, h.self.Addr)
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
		if h.q.Gateway == "" { // which has added its caller already
			chain.Forwarded(&r.Header, h.self.Addr.String(), "http")
		}
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
	chain.Forwarded(&c.Header, addr, cmp.Or(c.Scheme, "http"))
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
