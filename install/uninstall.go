package install

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/inject"
	"github.com/weft-mesh/weft/source/kube"
)

// kinds are those that weft has objects of, in the order in which they go: first what changes other people's pods, then what would
// make objects anew, then what these rest on.
var kinds = []dialect.Key{
	{Group: "admissionregistration.k8s.io", Kind: "MutatingWebhookConfiguration"},
	{Group: "apps", Kind: "Deployment"},
	{Group: "apps", Kind: "DaemonSet"},
	{Group: "autoscaling", Kind: "HorizontalPodAutoscaler"},
	{Group: "policy", Kind: "PodDisruptionBudget"},
	{Group: "networking.k8s.io", Kind: "NetworkPolicy"},
	{Kind: "Service"},
	{Kind: "ConfigMap"},
	{Kind: "Secret"},
	{Group: "coordination.k8s.io", Kind: "Lease"},
	{Group: "rbac.authorization.k8s.io", Kind: "RoleBinding"},
	{Group: "rbac.authorization.k8s.io", Kind: "Role"},
	{Group: "rbac.authorization.k8s.io", Kind: "ClusterRoleBinding"},
	{Group: "rbac.authorization.k8s.io", Kind: "ClusterRole"},
	{Kind: "ServiceAccount"},
	gatewayClass,
	{Group: "networking.k8s.io", Kind: "IngressClass"},
	{Kind: "Namespace"},
}

// Left is what an uninstall leaves, and why.
type Left struct {
	Pods        []string // NAMESPACE/NAME, that have their proxy until they are made anew
	Definitions []string // kinds that weft installed, since their objects would go with them
	Others      []string // KIND NAMESPACE/NAME of what is not weft's, because of which its namespace stays
}

// Uninstall takes weft out of a cluster: every object that is part of it, in every namespace. The control plane's namespace goes with all
// in it if weft install has made it, and nothing that is kept there is another's.
func Uninstall(ctx context.Context, c Cluster, namespace string, say Progress, pause Pause) (Left, error) {
	namespace = cmp.Or(namespace, DefaultNamespace)
	for _, k := range kinds {
		parts, err := parts(ctx, c, namespace, k)
		if err != nil {
			return Left{}, err
		}
		for _, x := range parts {
			if err := c.Delete(ctx, x); err != nil {
				return Left{}, err
			}
			say("deleted %s", Name(x))
		}
		if k.Kind == "MutatingWebhookConfiguration" { // next goes what would make anew what is deleted
			if err := end(ctx, c, namespace, say, pause); err != nil {
				return Left{}, err
			}
		}
	}
	for _, x := range unlabelled(namespace) { // in case an earlier version did not label them
		if err := c.Delete(ctx, x); err != nil {
			return Left{}, err
		}
	}
	return Leaves(ctx, c, namespace)
}

// PlanUninstall says what Uninstall would delete, in its order, and does nothing.
func PlanUninstall(ctx context.Context, c Cluster, namespace string) (out []dialect.Key, err error) {
	namespace = cmp.Or(namespace, DefaultNamespace)
	for _, k := range kinds {
		parts, err := parts(ctx, c, namespace, k)
		if err != nil {
			return nil, err
		}
		out = append(out, parts...)
	}
	for _, x := range unlabelled(namespace) {
		switch _, err := c.Get(ctx, x); {
		case errors.Is(err, kube.ErrAbsent) || slices.Contains(out, x):
		case err != nil:
			return nil, err
		default:
			out = append(out, x)
		}
	}
	return out, nil
}

// parts are weft's objects of a kind. A Namespace is one only if it is the control plane's, and nothing of others is in it: all in it goes
// along, and somebody else may call a part of his "weft" too.
func parts(ctx context.Context, c Cluster, namespace string, k dialect.Key) ([]dialect.Key, error) {
	out, err := listed(ctx, c, k, partOf+"="+ours)
	if err != nil || k.Kind != "Namespace" {
		return out, err
	}
	theirs, err := others(ctx, c, namespace)
	return slices.DeleteFunc(out, func(x dialect.Key) bool { return x.Name != namespace || len(theirs) > 0 }), err
}

// belongings are the kinds of what people keep in a namespace: what runs, also what is scaled to none or waits for its time, and data.
var belongings = []dialect.Key{{Kind: "Pod"}, {Group: "apps", Kind: "Deployment"}, {Group: "apps", Kind: "StatefulSet"}, {Group: "apps", Kind: "DaemonSet"},
	{Group: "batch", Kind: "CronJob"}, {Group: "batch", Kind: "Job"}, {Kind: "PersistentVolumeClaim"}, {Kind: "Secret"}, {Kind: "ConfigMap"}}

// everywhereMap are ConfigMaps that a cluster, or Istio, puts into every namespace.
var everywhereMap = []string{"kube-root-ca.crt", "openshift-service-ca.crt", "istio-ca-root-cert"}

// others are the objects in the control plane's namespace that are not weft's.
func others(ctx context.Context, c Cluster, namespace string) (out []string, err error) {
	for _, k := range belongings {
		selector := partOf + "!=" + ours
		if k.Kind == "Pod" {
			selector += "," + noPrograms
		}
		k.Namespace = namespace
		all, err := listed(ctx, c, k, selector)
		if err != nil {
			return nil, err
		}
		for _, x := range all {
			if !slices.Contains(unlabelled(namespace), x) && (k.Kind != "ConfigMap" || !slices.Contains(everywhereMap, x.Name)) {
				out = append(out, Name(x))
			}
		}
	}
	return out, nil
}

// Leaves says what an uninstall leaves.
func Leaves(ctx context.Context, c Cluster, namespace string) (left Left, err error) {
	namespace = cmp.Or(namespace, DefaultNamespace)
	if left.Pods, err = Injected(ctx, c); err != nil {
		return left, err
	}
	if left.Others, err = others(ctx, c, namespace); err != nil {
		return left, err
	}
	left.Definitions, err = defined(ctx, c)
	return left, err
}

// unlabelled are objects that the control plane makes as it runs.
func unlabelled(namespace string) []dialect.Key {
	return []dialect.Key{{Kind: "Secret", Namespace: namespace, Name: secret},
		{Group: "coordination.k8s.io", Kind: "Lease", Namespace: namespace, Name: control}}
}

// programs selects the pods that weft runs as, and noPrograms all others.
const (
	programs   = "app.kubernetes.io/name in (" + control + "," + daemon + ")"
	noPrograms = "app.kubernetes.io/name notin (" + control + "," + daemon + ")"
)

// end deletes what runs, and waits until nothing does: the control plane would make anew what is deleted, and weft-node asks, while its role
// is there, whether it is to take the plugin away.
func end(ctx context.Context, c Cluster, namespace string, say Progress, pause Pause) error {
	for _, k := range []dialect.Key{{Group: "apps", Kind: "Deployment", Namespace: namespace, Name: control},
		{Group: "apps", Kind: "DaemonSet", Namespace: namespace, Name: daemon}} {
		if err := c.Delete(ctx, k); err != nil {
			return err
		}
	}
	for told := false; ; told = true {
		pods, err := c.List(ctx, dialect.Key{Kind: "Pod", Namespace: namespace}, programs)
		if err != nil || len(pods) == 0 {
			return err
		}
		if !told {
			say("waiting for %d pods to end", len(pods))
		}
		if err := pause(ctx); err != nil {
			return fmt.Errorf("%d pods, %s among them, did not end: %w", len(pods), text(pods[0], "metadata", "name"), err)
		}
	}
}

// Injected are the pods that have weft's proxy.
func Injected(ctx context.Context, c Cluster) (out []string, err error) {
	pods, err := c.List(ctx, dialect.Key{Kind: "Pod"}, "")
	for _, p := range pods {
		if text(p, "metadata", "annotations", inject.Injected) != "" && text(p, "metadata", "deletionTimestamp") == "" {
			out = append(out, text(p, "metadata", "namespace")+"/"+text(p, "metadata", "name"))
		}
	}
	slices.Sort(out)
	return out, err
}

// defined are the CustomResourceDefinitions that weft installed.
func defined(ctx context.Context, c Cluster) (out []string, err error) {
	list, err := c.List(ctx, dialect.Key{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition"}, partOf+"="+ours)
	for _, o := range list {
		out = append(out, text(o, "metadata", "name"))
	}
	slices.Sort(out)
	return out, err
}
