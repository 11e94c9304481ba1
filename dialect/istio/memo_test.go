package istio

import (
	"runtime"
	"testing"
	"time"
	"weak"

	"github.com/weft-mesh/weft/dialect"
)

// A Gateway's spec is read once for each version of its object, and known for no longer than that is there.
func TestGatewaySpec(t *testing.T) {
	made := func(host string) *dialect.Object {
		return &dialect.Object{Group: networkingGroup, Version: "v1", Kind: "Gateway", Name: "g", Namespace: "a", Tree: map[string]any{"spec": map[string]any{
			"servers": []any{map[string]any{"hosts": []any{host}, "port": map[string]any{"number": int64(80), "protocol": "HTTP"}}}}}}
	}
	first, second, broken := made("a.example"), made("b.example"), made("c.example")
	broken.Tree["spec"] = "none"
	spec := gatewaySpec(first, nil)
	if spec == nil || spec != gatewaySpec(first, nil) {
		t.Fatal("it is read again for the same object")
	}
	if other := gatewaySpec(second, nil); other == nil || other.Servers[0].Hosts[0] != "b.example" {
		t.Errorf("another version says %v", other)
	}
	for range 2 {
		if gatewaySpec(broken, nil) != nil {
			t.Error("what cannot be read says something")
		}
	}
	at := weak.Make(first)
	known := func() bool {
		specs.mu.Lock()
		defer specs.mu.Unlock()
		_, known := specs.by[at]
		return known
	}
	runtime.KeepAlive(first)
	for end := time.Now().Add(30 * time.Second); known(); runtime.GC() {
		if time.Now().After(end) {
			t.Fatal("it is kept after its object is gone")
		}
	}
}
