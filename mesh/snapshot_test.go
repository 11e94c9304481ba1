package mesh_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/mesh"
)

// random makes what an object might say, from a small world so that objects meet.
func random(r *rand.Rand, n int) *mesh.Part {
	p := &mesh.Part{}
	ref := decision.Ref{Dialect: decision.Istio, Kind: "K", Namespace: fmt.Sprint("ns", r.IntN(2)), Name: fmt.Sprint("o", n)}
	host := fmt.Sprintf("s%d.%s.svc.cluster.local", r.IntN(3), ref.Namespace)
	switch r.IntN(7) {
	case 0:
		p.Services = []mesh.Service{{Ref: ref, Host: fmt.Sprintf("s%d.%s.svc.cluster.local", n, ref.Namespace), Namespace: ref.Namespace,
			IPs: []netip.Addr{netip.AddrFrom4([4]byte{240, 0, 0, byte(n)})}, Ports: []mesh.Port{{Name: "http", Number: 80}},
			Selector: &match.Selector{Labels: []string{fmt.Sprint("app=a", r.IntN(2))}}}}
	case 1:
		p.Workloads = []mesh.Workload{{Ref: ref, Name: ref.Name, Namespace: ref.Namespace, Addr: netip.AddrFrom4([4]byte{127, 64, 0, byte(n)}),
			Labels: []string{fmt.Sprint("app=a", r.IntN(2))}, Ready: r.IntN(4) > 0}}
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
			Addrs: []mesh.EndpointAddr{{Addr: netip.AddrFrom4([4]byte{127, 64, 0, byte(r.IntN(20))}), Ready: true}}}}
	}
	return p
}

// picture is everything that a snapshot answers.
func picture(s *mesh.Snapshot) map[string]any {
	out := map[string]any{}
	for host, svc := range s.Services {
		for i := range svc.Ports {
			out["endpoints "+host] = s.Endpoints(svc, &svc.Ports[i], nil)
			out["calling "+host] = s.Calling(svc, svc.Ports[i].Number, mesh.Caller{Namespace: "ns0"})
		}
		out["ip "+host] = s.HostOf(svc.IPs[0])
	}
	for key, w := range s.Workloads {
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
		for host := range s.Services {
			if next.Services[host] == nil || touched.AllHosts || touched.Hosts[host] {
				continue
			}
			for _, what := range []string{"endpoints ", "calling "} {
				if !reflect.DeepEqual(before[what+host], after[what+host]) {
					t.Fatalf("step %d: %s%s changed and is not touched by %+v", step, what, host, *touched)
				}
			}
		}
		for key, w := range s.Workloads {
			if next.Workloads[key] == nil || touched.Everybody || touched.Workloads[key] || touched.Namespaces[w.Namespace] {
				continue
			}
			if !reflect.DeepEqual(before["inbound "+key], after["inbound "+key]) {
				t.Fatalf("step %d: what may call %s changed and is not touched by %+v", step, key, *touched)
			}
		}
		s = next
	}
}
