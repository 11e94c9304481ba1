package explain_test

import (
	"net/netip"
	"sync"
	"testing"
	"unique"

	"github.com/weft-mesh/weft/compile"
	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/explain"
	"github.com/weft-mesh/weft/feature/authz"
	"github.com/weft-mesh/weft/feature/rewrite"
	"github.com/weft-mesh/weft/feature/route"
	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/traffic"
)

const host = "reviews.default.svc.cluster.local"

func ref(name string) decision.Ref { return decision.Ref{Kind: "Test", Name: name} }

func workload(name, addr string) mesh.Workload {
	return mesh.Workload{Name: name, Namespace: "default", Addr: netip.MustParseAddr(addr), Tunnel: netip.MustParseAddrPort(addr + ":15008"), Identity: unique.Make(identity.Of("td", "default", name)),
		Labels: []string{"app=" + name}, Ready: true}
}

// world has a service whose only rule, and whose only policy, read paths by a regular expression.
func world() *mesh.Snapshot {
	paths := []match.Request{{Paths: []match.String{{Kind: match.Regex, Value: "/[a-z]+"}}}}
	rule := mesh.Rule{Rule: route.Rule{Ref: ref("rule"), Matches: paths}, Rewrite: &rewrite.Policy{Regex: "^/a", Subst: "/b"},
		Backends: []mesh.Backend{{Weighted: route.Weighted{Target: traffic.Target{Service: host}, Weight: 1}}}}
	closed := ref("policy")
	s, _ := mesh.New().With([]mesh.Change{{New: &mesh.Part{
		Services: []mesh.Service{{Host: host, Name: "reviews", Namespace: "default", IPs: []netip.Addr{netip.MustParseAddr("10.96.0.1")},
			Ports: []mesh.Port{{Number: 80, Proto: traffic.HTTP1}}, Selector: &match.Selector{Labels: []string{"app=reviews"}}}},
		Workloads: []mesh.Workload{workload("reviews", "10.0.0.1"), workload("web", "10.0.0.2")},
		Routes:    []mesh.Route{{Ref: ref("route"), Host: host, Rules: []mesh.Rule{rule}}},
		Authorizations: []mesh.Authorization{{Ref: closed, Selector: match.Selector{Labels: []string{"app=reviews"}}, Closes: &closed,
			Tiers: []authz.Tier{{Effect: authz.Allow, Rules: []authz.Rule{{Ref: closed, To: paths}}}}}},
	}}})
	return s
}

func ask(t *testing.T, s *mesh.Snapshot, path string) explain.Branch {
	t.Helper()
	b, err := explain.Call(compile.All(s, s.Workloads.Get("default/web")), explain.Query{From: "default/web", Proto: traffic.HTTP1, Host: host, Port: 80,
		Method: "GET", Authority: "reviews", Path: path})
	if err != nil || len(b) != 1 {
		t.Fatalf("%v: %+v", err, b)
	}
	return b[0]
}

func TestCall(t *testing.T) {
	s := world()
	for path, want := range map[string]int{"/abc": 200, "/1": 404, "/x/../abc": 200, "/b2": 404} {
		if b := ask(t, s, path); b.Status != want {
			t.Errorf("%s: %d by %v", path, b.Status, b.By)
		}
	}
	if b := ask(t, s, "/abc"); b.Path != "/bbc" || b.To.Workload != "default/reviews" || b.By.Ref.Name != "policy" {
		t.Errorf("%+v", b)
	}
}

// TestUnknown: what is not there is named, and of a service the ports that are.
func TestUnknown(t *testing.T) {
	s := world()
	for url, want := range map[string]string{"http://review/": "there is no service review.default.svc.cluster.local", "http://reviews:9080/": host + " has no port 9080, but 80"} {
		q, err := (&explain.Asked{From: "web", Proto: traffic.HTTP1, Method: "GET", URL: url}).Query(s)
		if err != nil {
			t.Fatal(err)
		}
		b, err := explain.Call(compile.All(s, s.Workloads.Get(q.From)), q)
		if err != nil || len(b) != 1 || b[0].Status != 502 || len(b[0].Steps) != 1 || b[0].Steps[0].Note != want {
			t.Errorf("%s: %v %+v, want %s", url, err, b, want)
		}
	}
}

// TestInTheClear: who comes in the clear, because the caller's policy says so, is nobody.
func TestInTheClear(t *testing.T) {
	s := world()
	known := ref("known")
	clear := &mesh.Part{Authorizations: []mesh.Authorization{{Ref: known, Selector: match.Selector{Labels: []string{"app=reviews"}},
		Tiers: []authz.Tier{{Effect: authz.Deny, Rules: []authz.Rule{{Ref: known, From: []match.Source{{Unauthenticated: true}}}}}}}}}
	s, _ = s.With([]mesh.Change{{New: clear}})
	if b := ask(t, s, "/abc"); b.Status != 200 {
		t.Errorf("by mutual TLS: %d by %v", b.Status, b.By)
	}
	clear = &mesh.Part{Backends: []mesh.BackendPolicy{{Ref: decision.Ref{Namespace: "default"}, Host: host, Policy: mesh.Outbound{Secure: &traffic.Secure{Mode: traffic.Clear}}}}}
	s, _ = s.With([]mesh.Change{{New: clear}})
	if b := ask(t, s, "/abc"); b.Status != 403 || b.By.Ref.Name != "known" {
		t.Errorf("in the clear: %d by %v", b.Status, b.By)
	}
}

// TestWhatIf: failures, statuses and times that are asked for pass through retries and deadlines.
func TestWhatIf(t *testing.T) {
	s := world()
	set := compile.All(s, s.Workloads.Get("default/web"))
	q := explain.Query{From: "default/web", Proto: traffic.HTTP1, Host: host, Port: 80, Method: "GET", Authority: "reviews", Path: "/abc"}
	for name, x := range map[string]struct {
		edit             func(*explain.Query)
		status, attempts int
	}{
		"nothing":                  {func(*explain.Query) {}, 200, 1},
		"one endpoint does not go": {func(q *explain.Query) { q.Fail = 1 }, 200, 2},
		"none goes":                {func(q *explain.Query) { q.Fail = 9 }, 503, 3},
		"the application's answer": {func(q *explain.Query) { q.Status = 418 }, 418, 1},
		"from outside":             {func(q *explain.Query) { q.From, q.To = "", "default/reviews" }, 200, 1},
	} {
		q := q
		x.edit(&q)
		b, err := explain.Call(set, q)
		if err != nil || b[0].Status != x.status || x.attempts != max(b[0].Attempt, 1) {
			t.Errorf("%s: %v, %+v", name, err, b)
		}
	}
	for _, bad := range []explain.Query{{From: "default/none"}, {To: "default/none"}} {
		if _, err := explain.Call(set, bad); err == nil {
			t.Errorf("%+v is explained", bad)
		}
	}
}

// TestQuestionsShareAMesh: a snapshot is never changed, so that many may ask of it at once (the race detector looks on).
func TestQuestionsShareAMesh(t *testing.T) {
	s := world()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { ask(t, s, "/abc") })
	}
	wg.Wait()
}
