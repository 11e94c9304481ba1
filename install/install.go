// Package install brings weft to a Kubernetes cluster: it renders the chart that helm install takes too, applies it, takes it away,
// and says what is not as it should be.
//
// It promises: what is rendered depends on the options alone; nothing of another's is deleted, and no object is taken over that weft
// has not made; of each thing that is not right, Check says what to do. Time and the cluster are passed in.
package install

import (
	"context"
	"time"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/inject"
	"github.com/weft-mesh/weft/source/kube"
)

// DefaultNamespace is the control plane's.
const DefaultNamespace = "weft-system"

// The objects that others ask for by name.
const (
	control  = "weft-control" // Deployment, Service, ServiceAccount, Lease
	daemon   = "weft-node"    // DaemonSet, with what it runs as
	injector = inject.Config  // MutatingWebhookConfiguration, and ConfigMap of its options
	secret   = "weft-ca"      // Secret
	given    = "weft-values"  // ConfigMap of the values that weft install was given
)

// Labels that all of weft's objects have.
const (
	partOf    = "app.kubernetes.io/part-of"
	managedBy = "app.kubernetes.io/managed-by"
	ours      = "weft"
)

// Cluster is what is asked of an API server; source/kube has it.
type Cluster interface {
	Host() string
	Version(ctx context.Context) (string, error)
	Clock(ctx context.Context) (now time.Time, took time.Duration, err error)
	Serves(ctx context.Context, group, kind string) ([]string, error)
	Allowed(ctx context.Context, a kube.Access) (allowed bool, reason string, err error)
	Get(ctx context.Context, k dialect.Key) (map[string]any, error)
	List(ctx context.Context, k dialect.Key, selector string) ([]map[string]any, error)
	Apply(ctx context.Context, o map[string]any) error
	Delete(ctx context.Context, k dialect.Key) error
	Try(ctx context.Context, o map[string]any) (map[string]any, error)
}

var _ Cluster = (*kube.Cluster)(nil)

// at is what stands at a path of JSON values, if it is a T.
func at[T any](tree any, path ...string) (out T, ok bool) {
	for _, step := range path {
		m, isMap := tree.(map[string]any)
		if !isMap {
			return out, false
		}
		tree = m[step]
	}
	out, ok = tree.(T)
	return out, ok
}

// text is the string at a path, or an empty one.
func text(tree any, path ...string) string {
	s, _ := at[string](tree, path...)
	return s
}

// count is the number at a path, or 0.
func count(tree any, path ...string) int64 {
	n, ok := at[int64](tree, path...)
	if !ok {
		f, _ := at[float64](tree, path...)
		n = int64(f)
	}
	return n
}
