package proxy_test

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/feature/authz"
	"github.com/weft-mesh/weft/feature/route"
	"github.com/weft-mesh/weft/internal/sys"
	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/observe"
	"github.com/weft-mesh/weft/proxy"
	"github.com/weft-mesh/weft/traffic"
)

// datagrams is a gateway's proxy that opens a port of UDP, and where that is.
func (w *world) datagrams(to ...mesh.Backend) (e *edge, at net.Addr) {
	w.t.Helper()
	open := make(chan net.Addr, 100)
	l := config.Listener{Listener: mesh.Listener{Ref: ref("Gateway", "edge"), Name: "dns", Port: 53, Entry: mesh.EntryUDP},
		Hosts: []mesh.Hosted{{Rules: []mesh.Rule{{Rule: route.Rule{Ref: ref("UDPRoute", "dns")}, Backends: to}}}}}
	e = &edge{}
	w.set(config.KindGateway, "default/edge", &config.Gateway{Ref: ref("Gateway", "edge"), Listeners: []config.Listener{l}})
	e.node = w.start("edge-1", nil, func(_ *node, o *proxy.Options) {
		o.Gateway = "default/edge"
		o.Listen = func(uint16) (net.Listener, error) { return listen(w.t), nil }
		o.ListenUDP = func(uint16) (*net.UDPConn, error) {
			c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
			if err == nil {
				open <- c.LocalAddr()
			}
			return c, err
		}
	})
	return e, <-open
}

// names is a service with a port of UDP at an endpoint, and one of TCP that has the same number and leads nowhere.
func (w *world) names(name string, at netip.AddrPort, secure *traffic.Secure) mesh.Backend {
	w.publish(&config.Service{Host: host(name), Namespace: "default", Ports: []config.Port{{Number: 53, Proto: traffic.TCP, Pools: []config.Pool{{}}}},
		Datagrams: []config.Port{{Number: 53, Proto: traffic.UDP, Pools: []config.Pool{{Policy: mesh.Outbound{Secure: secure},
			Endpoints: []traffic.Endpoint{{Addr: at, Workload: "default/" + name + "-1"}}}}}}})
	return mesh.Backend{Weighted: route.Weighted{Target: traffic.Target{Service: host(name), Port: 53, Datagrams: true}, Weight: 1}}
}

// answering is an application that answers each datagram with a word and the datagram.
func answering(t *testing.T, word string) netip.AddrPort {
	t.Helper()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	must(t, err)
	done := make(chan bool)
	go func() {
		defer close(done)
		b := make([]byte, 64<<10)
		for {
			n, from, err := c.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			_, _ = c.WriteToUDPAddrPort(append([]byte(word), b[:n]...), from)
		}
	}()
	t.Cleanup(func() { c.Close(); <-done })
	return c.LocalAddr().(*net.UDPAddr).AddrPort()
}

// sender is one who sends datagrams.
func sender(t *testing.T, to net.Addr) *net.UDPConn {
	t.Helper()
	c, err := net.DialUDP("udp", nil, to.(*net.UDPAddr))
	must(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

// query sends a datagram and returns the answer; empty: there is none, for a moment.
func query(t *testing.T, c *net.UDPConn, text string, patience time.Duration) string {
	t.Helper()
	_, err := c.Write([]byte(text))
	must(t, err)
	must(t, c.SetReadDeadline(time.Now().Add(patience)))
	b := make([]byte, 64<<10)
	n, err := c.Read(b)
	if err != nil {
		return ""
	}
	return string(b[:n])
}

// TestDatagrams: those of one sender go to one endpoint, over the port for UDP, and make one record.
func TestDatagrams(t *testing.T) {
	w := newWorld(t)
	e, at := w.datagrams(w.names("names", answering(t, "re: "), nil))
	c := sender(t, at)
	for _, text := range []string{"one", "two"} {
		if got := query(t, c, text, bound); got != "re: "+text {
			t.Fatalf("%q", got)
		}
	}
	w.set(config.KindGateway, "default/edge", nil) // the port is closed, and its sessions with it
	r := e.records.wait(t, 1)[0]
	if r.Proto != traffic.UDP || r.Service != host("names") || r.Port != 53 || r.To.Workload != "default/names-1" || r.Sent != 6 || r.Received != 14 ||
		r.From.Addr != c.LocalAddr().(*net.UDPAddr).AddrPort() || r.Status != 200 || r.Deciding.Ref.Kind != "UDPRoute" {
		t.Errorf("%+v", r)
	}
	eventually(t, "closed", func() bool { return query(t, c, "three", 10*time.Millisecond) == "" })
}

// TestDatagramsByWeight: each session's backend is drawn anew.
func TestDatagramsByWeight(t *testing.T) {
	w := newWorld(t)
	a, b, none := w.names("a", answering(t, "a"), nil), w.names("b", answering(t, "b"), nil), w.names("c", answering(t, "c"), nil)
	a.Weight, b.Weight, none.Weight = 3, 1, 0
	_, at := w.datagrams(a, b, none)
	got := map[string]int{}
	for range 60 {
		got[query(t, sender(t, at), "", bound)]++
	}
	if got["a"] < 30 || got["b"] < 3 || got["a"]+got["b"] != 60 {
		t.Errorf("%v", got)
	}
}

// TestDatagramsFailClosed: without a way that policies allow, nothing is sent and the record says why.
func TestDatagramsFailClosed(t *testing.T) {
	tight := closed("friends-only", "friend")
	for name, x := range map[string]struct {
		secure *traffic.Secure
		authz  []authz.Engine
		older  bool // the control plane
		target func(*mesh.Backend)
		why    decision.Reason
	}{
		"TCP alone may come":         {authz: []authz.Engine{allowing(match.Over(match.OverTCP))}, why: decision.NoRuleAllows},
		"UDP is denied":              {authz: []authz.Engine{denying(match.Over(match.OverUDP))}, why: decision.Matched},
		"rules that know no UDP":     {authz: []authz.Engine{allowing()}, older: true, why: decision.NoRuleAllows},
		"a policy wants TLS":         {secure: &traffic.Secure{Mode: traffic.Simple}, why: decision.ConnectFailed},
		"a policy wants mutual TLS":  {secure: &traffic.Secure{Mode: traffic.Required}, why: decision.ConnectFailed},
		"nobody may come":            {authz: []authz.Engine{tight}, why: decision.NoRuleAllows},
		"a backend that is missing":  {target: func(b *mesh.Backend) { b.Missing = "no such Service" }, why: decision.NoBackend},
		"a port that is not for UDP": {target: func(b *mesh.Backend) { b.Target.Port = 54 }, why: decision.NoBackend},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			to := w.names("names", answering(t, "re: "), x.secure)
			if x.target != nil {
				x.target(&to)
			}
			e, at := w.datagrams(to)
			e.cfg.Inbound.Authz, e.cfg.Datagrams = x.authz, !x.older
			e.apply()
			c := sender(t, at)
			for range 5 {
				if got := query(t, c, "x", 5*time.Millisecond); got != "" {
					t.Errorf("%q", got)
				}
			}
			all := e.records.wait(t, 1)
			if r := all[0]; len(all) != 1 || r.Proto != traffic.UDP || r.Reason() != x.why || r.Sent != 0 {
				t.Errorf("%+v", all)
			}
		})
	}
}

// allowing lets pass what all conditions hold of, and nothing else.
func allowing(when ...match.Condition) authz.Engine {
	e := closed("some")
	e.Tiers[0].Rules = []authz.Rule{{Ref: ref("AuthorizationPolicy", "some"), When: when}}
	return e
}

// denying lets pass what the condition does not hold of.
func denying(when match.Condition) authz.Engine {
	return authz.Engine{Dialect: decision.Cilium, Tiers: []authz.Tier{{Effect: authz.Deny, Rules: []authz.Rule{{Ref: ref("CiliumNetworkPolicy", "none"), When: []match.Condition{when}}}}}}
}

// TestDatagramsAllowed by what is said of UDP, whatever is said of TCP.
func TestDatagramsAllowed(t *testing.T) {
	w := newWorld(t)
	e, at := w.datagrams(w.names("names", answering(t, "re: "), nil))
	e.cfg.Inbound.Authz, e.cfg.Datagrams = []authz.Engine{allowing(match.Over(match.OverUDP)), denying(match.Over(match.OverTCP))}, true
	e.apply()
	if got := query(t, sender(t, at), "x", bound); got != "re: x" {
		t.Fatalf("%q", got)
	}
}

// TestDatagramsTightened: a session that a new policy does not allow ends, and its sender is not heard.
func TestDatagramsTightened(t *testing.T) {
	w := newWorld(t)
	e, at := w.datagrams(w.names("names", answering(t, "re: "), nil))
	c := sender(t, at)
	if got := query(t, c, "x", bound); got != "re: x" {
		t.Fatalf("%q", got)
	}
	e.cfg.Inbound.Authz, e.cfg.Datagrams = []authz.Engine{closed("friends-only", "friend")}, true
	e.apply()
	r := e.records.wait(t, 1)[0]
	if r.Received != 5 || r.Reason() != decision.NoRuleAllows {
		t.Errorf("%+v", r)
	}
	if got := query(t, c, "x", 10*time.Millisecond); got != "" {
		t.Errorf("%q", got)
	}
}

// TestDatagramsToNobody: where nobody takes them the endpoint has failed, and soon the sender is heard again.
func TestDatagramsToNobody(t *testing.T) {
	w := newWorld(t)
	gone, err := sys.ListenUDP(netip.MustParseAddrPort("127.0.0.1:0"))
	must(t, err)
	at := gone.LocalAddr().(*net.UDPAddr).AddrPort()
	gone.Close()
	e, door := w.datagrams(w.names("names", at, nil))
	c := sender(t, door)
	if got := query(t, c, "x", 10*time.Millisecond); got != "" {
		t.Errorf("%q", got)
	}
	failed := func(r *observe.Record) bool { return r.Failed && r.Err != nil }
	e.records.of(t, 1, failed)
	eventually(t, "heard again", func() bool {
		query(t, c, "x", 10*time.Millisecond)
		e.records.mu.Lock()
		defer e.records.mu.Unlock()
		return len(e.records.all) >= 2
	})
}
