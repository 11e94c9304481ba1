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

// pod hands over what has an address; nil: none has.
func (f *fixture) pod(at string, pod *traffic.Pod) {
	f.t.Helper()
	u := stream.Update{Name: "pod/" + at}
	if pod != nil {
		u.Body = config.Append([]byte{}, pod)
	}
	if refused := f.Apply([]stream.Update{u}, noon); len(refused) > 0 {
		f.t.Fatal(refused)
	}
}

// TestPodsAreFew: callers from many addresses have the longest unused forgotten, whether there are such pods or not, and nothing else.
func TestPodsAreFew(t *testing.T) {
	f := newFixture(t)
	f.ask("a")
	f.gone("a")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for i := range 3 * maxPods {
		at := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}).String()
		_, _, _ = f.Get(ctx, "pod/"+at, noon.Add(time.Duration(i)*time.Second))
		if i%2 == 0 {
			f.pod(at, &traffic.Pod{Namespace: "shop"})
		}
	}
	if len(f.entries) > maxPods+1 || f.pods != len(f.entries)-1 || len(f.dropped) != 3*maxPods-f.pods {
		t.Errorf("%d entries, %d pods, %d dropped", len(f.entries), f.pods, len(f.dropped))
	}
	if v, known := f.Peek("pod/10.0.23.110"); !known || v.(*traffic.Pod).Namespace != "shop" {
		t.Errorf("the one before the last is %v, %v", v, known)
	}
	if _, known := f.Peek("service/a"); !known {
		t.Error("pods have a service forgotten")
	}
	f.Idle(noon.Add(time.Duration(3*maxPods) * time.Second))
	if f.pods != 0 {
		t.Errorf("%d pods are left that nobody asks for", f.pods)
	}
}

// TestPodsAreNotKept: who begins with what was kept cannot know whose an address is then; nor can one who has heard nothing for long.
func TestPodsAreNotKept(t *testing.T) {
	f := newFixture(t)
	f.ask("a")
	f.gets("a", "1")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, _, _ = f.Get(ctx, "pod/10.0.0.1", noon)
	f.pod("10.0.0.1", &traffic.Pod{Namespace: "shop"})
	if all := f.Dump(); len(all) != 1 || all[0].Name != "service/a" {
		t.Errorf("%+v", all)
	}
	f.Disown()
	if _, known := f.Peek("pod/10.0.0.1"); known || f.pods != 0 || f.state("a") != "1" || !slices.Equal(f.dropped, []string{"pod/10.0.0.1"}) {
		t.Errorf("%d pods, a is %s, dropped %q", f.pods, f.state("a"), f.dropped)
	}
}

// TestWhoHearsOfCallers: of a change, and of an answer that somebody did not wait for; of a first answer nobody has judged anything without.
func TestWhoHearsOfCallers(t *testing.T) {
	for _, name := range []string{"pod/10.0.0.1", "peer/shop/a"} {
		w, heard := &wants{}, 0
		o := options(w)
		var s *Store
		o.Peer = func(of string) {
			if heard++; of != name || s.entries[of].value == nil {
				t.Errorf("heard of %s before it is there", of)
			}
		}
		s = New(o)
		body := config.Append([]byte{}, &traffic.Pod{Namespace: "shop"})
		if strings.HasPrefix(name, "peer") {
			body = config.Append([]byte{}, &config.Peer{Labels: []string{"a=b"}})
		}
		apply := func() {
			if refused := s.Apply([]stream.Update{{Name: name, Body: body}}, noon); len(refused) > 0 {
				t.Fatal(refused)
			}
		}
		apply()
		s.Expect(name, noon)
		if apply(); heard != 0 {
			t.Errorf("%s: a first answer is told of", name)
		}
		if apply(); heard != 1 {
			t.Errorf("%s: a change is heard of %d times", name, heard)
		}
		s.mu.Lock()
		s.forget([]string{name})
		s.mu.Unlock()
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_, _, _ = s.Get(ctx, name, noon)
		if apply(); heard != 2 {
			t.Errorf("%s: an answer that came too late is heard of %d times", name, heard-1)
		}
	}
}
