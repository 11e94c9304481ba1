package inject

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/weft-mesh/weft/dialect"
)

// AdoptLabel of a namespace says whether weft acts for those objects in it that do not say who is to: enabled or disabled.
const AdoptLabel = "weft.dev/adopt"

// Adopted says whether weft deploys what objects of a namespace ask for that do not say who is to do it, as Istio's Gateways, and writes
// into their statuses, so that two meshes never do: the namespace's label AdoptLabel says so, else its pods get weft's proxies.
func Adopted(namespace Namespace, o Options) bool {
	if v, ok := namespace.Labels[AdoptLabel]; ok {
		return v == enabled
	}
	p := &plan{pod: &corev1.Pod{}, namespace: namespace, o: &o}
	return p.takes()
}

// Wants says whether a pod would get a proxy if it were made now, and nothing in it were in the way.
func Wants(pod *corev1.Pod, namespace Namespace, o Options) bool {
	p := &plan{pod: pod, namespace: namespace, o: &o}
	return p.takes() && p.cannot() == ""
}

// takes says whether the word that counts asks for weft's proxy. That of a mesh whose own injector is there does not.
func (p *plan) takes() bool {
	w, said := p.word()
	return said && w.yes && (w.mesh == "" || !slices.Contains(p.o.Foreign, w.mesh))
}

// Other meshes, by the names that findings and options have for them.
const (
	istio   = "istio"
	linkerd = "linkerd"
)

// asks are other meshes' words for whether a pod gets a proxy, the stronger first within each mesh, as that mesh has it.
var asks = []struct {
	mesh, key      string
	label          bool // else an annotation
	pod, namespace bool // where it counts
	yes, no        string
	anything       bool // every value means yes
}{
	{mesh: istio, key: "sidecar.istio.io/inject", label: true, pod: true, yes: "true", no: "false"},
	{mesh: istio, key: "sidecar.istio.io/inject", pod: true, yes: "true", no: "false"},
	{mesh: istio, key: "istio-injection", label: true, namespace: true, yes: enabled, no: disabled},
	{mesh: istio, key: "istio.io/rev", label: true, pod: true, namespace: true, anything: true},
	{mesh: linkerd, key: "linkerd.io/inject", pod: true, namespace: true, yes: enabled, no: disabled},
}

// ingress is Linkerd's mode for pods in front of the mesh that choose endpoints by themselves.
const ingress = "ingress"

// adopted reads the words of other meshes, where they count. Where they do not, the API server would not have asked because of them.
func (p *plan) adopted(labels, annotations map[string]string, pod bool) (out []word) {
	if !p.o.Adopt {
		return nil
	}
	for _, a := range asks {
		from, of, field := annotations, "annotation", "metadata.annotations"
		if a.label {
			from, of, field = labels, "label", "metadata.labels"
		}
		value, ok := from[a.key]
		if !ok || pod && !a.pod || !pod && !a.namespace {
			continue
		}
		w := word{key: a.key, value: value, of: of + " of the pod", field: dialect.Child(field, a.key), mesh: a.mesh}
		if !pod {
			w.of, w.field = of+" of the namespace", ""
		}
		switch {
		case value == a.yes || a.anything:
			w.yes = true
		case a.mesh == linkerd && value == ingress:
			w.yes = true
			p.warn(w.field, "ingress mode is not there: the proxy balances each call by itself, by the name that it is for", "have the ingress call services by their names")
		case value != a.no:
			p.warn(w.field, a.key+"="+value+" says neither yes nor no, and has no effect", "write "+a.yes+" or "+a.no)
			continue
		}
		out = append(out, w)
	}
	return out
}

// injectors are other meshes' admission webhooks, by what the names of their configurations begin with.
var injectors = []struct{ prefix, mesh string }{
	{"istio-sidecar-injector", istio}, {"istio-revision-tag", istio}, {"linkerd-proxy-injector", linkerd},
}

// InjectorOf says whose injector a MutatingWebhookConfiguration of that name belongs to, as Options.Foreign names it; empty: nobody's.
func InjectorOf(webhook string) string {
	for _, i := range injectors {
		if strings.HasPrefix(webhook, i.prefix) {
			return i.mesh
		}
	}
	return ""
}

// sidecars are the containers that other meshes' injectors add.
var sidecars = map[string]string{"istio-proxy": istio, "istio-init": istio, "istio-validation": istio,
	"linkerd-proxy": linkerd, "linkerd-init": linkerd, "linkerd-network-validator": linkerd}
