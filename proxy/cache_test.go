package proxy

import (
	"bytes"
	"crypto/ed25519"
	"net/netip"
	"testing"
	"time"

	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/identity/cert"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/proxy/saved"
	"github.com/weft-mesh/weft/stream"
	"github.com/weft-mesh/weft/traffic"
)

// FuzzState: a cache, or what another process leaves, is taken up or refused; what was taken up is left again, and taken up by the next.
func FuzzState(f *testing.F) {
	id := identity.Of("cluster.local", "default", "a")
	svc := &config.Service{Host: "b.default.svc.cluster.local", Namespace: "default", IPs: []netip.Addr{netip.MustParseAddr("240.0.0.1")},
		Ports: []config.Port{{Number: 80, Proto: traffic.HTTP1, Rules: []mesh.Rule{{}}, Pools: []config.Pool{{Endpoints: []traffic.Endpoint{{Workload: "default/b-1"}}}}}}}
	all := []stream.Resource{
		{Name: "workload/default/a-1", Body: config.Append(nil, &config.Workload{Name: "a-1", Namespace: "default", ID: id, Addr: netip.MustParseAddr("127.0.0.1")})},
		{Name: "service/" + svc.Host, Body: config.Append(nil, svc)}, {Name: "service/c", Gone: true},
		{Name: "address/240.0.0.1", Body: config.Append(nil, &config.Address{Host: svc.Host})}, {Name: "nonsense"},
	}
	for n := range len(all) {
		f.Add((&saved.State{Resources: all[:n]}).Bytes())
	}
	f.Add((&saved.State{Resources: all}).Bytes())
	_, key, err := ed25519.GenerateKey(bytes.NewReader(make([]byte, ed25519.SeedSize)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add((&saved.State{Chain: [][]byte{{1}}, Key: key}).Bytes())
	f.Add([]byte("no cache at all"))
	f.Fuzz(func(t *testing.T, b []byte) {
		left := takeUp(t, id, b)
		if left == nil {
			return
		}
		if takeUp(t, id, left) == nil {
			t.Fatalf("%q was taken up, and what it left is not", b)
		}
	})
}

// takeUp is what a proxy leaves that has begun with state; nil: it has refused it.
func takeUp(t *testing.T, id identity.ID, state []byte) []byte {
	p, err := New(Options{Workload: "default/a-1", ID: id, Cert: cert.NewStore(time.Now), Config: &wants{}, State: append([]byte{}, state...)})
	if err != nil {
		return nil
	}
	defer p.poller.Close()
	p.end()
	p.tasks.Wait()
	return append([]byte{}, p.State()...)
}
