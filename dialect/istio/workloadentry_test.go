package istio_test

import (
	"net/netip"
	"testing"
	"unique"

	"github.com/weft-mesh/weft/dialect/dialecttest"
	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/traffic"
)

func TestWorkloadEntry(t *testing.T) {
	part, found := lower(t, `
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: it, namespace: default, labels: {app: web, networking.istio.io/tunnel: http}}
spec:
  address: 10.0.0.1
  ports: {http: 8080, grpc: 9090}
  labels: {app: vm, version: v1}
  locality: eu/eu-1/rack
  weight: 2
  serviceAccount: vm`)
	if dialecttest.Want(t, found, mesh.Warning, "spec.locality", "no localities"); len(found) != 1 {
		t.Error(dialecttest.Show(found))
	}
	addr := netip.MustParseAddr("10.0.0.1")
	want := []mesh.Workload{{Name: "it", Namespace: "default", Identity: unique.Make(identity.Of("cluster.local", "default", "vm")),
		Addr: addr, Tunnel: netip.AddrPortFrom(addr, 15008), Labels: []string{"app=web", "networking.istio.io/tunnel=http", "version=v1"},
		Ports: []mesh.WorkloadPort{{Name: "grpc", Number: 9090, Proto: traffic.Detect}, {Name: "http", Number: 8080, Proto: traffic.Detect}},
		Zone:  "eu-1", Weight: 2, Ready: true, Claimed: true}}
	if d := dialecttest.Diff(want, part.Workloads); d != "" {
		t.Error(d)
	}
}

func TestWorkloadEntryMistakes(t *testing.T) {
	for _, c := range []struct {
		spec  string
		level mesh.Level
		field string
		says  string
	}{
		{"{}", mesh.Error, "spec.address", "missing"},
		{"{network: n1}", mesh.Warning, "spec.address", "takes no calls"},
		{"{address: vm.example.com}", mesh.Warning, "spec.address", "names are not resolved"},
		{"{address: 'unix:///tmp/s'}", mesh.Warning, "spec.address", "Unix sockets"},
		{"{address: 10.0.0.1, ports: {http: 0}}", mesh.Error, "spec.ports.http", "1 to 65535"},
		{"{address: 10.0.0.1, network: n1}", mesh.Warning, "spec.network", "one network"},
		{"{address: 10.0.0.1, serviceAccount: a/b}", mesh.Error, "spec.serviceAccount", "identity"},
		{"{address: 10.0.0.1, ip: 10.0.0.1}", mesh.Warning, "spec.ip", "did you mean address?"},
	} {
		part, found := lower(t, object("networking.istio.io", "WorkloadEntry", c.spec))
		dialecttest.Want(t, found, c.level, c.field, c.says)
		if c.field == "spec.address" && !part.Empty() {
			t.Errorf("%s: it takes calls", c.spec)
		}
	}
}
