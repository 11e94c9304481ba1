package inject

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// Options are the mesh's own part in injection. The chart keeps them in the ConfigMap weft-inject.
type Options struct {
	Version     string            `json:"version"`               // of what injects, for the annotation that says so
	Image       string            `json:"image"`                 // of the proxy
	PullPolicy  corev1.PullPolicy `json:"pullPolicy,omitempty"`  // empty: Kubernetes' own default
	PullSecrets []string          `json:"pullSecrets,omitempty"` // that pods get beside their own; they have to be in the pod's namespace
	Control     string            `json:"control"`               // HOST:PORT where the control plane takes proxies
	Namespace   string            `json:"namespace"`             // the control plane's own; its pods are left alone
	TrustDomain string            `json:"trustDomain,omitempty"` // empty: proxies are told by the ConfigMap weft-root
	Adopt       bool              `json:"adopt,omitempty"`       // labels and annotations of other meshes count too
	CNI         bool              `json:"cni,omitempty"`         // a CNI plugin redirects, so pods need no NET_ADMIN
	Ignore      bool              `json:"ignore,omitempty"`      // a pod that cannot be in the mesh starts without it, with a warning; false: it is refused

	Resources corev1.ResourceRequirements `json:"resources,omitempty"` // of the proxy
	Drain     metav1.Duration             `json:"drain,omitempty"`     // for calls under way when a pod ends; 0: 5 s
	AccessLog string                      `json:"accessLog,omitempty"` // off, text or json; empty: off

	// Requested: somebody asks for each pod by hand, as with weft inject, so that none needs a label. Those that say disabled, and
	// those that can have no proxy, have none still.
	Requested bool `json:"-"`
	// Foreign are the meshes whose injectors the cluster runs, as InjectorOf names them.
	Foreign []string `json:"-"`
}

// AccessLogs are what a proxy can write of calls.
var AccessLogs = []string{"off", "text", "json"}

// ParseOptions reads Options from YAML and checks them.
func ParseOptions(text []byte) (Options, error) {
	var o Options
	if err := yaml.UnmarshalStrict(text, &o); err != nil {
		return Options{}, fmt.Errorf("read the options of injection: %w", err)
	}
	return o, o.validate()
}

func (o *Options) validate() error {
	var errs []error
	for _, x := range []struct{ name, value string }{
		{"version", o.Version}, {"image", o.Image}, {"control", o.Control}, {"namespace", o.Namespace},
	} {
		if x.value == "" {
			errs = append(errs, errors.New(x.name+" is required"))
		}
	}
	if !slices.Contains(append(AccessLogs, ""), o.AccessLog) {
		errs = append(errs, fmt.Errorf("accessLog %q: want %s", o.AccessLog, strings.Join(AccessLogs, ", ")))
	}
	if o.Drain.Duration < 0 {
		errs = append(errs, fmt.Errorf("drain %v: want a time that is not negative", o.Drain.Duration))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("the options of injection: %w", err)
	}
	return nil
}
