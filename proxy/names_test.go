package proxy

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weft-mesh/weft/chain"
	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/proxy/held"
	"github.com/weft-mesh/weft/stream"
)

// wants notes what is asked for.
type wants struct{ asked []string }

func (w *wants) Want(names ...string)   { w.asked = append(w.asked, names...) }
func (w *wants) Drop(...string)         {}
func (w *wants) Restore(string, []byte) {}

// While the control plane is known to be away, nobody waits for names that only it knows; those that are known are answered.
func TestNamesWhileTheControlPlaneIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wants{}
		p := &Proxy{opts: Options{Lookup: 3 * time.Second, Clock: time.Now, Workload: "default/a-1"}, state: chain.NewState()}
		p.store = held.New(held.Options{Want: w, Build: p.buildService, Forget: func(string) {}})
		p.callers.Clock = time.Now
		resolve := func(name string, known, fails bool, waits time.Duration) {
			t.Helper()
			start := time.Now()
			_, ours, err := p.resolve(context.Background(), name)
			if ours != known || errors.Is(err, held.ErrUnavailable) != fails || time.Since(start) != waits {
				t.Errorf("%s: known %v, %v, after %v", name, ours, err, time.Since(start))
			}
		}
		p.Away(true)
		resolve("b.default.svc.cluster.local.", true, true, 0)
		resolve("b.", true, true, 0)
		resolve("example.org.", false, true, 0) // somebody else may know it, and is asked
		p.Away(false)
		resolve("b.", true, true, 3*time.Second) // it has been asked for, and may come
		svc := &config.Service{Host: "b.default.svc.cluster.local", Namespace: "default"}
		p.Apply([]stream.Update{{Name: config.Name(config.KindService, svc.Host), Body: config.Append([]byte{}, svc)}})
		p.Away(true)
		resolve("b.", true, false, 0)
		if len(w.asked) != 2 { // b, and example.org as it would be in the mesh
			t.Errorf("asked for %v", w.asked)
		}
	})
}
