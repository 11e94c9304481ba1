package chain_test

import (
	"net/netip"
	"testing"

	"github.com/weft-mesh/weft/chain"
	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/feature/authz"
	"github.com/weft-mesh/weft/feature/route"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/traffic"
	"github.com/weft-mesh/weft/traffic/traffictest"
)

var at80 = netip.MustParseAddrPort("10.0.0.1:80")

// answers stands for a service's endpoints.
type answers struct{}

func (answers) Serve(c *traffic.Call) error { c.Response.Status = 200; return nil }

func listener(name, host string, entry mesh.Entry, hosts ...string) config.Listener {
	l := config.Listener{Listener: mesh.Listener{Name: name, Port: 80, Host: host, Entry: entry}}
	l.Ref.Kind, l.Ref.Name = "Gateway", name
	for _, h := range hosts {
		r := mesh.Rule{Backends: []mesh.Backend{{Weighted: route.Weighted{Target: traffic.Target{Service: name + " " + h, Port: 80}, Weight: 1}}}}
		r.Ref.Kind, r.Ref.Name = "HTTPRoute", name+" "+h
		l.Hosts = append(l.Hosts, mesh.Hosted{Host: h, Rules: []mesh.Rule{r}})
	}
	return l
}

// TestHosts: names before wildcards before all, whatever comes in between; a wildcard is for any depth below, and not for itself.
func TestHosts(t *testing.T) {
	cfg := &config.Gateway{Listeners: []config.Listener{listener("l", "", mesh.EntryHTTP, "a.b.example", "*.b.example", "*.example", "")}}
	g, err := chain.NewGateway(cfg, chain.NewState(), func(t traffic.Target) (traffic.Handler, string) { return answers{}, "" })
	if err != nil {
		t.Fatal(err)
	}
	for authority, want := range map[string]string{"a.b.example": "a.b.example", "A.B.Example:80": "a.b.example", "x.b.example": "*.b.example", "y.x.b.example": "*.b.example",
		"b.example": "*.example", "example": "", ".example": "", "": "", "[::1]:80": "", "other": "", "a.b.example.": ""} {
		c := &traffic.Call{}
		c.Begin(&traffictest.Host{}, &traffic.Conn{Original: at80})
		c.Proto, c.Authority = traffic.HTTP1, authority
		if err := g.Serve(c); err != nil || c.Target.Service != "l "+want {
			t.Errorf("%q: %q %v", authority, c.Target.Service, err)
		}
	}
}

// TestRulesThatKnowNoDatagrams: an older control plane's rules do not tell UDP from TCP, and neither do those of a proxy that has not been
// one of a gateway with a port for UDP: by such rules nothing comes in over UDP. Where there are none, it does.
func TestRulesThatKnowNoDatagrams(t *testing.T) {
	all := []authz.Engine{{Dialect: decision.Cilium, Tiers: []authz.Tier{{Rules: []authz.Rule{{}}}}}}
	for _, x := range []struct {
		name   string
		w      config.Workload
		status int
	}{
		{"no rules", config.Workload{}, 200},
		{"rules that do not", config.Workload{Inbound: mesh.Inbound{Authz: all}}, 403},
		{"rules for calls out that do not", config.Workload{Egress: all}, 403},
		{"rules that do", config.Workload{Inbound: mesh.Inbound{Authz: all}, Datagrams: true}, 200},
	} {
		for _, udp := range []bool{false, true} {
			c := &traffic.Call{}
			c.Begin(&traffictest.Host{}, &traffic.Conn{Original: at80, Datagrams: udp})
			if err := chain.AtGateway(&x.w, answers{}).Serve(c); err != nil || c.Response.Status != x.status && (udp || c.Response.Status != 200) {
				t.Errorf("%s, UDP %v: %d %v", x.name, udp, c.Response.Status, err)
			}
		}
	}
}

// TestGatewayAllocatesNothing for a call of the steady state.
func TestGatewayAllocatesNothing(t *testing.T) {
	cfg := &config.Gateway{Listeners: []config.Listener{listener("one", "shop.example", mesh.EntryHTTP, "shop.example"), listener("wild", "*.example", mesh.EntryHTTP, "*.example")}}
	g, err := chain.NewGateway(cfg, chain.NewState(), func(t traffic.Target) (traffic.Handler, string) { return answers{}, "" })
	if err != nil {
		t.Fatal(err)
	}
	c, conn, h := &traffic.Call{}, &traffic.Conn{Original: at80}, &traffictest.Host{}
	for _, host := range []string{"shop.example", "a.b.example:80"} {
		if n := testing.AllocsPerRun(100, func() {
			c.Begin(h, conn)
			c.Proto, c.Authority, c.Method, c.Path = traffic.HTTP1, host, "GET", "/"
			_ = g.Serve(c)
			c.Finish(c.Now)
		}); n > 0 {
			t.Errorf("%s: %v allocations", host, n)
		}
	}
}

// TestGatewayRefuses what a proxy cannot serve as it says.
func TestGatewayRefuses(t *testing.T) {
	for name, list := range map[string][]config.Listener{
		"a protocol of a newer control plane": {listener("l", "", mesh.EntryUDP+1)},
		"two protocols on a port":             {listener("a", "", mesh.EntryHTTP), listener("b", "x.example", mesh.EntryHTTPS)},
	} {
		if _, err := chain.NewGateway(&config.Gateway{Listeners: list}, chain.NewState(), nil); err == nil {
			t.Error(name + " is taken")
		}
	}
}
