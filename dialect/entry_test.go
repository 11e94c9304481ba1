package dialect

import (
	"reflect"
	"testing"
	"unsafe"

	"github.com/weft-mesh/weft/mesh"
)

// A cluster has a hundred thousand entries, most of which say one thing: it is kept as it is, where the mesh finds it again.
func TestEntry(t *testing.T) {
	if n := unsafe.Sizeof(entry{}); n > 80 {
		t.Errorf("an entry has %d bytes; 80 are bearable", n)
	}
	w, s, set := mesh.Workload{Name: "w"}, mesh.Service{Host: "s"}, mesh.EndpointSet{Host: "e"}
	for name, x := range map[string]struct {
		says   mesh.Part
		allocs float64
	}{
		"nothing":     {mesh.Part{}, 0},
		"a workload":  {mesh.Part{Workloads: []mesh.Workload{w}}, 0},
		"a service":   {mesh.Part{Services: []mesh.Service{s}}, 0},
		"endpoints":   {mesh.Part{Endpoints: []mesh.EndpointSet{set}}, 0},
		"workloads":   {mesh.Part{Workloads: []mesh.Workload{w, w}}, 1},
		"both":        {mesh.Part{Workloads: []mesh.Workload{w}, Services: []mesh.Service{s}}, 1},
		"a route":     {mesh.Part{Routes: []mesh.Route{{Host: "s"}}}, 1},
		"two of each": {mesh.Part{Endpoints: []mesh.EndpointSet{set, set}, Services: []mesh.Service{s, s}}, 1},
	} {
		e := &entry{said: &mesh.Part{Gateways: []mesh.Gateway{{}}}}
		if n := testing.AllocsPerRun(100, func() { e.says(x.says) }); n != x.allocs {
			t.Errorf("%s: %v allocations, want %v", name, n, x.allocs)
		}
		is := e.part()
		if !reflect.DeepEqual(is, x.says) {
			t.Errorf("%s: it says %+v, and not %+v", name, is, x.says)
		}
		if len(is.Workloads) > 0 && &is.Workloads[0] != &x.says.Workloads[0] || len(is.Services) > 0 && &is.Services[0] != &x.says.Services[0] ||
			len(is.Endpoints) > 0 && &is.Endpoints[0] != &x.says.Endpoints[0] {
			t.Errorf("%s: it stands elsewhere", name)
		}
	}
}
