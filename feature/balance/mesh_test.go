package balance_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/internal/meshtest"
)

func rule(loadBalancer string) string {
	return `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: shop}
spec: {host: shop, trafficPolicy: {loadBalancer: ` + loadBalancer + `}}
`
}

func shop(t *testing.T, loadBalancer string) *meshtest.Mesh {
	m := meshtest.New(t, rule(loadBalancer))
	m.Run("frontend", "a service=shop", "b service=shop", "c service=shop", "d service=shop")
	return m
}

// TestRoundRobinOnTheMesh: each endpoint gets the same number of calls.
func TestRoundRobinOnTheMesh(t *testing.T) {
	m, calls := shop(t, "{simple: ROUND_ROBIN}"), map[string]int{}
	for range 40 {
		calls[m.Get("frontend", "http://shop/").App]++
	}
	for who, n := range calls {
		if n != 10 || len(calls) != 4 {
			t.Errorf("%s got %d of 40 calls: %v", who, n, calls)
		}
	}
}

// TestHashOnTheMesh: calls of one key go to one endpoint, and keys are spread; when an endpoint leaves, few keys of the
// others move: as in Envoy, a ring of fewer endpoints has more points of each.
func TestHashOnTheMesh(t *testing.T) {
	m := shop(t, "{consistentHash: {httpHeaderName: x-user}}")
	before := where(m)
	if again := where(m); fmt.Sprint(before) != fmt.Sprint(again) {
		t.Errorf("keys moved: %v and %v", before, again)
	}
	used := map[string]bool{}
	for _, who := range before {
		used[who] = true
	}
	if len(used) < 3 {
		t.Errorf("%d keys went to %d of 4 endpoints", hashed, len(used))
	}
	m.Kill("a")
	moved, others := 0, 0
	for key, who := range where(m) {
		if was := before[key]; was != "default/a" {
			others++
			if who != was {
				moved++
			}
		}
	}
	if moved > others/2 {
		t.Errorf("%d of %d keys moved whose endpoint is still there", moved, others)
	}
}

// hashed is how many keys are tried. A quarter of those that could stay move, as in Envoy, since the endpoints that are left get more places
// of the ring: of 20 keys, chance moved more than half once in forty runs.
const hashed = 120

func where(m *meshtest.Mesh) map[string]string {
	out := map[string]string{}
	for i := range hashed {
		key := fmt.Sprintf("x-user=u%d", i)
		out[key] = m.Get("frontend", "http://shop/", key).App
	}
	return out
}

// TestCookieOnTheMesh: a caller without the cookie gets one, which keeps it at the endpoint; a ttl of 0 makes it one of the session.
func TestCookieOnTheMesh(t *testing.T) {
	m := shop(t, "{consistentHash: {httpCookie: {name: at, ttl: 0s}}}")
	first, cookie := m.Get("frontend", "http://shop/"), ""
	for _, h := range first.Returns {
		if h[0] == "set-cookie" {
			cookie = h[1]
		}
	}
	if !strings.HasPrefix(cookie, "at=") || strings.Contains(cookie, "Max-Age") {
		t.Fatalf("the answer sets %q", cookie)
	}
	value, _, _ := strings.Cut(cookie, ";")
	for range 10 {
		if x := m.Get("frontend", "http://shop/", "cookie="+value); x.App != first.App {
			t.Fatalf("%s, and first %s", x.App, first.App)
		}
	}
}

// TestRetryElsewhereOnTheMesh: a retry goes to an endpoint that was not tried yet.
func TestRetryElsewhereOnTheMesh(t *testing.T) {
	m := meshtest.New(t, `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec: {hosts: [shop], http: [{route: [{destination: {host: shop}}], retries: {attempts: 1, retryOn: "503", backoff: 1ms}}]}
`)
	m.Run("frontend", "a service=shop", "b service=shop")
	m.Fail("a", 503)
	for range 20 {
		if x := m.Get("frontend", "http://shop/"); x.Status != 200 || x.App != "default/b" {
			t.Fatalf("%d of %s after %d attempts", x.Status, x.App, x.Attempt)
		}
	}
}
