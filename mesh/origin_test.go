package mesh

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/feature/mirror"
	"github.com/weft-mesh/weft/feature/route"
	"github.com/weft-mesh/weft/traffic"
)

// TestOrigin: one that names the port goes before others, and then the oldest.
func TestOrigin(t *testing.T) {
	made := func(name string, port uint16, age int) Origination {
		return Origination{Ref: decision.Ref{Name: name}, Created: time.Unix(int64(100-age), 0), Host: "a", Port: port, Secure: traffic.Secure{SNI: name}}
	}
	all := []Origination{made("young", 0, 1), made("old", 0, 2), made("named", 443, 0), made("other", 8443, 9)}
	slices.Reverse(all)
	s, _ := New().With([]Change{{New: &Part{Originations: all}}})
	for port, want := range map[uint16]string{80: "old", 443: "named", 8443: "other"} {
		if o := s.Origin(traffic.Target{Service: "a", Port: port}); o == nil || o.SNI != want {
			t.Errorf("%d: %+v", port, o)
		}
	}
	if o := s.Origin(traffic.Target{Service: "b", Port: 80}); o != nil {
		t.Errorf("%+v", o)
	}
}

// TestOriginTouches the gateways that lead to the service, copies included, and no other, as long as they do.
func TestOriginTouches(t *testing.T) {
	leads := func(gateway, host string) GatewayRoute {
		return GatewayRoute{Gateway: gateway, Rules: []Rule{{Backends: []Backend{{Weighted: route.Weighted{Target: traffic.Target{Service: host, Port: 80}}}}},
			{Backends: []Backend{{Weighted: route.Weighted{Target: traffic.Target{Service: host, Port: 81}}}}}}}
	}
	copies := GatewayRoute{Gateway: "copies", Rules: []Rule{{Mirrors: []mirror.Policy{{Target: traffic.Target{Service: "a", Port: 80}}}}}}
	routes := &Part{GatewayRoutes: []GatewayRoute{leads("one", "a"), leads("two", "b"), copies}}
	s, _ := New().With([]Change{{New: routes}})
	policy := &Part{Originations: []Origination{{Host: "a"}}}
	s, touched := s.With([]Change{{New: policy}})
	if got := slices.Sorted(maps.Keys(touched.Gateways)); !slices.Equal(got, []string{"copies", "one"}) {
		t.Error(got)
	}
	s, _ = s.With([]Change{{Old: routes}})
	if _, touched = s.With([]Change{{Old: policy}}); len(touched.Gateways) > 0 {
		t.Error(touched.Gateways)
	}
}
