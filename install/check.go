package install

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/source/kube"
)

// State is how a thing is that was checked.
type State string

// The states. A warning keeps nothing from working now.
const (
	OK      State = "ok"
	Warning State = "warning"
	Failed  State = "failed"
)

// Result is what was checked, and what came of it.
type Result struct {
	Part   string `json:"part"` // of the cluster: "API server", "control plane", "proxies"
	What   string `json:"what"`
	State  State  `json:"state"`
	Detail string `json:"detail,omitempty"`
	Remedy string `json:"remedy,omitempty"`
}

// CheckOptions say what there should be.
type CheckOptions struct {
	Namespace string // [DefaultNamespace]
	Version   string // of this weft; the control plane's and the proxies' should be the same
	Now       time.Time
}

// Check looks at a cluster: before weft is installed, whether it can be; afterwards, whether all of it works. Nothing is changed. The
// checks that rest on one that failed are left out.
func Check(ctx context.Context, c Cluster, o CheckOptions) []Result {
	o.Namespace = cmp.Or(o.Namespace, DefaultNamespace)
	r := &checks{c: c, o: o}
	if !r.apiServer(ctx) {
		return r.out
	}
	d, err := c.Get(ctx, dialect.Key{Group: "apps", Kind: "Deployment", Namespace: o.Namespace, Name: control})
	switch {
	case errors.Is(err, kube.ErrAbsent):
		r.before(ctx)
	case err != nil:
		r.fail(controlPlane, "its Deployment can be read", err.Error(), "kubectl -n "+o.Namespace+" get deployment "+control+" says the same: have somebody check who may read it")
	default:
		r.controlPlane(ctx, d)
		r.nodes(ctx)
		r.webhook(ctx, count(d, "status", "availableReplicas") > 0)
		r.proxies(ctx)
	}
	return r.out
}

// checks collect results.
type checks struct {
	c   Cluster
	o   CheckOptions
	out []Result
}

func (r *checks) ok(part, what, detail string) {
	r.out = append(r.out, Result{Part: part, What: what, State: OK, Detail: detail})
}

func (r *checks) warn(part, what, detail, remedy string) {
	r.out = append(r.out, Result{Part: part, What: what, State: Warning, Detail: detail, Remedy: remedy})
}

func (r *checks) fail(part, what, detail, remedy string) {
	r.out = append(r.out, Result{Part: part, What: what, State: Failed, Detail: detail, Remedy: remedy})
}
