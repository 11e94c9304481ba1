package install

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/version"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/inject"
	"github.com/weft-mesh/weft/source/kube"
)

const (
	apiServer = "API server"
	minimum   = "1.30" // preStop.sleep (KEP-3960) is on by default, with which proxies of Gateways end, and native sidecars (KEP-753)
	skew      = 5 * time.Second
)

// apiServer says whether going on makes sense.
func (r *checks) apiServer(ctx context.Context) bool {
	const what = "it answers"
	v, err := r.c.Version(ctx)
	if err != nil {
		r.fail(apiServer, what, err.Error(), "check the kubeconfig, and that the API server can be reached from here")
		return false
	}
	r.ok(apiServer, what, r.c.Host())
	switch got, err := version.ParseGeneric(v); {
	case err != nil:
		r.warn(apiServer, "its version is new enough", fmt.Sprintf("%q is no version: %v", v, err), "")
	case got.LessThan(version.MustParseGeneric(minimum)):
		r.fail(apiServer, "its version is new enough", v, "upgrade Kubernetes to "+minimum+": an older one refuses the proxies of Gateways, and there a sidecar may keep Jobs from ending")
	default:
		r.ok(apiServer, "its version is new enough", v)
	}
	r.clock(ctx)
	return true
}

// clock compares clocks: certificates are valid from a minute before they are issued, and tokens not before.
func (r *checks) clock(ctx context.Context) {
	const what = "its clock and this one agree"
	now, took, err := r.c.Clock(ctx)
	if err != nil {
		r.warn(apiServer, what, err.Error(), "")
		return
	}
	apart := now.Sub(r.o.Now).Abs() - took - time.Second // its clock is told in whole seconds
	if apart > skew {
		r.fail(apiServer, what, fmt.Sprintf("they are %v apart", apart.Round(time.Second)), "set the clocks by NTP: certificates and tokens of one are not valid yet, or no more, by the other")
		return
	}
	r.ok(apiServer, what, "")
}

// before is what an installation needs.
func (r *checks) before(ctx context.Context) {
	const part = "before installing"
	objects, err := Render(Options{Namespace: r.o.Namespace, Values: map[string]any{"namespace": map[string]any{"create": true}}})
	if err != nil {
		r.fail(part, "whoever installs may", err.Error(), "this program's own chart is at fault: take another build of weft")
		return
	}
	var not []string
	for _, x := range objects {
		a := kube.Access{Verb: "create", Group: x.Key.Group, Resource: plural(x.Key.Kind), Namespace: x.Key.Namespace}
		allowed, _, err := r.c.Allowed(ctx, a)
		if err != nil {
			r.fail(part, "whoever installs may", err.Error(), "kubectl auth can-i --list says what you may, if the API server answers that")
			return
		}
		if name := strings.TrimSuffix(a.Resource+"."+a.Group, "."); !allowed && !slices.Contains(not, name) {
			not = append(not, name)
		}
	}
	if len(not) > 0 {
		r.fail(part, "whoever installs may", "you may not create "+strings.Join(not, ", "), "have somebody install weft who may, as with the ClusterRole cluster-admin")
	} else {
		r.ok(part, "whoever installs may", "")
	}
	r.gatewayAPI(ctx, part)
	r.others(ctx, part)
	r.ok(part, "weft is not installed yet", "weft install | kubectl apply -f - installs it")
}

func (r *checks) gatewayAPI(ctx context.Context, part string) {
	const what = "the Gateway API's CustomResourceDefinitions are there"
	switch versions, err := r.c.Serves(ctx, gatewayClass.Group, gatewayClass.Kind); {
	case err != nil:
		r.warn(part, what, err.Error(), "")
	case len(versions) == 0:
		r.warn(part, what, "they are not: Gateways and HTTPRoutes cannot be made", "weft install | kubectl apply -f - installs them")
	default:
		r.ok(part, what, strings.Join(versions, ", "))
	}
}

// others looks for the injectors of other meshes.
func (r *checks) others(ctx context.Context, part string) {
	const what = "no other mesh injects"
	found, err := Foreign(ctx, r.c)
	switch {
	case err != nil:
		r.warn(part, what, err.Error(), "")
	case len(found) > 0:
		r.warn(part, what, "the webhooks of "+strings.Join(found, ", ")+" are there",
			"pods and namespaces that ask for weft must not ask for the other mesh too; with --adopt, weft takes over once that mesh's webhook is gone")
	default:
		r.ok(part, what, "")
	}
}

// Foreign are the meshes whose injectors are in the cluster, as inject.Options has them.
func Foreign(ctx context.Context, c Cluster) (found []string, err error) {
	list, err := c.List(ctx, dialect.Key{Group: "admissionregistration.k8s.io", Kind: "MutatingWebhookConfiguration"}, "")
	seen := map[string]bool{}
	for _, o := range list {
		if mesh := inject.InjectorOf(text(o, "metadata", "name")); mesh != "" && !seen[mesh] {
			seen[mesh] = true
			found = append(found, mesh)
		}
	}
	return found, err
}

// plural is the name by which an API server has a kind.
func plural(kind string) string {
	s := strings.ToLower(kind)
	switch n := len(s); {
	case n > 1 && s[n-1] == 'y' && !strings.ContainsRune("aeiou", rune(s[n-2])):
		return s[:n-1] + "ies"
	case s == "endpoints":
		return s
	case strings.HasSuffix(s, "s"), strings.HasSuffix(s, "sh"), strings.HasSuffix(s, "ch"), strings.HasSuffix(s, "x"):
		return s + "es"
	}
	return s + "s"
}
