package explain

import (
	"fmt"
	"net/netip"

	"github.com/weft-mesh/weft/chain"
	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/traffic"
)

// gateway is the way of a call from outside that comes to a gateway: judged as calls into a workload are, then sent on by its rules.
func (h *host) gateway(c *traffic.Call) (traffic.Handler, error) {
	w, g := h.cfg.Workloads[h.q.To], h.cfg.Gateways[h.q.Gateway]
	if w == nil || g == nil {
		return nil, fmt.Errorf("explain: there is no gateway %s with a proxy %s", h.q.Gateway, h.q.To)
	}
	var err error
	if h.self, err = received(w); err != nil {
		return nil, err
	}
	if g, err = received(g); err != nil {
		return nil, err
	}
	c.Begin(h, &traffic.Conn{Source: h.source(w, h.q.Source), Original: netip.AddrPortFrom(w.Addr, h.q.Port), SNI: h.q.SNI,
		Datagrams: h.q.Datagrams})
	way, err := chain.NewGateway(g, h.state, h.find)
	if err != nil {
		return nil, err
	}
	if _, err := chain.NewInbound(h.self); err != nil { // which readies what AtGateway is made of
		return nil, err
	}
	opens, secure := way.Opens(h.q.Port)
	entering := chain.AtGateway(h.self, way)
	switch {
	case h.q.Datagrams && way.Datagrams(h.q.Port) != nil:
		return entering, nil
	case !opens || h.q.Datagrams:
		return refusal{decision.NoRoute, 503, fmt.Sprintf("the gateway %s does not listen on port %d%s", h.q.Gateway, h.q.Port, map[bool]string{true: " for UDP"}[h.q.Datagrams])}, nil
	case secure && way.Listener(h.q.Port, h.q.SNI) == nil:
		return connection{entering}, nil
	}
	return entering, nil
}

// connection serves a call as the connection that it would come by, which ends before there is a request.
type connection struct{ traffic.Handler }

func (x connection) Serve(c *traffic.Call) error {
	c.Proto = traffic.TCP
	return x.Handler.Serve(c)
}
