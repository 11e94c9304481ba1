package meshtest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/internal/meshtest"
	"github.com/weft-mesh/weft/observe"
)

const toV2 = `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec: {hosts: [reviews], http: [{route: [{destination: {host: reviews, subset: v2}}]}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec: {host: reviews, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}
`

// TestApply: a change is in force when Apply and Delete return.
func TestApply(t *testing.T) {
	m := meshtest.New(t)
	m.Run("frontend", "reviews-v1 service=reviews version=v1", "reviews-v2 service=reviews version=v2")
	m.Expect("from frontend GET http://reviews/ => 200 reviews because mesh default")
	m.Apply(toV2)
	m.Expect("from frontend GET http://reviews/ => 200 reviews subset v2 because VirtualService default/reviews http[0]")
	m.Apply(strings.Replace(toV2, "subset: v2}", "subset: v1}", 1))
	m.Expect("from frontend GET http://reviews/ => 200 reviews subset v1")
	m.Delete(toV2)
	m.Expect("from frontend GET http://reviews/ => 200 reviews because mesh default")
}

// TestBadVersion: a new version of an object that cannot be read leaves the last good one in force, with a finding (DESIGN section
// 10: "a finding and a status naming the field; the last good version stays in force").
func TestBadVersion(t *testing.T) {
	m := meshtest.New(t, toV2)
	m.Run("frontend", "reviews-v1 service=reviews version=v1", "reviews-v2 service=reviews version=v2")
	m.Apply(strings.Replace(toV2, "hosts: [reviews]", "hosts: 7", 1))
	m.Finding("VirtualService default/reviews", "spec.hosts")
	m.Expect("from frontend GET http://reviews/ => 200 reviews subset v2 because VirtualService default/reviews http[0]")
}

// TestRecords: every call has one record at each side, which agree about who called whom.
func TestRecords(t *testing.T) {
	m := meshtest.New(t)
	m.Run("frontend", "web/backend")
	a := m.Get("frontend", "http://backend.web/a?secret=1")
	all := m.Records()
	if len(all) != 2 || a.Caller == nil || a.Callee == nil || a.App != "web/backend" {
		t.Fatalf("%d records, the answer is %+v", len(all), a)
	}
	for _, r := range []*observe.Record{a.Caller, a.Callee} {
		if r.From.ID.String() != "spiffe://cluster.local/ns/default/sa/frontend" || r.To.ID.String() != "spiffe://cluster.local/ns/web/sa/backend" ||
			!r.Secure || r.Status != 200 || r.Path != "/a" || r.Service != "backend.web.svc.cluster.local" {
			t.Errorf("%v: %+v", r.Reporter, r)
		}
	}
}

// TestFail: an application that fails is called all the same, until policies say otherwise.
func TestFail(t *testing.T) {
	m := meshtest.New(t)
	m.Run("frontend", "backend")
	m.Fail("backend", 503)
	if a := m.Get("frontend", "http://backend/"); a.Status != 503 || a.App != "default/backend" || !a.Caller.Failed {
		t.Errorf("%+v", a)
	}
	m.Fail("backend", 0)
	if a := m.Get("frontend", "http://backend/"); a.Status != 200 {
		t.Errorf("%+v", a)
	}
}

// TestKill: calls go to whoever is left; without anybody they get 503.
func TestKill(t *testing.T) {
	m := meshtest.New(t)
	m.Run("frontend", "a service=shop", "b service=shop")
	m.Kill("a")
	for range 10 {
		if x := m.Get("frontend", "http://shop/"); x.App != "default/b" {
			t.Fatalf("%+v", x)
		}
	}
	m.Kill("b")
	if x := m.Get("frontend", "http://shop/"); x.Status != 502 && x.Status != 503 {
		t.Errorf("%+v", x)
	}
}

// TestCrash: while nobody has told the proxies that an endpoint is dead, calls are tried elsewhere.
func TestCrash(t *testing.T) {
	m := meshtest.New(t)
	m.Run("frontend", "a service=shop", "b service=shop")
	m.Get("frontend", "http://shop/")
	m.Crash("a")
	for range 10 {
		if x := m.Get("frontend", "http://shop/"); x.Status != 200 || x.App != "default/b" {
			t.Fatalf("%d %s of %s", x.Status, x.Body, x.App)
		}
	}
}

// TestRotate: the root is replaced while calls are made, and none fails.
func TestRotate(t *testing.T) {
	m := meshtest.New(t)
	m.Run("frontend", "backend")
	held := m.Hold("from frontend GET http://backend/held")
	m.Rotate()
	if a := m.Get("frontend", "http://backend/"); a.Status != 200 || !a.Caller.Secure {
		t.Errorf("after the rotation: %+v", a)
	}
	if a := held.Release(); a.Status != 200 {
		t.Errorf("a call that was under way: %+v", a)
	}
}

// TestHold: a call is under way until it is released.
func TestHold(t *testing.T) {
	m := meshtest.New(t)
	m.Run("frontend", "backend", "db ports=5432 protocol=tcp")
	http, tcp := m.Hold("from frontend GET http://backend/"), m.Hold("from frontend TCP db:5432")
	if http.Answered() || tcp.Answered() {
		t.Error("a call that is held was answered")
	}
	if a := http.Release(); a.Status != 200 || a.App != "default/backend" {
		t.Errorf("%+v", a)
	}
	if a := tcp.Release(); a.Status != 200 || a.App != "default/db" {
		t.Errorf("%+v", a)
	}
}

// TestPolicyTightened: a connection under way that is not allowed any more is closed (DESIGN section 10).
func TestPolicyTightened(t *testing.T) {
	m := meshtest.New(t)
	m.Run("frontend", "db ports=5432 protocol=tcp")
	held := m.Hold("from frontend TCP db:5432")
	m.Apply(`
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: db}
spec: {selector: {matchLabels: {app: db}}}
`)
	held.Ended()
	m.Expect("from frontend TCP db:5432 => refused because AuthorizationPolicy default/db, no rule allows (istio)")
}

// TestDenials: records of denials say so, and name the policy at the side that denied.
func TestDenials(t *testing.T) {
	m := meshtest.New(t, `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: closed}
spec: {selector: {matchLabels: {app: shop}}}
`)
	m.Run("frontend", "shop")
	a := m.Get("frontend", "http://shop/")
	if a.Callee == nil || !a.Callee.Denied() || a.Callee.Deciding.Reason != decision.NoRuleAllows || a.Callee.Deciding.Ref.Name != "closed" {
		t.Errorf("%+v", a.Callee)
	}
	if want := "no rule allows; AuthorizationPolicy default/closed (istio)"; !has(a, "weft-error", want) {
		t.Errorf("the caller is told %v, want %s", a.Returns, want)
	}
}

func has(a *meshtest.Answer, name, value string) bool {
	for _, h := range a.Returns {
		if h == [2]string{name, value} {
			return true
		}
	}
	return false
}

// TestManyWorkloads: a mesh of many is as quick to use as a small one.
func TestManyWorkloads(t *testing.T) {
	m := meshtest.New(t)
	lines := []string{"frontend"}
	for i := range 20 {
		lines = append(lines, fmt.Sprintf("w%d service=w", i))
	}
	m.Run(lines...)
	seen := map[string]bool{}
	for range 300 {
		seen[m.Get("frontend", "http://w/").App] = true
	}
	if len(seen) < 15 {
		t.Errorf("of 20 endpoints %d were called", len(seen))
	}
}
