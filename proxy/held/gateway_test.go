package held

import (
	"errors"
	"testing"

	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/feature/route"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/stream"
	"github.com/weft-mesh/weft/traffic"
)

// TestGatewayWaitsForItsBackends: a version of a gateway is in use once all services are known that its rules lead to; one that is refused
// changes nothing; without it nothing is.
func TestGatewayWaitsForItsBackends(t *testing.T) {
	var used []string
	w := &wants{}
	o := options(w)
	o.Gateway = func(g *config.Gateway) (func(), error) {
		name := "-"
		if g != nil {
			name = g.Ref.Name
		}
		if name == "bad" {
			return nil, errors.New("bad")
		}
		return func() { used = append(used, name) }, nil
	}
	f := &fixture{t: t, Store: New(o), wants: w}
	const name = "gateway/a/b"
	f.Expect(name, noon)
	apply := func(version string, to ...string) map[string]error {
		g := &config.Gateway{}
		g.Ref.Name = version
		h := mesh.Hosted{}
		for _, host := range to {
			h.Rules = append(h.Rules, mesh.Rule{Backends: []mesh.Backend{{Weighted: route.Weighted{Target: traffic.Target{Service: host, Port: 80}, Weight: 1}}}})
		}
		g.Listeners = []config.Listener{{Hosts: []mesh.Hosted{h}}}
		return f.Apply([]stream.Update{{Name: name, Body: config.Append(nil, g)}}, noon)
	}
	last := func(want string, n int) {
		t.Helper()
		if len(used) != n || n > 0 && used[n-1] != want {
			t.Errorf("used %v, want %s as the %d.", used, want, n)
		}
	}
	apply("one", "x", "y")
	last("", 0)
	f.gets("x", "1")
	last("", 0)
	f.gone("y")
	last("one", 1)
	if refused := apply("bad"); refused[name] == nil {
		t.Error("a bad version is taken")
	}
	last("one", 1)
	apply("two", "z")
	last("one", 1)
	apply("three", "x")
	last("three", 2)
	f.gets("z", "1") // for which "two" waited
	last("three", 2)
	f.Idle(noon.Add(1e12))
	if s := f.state("x"); s != "1" {
		t.Errorf("what the gateway leads to is forgotten: %s", s)
	}
	f.Apply([]stream.Update{{Name: name}}, noon)
	last("-", 3)
}
