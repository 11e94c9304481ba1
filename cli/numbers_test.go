package cli

import (
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weft-mesh/weft/control"
	"github.com/weft-mesh/weft/observe/stat"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

const ratingsHost = "ratings.default.svc.cluster.local"

// edge is calls of from to a workload of ratings, seen from the source.
func edge(from, to string, calls, failed, denied uint64) stat.Edge {
	return stat.Edge{Reporter: "source", From: from, Service: ratingsHost, Port: 9080, To: to, Protocol: "http/1.1", Calls: calls, Failed: failed, Denied: denied,
		Secure: calls / 2, Retries: 1, Latency: stat.Histogram{8: calls}, LastDenial: "AuthorizationPolicy default/x rules[0] (istio)", LastFailure: "connect failed\nrefused"}
}

func of(key string, since, now time.Duration, edges ...stat.Edge) *stat.Snapshot {
	return &stat.Snapshot{Workload: key, Since: noon.Add(since), Now: noon.Add(now), Edges: edges}
}

func snapshots(all ...*stat.Snapshot) map[string]*stat.Snapshot {
	out := map[string]*stat.Snapshot{}
	for _, s := range all {
		out[s.Workload] = s
	}
	return out
}

var proxies = []control.ProxyAddr{{Workload: "default/a-1", Service: "a", Namespace: "default"}, {Workload: "default/ratings-1", Service: "ratings", Namespace: "default"},
	{Workload: "default/job-1", Namespace: "default"}}

func find(t *testing.T, rows []*row, name string) *row {
	t.Helper()
	i := slices.IndexFunc(rows, func(r *row) bool { return r.Service == name || r.From+" "+r.To == name })
	if i < 0 {
		t.Fatalf("no row %s", name)
	}
	return rows[i]
}

func near(a, b float64) bool { return math.Abs(a-b) < 1e-9 }

func TestNumbersOfAWindow(t *testing.T) {
	before := snapshots(of("default/a-1", 0, 10*time.Second, edge("default/a-1", "default/ratings-1", 100, 50, 0)))
	now := snapshots(of("default/a-1", 0, 12*time.Second, edge("default/a-1", "default/ratings-1", 140, 54, 6), edge("default/a-1", "default/ratings-2", 10, 0, 0)))
	n := count(before, now, proxies, nil)
	r := find(t, n.services(), "ratings.default")
	if r.Calls != 50 || r.Failed != 4 || r.Denied != 6 || !near(r.Success, 0.8) || !near(r.Rate, 25) || !near(r.MTLS, 0.5) {
		t.Errorf("%+v", r)
	}
	if r.P50 == 0 || r.P50 != r.P99 {
		t.Errorf("quantiles %v %v %v", r.P50, r.P95, r.P99)
	}
	if r.Because != "AuthorizationPolicy default/x rules[0] (istio)" {
		t.Errorf("because %q", r.Because)
	}
	if len(n.services()) != 2 || find(t, n.services(), "a.default").Calls != 0 || find(t, n.services(), "a.default").Success != 1 {
		t.Errorf("services that nobody calls are there: %+v", n.services())
	}
	pairs := n.pairs()
	if len(pairs) != 2 || find(t, pairs, "default/a-1 default/ratings-2").Because != "" {
		t.Errorf("an old failure is told of calls that all went well: %+v", pairs[1])
	}
}

func TestNumbersSinceTheBeginning(t *testing.T) {
	now := snapshots(of("default/a-1", 0, 10*time.Second, edge("default/a-1", "default/ratings-1", 100, 50, 0)))
	if r := find(t, count(nil, now, proxies, nil).services(), "ratings.default"); r.Calls != 100 || !near(r.Rate, 10) || r.Because != "connect failed: refused" {
		t.Errorf("%+v", r)
	}
}

// A proxy that has begun anew has smaller numbers than before.
func TestNumbersOfAProxyThatWasReplaced(t *testing.T) {
	before := snapshots(of("default/a-1", 0, 10*time.Second, edge("default/a-1", "default/ratings-1", 1000, 0, 0)))
	now := snapshots(of("default/a-1", 11*time.Second, 12*time.Second, edge("default/a-1", "default/ratings-1", 5, 0, 0)))
	if r := find(t, count(before, now, proxies, nil).services(), "ratings.default"); r.Calls != 5 || !near(r.Rate, 5) {
		t.Errorf("%+v", r)
	}
}

// Each call is counted once: by its caller's proxy, or, where that is none or is gone, by the callee's.
func TestEachCallIsCountedOnce(t *testing.T) {
	at := func(from string, calls uint64) stat.Edge {
		return stat.Edge{Reporter: "destination", From: from, To: "default/ratings-1", Calls: calls}
	}
	now := snapshots(of("default/a-1", 0, time.Second, edge("default/a-1", "default/ratings-1", 10, 0, 0)),
		of("default/ratings-1", 0, time.Second, at("default/a-1", 10), at("", 3), at("default/gone-1", 4)))
	n := count(nil, now, proxies, nil)
	if r := find(t, n.services(), "ratings.default"); r.Calls != 17 {
		t.Errorf("%d calls, want 10 + 3 + 4", r.Calls)
	}
	for name, calls := range map[string]uint64{"default/a-1 default/ratings-1": 10, "outside default/ratings-1": 3, "default/gone-1 default/ratings-1": 4} {
		if r := find(t, n.pairs(), name); r.Calls != calls {
			t.Errorf("%s: %d calls, want %d", name, r.Calls, calls)
		}
	}
}

func TestNumbersThatMakeNoSense(t *testing.T) {
	e := edge("default/a-1", "", 2, 2, 2) // failed and denied
	r := find(t, count(nil, snapshots(of("default/a-1", 0, 0, e)), proxies, nil).services(), "ratings.default")
	if r.Success != 0 || r.Rate != 0 {
		t.Errorf("%+v", r)
	}
	if rows := count(nil, snapshots(of("default/a-1", 0, 0, e)), proxies, nil).pairs(); rows[0].To != "ratings.default" {
		t.Errorf("a call that reached nobody was to %q", rows[0].To)
	}
	if rows := (&numbers{}).pairs(); rows == nil || len(rows) > 0 {
		t.Error("no rows are null to a program")
	}
}

func TestStat(t *testing.T) {
	p := serve(t, reviews)
	if _, out, _ := weft(t, "stat", "--state", p.state, "--window", "0"); !strings.Contains(out, "no service has a workload") {
		t.Errorf("%s", out)
	}
	calls := uint64(0)
	p.register(t, "a", func() *stat.Snapshot {
		calls += 10
		return of("default/a-1", 0, time.Duration(calls)*time.Second/10, edge("default/a-1", "default/ratings-1", calls, 0, calls/10))
	})
	p.register(t, "ratings", nil)
	code, out, errs := weft(t, "stat", "--state", p.state, "--window", "1ms")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	contains(t, "stat", out, "SERVICE          SUCCESS  REQ/S", "a.default        -        0.0    -", "ratings.default  90.00%   10.0", "the proxy of default/ratings-1 does not answer")
	_, out, _ = weft(t, "edges", "--state", p.state, "--window", "0")
	contains(t, "edges", out, "default/a-1  default/ratings-1  90.00%", "AuthorizationPolicy default/x rules[0] (istio)")
	var rows []row
	if _, out, _ = weft(t, "stat", "--state", p.state, "--window", "0", "-o", "json"); json.Unmarshal([]byte(out), &rows) != nil || len(rows) != 2 || rows[1].Calls == 0 {
		t.Errorf("%s", out)
	}
	if code, _, errs := weft(t, "stat", "--watch", "-o", "json", "--state", p.state); code != 2 || !strings.Contains(errs, "--watch") {
		t.Errorf("exit code %d: %s", code, errs)
	}
}

func TestEdgesWithoutCalls(t *testing.T) {
	p := serve(t, reviews)
	p.register(t, "a", func() *stat.Snapshot { return of("default/a-1", 0, time.Second) })
	_, out, _ := weft(t, "edges", "--state", p.state, "--window", "1ms")
	contains(t, "edges", out, "no calls in 1ms", "weft edges --window 0")
	if _, out, _ := weft(t, "edges", "--state", p.state, "--window", "0"); out != "no calls yet\n" {
		t.Errorf("%s", out)
	}
	if _, out, _ := weft(t, "edges", "--state", p.state, "--window", "0", "-o", "json"); out != "[]\n" {
		t.Errorf("%s", out)
	}
}

func TestStatusCommand(t *testing.T) {
	p := serve(t, reviews+"---\napiVersion: v1\nkind: Service\nmetadata: {name: bad}\nspec: {ports: [{port: many}]}\n")
	_, out, _ := weft(t, "status", "--state", p.state)
	contains(t, "status", out, "trust domain  cluster.local", "(steady)", "1 error, 0 warnings", "no workloads; start one with: weft run --state "+p.state)
	p.register(t, "a", nil)
	_, out, _ = weft(t, "status", "--state", p.state)
	contains(t, "status", out, "WORKLOAD", "default/a-1", "127.", "away")
	for _, format := range []string{"json", "yaml"} {
		_, out, _ = weft(t, "status", "--state", p.state, "-o", format)
		contains(t, format, out, "trustDomain", "default/a-1")
		if strings.Contains(out, "token") {
			t.Error("a token is told")
		}
	}
}

// Errors of a control plane say what it was, and what to do.
func TestControlPlanesThatDoNotAnswer(t *testing.T) {
	dir := shortDir(t)
	answer := func(w http.ResponseWriter, status int, text string) { http.Error(w, text, status) }
	for what, x := range map[string]struct {
		serve http.HandlerFunc
		says  string
	}{
		"nobody":         {nil, "start one with: weft up --state " + dir},
		"an error":       {func(w http.ResponseWriter, _ *http.Request) { answer(w, 403, "user 7 may not ask this") }, "weft: user 7 may not ask this"},
		"one that stops": {func(w http.ResponseWriter, _ *http.Request) { answer(w, 503, "the control plane has stopped") }, "no control plane answers in " + dir},
		"a cut answer": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("content-length", "100")
			_, _ = w.Write([]byte("{"))
		}, "cut short"},
		"a closed one":     {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "no control plane answers any more"},
		"something else's": {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }, "no control plane answers"},
	} {
		stop := func() {}
		if x.serve != nil {
			stop = serveUnix(t, apiSocket(dir), x.serve)
		}
		code, _, errs := weft(t, "status", "--state", dir)
		stop()
		if code != 2 || !strings.Contains(errs, x.says) {
			t.Errorf("%s: exit code %d: %q, want %q", what, code, errs, x.says)
		}
	}
	serveUnix(t, apiSocket(dir), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("distributing root 1\n"))
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}))
	if code, out, errs := weft(t, "identity", "rotate", "--state", dir); code != 2 || !strings.Contains(out, "distributing") || !strings.Contains(errs, "goes on where it stood") {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
}

func TestCounted(t *testing.T) {
	for n, want := range map[int]string{0: "0 calls", 1: "1 call", 2: "2 calls"} {
		if got := counted(n, "call"); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
