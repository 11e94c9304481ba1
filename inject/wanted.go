package inject

import (
	"cmp"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/weft-mesh/weft/dialect"
)

// never are namespaces whose pods keep the cluster itself alive.
var never = []string{"kube-system", "kube-public", "kube-node-lease"}

// word is a label or annotation that says whether a pod is to have a proxy.
type word struct {
	key, value string
	of         string // "label of the namespace"
	field      string // where it stands in the pod; empty: it is the namespace's
	mesh       string // whose it is; empty: weft's
	yes        bool
}

func (w *word) String() string { return fmt.Sprintf("%s=%s (%s)", w.key, w.value, w.of) }

// wanted says whether the pod is to have a proxy, and because of what.
func (p *plan) wanted() (bool, string) {
	w, said := p.word()
	switch {
	case !said && !p.o.Requested:
		return false, "neither the pod nor its namespace asks for it with " + Label + ": " + enabled
	case said && !w.yes:
		return false, w.String()
	}
	because := "it was asked for by hand"
	if said {
		because = w.String()
	}
	if why := p.cannot(); why != "" {
		if said && w.field != "" {
			p.warn(w.field, "has no effect: "+why, "")
		}
		return false, why
	}
	if said && w.mesh != "" && slices.Contains(p.o.Foreign, w.mesh) {
		p.warn(w.field, fmt.Sprintf("%s asks for a proxy, and %s's injector is still in the cluster, so weft leaves it to that", w.key, title(w.mesh)),
			fmt.Sprintf("remove %s's webhook, or say %s: %s", title(w.mesh), Label, enabled))
		return false, title(w.mesh) + "'s injector is still in the cluster"
	}
	return true, because
}

// cannot says why a pod never gets a proxy, whatever it asks for.
func (p *plan) cannot() string {
	spec := &p.pod.Spec
	switch {
	case p.namespace.Name == p.o.Namespace || slices.Contains(never, p.namespace.Name):
		return "pods of namespace " + p.namespace.Name + " are left alone"
	case p.pod.Annotations[corev1.MirrorPodAnnotationKey] != "":
		return "the node runs the pod from a file, and the API server only mirrors it"
	case spec.HostNetwork:
		return "a pod with hostNetwork shares its node's addresses and ports, so its calls cannot be told from others'"
	case spec.OS != nil && spec.OS.Name != "" && spec.OS.Name != corev1.Linux:
		return "the proxy runs on Linux, and the pod on " + string(spec.OS.Name)
	}
	return ""
}

// word finds what decides: the pod's own words before the namespace's, weft's before other meshes'; but where the namespace declines weft, no pod
// asks for it by another mesh's word.
func (p *plan) word() (word, bool) {
	pod, ns := &p.pod.ObjectMeta, &p.namespace
	own := p.own(pod.Labels, "label of the pod", "metadata.labels")
	if noted := p.own(pod.Annotations, "annotation of the pod", "metadata.annotations"); len(own) > 0 && len(noted) > 0 && own[0].yes != noted[0].yes {
		p.warn(noted[0].field, "the pod's label "+Label+" says otherwise, and counts", "remove the annotation")
	} else {
		own = append(own, noted...)
	}
	adopted, ours := p.adopted(pod.Labels, pod.Annotations, true), p.own(ns.Labels, "label of the namespace", "")
	if len(ours) > 0 && !ours[0].yes {
		adopted = nil // weft is kept out of the namespace: what its pods say to other meshes is not for weft, and the API server does not ask
	}
	words := slices.Concat(own, adopted, ours, p.adopted(ns.Labels, ns.Annotations, false))
	if len(words) == 0 {
		return word{}, false
	}
	return words[0], true
}

// own reads weft's own word.
func (p *plan) own(from map[string]string, of, field string) []word {
	value, ok := from[Label]
	if !ok {
		return nil
	}
	if field != "" {
		field = dialect.Child(field, Label)
	}
	if value != enabled && value != disabled {
		p.refuse(field, fmt.Sprintf("the %s %s=%q says neither yes nor no", of, Label, value), fmt.Sprintf("write %s or %s", enabled, disabled))
	}
	return []word{{key: Label, value: value, of: of, field: field, yes: value != disabled}}
}

// title is how a mesh writes its name.
func title(mesh string) string {
	return cmp.Or(map[string]string{istio: "Istio", linkerd: "Linkerd"}[mesh], mesh)
}
