package inject_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weft-mesh/weft/inject"
)

// TestAdopted: a namespace's own label decides, then whether its pods get weft's proxies.
func TestAdopted(t *testing.T) {
	type m = map[string]string
	for _, c := range []struct {
		name                string
		labels, annotations m
		o                   inject.Options
		want                bool
	}{
		{"nothing is said", nil, nil, inject.Options{Adopt: true}, false},
		{"injected", m{"weft.dev/inject": "enabled"}, nil, inject.Options{}, true},
		{"not injected", m{"weft.dev/inject": "disabled", "istio-injection": "enabled"}, nil, inject.Options{Adopt: true}, false},
		{"without pods of the mesh", m{"weft.dev/adopt": "enabled"}, nil, inject.Options{}, true},
		{"injected, and left alone", m{"weft.dev/inject": "enabled", "weft.dev/adopt": "disabled"}, nil, inject.Options{}, false},
		{"Istio's, not adopted", m{"istio-injection": "enabled"}, nil, inject.Options{}, false},
		{"Istio's", m{"istio-injection": "enabled"}, nil, inject.Options{Adopt: true}, true},
		{"Istio's revision", m{"istio.io/rev": "1-31"}, nil, inject.Options{Adopt: true}, true},
		{"Istio is still there", m{"istio-injection": "enabled"}, nil, inject.Options{Adopt: true, Foreign: []string{"istio"}}, false},
		{"Linkerd is still there", m{"istio-injection": "enabled"}, nil, inject.Options{Adopt: true, Foreign: []string{"linkerd"}}, true},
		{"Linkerd's", nil, m{"linkerd.io/inject": "enabled"}, inject.Options{Adopt: true}, true},
		{"Linkerd's, disabled", nil, m{"linkerd.io/inject": "disabled"}, inject.Options{Adopt: true}, false},
	} {
		if got := inject.Adopted(inject.Namespace{Name: "shop", Labels: c.labels, Annotations: c.annotations}, c.o); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// TestInjectorOf: the names that Istio (pkg/config/constants, manifests/charts/istio-control) and Linkerd (charts/linkerd-control-plane) give the
// configurations of their injectors, with revisions and tags, and of what injects nothing.
func TestInjectorOf(t *testing.T) {
	for name, want := range map[string]string{
		"istio-sidecar-injector":                "istio",
		"istio-sidecar-injector-1-31":           "istio",
		"istio-sidecar-injector-istio-system":   "istio",
		"istio-revision-tag-default":            "istio",
		"linkerd-proxy-injector-webhook-config": "linkerd",
		"linkerd-tap-injector-webhook-config":   "",
		"istiod-default-validator":              "",
		"weft-inject":                           "",
		"cert-manager-webhook":                  "",
	} {
		if got := inject.InjectorOf(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// TestKeptOut: in a namespace that declines weft, other meshes' words count for nothing, as the webhooks have it; weft's own of a pod counts.
func TestKeptOut(t *testing.T) {
	ns := inject.Namespace{Name: "shop", Labels: map[string]string{inject.Label: "disabled"}}
	for label, want := range map[string]bool{"sidecar.istio.io/inject=true": false, "istio.io/rev=1-31": false, inject.Label + "=enabled": true} {
		key, value, _ := strings.Cut(label, "=")
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web", Labels: map[string]string{key: value}, Annotations: map[string]string{"linkerd.io/inject": "enabled"}}}
		if d := inject.Decide(pod, ns, inject.Options{Adopt: true}); d.Inject != want {
			t.Errorf("%s: %v because %s", label, d.Inject, d.Because)
		}
	}
}
