package redirect

import (
	"net/netip"
	"testing"

	"github.com/weft-mesh/weft/traffic"
	"github.com/weft-mesh/weft/traffic/traffictest"
)

func at(s string) *string { return &s }

func TestLocation(t *testing.T) {
	for _, x := range []struct {
		name                   string
		p                      Policy
		dialled                uint16
		authority, path, query string
		want                   string
	}{
		{"nothing changes", Policy{}, 9080, "reviews:9080", "/a", "x=1", "http://reviews:9080/a?x=1"},
		// Gateway API: "If redirect scheme is not-empty, the redirect port MUST be the well-known port associated with the redirect scheme."
		{"scheme", Policy{Scheme: "https"}, 8080, "a:8080", "/", "", "https://a/"},
		{"scheme and port", Policy{Scheme: "https", Port: 8443}, 80, "a", "/", "", "https://a:8443/"},
		// "If redirect scheme is empty, the redirect port MUST be the Gateway Listener port."
		{"host", Policy{Host: "b"}, 8080, "a:8080", "/", "", "http://b:8080/"},
		{"the port that was dialled, though not written", Policy{Host: "b"}, 8080, "a", "/", "", "http://b:8080/"},
		{"nothing was dialled", Policy{Host: "b"}, 0, "a:8080", "/", "", "http://b:8080/"},
		// "SHOULD NOT add the port number in the 'Location' header" for http on 80 and https on 443
		{"port 80", Policy{Host: "b"}, 80, "a", "/", "", "http://b/"},
		{"port 443 of http", Policy{Port: 443}, 80, "a", "/", "", "http://a:443/"},
		{"port 443 of https", Policy{Scheme: "https", Port: 443}, 80, "a", "/", "", "https://a/"},
		{"a scheme without a well-known port", Policy{Scheme: "foo"}, 8080, "a", "/", "", "foo://a:8080/"},
		{"path", Policy{Path: at("/new")}, 80, "a", "/old", "q", "http://a/new?q"},
		{"path without its slash", Policy{Path: at("new")}, 80, "a", "/old", "", "http://a/new"},
		{"path with a query of its own", Policy{Path: at("/new?z")}, 80, "a", "/old", "q", "http://a/new?z"},
		{"prefix", Policy{Prefix: at("/bar"), Strip: "/foo"}, 80, "a", "/foo/x", "", "http://a/bar/x"},
		{"prefix by root", Policy{Prefix: at("/"), Strip: "/foo"}, 80, "a", "/foo", "", "http://a/"},
		{"IPv6", Policy{Port: 81}, 80, "[::1]:80", "/", "", "http://[::1]:81/"},
		{"IPv6 without port", Policy{}, 80, "[::1]", "/", "", "http://[::1]/"},
	} {
		a := traffic.Attrs{Conn: &traffic.Conn{Original: netip.AddrPortFrom(netip.IPv6Unspecified(), x.dialled)},
			Authority: x.authority, Path: x.path, Query: x.query}
		if got := x.p.Location(&a); got != x.want {
			t.Errorf("%s: %s, want %s", x.name, got, x.want)
		}
	}
}

func TestServe(t *testing.T) {
	p := &Policy{Host: "b"}
	for _, x := range []struct {
		proto          traffic.Proto
		status, served int
	}{{traffic.HTTP1, 302, 0}, {traffic.GRPC, 302, 0}, {traffic.TCP, 200, 1}} {
		h := &traffictest.Host{}
		c := h.Call()
		c.Proto = x.proto
		_ = traffic.Chain(traffic.Forward{}, With(p)).Serve(c)
		l, _ := c.Response.Header.Get("location")
		if c.Response.Status != x.status || h.Attempts != x.served || x.status == 302 && (l != "http://b/" || traffictest.Last(c).Ref != &p.Ref || !c.Response.Local) {
			t.Errorf("%v: %d %q %v", x.proto, c.Response.Status, l, c.Verdicts())
		}
	}
	if With(nil) != nil {
		t.Error("no policy must cost nothing")
	}
}

func TestValidate(t *testing.T) {
	for _, p := range []Policy{{Status: 200}, {Status: 304}, {Path: at("/"), Prefix: at("/")}} {
		if p.Validate() == nil {
			t.Errorf("%+v is accepted", p)
		}
	}
	if err := (&Policy{Status: 308}).Validate(); err != nil {
		t.Error(err)
	}
}

// BenchmarkRedirect makes one string: the location.
func BenchmarkRedirect(b *testing.B) {
	h, c, conn := &traffictest.Host{}, &traffic.Call{}, &traffic.Conn{}
	s := traffic.Chain(traffic.Forward{}, With(&Policy{Host: "b"}))
	b.ReportAllocs()
	for b.Loop() {
		h.Begin(c, conn)
		_ = s.Serve(c)
	}
}
