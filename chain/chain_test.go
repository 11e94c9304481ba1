package chain_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weft-mesh/weft/chain"
	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/feature/authz"
	"github.com/weft-mesh/weft/feature/balance"
	"github.com/weft-mesh/weft/feature/breaker"
	"github.com/weft-mesh/weft/feature/classify"
	"github.com/weft-mesh/weft/feature/fault"
	"github.com/weft-mesh/weft/feature/headers"
	"github.com/weft-mesh/weft/feature/mirror"
	"github.com/weft-mesh/weft/feature/mtls"
	"github.com/weft-mesh/weft/feature/outlier"
	"github.com/weft-mesh/weft/feature/redirect"
	"github.com/weft-mesh/weft/feature/retry"
	"github.com/weft-mesh/weft/feature/rewrite"
	"github.com/weft-mesh/weft/feature/route"
	"github.com/weft-mesh/weft/feature/timeout"
	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/traffic"
	"github.com/weft-mesh/weft/traffic/traffictest"
)

func ref(name string) decision.Ref {
	return decision.Ref{Kind: "Test", Namespace: "default", Name: name}
}

const host, other = "reviews.default.svc.cluster.local", "ratings.default.svc.cluster.local"

func target(service, subset string) traffic.Target {
	return traffic.Target{Service: service, Port: 9080, Subset: subset}
}

func endpoints(addrs ...string) (eps []traffic.Endpoint) {
	for _, a := range addrs {
		eps = append(eps, traffic.Endpoint{Addr: netip.MustParseAddrPort(a), Labels: []string{"app=reviews"}})
	}
	return eps
}

func to(t traffic.Target) []mesh.Backend {
	return []mesh.Backend{{Weighted: route.Weighted{Target: t, Weight: 1}}}
}

// service has two subsets and the rules that edit adds.
func service(edit func(*config.Port)) *config.Service {
	p := config.Port{Number: 9080, Proto: traffic.HTTP1, Pools: []config.Pool{
		{Endpoints: endpoints("10.0.0.1:80", "10.0.0.2:80")},
		{Subset: "v1", Endpoints: endpoints("10.0.0.1:80")},
		{Subset: "v2", Endpoints: endpoints("10.0.0.2:80")},
		{Subset: "none", Policy: mesh.Outbound{Balance: &balance.Policy{Ref: ref("empty")}}},
	}}
	if edit != nil {
		edit(&p)
	}
	return &config.Service{Host: host, Ports: []config.Port{p}}
}

// world is services and a host that calls them.
type world struct {
	*traffictest.Host
	t        testing.TB
	state    *chain.State
	services map[string]*chain.Service
	egress   []authz.Engine
}

func newWorld(t testing.TB, cfg ...*config.Service) *world {
	w := &world{Host: &traffictest.Host{Time: traffictest.Epoch}, t: t, state: chain.NewState(), services: map[string]*chain.Service{}}
	for _, c := range cfg {
		w.apply(c)
	}
	return w
}

func (w *world) apply(c *config.Service) {
	w.t.Helper()
	s, err := chain.NewService(c, w.state, w.find, w.egress, w.Time)
	if err != nil {
		w.t.Fatal(err)
	}
	w.services[c.Host] = s
}

func (w *world) find(t traffic.Target) (traffic.Handler, string) {
	return w.services[t.Service].Find(t)
}

func (w *world) call(edit func(*traffic.Call)) *traffic.Call {
	c := w.Call()
	c.Original = netip.MustParseAddrPort("240.0.0.1:9080")
	if edit != nil {
		edit(c)
	}
	if err := w.services[host].Port(9080).Serve(c); err != nil && c.Response.Err == nil {
		w.t.Errorf("%v is not noted", err)
	}
	return c
}

func because(c *traffic.Call) string {
	var all []string
	for _, v := range c.Verdicts() {
		name := "default"
		if v.Ref != nil && v.Ref.Name != "" {
			name = v.Ref.Name
		}
		all = append(all, name+" "+v.Reason.String())
	}
	return strings.Join(all, ", ")
}

func oneRule(edit func(*mesh.Rule)) func(*config.Port) {
	return func(p *config.Port) {
		r := mesh.Rule{Rule: route.Rule{Ref: ref("rule")}, Backends: to(target(host, "v2"))}
		if edit != nil {
			edit(&r)
		}
		p.Route, p.Rules = ref("route"), []mesh.Rule{r}
	}
}

func TestWays(t *testing.T) {
	header := []match.Request{{Headers: []match.Header{{Name: "end-user", Values: []match.String{{Value: "jason"}}}}}}
	for _, x := range []struct {
		name     string
		port     func(*config.Port)
		call     func(*traffic.Call)
		answer   func(*traffic.Call) error
		want     string // status or error
		at       string // the endpoint
		why      string
		attempts int
	}{
		{name: "no rules", want: "200", at: "any", attempts: 1},
		{name: "a rule", port: oneRule(nil), want: "200", at: "10.0.0.2", why: "rule matched", attempts: 1},
		{name: "no rule matches", port: oneRule(func(r *mesh.Rule) { r.Matches = header }), want: "404", why: "route no route"},
		{name: "no rules at all in a route", port: func(p *config.Port) { p.Route = ref("route") }, want: "404", why: "route no route"},
		{name: "a connection is not asked for its head", port: oneRule(func(r *mesh.Rule) { r.Matches = header }), call: func(c *traffic.Call) { c.Proto = traffic.TCP }, want: "200", at: "any", attempts: 1},
		{name: "no backend", port: oneRule(func(r *mesh.Rule) { r.Backends = nil }), want: "500", why: "rule matched, rule no backend"},
		{name: "a redirect needs none", port: oneRule(func(r *mesh.Rule) { r.Backends, r.Redirect = nil, &redirect.Policy{Ref: ref("redirect"), Host: "x"} }), want: "302", why: "rule matched, redirect matched"},
		{name: "a subset that is not there", port: oneRule(func(r *mesh.Rule) { r.Backends = to(target(host, "v9")) }), want: "503", why: "rule matched, rule no backend"},
		{name: "a service that is not there", port: oneRule(func(r *mesh.Rule) { r.Backends = to(target("gone", "")) }), want: "503", why: "rule matched, rule no backend"},
		{name: "a subset without endpoints", port: oneRule(func(r *mesh.Rule) { r.Backends = to(target(host, "none")) }), want: "503", why: "rule matched, empty no endpoint"},
		{name: "another service's pool", port: oneRule(func(r *mesh.Rule) { r.Backends = to(target(other, "")) }), want: "200", at: "10.0.1.1", why: "rule matched", attempts: 1},
		{name: "a fault is not retried", port: oneRule(func(r *mesh.Rule) {
			r.Fault = &fault.Policy{Ref: ref("fault"), Status: 503, AbortShare: fault.All}
			r.Retry = &retry.Policy{Attempts: 3, Codes: []int{503}}
		}), want: "503", why: "rule matched, fault injected"},
		{name: "the other endpoint is tried", answer: traffictest.Script(traffictest.Err(traffic.ErrConnect), traffictest.Status(200)), want: "200", at: "any", why: "default retried", attempts: 2},
		{name: "resets of POST are not the mesh's to retry", call: func(c *traffic.Call) { c.Method = "POST" }, answer: traffictest.Err(traffic.ErrReset), want: traffic.ErrReset.Error(), at: "any", attempts: 1},
		{name: "no retries where a rule wants none", port: oneRule(func(r *mesh.Rule) { r.Retry = &retry.Policy{} }), answer: traffictest.Err(traffic.ErrConnect), want: traffic.ErrConnect.Error(), at: "10.0.0.2", why: "rule matched", attempts: 1},
		{name: "a profile's classes and retries under a route", port: func(p *config.Port) {
			oneRule(nil)(p)
			p.Profile = []mesh.Rule{{Rule: route.Rule{Ref: ref("profile")}, Retry: &retry.Policy{Ref: ref("retries"), Attempts: 1, Failed: true},
				Classify: &classify.Policy{Classes: []classify.Class{{Match: classify.Condition{Status: &classify.Statuses{Min: 404, Max: 404}}}}}}}
		}, answer: traffictest.Status(404), want: "404", at: "10.0.0.2", why: "rule matched, retries retried", attempts: 2},
		{name: "a limit", port: func(p *config.Port) {
			p.Pools[0].Policy.Breaker = &breaker.Policy{Ref: ref("limit"), MaxRetries: 1, MaxRequests: 1}
		}, answer: traffictest.Err(traffic.ErrConnect), want: traffic.ErrConnect.Error(), at: "any", why: "default retried, default retried", attempts: 3},
	} {
		w := newWorld(t, service(x.port), &config.Service{Host: other, Ports: []config.Port{{Number: 9080, Pools: []config.Pool{{Endpoints: endpoints("10.0.1.1:80")}}}}})
		w.Answer = x.answer
		c := w.call(x.call)
		got, addr := fmt.Sprint(c.Response.Status), ""
		if c.Response.Err != nil && !c.Response.Local {
			got = c.Response.Err.Error()
		}
		if c.To != nil {
			if addr = c.To.Addr.Addr().String(); x.at == "any" {
				addr = x.at
			}
			if c.Upstream == nil || c.Target.Service == "" {
				t.Errorf("%s: the engine is not told how to call %v", x.name, c.To)
			}
		}
		if got != x.want || addr != x.at || because(c) != x.why || w.Attempts != x.attempts {
			t.Errorf("%s: %s at %q after %d attempts because %s", x.name, got, addr, w.Attempts, because(c))
		}
		c.Finish(w.Time)
	}
}

// TestOrder: what a step sees depends on where it stands.
func TestOrder(t *testing.T) {
	w := newWorld(t, service(oneRule(func(r *mesh.Rule) {
		r.Fault = &fault.Policy{Ref: ref("fault"), Delay: time.Minute, DelayShare: fault.All}
		r.Headers = &headers.Policy{Request: headers.Edit{Set: []headers.Pair{{Name: "host", Value: "by-headers"}}, Add: []headers.Pair{{Name: "x-rule", Value: "1"}}},
			Response: headers.Edit{Set: []headers.Pair{{Name: "x-edited", Value: "1"}}}}
		r.Rewrite = &rewrite.Policy{Authority: "by-rewrite", Regex: "^/a", Subst: "/b"}
		r.Mirrors = []mirror.Policy{{Target: target(host, "v1"), Share: mirror.All}}
		r.Timeout = &timeout.Policy{Ref: ref("timeout"), Limit: 10 * time.Second}
		r.Attempt = &timeout.Policy{Ref: ref("attempt"), Limit: 4 * time.Second}
		r.Retry = &retry.Policy{Attempts: 1, TimedOut: true, Backoff: 1}
		r.Backends[0].Headers = &headers.Policy{Request: headers.Edit{Add: []headers.Pair{{Name: "x-backend", Value: "1"}}}}
	})))
	var deadlines []time.Duration
	var seen string
	slow := func(c *traffic.Call) error {
		deadlines = append(deadlines, c.Deadline.At.Sub(w.Time))
		seen = c.Authority + c.Path
		for n, v := range c.Header.All {
			seen += " " + n + "=" + v
		}
		w.Time = c.Deadline.At
		return c.Fail(traffic.ErrDeadline)
	}
	w.Answer = slow
	c := w.call(func(c *traffic.Call) { c.Path = "/a/x" })
	if v, _ := c.Response.Header.Get("x-edited"); !errors.Is(c.Response.Err, traffic.ErrDeadline) || v != "1" || c.Deadline.Ref == nil || c.Deadline.Ref.Name != "attempt" {
		t.Errorf("%v %v", c.Response, c.Deadline)
	}
	if len(deadlines) != 2 || deadlines[0] != 4*time.Second || deadlines[1] != 4*time.Second {
		t.Errorf("attempts had %v: each its own, and none pays for the fault's delay", deadlines)
	}
	if want := "by-rewrite/b/x x-rule=1 x-backend=1"; seen != want {
		t.Errorf("the second attempt was %q, want %q", seen, want)
	}
	w.Answer = nil
	c.Finish(w.Time)
	if len(w.Detached) != 1 || w.Detached[0].Authority != "by-rewrite" || w.Detached[0].Target != target(host, "v1") || w.Detached[0].Deadline.At != w.Time.Add(10*time.Second) {
		t.Errorf("%d copies: %+v", len(w.Detached), w.Detached)
	}
}

// TestTimeoutBoundsAllAttempts: "The timeout bounds all attempts and the pauses between them".
func TestTimeoutBoundsAllAttempts(t *testing.T) {
	w := newWorld(t, service(oneRule(func(r *mesh.Rule) {
		r.Timeout = &timeout.Policy{Ref: ref("timeout"), Limit: 10 * time.Second}
		r.Retry = &retry.Policy{Attempts: 5, Connect: true, Backoff: 1}
	})))
	w.Answer = func(c *traffic.Call) error {
		w.Time = w.Time.Add(4 * time.Second)
		if c.Deadline.At.Before(w.Time) {
			return c.Fail(traffic.ErrDeadline)
		}
		return c.Fail(traffic.ErrConnect)
	}
	c := w.call(nil)
	if status, v := chain.Unanswered(c, c.Response.Err); c.Attempts != 3 || status != 504 || v.Reason != decision.TimedOut || v.Ref == nil || v.Ref.Name != "timeout" {
		t.Errorf("%d attempts, %d because %v", c.Attempts, status, v)
	}
}

// TestRuleBeforeProfile: a profile's word counts where the route's rule has none. A bound of attempts is no word on the whole call.
func TestRuleBeforeProfile(t *testing.T) {
	for want, edit := range map[string]func(*mesh.Rule){
		"profile":                    nil,
		"own":                        func(r *mesh.Rule) { r.Timeout = &timeout.Policy{Ref: ref("own"), Limit: time.Second} },
		"":                           func(r *mesh.Rule) { r.Timeout = &timeout.Policy{Ref: ref("none")} },
		"attempt":                    func(r *mesh.Rule) { r.Attempt = &timeout.Policy{Ref: ref("attempt"), Limit: time.Second} },
		"profile, not the attempt's": func(r *mesh.Rule) { r.Attempt = &timeout.Policy{Ref: ref("attempt"), Limit: time.Hour} },
	} {
		w := newWorld(t, service(func(p *config.Port) {
			oneRule(edit)(p)
			p.Profile = []mesh.Rule{{Timeout: &timeout.Policy{Ref: ref("profile"), Limit: time.Minute}}}
		}))
		got := ""
		if r := w.call(nil).Deadline.Ref; r != nil {
			got = r.Name
		}
		if want, _, _ = strings.Cut(want, ","); got != want {
			t.Errorf("%q bounds the call, wanted %q", got, want)
		}
	}
}

// TestUnanswered: what a caller is told when nobody answered.
func TestUnanswered(t *testing.T) {
	for err, want := range map[error]struct {
		status int
		why    decision.Reason
	}{
		traffic.ErrCanceled: {499, decision.Default}, traffic.ErrDeadline: {504, decision.TimedOut}, traffic.ErrWrongPeer: {502, decision.WrongPeer},
		traffic.ErrNoIdentity: {503, decision.NoIdentity}, traffic.ErrConnect: {503, decision.ConnectFailed}, traffic.ErrRefused: {503, decision.ConnectFailed},
		traffic.ErrReset: {503, decision.ResetByPeer}, errors.New("anything"): {503, decision.ResetByPeer},
	} {
		if status, v := chain.Unanswered(&traffic.Call{}, fmt.Errorf("wrapped: %w", err)); status != want.status || v.Reason != want.why || v.Outcome != decision.Deny {
			t.Errorf("%v: %d %v", err, status, v)
		}
	}
}

// TestUpstream: the engine is told how to connect as the pool's policy says.
func TestUpstream(t *testing.T) {
	w := newWorld(t, service(func(p *config.Port) {
		oneRule(func(r *mesh.Rule) { r.Backends, r.Retry = to(target(host, "")), &retry.Policy{} })(p)
		p.Pools[0].Policy = mesh.Outbound{Connect: &traffic.Connect{Timeout: time.Second}, Secure: &traffic.Secure{Mode: traffic.Clear}}
	}))
	c := w.call(nil)
	if c.Attempts != 1 {
		t.Errorf("%d attempts where none is made again", c.Attempts)
	}
	if u := c.Upstream; u.Connect.Timeout != time.Second || u.Secure.Mode != traffic.Clear || u.Proto != traffic.HTTP1 {
		t.Errorf("%+v", u)
	}
}

// TestTrailOfConnections: what policies say of connections is told, with their names.
func TestTrailOfConnections(t *testing.T) {
	for want, policy := range map[string]mesh.Outbound{
		"":                           {},
		"tls dr: in the clear":       {Secure: &traffic.Secure{Ref: ref("dr"), Mode: traffic.Clear}},
		"tls dr: TLS to api.example": {Secure: &traffic.Secure{Ref: ref("dr"), Mode: traffic.Simple, SNI: "api.example"}},
		"connect pool: within 3s":    {Connect: &traffic.Connect{Ref: ref("pool"), Timeout: 3 * time.Second}},
	} {
		w := newWorld(t, service(func(p *config.Port) { p.Pools[0].Policy = policy }))
		c := w.call(func(c *traffic.Call) { c.Trail = &decision.Trail{} })
		got := ""
		for _, s := range c.Trail.Steps {
			if s.Stage == "tls" || s.Stage == "connect" {
				got += s.Stage + " " + s.Verdict.Ref.Name + ": " + s.Note
			}
		}
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestEgress: what a caller may not reach is a denial, and no failure of the endpoint's.
func TestEgress(t *testing.T) {
	w := newWorld(t)
	closed := ref("egress")
	w.egress = []authz.Engine{{Dialect: decision.Cilium, Closed: &closed, Tiers: []authz.Tier{{Rules: []authz.Rule{{Ref: ref("web"),
		Dest: []match.Source{{Selectors: []match.Selector{{Labels: []string{"app=web"}}}}}}}}}}}
	w.apply(service(func(p *config.Port) {
		p.Pools[0].Policy.Outlier = &outlier.Policy{Consecutive: 1}
		p.Pools[0].Policy.Breaker = &breaker.Policy{MaxRequests: 1}
	}))
	for range 3 {
		c := w.call(nil)
		if c.Response.Status != 403 || because(c) != "egress no rule allows" || w.Attempts != 0 {
			t.Errorf("%d because %s", c.Response.Status, because(c))
		}
		c.Finish(w.Time)
	}
	for _, s := range w.state.Snapshot()[target(host, "")] {
		if s.Outlier.Ejections != 0 || s.Pending != 0 {
			t.Errorf("%+v", s)
		}
	}
}

// TestStateOutlivesConfiguration: an ejected endpoint stays out, and calls under way keep their places, when a policy changes.
func TestStateOutlivesConfiguration(t *testing.T) {
	ejecting := func(limit uint32) *config.Service {
		return service(func(p *config.Port) {
			p.Pools[0].Policy = mesh.Outbound{Outlier: &outlier.Policy{Ref: ref("outlier"), Consecutive: 1}, Breaker: &breaker.Policy{Ref: ref("limit"), MaxRequests: limit}}
		})
	}
	w := newWorld(t, ejecting(10))
	w.Answer = traffictest.Status(500)
	c := w.call(nil)
	bad := c.To.Addr
	if c.Finish(w.Time); because(c) != "outlier ejected" {
		t.Fatalf("because %s", because(c))
	}
	w.Answer = nil
	under := w.call(nil)
	w.apply(ejecting(2))
	for range 20 {
		if c := w.call(nil); c.To == nil || c.To.Addr == bad {
			t.Fatalf("%v because %s", c.To, because(c))
		} else if over := w.call(nil); over.Response.Status != 503 || because(over) != "limit limited" {
			t.Fatalf("the call that was under way does not count: %d", over.Response.Status)
		} else {
			over.Finish(w.Time)
			c.Finish(w.Time)
		}
	}
	under.Finish(w.Time)
	w.state.Forget(host)
	if len(w.state.Snapshot()) != 0 {
		t.Error("forgotten, and still there")
	}
}

// TestApplyUnderLoad: configurations come while calls are made; none fails, and nothing is left in flight.
func TestApplyUnderLoad(t *testing.T) {
	limited := func(addrs ...string) *config.Service {
		return service(func(p *config.Port) {
			p.Pools[0].Endpoints = endpoints(addrs...)
			p.Pools[0].Policy = mesh.Outbound{Outlier: &outlier.Policy{Consecutive: 2}, Breaker: &breaker.Policy{MaxRequests: 100}}
		})
	}
	st := chain.NewState()
	var now atomic.Pointer[chain.Service]
	find := func(t traffic.Target) (traffic.Handler, string) { return now.Load().Find(t) }
	apply := func(addrs ...string) {
		s, err := chain.NewService(limited(addrs...), st, find, nil, traffictest.Epoch)
		if err != nil {
			t.Fatal(err)
		}
		now.Store(s)
	}
	apply("10.0.0.1:80")
	var wg sync.WaitGroup
	for i := range uint64(4) {
		wg.Go(func() {
			h, c := &traffictest.Host{}, &traffic.Call{}
			for draw := range uint64(2000) {
				h.Begin(c, conn)
				c.Draw = draw*4 + i
				if err := now.Load().Port(9080).Serve(c); err != nil || c.Response.Status != 200 {
					t.Errorf("%v %d because %s", err, c.Response.Status, because(c))
				}
				c.Finish(h.Time)
			}
		})
	}
	for i := range 200 {
		apply("10.0.0.1:80", fmt.Sprintf("10.0.0.%d:80", 2+i%3))
	}
	wg.Wait()
	for _, s := range st.Snapshot()[target(host, "")] {
		if s.Pending != 0 {
			t.Errorf("%+v", s)
		}
	}
}

// TestTargetsThatGo: what was learnt of a subset goes with it.
func TestTargetsThatGo(t *testing.T) {
	w := newWorld(t, service(nil))
	w.apply(service(func(p *config.Port) { p.Pools = p.Pools[:2] }))
	if got := w.state.Snapshot(); len(got) != 2 {
		t.Errorf("%d targets are known", len(got))
	}
}

// TestLastGoodStays: a configuration that is refused changes nothing, and the error names what is wrong.
func TestLastGoodStays(t *testing.T) {
	bad := []match.Request{{Paths: []match.String{{Kind: match.Regex, Value: "("}}}}
	for name, edit := range map[string]func(*mesh.Rule){
		"match": func(r *mesh.Rule) { r.Matches = bad }, "rewrite": func(r *mesh.Rule) { r.Rewrite = &rewrite.Policy{Regex: "("} },
		"redirect": func(r *mesh.Rule) { r.Redirect = &redirect.Policy{Status: 200} }, "fault": func(r *mesh.Rule) { r.Fault = &fault.Policy{AbortShare: 1} },
		"answer":  func(r *mesh.Rule) { r.Answer = &fault.Policy{AbortShare: 1} },
		"timeout": func(r *mesh.Rule) { r.Timeout = &timeout.Policy{Limit: -1} }, "attempt": func(r *mesh.Rule) { r.Attempt = &timeout.Policy{Limit: -1} },
		"retry":   func(r *mesh.Rule) { r.Retry = &retry.Policy{Attempts: -1} },
		"mirror":  func(r *mesh.Rule) { r.Mirrors = []mirror.Policy{{Share: mirror.All + 1}} },
		"headers": func(r *mesh.Rule) { r.Headers = &headers.Policy{Request: headers.Edit{Remove: []string{""}}} },
		"backend": func(r *mesh.Rule) {
			r.Backends[0].Headers = &headers.Policy{Request: headers.Edit{Remove: []string{""}}}
		},
	} {
		for _, profile := range []bool{false, true} {
			w := newWorld(t, service(nil))
			cfg := service(func(p *config.Port) {
				oneRule(edit)(p)
				if profile {
					p.Profile, p.Rules = p.Rules, nil
				}
				p.Pools[0].Endpoints = nil
			})
			_, err := chain.NewService(cfg, w.state, w.find, nil, w.Time)
			if err == nil || !strings.Contains(err.Error(), host+" port 9080") || !strings.Contains(err.Error(), "default/rule") {
				t.Errorf("%s: %v", name, err)
			}
			if n := len(w.state.Snapshot()[target(host, "")]); n != 2 {
				t.Errorf("%s: %d endpoints are left of two", name, n)
			}
		}
	}
	engines := []authz.Engine{{Tiers: []authz.Tier{{Rules: []authz.Rule{{Ref: ref("broken"), To: bad}}}}}}
	_, err := chain.NewPassthrough(engines)
	_, err2 := chain.NewInbound(&config.Workload{Inbound: mesh.Inbound{Authz: engines}})
	_, err3 := chain.NewService(service(nil), chain.NewState(), nil, engines, traffictest.Epoch)
	for _, err := range []error{err, err2, err3} {
		if err == nil || !strings.Contains(err.Error(), "default/broken") {
			t.Errorf("%v", err)
		}
	}
}

// TestNewerControlPlane: what this proxy cannot know is refused, not taken for something milder.
func TestNewerControlPlane(t *testing.T) {
	cfg := service(func(p *config.Port) { p.Proto = traffic.Detect + 1 })
	_, err := chain.NewService(cfg, chain.NewState(), nil, nil, traffictest.Epoch)
	_, err2 := chain.NewInbound(&config.Workload{Inbound: mesh.Inbound{MTLS: &mtls.Policy{Ref: ref("new"), Mode: mtls.Strict + 1}}})
	_, err3 := chain.NewInbound(&config.Workload{Inbound: mesh.Inbound{MTLS: &mtls.Policy{Ref: ref("new"), Ports: []mtls.Port{{Mode: mtls.Strict + 1}}}}})
	_, err4 := chain.NewService(service(func(p *config.Port) {
		p.Pools[0].Policy.Secure = &traffic.Secure{Mode: traffic.Barred + 1}
	}), chain.NewState(), nil, nil, traffictest.Epoch)
	for _, err := range []error{err, err2, err3, err4} {
		if err == nil || !strings.Contains(err.Error(), "older than the control plane") {
			t.Errorf("%v", err)
		}
	}
}

// TestRetriesWithinLimits: a retry over the limit is not made, and the answer at hand stands.
func TestRetriesWithinLimits(t *testing.T) {
	w := newWorld(t, service(func(p *config.Port) {
		oneRule(func(r *mesh.Rule) {
			r.Retry = &retry.Policy{Ref: ref("retries"), Attempts: 5, Codes: []int{409}}
			r.Backends = to(target(host, ""))
		})(p)
		p.Pools[0].Policy.Breaker = &breaker.Policy{Ref: ref("limit"), MaxRetries: 1}
	}))
	w.Answer = traffictest.Script(traffictest.Status(409), traffictest.Status(200)) // once more, and it stays under way
	first := w.call(nil)
	w.Answer = traffictest.Status(409)
	second := w.call(nil)
	if first.Attempts != 2 || second.Attempts != 1 || second.Response.Status != 409 || because(second) != "rule matched, limit limited" {
		t.Errorf("%d and %d attempts, %d because %s", first.Attempts, second.Attempts, second.Response.Status, because(second))
	}
}

func TestInbound(t *testing.T) {
	closed := ref("authz")
	w := &config.Workload{Inbound: mesh.Inbound{MTLS: &mtls.Policy{Ref: ref("strict"), Mode: mtls.Strict}, Authz: []authz.Engine{{Closed: &closed}}}}
	in, err := chain.NewInbound(w)
	if err != nil {
		t.Fatal(err)
	}
	for secure, want := range map[bool]string{false: "strict unauthenticated", true: "authz no rule allows"} {
		c := (&traffictest.Host{}).Call()
		c.Secure = secure
		if _ = in.Serve(c); c.Response.Status != 403 || because(c) != want {
			t.Errorf("secure %v: %d because %s", secure, c.Response.Status, because(c))
		}
	}
}

func TestPassthrough(t *testing.T) {
	closed := ref("egress")
	for _, engines := range [][]authz.Engine{nil, {{Closed: &closed}}} {
		p, err := chain.NewPassthrough(engines)
		if err != nil {
			t.Fatal(err)
		}
		c := (&traffictest.Host{}).Call()
		c.To = &endpoints("192.0.2.1:443")[0]
		if _ = p.Serve(c); (c.Response.Status == 200) != (engines == nil) {
			t.Errorf("%d engines: %d", len(engines), c.Response.Status)
		}
	}
}

func TestPorts(t *testing.T) {
	s := newWorld(t, service(nil)).services[host]
	if s.Port(80) != nil || s.Proto(9080) != traffic.HTTP1 || s.Proto(80) != traffic.Detect {
		t.Error("a port that the service does not have")
	}
	for _, x := range []struct {
		s    *chain.Service
		t    traffic.Target
		want string
	}{
		{s, target(host, "v1"), ""},
		{s, traffic.Target{Service: host, Port: 80}, host + " has no port 80, but 9080"},
		{s, target(host, "v9"), host + " has no subset v9"},
		{nil, target("gone", ""), "there is no service gone"},
	} {
		if h, why := x.s.Find(x.t); why != x.want || (h == nil) != (why != "") {
			t.Errorf("%v: %q", x.t, why)
		}
	}
}

// full is a service whose rule says all that a rule can, and a workload whose callers are judged by three engines.
func full(t testing.TB) (*world, traffic.Handler) {
	egress := ref("egress")
	w := newWorld(t)
	w.egress = []authz.Engine{{Dialect: decision.Cilium, Closed: &egress, Tiers: []authz.Tier{{Rules: []authz.Rule{{Ref: ref("to-reviews"),
		Dest: []match.Source{{Selectors: []match.Selector{{Labels: []string{"app=reviews"}}}}}}}}}}}
	pool := mesh.Outbound{Balance: &balance.Policy{Ref: ref("balance")}, Outlier: &outlier.Policy{Ref: ref("outlier"), Consecutive: 5},
		Breaker: &breaker.Policy{Ref: ref("limit"), MaxConnections: 1000, MaxRequests: 1000, MaxRetries: 3}}
	w.apply(service(func(p *config.Port) {
		for i := range p.Pools {
			p.Pools[i].Policy = pool
		}
		p.Route = ref("route")
		p.Profile = []mesh.Rule{{Rule: route.Rule{Ref: ref("profile"), Matches: []match.Request{{Paths: []match.String{{Kind: match.Regex, Value: "/reviews/.*"}}}}},
			Classify: &classify.Policy{Classes: []classify.Class{{Match: classify.Condition{Status: &classify.Statuses{Min: 500, Max: 599}}}}}}}
		p.Rules = []mesh.Rule{
			{Rule: route.Rule{Ref: ref("jason"), Matches: []match.Request{{Headers: []match.Header{{Name: "end-user", Values: []match.String{{Value: "jason"}}}}}}}, Backends: to(target(host, "v2"))},
			{Rule: route.Rule{Ref: ref("all")},
				Fault:   &fault.Policy{Delay: time.Second, DelayShare: 0, Status: 500},
				Headers: &headers.Policy{Request: headers.Edit{Set: []headers.Pair{{Name: "x-added", Value: "1"}}, Remove: []string{"x-secret"}}, Response: headers.Edit{Set: []headers.Pair{{Name: "x-served-by", Value: "weft"}}}},
				Rewrite: &rewrite.Policy{Authority: "reviews"},
				Mirrors: []mirror.Policy{{Target: target(host, "v1")}},
				Timeout: &timeout.Policy{Limit: 10 * time.Second},
				Attempt: &timeout.Policy{Limit: 5 * time.Second},
				Retry:   &retry.Policy{Attempts: 2, Connect: true, Codes: []int{503}},
				Backends: []mesh.Backend{
					{Weighted: route.Weighted{Target: target(host, "v1"), Weight: 50}, Headers: &headers.Policy{Request: headers.Edit{Set: []headers.Pair{{Name: "x-backend", Value: "v1"}}}}},
					{Weighted: route.Weighted{Target: target(host, "v2"), Weight: 50}},
				}},
		}
	}))
	closed := ref("closed")
	get := []match.Request{{Methods: []match.String{{Value: "GET"}}, Paths: []match.String{{Kind: match.PathPrefix, Value: "/reviews"}}}}
	regex := []match.Request{{Paths: []match.String{{Kind: match.Regex, Value: "/reviews/[0-9]+"}}}}
	from := []match.Source{{Principals: []match.String{{Value: "cluster.local/ns/default/sa/frontend"}}}}
	var engines []authz.Engine
	for i, to := range [][]match.Request{get, nil, regex} {
		engines = append(engines, authz.Engine{Dialect: decision.Istio + decision.Dialect(i), Closed: &closed,
			Tiers: []authz.Tier{{Effect: authz.Deny, Rules: []authz.Rule{{Ref: ref("deny"), To: []match.Request{{Methods: []match.String{{Value: "DELETE"}}}}}}},
				{Rules: []authz.Rule{{Ref: ref("allow"), From: from, To: to}}}}})
	}
	in, err := chain.NewInbound(&config.Workload{Inbound: mesh.Inbound{MTLS: &mtls.Policy{Mode: mtls.Strict}, Authz: engines}})
	if err != nil {
		t.Fatal(err)
	}
	return w, in
}

var conn = &traffic.Conn{Secure: true, Original: netip.MustParseAddrPort("240.0.0.1:9080"),
	Source: traffic.Peer{Addr: netip.MustParseAddrPort("10.0.0.9:40000"), ID: identity.Of("cluster.local", "default", "frontend")}}

func fill(c *traffic.Call, w *world) {
	draw := c.Draw
	w.Begin(c, conn)
	c.Authority, c.Path, c.Draw = "reviews:9080", "/reviews/7", draw+1
	c.Header.Receive("user-agent", "curl")
	c.Header.Receive("accept", "*/*")
	c.Header.Receive("x-request-id", "0123456789abcdef")
	c.Header.Receive("x-secret", "s")
	c.Header.Receive("end-user", "ann")
}

func run(c *traffic.Call, w *world, h traffic.Handler) {
	fill(c, w)
	if h != nil {
		_ = h.Serve(c)
	}
	c.Finish(w.Time)
}

func TestNoAllocation(t *testing.T) {
	w, in := full(t)
	for name, h := range map[string]traffic.Handler{"outbound": w.services[host].Port(9080), "inbound": in} {
		c := &traffic.Call{}
		if n := testing.AllocsPerRun(1000, func() { run(c, w, h) }); n != 0 || c.Response.Status != 200 {
			t.Errorf("%s: %v allocations, %d because %s", name, n, c.Response.Status, because(c))
		}
	}
}

// BenchmarkChain: "outbound" is profile, table, fault, headers, rewrite, mirror, classes, timeouts, retry, split, breaker, balance with
// ejection, and egress; "inbound" is strict mutual TLS and three engines, one with a regular expression; "fill" is what both
// contain of the engine's part: beginning a call and five headers.
func BenchmarkChain(b *testing.B) {
	w, in := full(b)
	for _, x := range []struct {
		name string
		h    traffic.Handler
	}{{"fill", nil}, {"outbound", w.services[host].Port(9080)}, {"inbound", in}} {
		b.Run(x.name, func(b *testing.B) {
			c := &traffic.Call{}
			b.ReportAllocs()
			for b.Loop() {
				run(c, w, x.h)
			}
		})
	}
}
