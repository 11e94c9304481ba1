package install

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/identity/ca"
	"github.com/weft-mesh/weft/inject"
	"github.com/weft-mesh/weft/source/kube"
)

const (
	controlPlane = "control plane"
	injection    = "injection"
	proxies      = "proxies"
	nodes        = "nodes"

	soon    = 30 * 24 * time.Hour // a root that ends within is to be replaced
	leading = time.Minute         // without a word from the leader
	shown   = 5                   // names in a list
)

// controlPlane looks at the Deployment and what is around it.
func (r *checks) controlPlane(ctx context.Context, d map[string]any) {
	const what = "every replica is available"
	if done, state := rollout(d); count(d, "spec", "replicas") == 0 {
		r.fail(controlPlane, what, state+": pods go on with what they know, and none hears of a change or gets a certificate",
			"kubectl -n "+r.o.Namespace+" scale deployment/"+control+" --replicas=1")
	} else if done {
		r.ok(controlPlane, what, state)
	} else {
		r.fail(controlPlane, what, state, "kubectl -n "+r.o.Namespace+" describe pods -l app.kubernetes.io/name="+control)
	}
	image := ""
	if list, _ := at[[]any](d, "spec", "template", "spec", "containers"); len(list) > 0 {
		image = text(list[0], "image")
	}
	if tag := image[strings.LastIndexByte(image, ':')+1:]; r.o.Version != "" && tag != r.o.Version {
		r.warn(controlPlane, "it is of this version", fmt.Sprintf("it is %s, and this is weft %s", tag, r.o.Version), "weft upgrade")
	} else {
		r.ok(controlPlane, "it is of this version", tag)
	}
	r.leader(ctx)
	r.gatewayAPI(ctx, controlPlane)
	r.others(ctx, controlPlane)
}

// nodes looks at what redirects pods that have no container for it.
func (r *checks) nodes(ctx context.Context) {
	const what = "weft-node is available on every node"
	options, err := r.options(ctx)
	if err != nil {
		r.fail(nodes, what, err.Error(), "weft upgrade, or weft install | kubectl apply -f -, writes it again")
		return
	}
	if !options.CNI {
		return // each pod redirects itself
	}
	d, err := r.c.Get(ctx, dialect.Key{Group: "apps", Kind: "DaemonSet", Namespace: r.o.Namespace, Name: daemon})
	if err != nil {
		r.fail(nodes, what, err.Error(), "weft upgrade, or weft install | kubectl apply -f -, writes it again; until then, pods of the mesh do not start on new nodes")
		return
	}
	if done, state := everywhere(d); !done {
		r.fail(nodes, what, state, "kubectl -n "+r.o.Namespace+" get pods -o wide -l app.kubernetes.io/name="+daemon+
			" shows where it is not; its log says why. Pods of the mesh do not start on such a node")
	} else {
		r.ok(nodes, what, state)
	}
}

// options are those of injection, as the cluster has them.
func (r *checks) options(ctx context.Context) (inject.Options, error) {
	o, err := r.c.Get(ctx, dialect.Key{Kind: "ConfigMap", Namespace: r.o.Namespace, Name: injector})
	if err != nil {
		return inject.Options{}, err
	}
	options, err := inject.ParseOptions([]byte(text(o, "data", "inject.yaml")))
	if err == nil && options.Adopt {
		options.Foreign, err = Foreign(ctx, r.c)
	}
	return options, err
}

// leader is the replica that writes.
func (r *checks) leader(ctx context.Context) {
	const what = "a replica leads"
	l, err := r.c.Get(ctx, dialect.Key{Group: "coordination.k8s.io", Kind: "Lease", Namespace: r.o.Namespace, Name: control})
	if err != nil {
		r.fail(controlPlane, what, err.Error(), "kubectl -n "+r.o.Namespace+" logs deployment/"+control)
		return
	}
	who := text(l, "spec", "holderIdentity")
	renewed, err := time.Parse(time.RFC3339, text(l, "spec", "renewTime"))
	if err != nil || who == "" || r.o.Now.Sub(renewed) > leading {
		r.fail(controlPlane, what, "nobody has for more than "+leading.String()+": roots, statuses and webhook certificates are not kept up to date",
			"kubectl -n "+r.o.Namespace+" logs deployment/"+control)
		return
	}
	r.ok(controlPlane, what, who)
}

// webhook looks at injection: the API server must know whom to ask, trust it, and reach it, which can't be where no replica is available.
func (r *checks) webhook(ctx context.Context, available bool) {
	const what = "the API server trusts the webhook"
	w, err := r.c.Get(ctx, dialect.Key{Group: "admissionregistration.k8s.io", Kind: "MutatingWebhookConfiguration", Name: injector})
	if err != nil {
		r.fail(injection, what, err.Error(), "weft upgrade, or weft install | kubectl apply -f -, writes it again")
		return
	}
	hooks, _ := at[[]any](w, "webhooks")
	var bundle []byte
	for _, h := range hooks {
		b, err := base64.StdEncoding.DecodeString(text(h, "clientConfig", "caBundle"))
		if err != nil || len(b) == 0 {
			r.fail(injection, what, "webhook "+text(h, "name")+" has no caBundle", "the leader writes it: kubectl -n "+r.o.Namespace+" logs deployment/"+control)
			return
		}
		bundle = b
	}
	r.ok(injection, what, "")
	r.certificates(bundle)
	r.authority(ctx)
	r.reach(ctx, available)
}

// certificates looks at the lifetimes of the mesh's roots, which are the webhook's too.
func (r *checks) certificates(bundle []byte) {
	const what = "the root certificates are valid for long enough"
	var ends time.Time
	for rest := bundle; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err == nil && c.NotAfter.After(ends) {
			ends = c.NotAfter
		}
	}
	const remedy = "replace the authority in Secret " + secret + " before it ends; proxies learn of the new root without a restart"
	switch left := ends.Sub(r.o.Now); {
	case ends.IsZero():
		r.fail(injection, what, "the webhook's caBundle holds no certificate", remedy)
	case left <= 0:
		r.fail(injection, what, "the last ended "+ends.Format(time.RFC3339), remedy)
	case left < soon:
		r.warn(injection, what, "the last ends "+ends.Format(time.RFC3339), remedy)
	default:
		r.ok(injection, what, "until "+ends.Format(time.DateOnly))
	}
}

// authority looks at what somebody else keeps in the Secret, if anybody does: what cannot sign is not taken, and what signed before goes on until it
// ends. All who say a trust domain have to say the same.
func (r *checks) authority(ctx context.Context) {
	const what = "your own authority in the Secret can sign"
	const remedy = "put it right in Secret " + secret + ": tls.key, and tls.crt with ca.crt above it; what signed before goes on until it ends"
	o, err := r.c.Get(ctx, dialect.Key{Kind: "Secret", Namespace: r.o.Namespace, Name: secret})
	if errors.Is(err, kube.ErrAbsent) {
		return // the leader makes one
	}
	if err != nil {
		r.warn(injection, what, err.Error(), "")
		return
	}
	data := map[string][]byte{}
	for name, text := range texts(o, "data") {
		if data[name], err = base64.StdEncoding.DecodeString(text); err != nil {
			r.fail(injection, what, name+": "+err.Error(), remedy)
			return
		}
	}
	a := kube.AuthorityIn(texts(o, "metadata", "annotations"), data)
	domain := r.trustDomain(ctx, a)
	there, err := a.Brought()
	if err == nil && (!there || domain == "") {
		return // it is made by the mesh, or there is something to be put right before
	}
	var root *ca.Root
	if err == nil {
		root, err = ca.Import(domain, a.Key, a.Chain, r.o.Now)
	}
	if err != nil {
		r.fail(injection, what, "it cannot: "+err.Error(), remedy)
		return
	}
	from, until := root.Validity()
	if until.Sub(r.o.Now) < until.Sub(from)/10 {
		r.warn(injection, what, "until "+until.Format(time.RFC3339)+" alone", "renew it, as cert-manager does by itself: proxies learn of the new one without a restart")
		return
	}
	r.ok(injection, what, "until "+until.Format(time.DateOnly))
}

// trustDomain returns the one that all say who say any; empty: they do not.
func (r *checks) trustDomain(ctx context.Context, a kube.Authority) string {
	const what = "all say the same trust domain"
	options, err := r.options(ctx)
	if err != nil {
		return "" // nodes says what is wrong with them
	}
	domain, err := a.TrustDomain(options.TrustDomain)
	if err != nil {
		r.fail(injection, what, "of Secret "+secret+", "+err.Error(), kube.DomainRemedy)
		return ""
	}
	r.ok(injection, what, domain)
	return domain
}

// reach asks the API server what it would make of a pod that asks for the mesh.
func (r *checks) reach(ctx context.Context, available bool) {
	const what = "a pod that asks for the mesh gets its proxy"
	pod := map[string]any{"apiVersion": "v1", "kind": "Pod",
		"metadata": map[string]any{"name": "weft-check", "namespace": "default", "labels": map[string]any{inject.Label: "enabled"}},
		"spec":     map[string]any{"containers": []any{map[string]any{"name": "app", "image": "none"}}}}
	got, err := r.c.Try(ctx, pod)
	switch {
	case err != nil && !available:
		r.fail(injection, what, err.Error(), "that is the control plane's part, and none of its replicas is available, see above. Until then, new pods start as the webhook's "+
			"failurePolicy says")
	case err != nil:
		r.fail(injection, what, err.Error(), "the API server has to reach port 443 of Service "+r.o.Namespace+"/"+control+
			": does a NetworkPolicy or a firewall between it and the nodes forbid it? Until then, new pods start as the webhook's failurePolicy says")
	case text(got, "metadata", "annotations", inject.Injected) == "":
		r.fail(injection, what, "it does not: the API server did not ask, or was not answered", "is the webhook "+injector+" as weft install has it? weft upgrade makes it so")
	default:
		r.ok(injection, what, "tried without making one")
	}
}

// proxies looks at all pods.
func (r *checks) proxies(ctx context.Context) {
	pods, err := r.c.List(ctx, dialect.Key{Kind: "Pod"}, "")
	if err == nil {
		var wants func(p map[string]any) bool
		if wants, err = r.wants(ctx); err == nil {
			r.pods(pods, wants)
			return
		}
	}
	r.fail(proxies, "pods can be read", err.Error(), "have somebody check who may list pods and namespaces: kubectl get pods,namespaces -A")
}

// wants returns what says whether a pod is to have a proxy.
func (r *checks) wants(ctx context.Context) (func(pod map[string]any) bool, error) {
	o, err := r.options(ctx)
	if err != nil {
		o = inject.Options{Namespace: r.o.Namespace} // nodes says what is wrong with them
	}
	list, err := r.c.List(ctx, dialect.Key{Kind: "Namespace"}, "")
	namespaces := map[string]inject.Namespace{}
	for _, n := range list {
		name := text(n, "metadata", "name")
		namespaces[name] = inject.Namespace{Name: name, Labels: texts(n, "metadata", "labels"), Annotations: texts(n, "metadata", "annotations")}
	}
	return func(p map[string]any) bool {
		var pod corev1.Pod
		pod.Labels, pod.Annotations = texts(p, "metadata", "labels"), texts(p, "metadata", "annotations")
		pod.Spec.HostNetwork, _ = at[bool](p, "spec", "hostNetwork")
		return inject.Wants(&pod, namespaces[text(p, "metadata", "namespace")], o)
	}, err
}

// texts are the texts of a map at a path.
func texts(tree any, path ...string) map[string]string {
	m, _ := at[map[string]any](tree, path...)
	out := make(map[string]string, len(m))
	for k, v := range m {
		out[k], _ = v.(string)
	}
	return out
}

func (r *checks) pods(pods []map[string]any, wants func(map[string]any) bool) {
	var all, old, down, without []string
	for _, p := range pods {
		name := text(p, "metadata", "namespace") + "/" + text(p, "metadata", "name")
		by := text(p, "metadata", "annotations", inject.Injected)
		phase := text(p, "status", "phase")
		switch {
		case phase == "Succeeded" || phase == "Failed" || text(p, "metadata", "deletionTimestamp") != "":
		case by == "":
			if wants(p) {
				without = append(without, name)
			}
		default:
			all = append(all, name)
			if r.o.Version != "" && by != r.o.Version {
				old = append(old, name+" ("+by+")")
			}
			if !started(p) {
				down = append(down, name)
			}
		}
	}
	r.list(Failed, "they are ready", down, fmt.Sprintf("of %d pods", len(all)), "kubectl logs POD -c weft-proxy says what it waits for")
	r.list(Warning, "they are of this version", old, "", "restart what they belong to: kubectl -n NAMESPACE rollout restart deployment")
	r.list(Warning, "every pod that is to have one has one", without, "", "they started before their namespace asked for it, or while the webhook did not answer: restart them")
}

// list is a check that fails for some pods.
func (r *checks) list(state State, what string, bad []string, otherwise, remedy string) {
	if len(bad) == 0 {
		r.ok(proxies, what, otherwise)
		return
	}
	slices.Sort(bad)
	n := len(bad)
	detail := strings.Join(bad[:min(n, shown)], ", ")
	if n > shown {
		detail += fmt.Sprintf(" and %d more", n-shown)
	}
	r.out = append(r.out, Result{Part: proxies, What: what, State: state, Detail: "not " + detail, Remedy: remedy})
}

// started says whether a pod's proxy has become ready once.
func started(p map[string]any) bool {
	list, _ := at[[]any](p, "status", "initContainerStatuses")
	own, _ := at[[]any](p, "status", "containerStatuses") // a gateway's proxy is its pod's application
	return slices.ContainsFunc(slices.Concat(list, own), func(s any) bool {
		started, _ := at[bool](s, "started")
		ready, _ := at[bool](s, "ready")
		return text(s, "name") == "weft-proxy" && started && ready
	})
}

// Worst is the worst state of some results.
func Worst(all []Result) State {
	worst := OK
	for _, r := range all {
		if r.State == Failed || r.State == Warning && worst == OK {
			worst = r.State
		}
	}
	return worst
}
