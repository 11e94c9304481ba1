package mtls_test

import (
	"net/netip"
	"testing"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/feature/mtls"
	"github.com/weft-mesh/weft/traffic"
)

func TestJudge(t *testing.T) {
	all, port := decision.Ref{Name: "all"}, decision.Ref{Name: "port"}
	for _, x := range []struct {
		name   string
		policy mtls.Policy
		port   uint16
		secure bool
		denied string
	}{
		{"strict refuses what is in the clear", mtls.Policy{Ref: all, Mode: mtls.Strict}, 80, false, "all"},
		{"strict takes mutual TLS", mtls.Policy{Ref: all, Mode: mtls.Strict}, 80, true, ""},
		{"permissive takes both", mtls.Policy{Ref: all, Mode: mtls.Permissive}, 80, false, ""},
		{"unset is permissive", mtls.Policy{Ref: all}, 80, false, ""},
		{"a port's own mode goes before", mtls.Policy{Ref: all, Mode: mtls.Strict, Ports: []mtls.Port{{Ref: port, Port: 80, Mode: mtls.Permissive}}}, 80, false, ""},
		{"a port can be the strict one", mtls.Policy{Ref: all, Ports: []mtls.Port{{Ref: port, Port: 80, Mode: mtls.Strict}}}, 80, false, "port"},
		{"and no other", mtls.Policy{Ref: all, Ports: []mtls.Port{{Ref: port, Port: 80, Mode: mtls.Strict}}}, 81, false, ""},
	} {
		v := x.policy.Judge(x.port, x.secure)
		if denied := v.Outcome == decision.Deny; denied != (x.denied != "") || denied && (v.Ref.Name != x.denied || v.Reason != decision.Unauthenticated) {
			t.Errorf("%s: %v", x.name, v)
		}
	}
}

type passed struct{}

func (passed) Serve(c *traffic.Call) error { c.Response.Status = 200; return nil }

func TestFilter(t *testing.T) {
	if mtls.With(nil) != nil {
		t.Error("no policy must cost nothing")
	}
	h := mtls.With(&mtls.Policy{Mode: mtls.Strict})(passed{})
	for secure, want := range map[bool]int{false: 403, true: 200} {
		c := &traffic.Call{}
		c.Begin(nil, &traffic.Conn{Original: netip.MustParseAddrPort("127.64.0.1:80"), Secure: secure})
		c.Proto = traffic.HTTP1
		if err := h.Serve(c); err != nil || c.Response.Status != want {
			t.Errorf("secure %v: %v, %d", secure, err, c.Response.Status)
		}
	}
}

func TestUnknownModeIsRefused(t *testing.T) {
	for _, p := range []mtls.Policy{{Mode: mtls.Strict + 1}, {Ports: []mtls.Port{{Port: 80, Mode: mtls.Strict + 1}}}} {
		if p.Validate() == nil {
			t.Errorf("%+v is taken", p)
		}
	}
}
