package control

import (
	"fmt"
	"hash/fnv"
	"net/netip"
	"testing"
)

func TestVIPIsStable(t *testing.T) {
	v := newVIPs(nil)
	a, fresh := v.of("reviews.default.svc.cluster.local")
	if !fresh || !netip.MustParsePrefix("240.0.0.0/8").Contains(a) {
		t.Errorf("%v, fresh %v; want one of class E, just assigned", a, fresh)
	}
	if b, fresh := v.of("reviews.default.svc.cluster.local"); b != a || fresh {
		t.Errorf("the second time %v, fresh %v; want %v", b, fresh, a)
	}
	if b, _ := newVIPs(nil).of("reviews.default.svc.cluster.local"); b != a {
		t.Errorf("another control plane assigns %v, want %v: it follows from the name", b, a)
	}
}

// colliding finds two names with the same hash of an address.
func colliding() (a, b string) {
	seen := map[uint32]string{}
	for n := 0; ; n++ {
		name := fmt.Sprintf("s%d", n)
		h := fnv.New32a()
		h.Write([]byte(name))
		k := h.Sum32() % (1<<24 - 2)
		if seen[k] != "" {
			return seen[k], name
		}
		seen[k] = name
	}
}

func TestVIPsThatCollide(t *testing.T) {
	one, two := colliding()
	v := newVIPs(nil)
	a, _ := v.of(one)
	b, _ := v.of(two)
	if a == b || a.Next() != b {
		t.Errorf("%s has %v and %s has %v, want the next one", one, a, two, b)
	}
	again := newVIPs(v.ByHost) // as after a restart, whoever is asked for first
	if c, fresh := again.of(two); c != b || fresh {
		t.Errorf("after a restart %s has %v, want %v", two, c, b)
	}
	if c, _ := again.of(one); c != a {
		t.Errorf("after a restart %s has %v, want %v", one, c, a)
	}
}

func TestVIPsAreUnicastHosts(t *testing.T) {
	v := newVIPs(nil)
	for n := range 2000 {
		a, _ := v.of(fmt.Sprint(n))
		if b := a.As4(); b[0] != 240 || a == addr("240.0.0.0") || a == addr("240.255.255.255") {
			t.Errorf("%v", a)
		}
	}
}
