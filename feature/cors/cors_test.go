package cors

import (
	"errors"
	"testing"

	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/traffic"
	"github.com/weft-mesh/weft/traffic/traffictest"
)

func exact(list ...string) (out []match.String) {
	for _, o := range list {
		out = append(out, match.String{Value: o})
	}
	return out
}

func seconds(n int) *int { return &n }

// call serves a call of a method with headers, given as names and values.
func call(t *testing.T, p *Policy, h *traffictest.Host, method string, fields ...string) *traffic.Call {
	t.Helper()
	if err := p.Compile(); err != nil {
		t.Fatal(err)
	}
	c := h.Call()
	c.Method = method
	for i := 0; i < len(fields); i += 2 {
		c.Header.Receive(fields[i], fields[i+1])
	}
	_ = traffic.Chain(traffic.Forward{}, With(p)).Serve(c)
	return c
}

func TestServe(t *testing.T) {
	const origin, asks, askedHeaders = "origin", "access-control-request-method", "access-control-request-headers"
	plain := Policy{Origins: exact("https://a.example"), Methods: []string{"GET", "PUT"}, Headers: []string{"x-a", "x-b"}, Expose: []string{"x-c"}, MaxAge: seconds(60)}
	secret := plain
	secret.Credentials = true
	all := Policy{Origins: []match.String{{Kind: match.Present}}, Methods: []string{All}, Headers: []string{All}, Expose: []string{All}}
	allSecret := all
	allSecret.Credentials = true
	forwards := plain
	forwards.Forward = true
	for _, x := range []struct {
		name   string
		p      Policy
		method string
		fields []string
		served int
		want   map[string]string // without "access-control-"; "" among them: nothing else
	}{
		{"a preflight request", plain, "OPTIONS", []string{origin, "https://a.example", asks, "PUT"}, 0,
			map[string]string{"allow-origin": "https://a.example", "allow-methods": "GET, PUT", "allow-headers": "x-a, x-b", "expose-headers": "x-c", "max-age": "60"}},
		{"of another origin", plain, "OPTIONS", []string{origin, "https://b.example", asks, "PUT"}, 0, nil},
		{"of another origin, which goes on", forwards, "OPTIONS", []string{origin, "https://b.example", asks, "PUT"}, 1, nil},
		{"OPTIONS that is no preflight request", plain, "OPTIONS", []string{origin, "https://a.example"}, 1,
			map[string]string{"allow-origin": "https://a.example", "expose-headers": "x-c"}},
		{"OPTIONS without an origin", plain, "OPTIONS", []string{asks, "PUT"}, 1, nil},
		{"a request", plain, "GET", []string{origin, "https://a.example", asks, "GET"}, 1, map[string]string{"allow-origin": "https://a.example", "expose-headers": "x-c"}},
		{"a request of another origin", plain, "GET", []string{origin, "https://b.example"}, 1, nil},
		{"a request of two origins", plain, "GET", []string{origin, "https://a.example", origin, "https://a.example"}, 1, nil},
		{"letters count", plain, "GET", []string{origin, "https://A.example"}, 1, nil},
		{"no origin", plain, "GET", nil, 1, nil},
		{"credentials", secret, "GET", []string{origin, "https://a.example"}, 1,
			map[string]string{"allow-origin": "https://a.example", "allow-credentials": "true", "expose-headers": "x-c"}},
		{"what is asked for", all, "OPTIONS", []string{origin, "https://z", asks, "PUT", askedHeaders, "x-z"}, 0,
			map[string]string{"allow-origin": "https://z", "allow-methods": "PUT", "allow-headers": "x-z", "expose-headers": "*"}},
		// HTTPCORSFilter.allowHeaders: "If the Access-Control-Request-Headers header is not present in the request, the gateway must omit"
		// it; exposeHeaders: with credentials "the gateway cannot use the *"
		{"with credentials", allSecret, "OPTIONS", []string{origin, "https://z", asks, "PUT"}, 0,
			map[string]string{"allow-origin": "https://z", "allow-credentials": "true", "allow-methods": "PUT"}},
	} {
		h := &traffictest.Host{}
		c := call(t, &x.p, h, x.method, x.fields...)
		got := map[string]string{}
		for _, name := range []string{"allow-origin", "allow-credentials", "allow-methods", "allow-headers", "expose-headers", "max-age"} {
			if v, ok := c.Response.Header.Get("access-control-" + name); ok {
				got[name] = v
			}
		}
		for _, name := range []string{"allow-origin", "allow-credentials", "allow-methods", "allow-headers", "expose-headers", "max-age"} {
			if got[name] != x.want[name] {
				t.Errorf("%s: %s is %q, want %q", x.name, name, got[name], x.want[name])
			}
		}
		if h.Attempts != x.served || c.Response.Status != 200 {
			t.Errorf("%s: it was forwarded %d times and has status %d", x.name, h.Attempts, c.Response.Status)
		}
	}
	if With(nil) != nil {
		t.Error("no policy must cost nothing")
	}
}

// TestAnswersOfOthers: the callee's own word gives way, what it varies by stays, and a failure may be read too.
func TestAnswersOfOthers(t *testing.T) {
	p := &Policy{Origins: exact("https://a")}
	h := &traffictest.Host{Answer: func(c *traffic.Call) error {
		c.Response.Status = 200
		c.Response.Header.Receive("access-control-allow-origin", "*")
		c.Response.Header.Receive("vary", "accept")
		return nil
	}}
	c := call(t, p, h, "GET", "origin", "https://a")
	if v, _ := c.Response.Header.Joined("access-control-allow-origin"); v != "https://a" {
		t.Error(v)
	}
	if v, _ := c.Response.Header.Joined("vary"); v != "accept,Origin" {
		t.Error(v)
	}
	// A vary of other headers, whatever their names hold, does not keep a cache from giving one origin's answer to another.
	for had, want := range map[string]string{"x-original-uri": "x-original-uri,Origin", "accept, ORIGIN": "accept, ORIGIN", "*": "*"} {
		h := &traffictest.Host{Answer: func(c *traffic.Call) error {
			c.Response.Status = 200
			c.Response.Header.Receive("vary", had)
			return nil
		}}
		if v, _ := call(t, p, h, "GET", "origin", "https://a").Response.Header.Joined("vary"); v != want {
			t.Errorf("vary: %s becomes %s, want %s", had, v, want)
		}
	}
	c = call(t, p, &traffictest.Host{Answer: traffictest.Err(errors.Join(traffic.ErrConnect))}, "GET", "origin", "https://a")
	if v, _ := c.Response.Header.Get("access-control-allow-origin"); v != "https://a" || c.Response.Err == nil {
		t.Error(v, c.Response.Err)
	}
}

// TestWordsOfCallee: what a callee allows by itself opens no way for origins or cookies that the policy does not let in; but where the policy
// leaves questions of other origins to the callee, so does it the rest of its word to them.
func TestWordsOfCallee(t *testing.T) {
	const allow = "access-control-"
	h := &traffictest.Host{Answer: func(c *traffic.Call) error {
		c.Response.Status = 200
		for name, v := range map[string]string{"allow-origin": "https://evil", "allow-credentials": "true", "expose-headers": "x-secret", "allow-methods": "PUT", "allow-headers": "x-a", "max-age": "9"} {
			c.Response.Header.Receive(allow+name, v)
		}
		return nil
	}}
	all := &Policy{Origins: []match.String{{Kind: match.Present}}}
	if v, ok := call(t, all, h, "GET", "origin", "https://evil").Response.Header.Get(allow + "allow-credentials"); ok {
		t.Errorf("scripts of all origins may call, without cookies, and are told allow-credentials: %s", v)
	}
	one := &Policy{Origins: exact("https://a")}
	c := call(t, one, h, "GET", "origin", "https://evil")
	for _, name := range []string{"allow-origin", "allow-credentials", "expose-headers", "allow-methods", "allow-headers", "max-age"} {
		if v, ok := c.Response.Header.Get(allow + name); ok {
			t.Errorf("an origin that is not listed is told %s: %s", allow+name, v)
		}
	}
	one.Forward = true
	if v, _ := call(t, one, h, "GET", "origin", "https://evil").Response.Header.Get(allow + "allow-origin"); v != "https://evil" {
		t.Errorf("the callee's word to others is %q", v)
	}
}

func TestTCP(t *testing.T) {
	h := &traffictest.Host{}
	c := h.Call()
	c.Proto = traffic.TCP
	if err := traffic.Chain(traffic.Forward{}, With(&Policy{})).Serve(c); err != nil || h.Attempts != 1 {
		t.Error(err, h.Attempts)
	}
}

func TestCompile(t *testing.T) {
	for _, p := range []Policy{
		{Methods: []string{"GET, PUT"}}, {Headers: []string{"a\r\nset-cookie: b"}}, {Expose: []string{""}}, {MaxAge: seconds(-1)},
		{Origins: []match.String{{Kind: match.Regex, Value: "("}}},
	} {
		if p.Compile() == nil {
			t.Errorf("%+v is accepted", p)
		}
	}
}

// BenchmarkNoOrigin: calls of no browser cost a look at their headers.
func BenchmarkNoOrigin(b *testing.B) {
	h, c, conn := &traffictest.Host{}, &traffic.Call{}, &traffic.Conn{}
	s := traffic.Chain(traffic.Forward{}, With(&Policy{Origins: exact("https://a")}))
	b.ReportAllocs()
	for b.Loop() {
		h.Begin(c, conn)
		_ = s.Serve(c)
	}
}
