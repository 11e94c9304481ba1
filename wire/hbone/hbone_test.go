package hbone

import (
	"net/netip"
	"strings"
	"testing"
)

func TestAuthority(t *testing.T) {
	for s, want := range map[string]string{"10.0.0.1:80": "10.0.0.1:80", "[fd00::1]:8080": "[fd00::1]:8080", "Reviews.default.svc:9080": "reviews.default.svc:9080",
		"[::ffff:10.0.0.1]:80": "10.0.0.1:80", "a.:1": "a.:1"} {
		a, ok := ParseAuthority(s)
		if !ok || string(a.Append(nil)) != want {
			t.Errorf("%s: %+v %v", s, a, ok)
		}
		if a.Host == "" != a.Addr.IsValid() || a.Port == 0 {
			t.Errorf("%s: %+v", s, a)
		}
	}
	for _, s := range []string{"", "10.0.0.1", ":80", "a:0", "a:+1", "a:70000", "a:", "[::1]", "[::1:80", "::1:80", "10.0.0.300:80", "a b:80", "a/b:80", "u@a:80", "[10.0.0.1]:80", "a..b:80", ".:80"} {
		if a, ok := ParseAuthority(s); ok {
			t.Errorf("%q was read as %+v", s, a)
		}
	}
}

func FuzzAuthority(f *testing.F) {
	f.Add("10.0.0.1:80")
	f.Add("[fd00::1]:80")
	f.Add("a.b:1")
	f.Fuzz(func(t *testing.T, s string) {
		a, ok := ParseAuthority(s)
		if !ok {
			return
		}
		if again, ok := ParseAuthority(string(a.Append(nil))); !ok || again != a {
			t.Fatalf("%q is %+v and came back as %+v", s, a, again)
		}
	})
}

// TestBaggage has the field as ztunnel writes it.
func TestBaggage(t *testing.T) {
	const s = "k8s.cluster.name=Kubernetes,k8s.namespace.name=default,k8s.deployment.name=productpage-v1,service.name=productpage,service.version=v1,cloud.region=r1,cloud.availability_zone=z1"
	want := Baggage{"Kubernetes", "default", "deployment", "productpage-v1", "productpage", "v1", "r1", "z1"}
	if got := ParseBaggage(s); got != want {
		t.Errorf("%+v", got)
	}
	if got := string(want.Append(nil)); got != s {
		t.Errorf("%s", got)
	}
	if got := ParseBaggage(" k8s.pod.name = p%201 ;prop=1, x=y,service.name=,k8s.node.name=n,junk"); got != (Baggage{Kind: "pod", Workload: "p 1"}) {
		t.Errorf("%+v", got)
	}
	if got := string(Baggage{Workload: "a,b;c\"%"}.Append(nil)); got != "k8s.deployment.name=a%2Cb%3Bc%22%25" {
		t.Errorf("%s", got)
	}
}

func FuzzBaggage(f *testing.F) {
	f.Add("k8s.namespace.name=default,k8s.pod.name=p%20;x=y")
	f.Fuzz(func(t *testing.T, s string) {
		b := ParseBaggage(s)
		if b.Workload == "" {
			b.Kind = ""
		}
		if got := ParseBaggage(string(b.Append(nil))); got != b {
			t.Fatalf("%q is %+v and came back as %+v", s, b, got)
		}
	})
}

func TestForwarded(t *testing.T) {
	for s, want := range map[string]Forwarded{
		`for="10.0.0.1:1234";host=reviews.default.svc`: {netip.MustParseAddrPort("10.0.0.1:1234"), "reviews.default.svc"},
		`for=10.0.0.1`:                              {netip.MustParseAddrPort("10.0.0.1:0"), ""},
		`For="[fd00::1]:80"; Host="a:80"`:           {netip.MustParseAddrPort("[fd00::1]:80"), "a:80"},
		`for="[fd00::1]"`:                           {netip.MustParseAddrPort("[fd00::1]:0"), ""},
		`for=unknown;by=_x;proto=http, for=1.2.3.4`: {},
		`host="a\"b"`:                               {Host: `a"b`},
		``:                                          {},
	} {
		f, ok := ParseForwarded(s)
		if !ok || f != want {
			t.Errorf("%s: %+v %v", s, f, ok)
		}
		if again, ok := ParseForwarded(string(f.Append(nil))); !ok || again != f {
			t.Errorf("%s: came back as %+v", f.Append(nil), again)
		}
	}
	for _, s := range []string{`for="x`, `for=`, `for`, `for="1.2.3.4"x`, `for=a"b`} {
		if f, ok := ParseForwarded(s); ok {
			t.Errorf("%q was read as %+v", s, f)
		}
	}
}

func FuzzForwarded(f *testing.F) {
	f.Add(`for="10.0.0.1:1234";host="a\"b"`)
	f.Fuzz(func(t *testing.T, s string) {
		v, ok := ParseForwarded(s)
		if !ok {
			return
		}
		if again, ok := ParseForwarded(string(v.Append(nil))); !ok || again != v {
			t.Fatalf("%q is %+v and came back as %+v", s, v, again)
		}
	})
}

func BenchmarkBaggage(b *testing.B) {
	b.ReportAllocs()
	v := Baggage{Cluster: "Kubernetes", Namespace: "default", Workload: "productpage-v1", Service: "productpage", Version: "v1"}
	s := string(v.Append(nil))
	var buf []byte
	for b.Loop() {
		if ParseBaggage(s).Namespace == "" {
			b.Fatal()
		}
		buf = v.Append(buf[:0])
	}
	_ = strings.Clone(string(buf))
}
