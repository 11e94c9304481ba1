package traffic

import (
	"net/netip"
	"net/url"
	"testing"
)

func TestParam(t *testing.T) {
	for _, x := range []struct {
		query, name, want string
		ok                bool
	}{
		{"a=1&b=2", "b", "2", true},
		{"a=1&a=2", "a", "1", true}, // the first of a name
		{"a", "a", "", true},
		{"a=", "a", "", true},
		{"a=1%202+3", "a", "1 2 3", true},
		{"%61=1", "a", "1", true},
		{"a=%zz", "a", "%zz", true}, // what is not well escaped stays as it is
		{"a=1", "b", "", false},
		{"", "a", "", false},
		{"&&a=1", "a", "1", true},
		{"a=b=c", "a", "b=c", true},
	} {
		if v, ok := (&Attrs{Query: x.query}).Param(x.name); v != x.want || ok != x.ok {
			t.Errorf("%s of %q: %q %v", x.name, x.query, v, ok)
		}
	}
}

// FuzzParam: a query that the standard library reads gives the same value.
func FuzzParam(f *testing.F) {
	f.Add("a=1&b=%20", "b")
	f.Add("a+b=1", "a b")
	f.Fuzz(func(t *testing.T, query, name string) {
		want, err := url.ParseQuery(query)
		if err != nil || name == "" {
			return
		}
		v, ok := (&Attrs{Query: query}).Param(name)
		if ok != want.Has(name) || v != want.Get(name) {
			t.Errorf("%q of %q: %q %v, want %q", name, query, v, ok, want.Get(name))
		}
	})
}

// TestRemote: only what a caller that proved who it is says of those before it counts, and of that the last.
func TestRemote(t *testing.T) {
	for _, x := range []struct {
		forwarded string
		secure    bool
		want      string
	}{
		{"", true, "10.0.0.1"},
		{"192.0.2.1, 198.51.100.7", true, "198.51.100.7"},
		{"192.0.2.1", false, "10.0.0.1"},
		{"nonsense", true, "10.0.0.1"},
		{"2001:db8::1", true, "2001:db8::1"},
	} {
		a := Attrs{Conn: &Conn{Source: Peer{Addr: netip.MustParseAddrPort("10.0.0.1:4000")}, Secure: x.secure}}
		if x.forwarded != "" {
			a.Header.Receive("x-forwarded-for", x.forwarded)
		}
		if got := a.Remote().String(); got != x.want {
			t.Errorf("%+v: %s", x, got)
		}
	}
}

func TestTarget(t *testing.T) {
	if got := (&Attrs{Path: "/a", Query: "b"}).Target(); got != "/a?b" {
		t.Error(got)
	}
	if got := (&Attrs{Path: "/a"}).Target(); got != "/a" {
		t.Error(got)
	}
	if got := (Target{Service: "svc", Port: 80, Subset: "v1"}).String(); got != "svc:80 subset v1" {
		t.Error(got)
	}
	if got := (Target{Service: "svc", Port: 53, Datagrams: true}).String(); got != "svc:53/udp" {
		t.Error(got)
	}
}
