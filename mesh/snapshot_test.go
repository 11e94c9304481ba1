package mesh_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"
	"unique"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/mesh"
)

// random makes what an object might say, from a small world so that objects meet.
func random(r *rand.Rand, n int) *mesh.Part {
	p := &mesh.Part{}
	ref := decision.Ref{Dialect: decision.Istio, Kind: "K", Namespace: fmt.Sprint("ns", r.IntN(2)), Name: fmt.Sprint("o", n)}
	host := fmt.Sprintf("s%d.%s.svc.cluster.local", r.IntN(20), ref.Namespace)
	switch r.IntN(7) {
	case 0:
		p.Services = []mesh.Service{{Ref: ref, Host: fmt.Sprintf("s%d.%s.svc.cluster.local", n, ref.Namespace), Namespace: ref.Namespace,
			IPs: []netip.Addr{netip.AddrFrom4([4]byte{240, 0, 0, byte(n % 7)})}, Ports: []mesh.Port{{Name: "http", Number: 80}},
			Selector: &match.Selector{Labels: []string{fmt.Sprint("app=a", r.IntN(2))}}}}
	case 1:
		p.Workloads = []mesh.Workload{{Name: ref.Name, Namespace: ref.Namespace, Addr: netip.AddrFrom4([4]byte{127, 64, 0, byte(n % 7)}),
			Labels: []string{fmt.Sprint("app=a", r.IntN(2))}, Ready: r.IntN(4) > 0, Shared: r.IntN(4) == 0}}
		if r.IntN(3) == 0 {
			p.Workloads[0].Extra = &mesh.Extra{Also: []netip.Addr{netip.AddrFrom4([4]byte{127, 64, 0, byte(r.IntN(7))})}}
		}
	case 2:
		p.Routes = []mesh.Route{{Ref: ref, Host: host, Rank: mesh.Rank(r.IntN(3))}, {Ref: ref, Host: "*.cluster.local"}}
	case 3:
		p.Backends = []mesh.BackendPolicy{{Ref: ref, Host: host}}
	case 4:
		p.Authorizations = []mesh.Authorization{{Ref: ref, Namespaces: []string{ref.Namespace}, Closes: &ref}}
	case 5:
		p.PeerModes = []mesh.PeerMode{{Ref: ref, Namespace: ref.Namespace}}
	case 6:
		p.Endpoints = []mesh.EndpointSet{{Ref: ref, Host: host, Ports: []mesh.Port{{Name: "http", Number: 8080}},
			Addrs: []mesh.EndpointAddr{{Addr: netip.AddrFrom4([4]byte{127, 64, 0, byte(r.IntN(7))}), Ready: true}}}}
	}
	return p
}

// picture is everything that a snapshot answers.
func picture(s *mesh.Snapshot) map[string]any {
	out := map[string]any{}
	for host, svc := range s.Services.All() {
		for i := range svc.Ports {
			out["endpoints "+host] = s.Endpoints(svc, &svc.Ports[i], nil)
			out["calling "+host] = s.Calling(svc, svc.Ports[i].Number, mesh.Caller{Namespace: "ns0"})
		}
		out["ip "+host] = s.HostOf(svc.IPs[0])
	}
	for key, w := range s.Workloads.All() {
		out["inbound "+key] = s.Inbound(w)
		hosts := []string{}
		for _, svc := range s.ServicesOf(w) {
			hosts = append(hosts, svc.Host)
		}
		slices.Sort(hosts)
		out["services of "+key] = hosts
	}
	return out
}

// TestIncrementalIsWhole: a snapshot that came about by many small changes answers as one that was made of the same objects at
// once, and the earlier snapshots are what they were.
func TestIncrementalIsWhole(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	parts := map[int]*mesh.Part{}
	s := mesh.New()
	for step := range 600 {
		n := r.IntN(20)
		change := mesh.Change{Old: parts[n]}
		if r.IntN(3) > 0 {
			change.New = random(r, n)
		}
		before := picture(s)
		next, _ := s.With([]mesh.Change{change})
		if !reflect.DeepEqual(before, picture(s)) {
			t.Fatalf("step %d changed the snapshot that it began with", step)
		}
		s = next
		parts[n] = change.New
		if change.New == nil {
			delete(parts, n)
		}
		var all []mesh.Change
		for _, k := range slices.Sorted(maps.Keys(parts)) {
			all = append(all, mesh.Change{New: parts[k]})
		}
		whole, _ := mesh.New().With(all)
		if got, want := picture(s), picture(whole); !reflect.DeepEqual(got, want) {
			t.Fatalf("step %d: %v\n got %v\nwant %v", step, change, got, want)
		}
	}
}

// TestTouchedIsEnough: what a change does not touch is as it was.
func TestTouchedIsEnough(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	parts := map[int]*mesh.Part{}
	s := mesh.New()
	for step := range 600 {
		n := r.IntN(20)
		change := mesh.Change{Old: parts[n], New: random(r, n)}
		before := picture(s)
		next, touched := s.With([]mesh.Change{change})
		parts[n] = change.New
		after := picture(next)
		for host := range s.Services.Keys() {
			if next.Services.Get(host) == nil || touched.AllHosts || touched.Hosts[host] {
				continue
			}
			for _, what := range []string{"endpoints ", "calling "} {
				if !reflect.DeepEqual(before[what+host], after[what+host]) {
					t.Fatalf("step %d: %s%s changed and is not touched by %+v", step, what, host, *touched)
				}
			}
		}
		for key, w := range s.Workloads.All() {
			if next.Workloads.Get(key) == nil || touched.Everybody || touched.Workloads[key] || touched.Namespaces[w.Namespace] {
				continue
			}
			if !reflect.DeepEqual(before["inbound "+key], after["inbound "+key]) {
				t.Fatalf("step %d: what may call %s changed and is not touched by %+v", step, key, *touched)
			}
		}
		s = next
	}
}

// TestAddressesOfWorkloads: those of the second family are found as the first are; those of a node, which many share, say of nobody who it is.
func TestAddressesOfWorkloads(t *testing.T) {
	v4, v6, node := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1"), netip.MustParseAddr("192.0.2.1")
	ports := []mesh.Port{{Number: 80}}
	s, _ := mesh.New().With([]mesh.Change{{New: &mesh.Part{
		Services: []mesh.Service{{Host: "s", Namespace: "shop", Ports: ports}, {Host: "agents", Namespace: "shop", Ports: ports, Selector: &match.Selector{Labels: []string{"app=agent"}}}},
		Workloads: []mesh.Workload{{Name: "dual", Namespace: "shop", Addr: v4, Extra: &mesh.Extra{Also: []netip.Addr{v6}}, Tunnel: netip.AddrPortFrom(v4, 15008), Ready: true},
			{Name: "agent", Namespace: "shop", Addr: node, Shared: true, Ready: true, Labels: []string{"app=agent"}}, {Name: "other", Namespace: "shop", Addr: node, Shared: true, Ready: true}},
		Endpoints: []mesh.EndpointSet{{Host: "s", Ports: ports, Addrs: []mesh.EndpointAddr{{Addr: v6, Workload: "shop/dual", Ready: true}, {Addr: node, Ready: true},
			{Addr: v4, Workload: "shop/gone", Ready: true}}}}}}})
	var got []string
	for _, host := range []string{"s", "agents"} {
		for _, e := range s.Endpoints(s.Services.Get(host), &ports[0], nil) {
			name := ""
			if e.Workload != nil {
				name = e.Workload.Name + " " + e.Workload.TunnelAt(e.Addr.Addr()).String()
			}
			got = append(got, e.Addr.String()+" "+name)
		}
	}
	if want := []string{"192.0.2.1:80 ", "[fd00::1]:80 dual [fd00::1]:15008", "192.0.2.1:80 agent invalid AddrPort"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if w := s.At(v6); w == nil || w.Name != "dual" || s.At(node) != nil {
		t.Errorf("%+v, %+v", w, s.At(node))
	}
	claim := mesh.Workload{Name: "claim", Namespace: "a", Addr: v4, Ready: true}
	for _, claim.Claimed = range []bool{true, false} { // by its author's word; by a kubelet's, without a proxy
		for _, claim.Tunnel = range []netip.AddrPort{{}, netip.AddrPortFrom(node, 1)} {
			if !claim.Claimed && claim.Tunnel.IsValid() {
				continue
			}
			c := claim
			stolen, _ := s.With([]mesh.Change{{New: &mesh.Part{Workloads: []mesh.Workload{c}}}})
			if w := stolen.At(v4); w == nil || w.Name != "dual" {
				t.Errorf("the address of a workload with a proxy is taken by %+v", w)
			}
		}
	}
	foreign := mesh.Workload{Addr: v4, Tunnel: netip.AddrPortFrom(node, 1)}
	if at := foreign.TunnelAt(v4); at != foreign.Tunnel {
		t.Errorf("a proxy elsewhere is called at %s", at)
	}
}

// TestPodAt: calls come from an address of the one pod that has it, in whatever order they were heard of; one that is about to end gives it
// to the next.
func TestPodAt(t *testing.T) {
	v4, v6, loop := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1"), netip.MustParseAddr("127.64.0.1")
	pod := func(name string, edit func(*mesh.Workload)) mesh.Workload {
		w := mesh.Workload{Name: name, Namespace: "shop", Addr: v4, Extra: &mesh.Extra{Also: []netip.Addr{v6}}}
		edit(&w)
		return w
	}
	as := func(*mesh.Workload) {}
	ending := func(w *mesh.Workload) { w.Draining, w.Ready = true, true }
	for _, x := range []struct {
		name string
		all  []mesh.Workload
		want string // "?": nobody can say
	}{
		{"nobody", nil, ""},
		{"a pod", []mesh.Workload{pod("a", as)}, "a"},
		{"one with a proxy", []mesh.Workload{pod("a", func(w *mesh.Workload) { w.Tunnel = netip.AddrPortFrom(v4, 15008) })}, "a"},
		{"one that ends", []mesh.Workload{pod("a", ending)}, "a"},
		{"one that ends, and the next", []mesh.Workload{pod("a", ending), pod("b", as)}, "b"},
		{"two that end, and the next", []mesh.Workload{pod("a", ending), pod("b", ending), pod("c", as)}, "c"},
		{"two", []mesh.Workload{pod("a", as), pod("b", as)}, "?"},
		{"two that end", []mesh.Workload{pod("a", ending), pod("b", ending)}, "?"},
		{"two, and one that ends", []mesh.Workload{pod("a", as), pod("b", as), pod("c", ending)}, "?"},
		{"its node's", []mesh.Workload{pod("a", func(w *mesh.Workload) { w.Shared = true })}, ""},
		{"by its author's word", []mesh.Workload{pod("a", func(w *mesh.Workload) { w.Claimed = true })}, ""},
		{"a pod, and one by its author's word", []mesh.Workload{pod("a", as), pod("b", func(w *mesh.Workload) { w.Claimed = true })}, "a"},
	} {
		for range 2 {
			s := mesh.New()
			for i := range x.all {
				s, _ = s.With([]mesh.Change{{New: &mesh.Part{Workloads: x.all[i : i+1]}}})
			}
			for _, at := range []netip.Addr{v4, v6} {
				got := ""
				if w, sure := s.PodAt(at); !sure {
					got = "?"
				} else if w != nil {
					got = w.Name
				}
				if got != x.want {
					t.Errorf("%s: %s is the address of %q, want %q", x.name, at, got, x.want)
				}
			}
			slices.Reverse(x.all)
		}
	}
	run := mesh.Workload{Name: "run", Namespace: "shop", Addr: loop, Tunnel: netip.AddrPortFrom(loop, 15008)}
	s, _ := mesh.New().With([]mesh.Change{{New: &mesh.Part{Workloads: []mesh.Workload{run}}}})
	if w, _ := s.PodAt(loop); w != nil {
		t.Errorf("%+v is told by an address of loopback, which any process of the machine may have", w)
	}
}

// TestAddressThatIsUsedAgain: a workload that ends takes no identity from the one that begins at its address, or calls to it would go
// out in the clear; nor a service its virtual IP from another.
func TestAddressThatIsUsedAgain(t *testing.T) {
	addr, ip := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.96.0.1")
	at := func(name string, ready bool) *mesh.Part {
		return &mesh.Part{Workloads: []mesh.Workload{{Name: name, Namespace: name, Addr: addr, Identity: unique.Make(identity.Of("td", name, name)), Ready: ready}}}
	}
	svc := func(name string, created time.Time) *mesh.Part {
		return &mesh.Part{Services: []mesh.Service{{Host: name, Name: name, Namespace: "shop", IPs: []netip.Addr{ip}, Created: created,
			Ref: decision.Ref{Name: name}, Ports: []mesh.Port{{Number: 80}}}},
			Endpoints: []mesh.EndpointSet{{Host: name, Ports: []mesh.Port{{Number: 80}}, Addrs: []mesh.EndpointAddr{{Addr: addr, Ready: true}}}}}
	}
	ended, next := at("ended", false), at("next", true)
	first, second := svc("first", old), svc("second", young)
	s, _ := mesh.New().With([]mesh.Change{{New: next}, {New: first}, {New: second}, {New: ended}})
	for _, part := range []*mesh.Part{nil, ended} {
		var touched *mesh.Touched
		if part != nil {
			s, touched = s.With([]mesh.Change{{Old: part}})
		}
		svc := s.Services.Get("first")
		if got := s.Endpoints(svc, &svc.Ports[0], nil); len(got) != 1 || got[0].Workload == nil || got[0].Workload.Name != "next" {
			t.Errorf("endpoints: %+v", got)
		}
		if touched != nil && !touched.Hosts["first"] {
			t.Error("a service that lists the address is not touched")
		}
	}
	if h := s.HostOf(ip); h != "first" {
		t.Errorf("the IP is %s's", h)
	}
	if s, _ = s.With([]mesh.Change{{Old: first}}); s.HostOf(ip) != "second" {
		t.Errorf("the IP is %q's", s.HostOf(ip))
	}
}
