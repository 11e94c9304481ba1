package istio

import (
	"runtime"
	"sync"
	"weak"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/weft-mesh/weft/dialect"
)

// specs are those of Gateways, by their objects, which never change, for as long as these are in use. A Gateway's reader looks at all that are
// of the same proxies, and so does a VirtualService's: read anew by each, 400 of both in one namespace take 15 s at every change.
var specs = struct {
	mu sync.Mutex
	by map[weak.Pointer[dialect.Object]]*networking.Gateway
}{by: map[weak.Pointer[dialect.Object]]*networking.Gateway{}}

// gatewaySpec is a Gateway's spec, which is not to be changed; nil: it cannot be read.
func gatewaySpec(o *dialect.Object, v dialect.View) *networking.Gateway {
	at := weak.Make(o)
	specs.mu.Lock()
	spec, known := specs.by[at]
	specs.mu.Unlock()
	if known {
		return spec
	}
	spec = &networking.Gateway{}
	if !newReader(o, v).decode(spec) {
		spec = nil
	}
	specs.mu.Lock()
	defer specs.mu.Unlock()
	if _, known := specs.by[at]; !known {
		specs.by[at] = spec
		runtime.AddCleanup(o, func(at weak.Pointer[dialect.Object]) {
			specs.mu.Lock()
			defer specs.mu.Unlock()
			delete(specs.by, at)
		}, at)
	}
	return spec
}
