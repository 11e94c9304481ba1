package install

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/identity/ca"
	"github.com/weft-mesh/weft/inject"
	"github.com/weft-mesh/weft/source/kube"
)

// Progress is told what is done, a line each time.
type Progress func(format string, args ...any)

// Pause waits between looks at what takes its time; it returns early, with an error, when the context ends.
type Pause func(ctx context.Context) error

// Every is a Pause of some time.
func Every(d time.Duration) Pause {
	return func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(d):
			return nil
		}
	}
}

// Installed says which values the cluster's weft was installed with, by weft install or upgrade; an error that wraps kube.ErrAbsent:
// it was not.
func Installed(ctx context.Context, c Cluster, namespace string) (map[string]any, error) {
	o, err := c.Get(ctx, dialect.Key{Kind: "ConfigMap", Namespace: cmp.Or(namespace, DefaultNamespace), Name: given})
	if err != nil {
		return nil, err
	}
	var values map[string]any
	if err := yaml.Unmarshal([]byte(text(o, "data", "values.yaml")), &values); err != nil {
		return nil, fmt.Errorf("ConfigMap %s: %w", given, err)
	}
	return values, nil
}

// TrustDomain is that of the cluster's weft, however it was installed; empty: nobody has said it yet. An error that wraps kube.ErrAbsent: there is
// no weft; another may name two that say different ones.
func TrustDomain(ctx context.Context, c Cluster, namespace string) (string, error) {
	o, err := c.Get(ctx, dialect.Key{Kind: "ConfigMap", Namespace: cmp.Or(namespace, DefaultNamespace), Name: injector})
	if err != nil {
		return "", err
	}
	of, err := options(Object{Tree: o})
	if err != nil || of.TrustDomain != "" {
		return of.TrustDomain, err
	}
	told, err := c.List(ctx, dialect.Key{Kind: "ConfigMap"}, partOf+"="+ours+","+managedBy+"="+ours)
	if err != nil {
		return "", err
	}
	var said []ca.Said // whoever may write in a namespace may write one: no single one is believed against another
	for _, o := range told {
		if text(o, "metadata", "name") == inject.RootMap { // the control plane tells its proxies so
			said = append(said, ca.Said{Where: "ConfigMap " + text(o, "metadata", "namespace") + "/" + inject.RootMap, Domain: text(o, "data", "trust-domain")})
		}
	}
	return ca.OneDomain("", said...)
}

// Plan is what an upgrade changes.
type Plan struct {
	Apply  []Object      // in this order
	Delete []dialect.Key // what an earlier version had, or other values, and these have not
}

// PlanUpgrade says what Upgrade would do, and does nothing.
func PlanUpgrade(ctx context.Context, c Cluster, o Options) (p Plan, err error) {
	if p.Apply, err = Render(o); err != nil {
		return p, err
	}
	kept, err := Remember(o)
	if err != nil {
		return p, err
	}
	p.Apply = append(p.Apply, kept)
	now := map[dialect.Key]bool{}
	for _, x := range p.Apply {
		now[x.Key] = true
	}
	for _, k := range kinds {
		old, err := listed(ctx, c, k, partOf+"="+ours+","+managedBy+"="+ours+","+programs)
		if err != nil {
			return p, err
		}
		p.Delete = append(p.Delete, slices.DeleteFunc(old, func(x dialect.Key) bool { return now[x] || x.Kind == "Namespace" })...)
	}
	return p, nil
}

// listed are the objects of a kind that a label selector names, but for those that are being deleted; none, where there is no such kind.
func listed(ctx context.Context, c Cluster, k dialect.Key, selector string) (out []dialect.Key, err error) {
	list, err := c.List(ctx, k, selector)
	if errors.Is(err, kube.ErrAbsent) {
		return nil, nil
	}
	for _, o := range list {
		if text(o, "metadata", "deletionTimestamp") == "" {
			x := keyOf(o)
			x.Group, x.Kind = k.Group, k.Kind // a list's items may not say
			out = append(out, x)
		}
	}
	return out, err
}

// Upgrade applies what the options say, deletes what an earlier version had and this one has not, and waits until the control plane
// runs as it is to.
func Upgrade(ctx context.Context, c Cluster, o Options, say Progress, pause Pause) error {
	p, err := PlanUpgrade(ctx, c, o)
	if err != nil {
		return err
	}
	for _, x := range p.Apply {
		if err := c.Apply(ctx, x.Tree); err != nil {
			return fmt.Errorf("apply %s: %w", Name(x.Key), err)
		}
	}
	say("%d objects applied", len(p.Apply))
	for _, x := range p.Delete {
		if err := c.Delete(ctx, x); err != nil {
			return err
		}
		say("%s is no longer needed, and deleted", Name(x))
	}
	return Wait(ctx, c, o.Namespace, say, pause)
}

// Wait returns when every replica of the control plane, and weft-node on every node that is to have one, is of the version that is to run,
// and available, and no replica of before is about to end: that would go on answering the API server for some seconds, and give pods its own
// version's proxy.
func Wait(ctx context.Context, c Cluster, namespace string, say Progress, pause Pause) error {
	last := ""
	for {
		done, state, err := progress(ctx, c, cmp.Or(namespace, DefaultNamespace))
		if err != nil {
			return err
		}
		if state != last {
			say("%s", state)
			last = state
		}
		if done {
			return nil
		}
		if err := pause(ctx); err != nil {
			return fmt.Errorf("%s, and then the time was up: %w; weft check says what is wrong", state, err)
		}
	}
}

// progress is of the first that is not done.
func progress(ctx context.Context, c Cluster, namespace string) (done bool, state string, err error) {
	d, err := c.Get(ctx, dialect.Key{Group: "apps", Kind: "Deployment", Namespace: namespace, Name: control})
	if err != nil {
		return false, "", err
	}
	if done, state = rollout(d); !done {
		return false, state, nil
	}
	old, err := ending(ctx, c, d)
	if err != nil {
		return false, "", err
	}
	if old > 0 {
		return false, fmt.Sprintf("%s: %d replicas of before end", control, old), nil
	}
	d, err = c.Get(ctx, dialect.Key{Group: "apps", Kind: "DaemonSet", Namespace: namespace, Name: daemon})
	switch {
	case errors.Is(err, kube.ErrAbsent):
		return true, state, nil
	case err != nil:
		return false, "", err
	}
	done, nodes := everywhere(d)
	return done, state + ", " + nodes, nil
}

// ending is how many pods of a Deployment are about to end, which its status does not count.
func ending(ctx context.Context, c Cluster, d map[string]any) (n int, err error) {
	pods, err := c.List(ctx, dialect.Key{Kind: "Pod", Namespace: text(d, "metadata", "namespace")}, "app.kubernetes.io/name="+control)
	for _, p := range pods {
		if text(p, "metadata", "deletionTimestamp") != "" {
			n++
		}
	}
	return n, err
}

// rollout says how far a Deployment is.
func rollout(d map[string]any) (done bool, state string) {
	want := count(d, "spec", "replicas")
	updated, available, all := count(d, "status", "updatedReplicas"), count(d, "status", "availableReplicas"), count(d, "status", "replicas")
	switch {
	case count(d, "status", "observedGeneration") < count(d, "metadata", "generation"):
		return false, control + ": the change is not seen yet"
	case updated < want:
		return false, fmt.Sprintf("%s: %d of %d replicas are new", control, updated, want)
	case all > updated:
		return false, fmt.Sprintf("%s: %d replicas of the old version end", control, all-updated)
	case available < want:
		return false, fmt.Sprintf("%s: %d of %d replicas are available", control, available, want)
	}
	return true, fmt.Sprintf("%s: %d of %d replicas are available", control, available, want)
}

// everywhere says on how many nodes a DaemonSet is.
func everywhere(d map[string]any) (done bool, state string) {
	want := count(d, "status", "desiredNumberScheduled")
	updated, available := count(d, "status", "updatedNumberScheduled"), count(d, "status", "numberAvailable")
	seen := count(d, "status", "observedGeneration") >= count(d, "metadata", "generation") && d["status"] != nil
	if updated < want {
		return false, fmt.Sprintf("%s: new on %d of %d nodes", daemon, updated, want)
	}
	return seen && available >= want, fmt.Sprintf("%s: available on %d of %d nodes", daemon, available, want)
}

// Name is a key as people say it.
func Name(k dialect.Key) string {
	if k.Namespace == "" {
		return k.Kind + " " + k.Name
	}
	return k.Kind + " " + k.Namespace + "/" + k.Name
}
