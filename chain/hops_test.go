package chain_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/chain"
	"github.com/weft-mesh/weft/traffic"
)

// TestWhoMaySayWhat: each kind of caller keeps the headers that it may say, and loses the others.
func TestWhoMaySayWhat(t *testing.T) {
	all := []string{"accept", "forwarded", "l5d-dst-override", "weft-port", "x-envoy-internal", "x-forwarded-client-cert", "x-forwarded-for",
		"x-forwarded-host", "x-forwarded-proto", "x-real-ip", "x-request-id"}
	everybody := func(netip.Addr) bool { return true }
	for _, x := range []struct {
		name string
		hop  func(*traffic.Header)
		lost string
	}{
		{"an application", chain.FromApp, "l5d-dst-override weft-port x-envoy-internal x-forwarded-client-cert"},
		{"another proxy", chain.FromPeer, "l5d-dst-override weft-port x-envoy-internal x-forwarded-client-cert"},
		{"outside", chain.FromOutside, "forwarded l5d-dst-override weft-port x-envoy-internal x-forwarded-client-cert x-forwarded-for x-forwarded-host x-forwarded-proto x-real-ip"},
		{"a trusted proxy", func(h *traffic.Header) { chain.FromTrusted(h, everybody) }, "forwarded l5d-dst-override weft-port x-envoy-internal x-forwarded-client-cert"},
	} {
		var h traffic.Header
		for _, name := range all {
			h.Add(name, "10.0.0.1")
			h.Add(name, "10.0.0.2") // each may come more than once
		}
		x.hop(&h)
		var lost []string
		for _, name := range all {
			if _, kept := h.Get(name); !kept {
				lost = append(lost, name)
			}
		}
		if got := strings.Join(lost, " "); got != x.lost {
			t.Errorf("%s loses %s\nwant %s", x.name, got, x.lost)
		}
	}
}

// TestBelieved: of x-forwarded-for counts the client that the last of the trusted proxies in a row has seen, and those proxies.
func TestBelieved(t *testing.T) {
	trusted := func(a netip.Addr) bool {
		return netip.MustParsePrefix("10.0.0.0/8").Contains(a) || netip.MustParsePrefix("fd00::/8").Contains(a)
	}
	for _, x := range []struct{ said, kept string }{
		{"1.2.3.4", "1.2.3.4"},
		{"6.6.6.6, 1.2.3.4", "1.2.3.4"},
		{"6.6.6.6, 1.2.3.4, 10.1.1.1", "1.2.3.4, 10.1.1.1"},
		{"10.9.9.9, 1.2.3.4,\t10.1.1.1,fd00::1", "1.2.3.4,\t10.1.1.1,fd00::1"},
		{"10.1.1.1, 10.1.1.2", "10.1.1.1, 10.1.1.2"},
		{"6.6.6.6, 1.2.3.4:5678, [fd00::1]:443", "1.2.3.4:5678, [fd00::1]:443"},
		{"6.6.6.6, ::ffff:10.1.1.1", "6.6.6.6, ::ffff:10.1.1.1"}, // IPv4 as IPv6 writes it
		{"1.2.3.4, unknown", ""},
		{"1.2.3.4, unknown, 10.1.1.1", "10.1.1.1"},
		{"unknown", ""},
		{"", ""},
	} {
		var h traffic.Header
		h.Add("x-forwarded-for", x.said)
		chain.FromTrusted(&h, trusted)
		if got, there := h.Get("x-forwarded-for"); got != x.kept || there && got == "" && x.said != "" {
			t.Errorf("%q: kept %q, want %q", x.said, got, x.kept)
		}
	}
	var h traffic.Header
	h.Add("x-forwarded-for", "6.6.6.6")
	h.Add("x-forwarded-for", "1.2.3.4, 10.1.1.1")
	chain.FromTrusted(&h, trusted)
	if got, _ := h.Joined("x-forwarded-for"); got != "1.2.3.4, 10.1.1.1" {
		t.Errorf("two fields: kept %q", got)
	}
}

// TestForwarded: a hop adds whom it saw, and the scheme where nobody has said it.
func TestForwarded(t *testing.T) {
	for _, x := range []struct{ said, scheme, addr, wantFor, wantProto string }{
		{"", "", "1.2.3.4", "1.2.3.4", "http"},
		{"6.6.6.6", "https", "1.2.3.4", "6.6.6.6, 1.2.3.4", "https"},
		{"", "", "", "", "http"},
	} {
		var h traffic.Header
		if x.said != "" {
			h.Add("x-forwarded-for", x.said)
		}
		if x.scheme != "" {
			h.Add("x-forwarded-proto", x.scheme)
		}
		chain.Forwarded(&h, x.addr, "http")
		gotFor, _ := h.Joined("x-forwarded-for")
		gotProto, _ := h.Joined("x-forwarded-proto")
		if gotFor != x.wantFor || gotProto != x.wantProto {
			t.Errorf("%+v: %q, %q", x, gotFor, gotProto)
		}
	}
}
