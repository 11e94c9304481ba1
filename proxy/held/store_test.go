package held

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weft-mesh/weft/chain"
	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/feature/route"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/stream"
	"github.com/weft-mesh/weft/traffic"
)

// wants notes what a store asks for and drops.
type wants struct{ asked, dropped []string }

func (w *wants) Want(names ...string)   { w.asked = append(w.asked, names...) }
func (w *wants) Drop(names ...string)   { w.dropped = append(w.dropped, names...) }
func (w *wants) Restore(string, []byte) {}

// options builds services without a proxy around.
func options(w Wanter) Options {
	state := chain.NewState()
	return Options{Want: w, Build: func(c *config.Service) (*Service, error) {
		if c.Namespace == "bad" {
			return nil, errors.New("bad")
		}
		way, err := chain.NewService(c, state, nil, nil, noon)
		return &Service{c, way}, err
	}, Workload: func(string, *config.Workload) error { return nil }, Trust: func(*config.Trust) error { return nil },
		Peer: func(string) {}, Forget: func(string) {}, Gateway: func(g *config.Gateway) (func(), error) {
			return func() {}, nil
		}}
}

var noon = time.Unix(1_800_000_000, 0)

// fixture is a store, and services that lead to others.
type fixture struct {
	t *testing.T
	*Store
	*wants
}

func newFixture(t *testing.T) *fixture {
	w := &wants{}
	return &fixture{t: t, Store: New(options(w)), wants: w}
}

// ask asks for a service without waiting.
func (f *fixture) ask(host string) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, _, _ = f.Get(ctx, "service/"+host, noon)
}

// gets hands a service over, whose rules lead to others; version tells it from others of that name.
func (f *fixture) gets(host, version string, to ...string) {
	f.t.Helper()
	svc := &config.Service{Host: host, Namespace: version, Ports: []config.Port{{Number: 80}}}
	for _, t := range to {
		svc.Ports[0].Rules = append(svc.Ports[0].Rules, mesh.Rule{Backends: []mesh.Backend{{Weighted: route.Weighted{Target: traffic.Target{Service: t, Port: 80}, Weight: 1}}}})
	}
	if refused := f.Apply([]stream.Update{{Name: "service/" + host, Body: config.Append(nil, svc)}}, noon); len(refused) > 0 && version != "bad" {
		f.t.Fatal(refused)
	}
}

// gone says that there is no such service.
func (f *fixture) gone(host string) {
	f.Apply([]stream.Update{{Name: "service/" + host}}, noon)
}

// state is what is in use of some services: its version; "-": does not exist; "?": not known.
func (f *fixture) state(hosts ...string) string {
	var out []string
	for _, h := range hosts {
		switch v, known := f.Peek("service/" + h); {
		case !known:
			out = append(out, "?")
		case v == nil:
			out = append(out, "-")
		default:
			out = append(out, v.(*config.Service).Namespace)
		}
	}
	return strings.Join(out, " ")
}

// TestHolding: "a route switches only when its new backends' endpoints have arrived" (DESIGN section 3).
func TestHolding(t *testing.T) {
	for _, x := range []struct {
		name string
		do   func(f *fixture)
		want string // of a, b and c
	}{
		{"nothing to wait for", func(f *fixture) { f.gets("a", "1") }, "1 ? ?"},
		{"a route to itself", func(f *fixture) { f.gets("a", "1", "a") }, "1 ? ?"},
		{"the first version waits too", func(f *fixture) { f.gets("a", "1", "b") }, "? ? ?"},
		{"the last version stays while the next one waits", func(f *fixture) { f.gets("a", "1"); f.gets("a", "2", "b") }, "1 ? ?"},
		{"what it waited for arrives", func(f *fixture) { f.gets("a", "1"); f.gets("a", "2", "b"); f.gets("b", "1") }, "2 1 ?"},
		{"what it waited for does not exist", func(f *fixture) { f.gets("a", "1"); f.gets("a", "2", "b"); f.gone("b") }, "2 - ?"},
		{"two to wait for", func(f *fixture) { f.gets("a", "1", "b", "c"); f.gets("c", "1") }, "? ? 1"},
		{"a newer version that waits for nothing", func(f *fixture) { f.gets("a", "1", "b"); f.gets("a", "2") }, "2 ? ?"},
		{"a newer version that waits for another", func(f *fixture) { f.gets("a", "1", "b"); f.gets("a", "2", "c"); f.gets("b", "1") }, "? 1 ?"},
		{"two that lead to each other", func(f *fixture) { f.gets("a", "1", "b"); f.gets("b", "1", "a") }, "1 1 ?"},
		{"one that leads to one that waits", func(f *fixture) { f.gets("a", "1", "b"); f.gets("b", "1", "c") }, "? ? ?"},
		{"and all that they wait for arrives", func(f *fixture) { f.gets("a", "1", "b"); f.gets("b", "1", "c"); f.gets("c", "1") }, "1 1 1"},
		{"it is gone meanwhile", func(f *fixture) { f.gets("a", "1"); f.gets("a", "2", "b"); f.gone("a"); f.gets("b", "1") }, "- 1 ?"},
		{"a version that cannot be built", func(f *fixture) { f.gets("a", "1"); f.gets("a", "bad") }, "1 ? ?"},
	} {
		f := newFixture(t)
		f.ask("a")
		x.do(f)
		if got := f.state("a", "b", "c"); got != x.want {
			t.Errorf("%s: %s, want %s", x.name, got, x.want)
		}
		if n := len(slices.Compact(slices.Sorted(slices.Values(f.asked)))); n != len(f.asked) {
			t.Errorf("%s: asked for %v", x.name, f.asked)
		}
	}
}

// TestFindWhileHeld: a version that is held back serves others that lead to it: its endpoints have arrived.
func TestFindWhileHeld(t *testing.T) {
	f := newFixture(t)
	f.ask("b")
	f.gets("b", "1", "c")
	for _, x := range []struct {
		host string
		why  string
	}{{"b", "b has no subset x"}, {"c", "there is no service c"}, {"d", "the configuration of d has not arrived"}} {
		if _, why := f.Find(traffic.Target{Service: x.host, Port: 80, Subset: "x"}); why != x.why {
			t.Errorf("%s: %q", x.host, why)
		}
	}
}

func TestVirtualIPs(t *testing.T) {
	f := newFixture(t)
	f.ask("a")
	one, two := netip.MustParseAddr("240.0.0.1"), netip.MustParseAddr("240.0.0.2")
	put := func(ip netip.Addr) {
		f.Apply([]stream.Update{{Name: "service/a", Body: config.Append(nil, &config.Service{Host: "a", IPs: []netip.Addr{ip}})}}, noon)
	}
	put(one)
	put(two)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if e, _, err := f.ByIP(ctx, two, noon); e == nil || err != nil {
		t.Error(e, err)
	}
	if e, _, err := f.ByIP(ctx, one, noon); e != nil || !errors.Is(err, ErrUnavailable) {
		t.Errorf("an address that was given up: %v %v", e, err)
	}
}

func TestIdle(t *testing.T) {
	f := newFixture(t)
	for _, h := range []string{"a", "b", "c", "d"} {
		f.ask(h)
		f.gets(h, "1")
	}
	f.gets("a", "2", "b")
	later := noon.Add(time.Hour)
	f.entries["service/a"].Touch(later)
	f.entries["service/c"].Touch(later)
	f.Idle(later)
	if got := f.state("a", "b", "c", "d"); got != "2 1 1 ?" || !slices.Equal(f.dropped, []string{"service/d"}) {
		t.Errorf("%s, dropped %v", got, f.dropped)
	}
}

// crossing is a subscription that is asked for anew just before it is told to be dropped.
type crossing struct {
	wanted map[string]bool
	before func()
}

func (c *crossing) Restore(string, []byte) {}

func (c *crossing) Want(names ...string) {
	for _, n := range names {
		c.wanted[n] = true
	}
}

func (c *crossing) Drop(names ...string) {
	c.before()
	for _, n := range names {
		delete(c.wanted, n)
	}
}

// TestAskedWhileDropped: what is asked for again just as it is forgotten is subscribed to.
func TestAskedWhileDropped(t *testing.T) {
	c := &crossing{wanted: map[string]bool{}}
	f := &fixture{t: t, Store: New(options(c))}
	for _, h := range []string{"a", "b"} {
		f.ask(h)
		f.gets(h, "1")
	}
	c.before = func() { f.ask("a") }
	f.Idle(noon.Add(time.Hour))
	if !c.wanted["service/a"] || c.wanted["service/b"] || f.state("a", "b") != "? ?" {
		t.Errorf("%v is subscribed to; a and b are %s", c.wanted, f.state("a", "b"))
	}
}

// TestMadeUpNames: an application that asks for names without end makes those be forgotten that do not exist.
func TestMadeUpNames(t *testing.T) {
	f := newFixture(t)
	f.ask("a")
	f.gets("a", "1")
	for i := range 2 * maxEntries {
		f.ask(fmt.Sprint("x", i))
	}
	if n := len(f.entries); n > maxEntries {
		t.Errorf("%d entries", n)
	}
	if f.state("a") != "1" || len(f.asked)-len(f.dropped) > maxEntries+1 {
		t.Errorf("a is %s; %d asked for, %d dropped", f.state("a"), len(f.asked), len(f.dropped))
	}
}
