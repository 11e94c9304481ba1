package cilium_test

import (
	"slices"
	"testing"

	"github.com/weft-mesh/weft/feature/authz"
	"github.com/weft-mesh/weft/traffic"
)

// TestTransports: "protocol: If omitted or empty, any protocol matches", each of UDP, TCP and ANY, in and out, allowed and denied; a name is
// that of a port of the protocol.
func TestTransports(t *testing.T) {
	for _, x := range []struct {
		ports    string
		port     uint16
		tcp, udp bool // match
	}{
		{`{port: "53"}`, 53, true, true},
		{`{port: "53", protocol: ANY}`, 53, true, true},
		{`{port: "53", protocol: TCP}`, 53, true, false},
		{`{port: "53", protocol: UDP}`, 53, false, true},
		{`{port: "53", protocol: SCTP}`, 53, false, false},
		{`{port: "53", protocol: UDP}, {port: "53", protocol: TCP}`, 53, true, true},
		{`{port: "53", protocol: UDP}, {port: "54", protocol: TCP}`, 53, false, true},
		{`{port: "53", protocol: UDP}, {port: "54", protocol: TCP}`, 54, true, false},
		{`{port: "0", protocol: UDP}`, 53, false, true},
		{`{port: "0", protocol: TCP}`, 53, true, false},
		{`{port: "0"}`, 53, true, true},
		{`{port: "50", endPort: 60, protocol: UDP}`, 53, false, true},
		{`{port: "53", protocol: UDP}`, 54, false, false},
	} {
		rule := "- toPorts: [{ports: [" + x.ports + "]}]"
		for outward, name := range map[bool]string{false: "ingress", true: "egress"} {
			judge := func(e *authz.Engine, a *traffic.Attrs) bool {
				if outward {
					return reaches(e, &back, a)
				}
				return passes(e, &outside, a)
			}
			e := engineAtGateway(t, outward, cnp("endpointSelector: {}\n"+name+":\n"+rule))
			if tcp, udp := judge(e, call(x.port)), judge(e, datagrams(x.port)); tcp != x.tcp || udp != x.udp {
				t.Errorf("%s %s: lets TCP pass %v, UDP %v", name, x.ports, tcp, udp)
			}
			e = engineAtGateway(t, outward, cnp("endpointSelector: {}\n"+name+": [{}]\n"+name+"Deny:\n"+rule), cnp("endpointSelector: {}\n"+name+": [{toPorts: [{ports: [{port: \"0\"}]}]}]"))
			if tcp, udp := judge(e, call(x.port)), judge(e, datagrams(x.port)); tcp == x.tcp || udp == x.udp {
				t.Errorf("%sDeny %s: lets TCP pass %v, UDP %v", name, x.ports, tcp, udp)
			}
		}
	}
}

// TestTransportsOfNames: what a workload calls a port of TCP is another one than what it calls one of UDP.
func TestTransportsOfNames(t *testing.T) {
	for _, x := range []struct {
		port     string
		tcp, udp []uint16 // match
	}{
		{"{port: http}", []uint16{8080}, []uint16{443}},
		{"{port: http, protocol: TCP}", []uint16{8080}, nil},
		{"{port: http, protocol: UDP}", nil, []uint16{443}},
		{"{port: names, protocol: UDP}", nil, []uint16{53}},
		{"{port: names, protocol: TCP}", nil, nil},
	} {
		allow := engineAtGateway(t, false, in("- toPorts: [{ports: ["+x.port+"]}]"))
		deny := engineAtGateway(t, false, in("- fromEntities: [all]"), cnp("endpointSelector: {}\ningressDeny: [{toPorts: [{ports: ["+x.port+"]}]}]"))
		for _, n := range []uint16{53, 443, 8080} {
			if got := passes(allow, &outside, call(n)); got != slices.Contains(x.tcp, n) || got == passes(deny, &outside, call(n)) {
				t.Errorf("%s: TCP to %d is allowed: %v", x.port, n, got)
			}
			if got := passes(allow, &outside, datagrams(n)); got != slices.Contains(x.udp, n) || got == passes(deny, &outside, datagrams(n)) {
				t.Errorf("%s: UDP to %d is allowed: %v", x.port, n, got)
			}
		}
	}
}

// TestHTTPAllowsNoDatagrams: rules for HTTP stand beside TCP alone, and what they leave over is of TCP.
func TestHTTPAllowsNoDatagrams(t *testing.T) {
	const rule = "- toPorts: [{ports: [{port: \"8080\", protocol: TCP}], rules: {http: [{path: /a}]}}]"
	if e := engineAtGateway(t, false, in(rule)); passes(e, &outside, datagrams(8080)) || !passes(e, &outside, get("GET /a")) {
		t.Error("what no rule allows")
	}
	e := engineAtGateway(t, false, cnp("endpointSelector: {}\nenableDefaultDeny: {ingress: false}\ningress:\n"+rule))
	if !passes(e, &outside, datagrams(8080)) || passes(e, &outside, call(8080)) || passes(e, &outside, get("GET /b")) {
		t.Error("what is denied all the same")
	}
}

// TestNoTransportsElsewhere: to a workload that is no gateway nothing comes but TCP: its rules say nothing of transports, so that they cost
// nothing more, and a proxy that does not know such conditions takes them.
func TestNoTransportsElsewhere(t *testing.T) {
	e := engine(t, false, in("- toPorts: [{ports: [{port: \"53\", protocol: UDP}, {port: \"53\", protocol: TCP}]}]"), cnp("endpointSelector: {}\ningressDeny: [{toPorts: [{ports: [{port: \"53\", protocol: UDP}]}]}]"))
	if len(e.Tiers) != 1 || len(e.Tiers[0].Rules) != 1 || len(e.Tiers[0].Rules[0].When) > 0 || e.Closed == nil {
		t.Errorf("%+v", e)
	}
}
