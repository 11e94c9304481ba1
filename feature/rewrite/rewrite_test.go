package rewrite

import (
	"strings"
	"testing"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/traffic"
	"github.com/weft-mesh/weft/traffic/traffictest"
)

func at(s string) *string { return &s }

func TestNewPath(t *testing.T) {
	for _, x := range []struct {
		name       string
		p          Policy
		path, want string
	}{
		{"nothing", Policy{Authority: "b"}, "/a", "/a"},
		{"whole", Policy{Path: at("/new")}, "/old/x", "/new"},
		{"whole, empty", Policy{Path: at("")}, "/old", "/"},
		{"prefix by segment", Policy{Prefix: at("/"), Strip: "/foo", Segment: true}, "/foo", "/"},
		{"prefix by segment, not a segment", Policy{Prefix: at("/x"), Strip: "/foo", Segment: true}, "/foobar", "/foobar"},
		{"prefix by text", Policy{Prefix: at("/x"), Strip: "/foo"}, "/foobar", "/xbar"},
		{"prefix by text, root", Policy{Prefix: at("/"), Strip: "/foo"}, "/foo/bar", "/bar"},
		{"regex", Policy{Regex: "^/service/([^/]+)(/.*)$", Subst: `\2/instance/\1`}, "/service/foo/v1/api", "/v1/api/instance/foo"},
		{"regex, each match", Policy{Regex: "one", Subst: "two"}, "/xxx/one/yyy/one/zzz", "/xxx/two/yyy/two/zzz"},
		{"regex, the whole match", Policy{Regex: "/a", Subst: `/x\0`}, "/a", "/x/a"},
		{"regex, what Go would take for its own", Policy{Regex: "a", Subst: `$1\\`}, "/a", `/$1\`},
		{"regex, nothing left", Policy{Regex: ".*", Subst: ""}, "/a", "/"},
		{"regex, the slash lost", Policy{Regex: "^/", Subst: ""}, "/a", "/a"},
	} {
		if err := x.p.Compile(); err != nil {
			t.Fatal(x.name, err)
		}
		if got := x.p.NewPath(x.path); got != x.want {
			t.Errorf("%s: %s, want %s", x.name, got, x.want)
		}
	}
}

func TestCompileRefuses(t *testing.T) {
	for _, p := range []Policy{{Regex: "("}, {Regex: "a", Subst: `\1`}, {Regex: "(a)", Subst: `\2`}, {Regex: "a", Subst: `\`}, {Regex: "a", Subst: `\n`}} {
		if err := p.Compile(); err == nil || !strings.HasPrefix(err.Error(), "rewrite: ") {
			t.Errorf("%+v: %v", p, err)
		}
	}
}

func TestServe(t *testing.T) {
	p := &Policy{Ref: decision.Ref{Kind: "Test", Name: "r"}, Authority: "other", Prefix: at("/v2"), Strip: "/api", Segment: true}
	for _, x := range []struct{ path, want string }{{"/api/x", "other/v2/x"}, {"*", "other*"}, {"", "other"}} {
		c := (&traffictest.Host{}).Call()
		c.Path, c.Query, c.Trail = x.path, "q", &decision.Trail{}
		_ = traffic.Chain(traffic.Forward{}, With(p)).Serve(c)
		if c.Authority+c.Path != x.want || c.Query != "q" || c.Trail.Steps[0].Note != x.want {
			t.Errorf("%q became %s%s?%s", x.path, c.Authority, c.Path, c.Query)
		}
	}
	if With(nil) != nil {
		t.Error("no policy must cost nothing")
	}
}

func FuzzTemplate(f *testing.F) {
	f.Add(`\1/\2$`, "/a/b")
	f.Fuzz(func(t *testing.T, subst, path string) {
		p := &Policy{Regex: "/([^/]*)/([^/]*)", Subst: subst}
		if p.Compile() == nil && !strings.HasPrefix(p.NewPath("/"+path), "/") {
			t.Errorf("%q made no path", subst)
		}
	})
}

// BenchmarkPrefix makes one string: the path.
func BenchmarkPrefix(b *testing.B) {
	h, c, conn := &traffictest.Host{}, &traffic.Call{}, &traffic.Conn{}
	s := traffic.Chain(traffic.Forward{}, With(&Policy{Authority: "b", Prefix: at("/v2"), Strip: "/api"}))
	b.ReportAllocs()
	for b.Loop() {
		h.Begin(c, conn)
		c.Path = "/api/items"
		_ = s.Serve(c)
	}
}
