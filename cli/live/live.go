// Package live makes a mesh of the objects that a Kubernetes cluster has now, as the cluster's control plane does, for commands that say what
// would be. It promises: nothing is written; objects are read as weft-control reads them; in what the mesh may be another than that of the
// control plane is told. An error says what could not be asked of the API server.
package live

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/weft-mesh/weft/control"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/all"
	"github.com/weft-mesh/weft/install"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/source"
	"github.com/weft-mesh/weft/source/kube"
)

// Options say what to read, and whom to tell. All but Secrets are required.
type Options struct {
	Namespace   string                           // of the control plane
	TrustDomain string                           // where no control plane says one
	Secrets     bool                             // also those that hold private keys
	Change      func(*dialect.Object)            // sees each object before it counts
	Tell        func(format string, args ...any) // a line
}

// readTime is for reading all objects of a cluster: 100,000 pods take some seconds.
const readTime = 2 * time.Minute

// Load reads a cluster.
func Load(ctx context.Context, k *kube.Cluster, o Options) (*control.View, error) {
	if _, err := k.Version(ctx); err != nil {
		return nil, err // a source would wait for it
	}
	trust, err := install.TrustDomain(ctx, k, o.Namespace)
	if errors.Is(err, kube.ErrAbsent) {
		o.Tell("weft is not in namespace %s of this cluster; --injected takes pods to have its proxy", o.Namespace)
		err = nil
	}
	if err != nil {
		return nil, err
	}
	trust = cmp.Or(trust, o.TrustDomain)
	var choices []kube.Choice
	if !o.Secrets {
		choices = append(choices, kube.Choice{Kind: "Secret", Skip: true})
	}
	ctx, cancel := context.WithTimeoutCause(ctx, readTime, fmt.Errorf("the API server at %s has not told all of its objects within %v", k.Host(), readTime))
	defer cancel()
	objects, unread, err := collect(ctx, k.Source(all.Kinds(trust), choices...))
	if err != nil {
		return nil, err
	}
	for _, x := range objects {
		o.Change(x)
	}
	v := control.Load(trust, objects, nil, nil)
	tell(o.Tell, unread, v)
	return v, nil
}

// collect reads a source until it has given all that there is.
func collect(ctx context.Context, s source.Source) ([]*dialect.Object, []dialect.Located, error) {
	ctx, enough := context.WithCancel(ctx)
	defer enough()
	objects, unread, whole := map[dialect.Key]*dialect.Object{}, []dialect.Located(nil), false
	err := s.Run(ctx, func(e source.Event) {
		if whole {
			return // what comes while it ends
		}
		for _, o := range e.Put {
			objects[o.Key()] = o
		}
		for _, key := range e.Delete {
			delete(objects, key)
		}
		if whole = e.Synced; whole {
			unread = e.Findings
			enough()
		}
	})
	if err == nil && !whole {
		err = context.Cause(ctx)
	}
	return slices.SortedFunc(maps.Values(objects), func(a, b *dialect.Object) int { return a.Key().Compare(b.Key()) }), unread, err
}

// mostTold bounds how many objects are named that are not in force.
const mostTold = 10

// tell says in what the mesh may be another than that of the cluster's control plane.
func tell(say func(format string, args ...any), unread []dialect.Located, v *control.View) {
	for _, l := range unread {
		say("without %s: %s", l.Ref.Kind, l.Text)
	}
	refused := map[string]bool{}
	for _, l := range v.Findings {
		l.Ref.Rule = ""
		if name := l.Ref.String(); l.Level == mesh.Error && !refused[name] {
			if refused[name] = true; len(refused) <= mostTold {
				say("without %s, which is refused: weft-control may have an earlier version in force, or deny calls in its place; weft analyze says what is wrong", name)
			}
		}
	}
	if more := len(refused) - mostTold; more > 0 {
		say("and %d more that are refused", more)
	}
}
