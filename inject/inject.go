// Package inject adds weft's proxy to pods: Patch says what a pod with its proxy is, Handler answers the API server's admission
// reviews with that, and Stream does it to manifests on their way to the API server.
//
// It promises: nothing that the pod has is removed; a pod that has its proxy is left as it is, but for probes that somebody added
// since; fields that this version of Kubernetes' types does not know stay. What cannot be done is a finding that names the field,
// and a pod that asks for the mesh and cannot be in it is refused: an Error finding, never a pod in plaintext unawares.
package inject

import (
	"encoding/json"
	"fmt"
	"slices"

	jsonpatch "gopkg.in/evanphx/json-patch.v4" // RFC 6902, as the API server itself applies it
	corev1 "k8s.io/api/core/v1"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/traffic"
)

// What weft reads and writes in the metadata of pods and namespaces.
const (
	Label    = "weft.dev/inject"   // of a namespace or pod, or as annotation of a pod: enabled or disabled
	Injected = "weft.dev/injected" // annotation: the version that a pod's proxy was injected by
	plugged  = "weft.dev/redirect" // annotation: what the CNI plugin redirects, as redirect's JSON; node/cni reads it

	enabled, disabled = "enabled", "disabled"
)

// Objects of the cluster that injection rests on.
const (
	Config  = "weft-inject" // MutatingWebhookConfiguration, and ConfigMap of the Options
	RootMap = "weft-root"   // ConfigMap, in each namespace with meshed pods, by which their proxies know the control plane
)

// Namespace is what injection asks of a pod's namespace.
type Namespace struct {
	Name        string
	Labels      map[string]string
	Annotations map[string]string
}

// Decision is what is made of a pod.
type Decision struct {
	Inject  bool   // it is to have a proxy, or has one
	Because string // what decided that: "label weft.dev/inject=enabled of the namespace"
	Ops     []Op   // what that changes, in order; nil: nothing
	Found   []mesh.Finding
}

// Op is a step of a JSON patch (RFC 6902). None removes anything.
type Op struct {
	Op    string          `json:"op"`   // add or replace
	Path  string          `json:"path"` // a JSON pointer (RFC 6901) inside the pod
	Value json.RawMessage `json:"value"`
}

// Refused says why the pod must not start; empty: it may.
func (d *Decision) Refused() (why []mesh.Finding) {
	for _, f := range d.Found {
		if f.Level == mesh.Error {
			why = append(why, f)
		}
	}
	return why
}

// Patch returns the pod with its proxy, or as it is where it is to have none. The error tells of the first Error finding.
func Patch(pod *corev1.Pod, namespace Namespace, o Options) (*corev1.Pod, []mesh.Finding, error) {
	d := Decide(pod, namespace, o)
	if why := d.Refused(); len(why) > 0 {
		return nil, d.Found, fmt.Errorf("the pod cannot be in the mesh: %s", why[0].String())
	}
	if len(d.Ops) == 0 {
		return pod.DeepCopy(), d.Found, nil
	}
	raw, err := json.Marshal(pod)
	if err != nil {
		return nil, d.Found, fmt.Errorf("write the pod: %w", err)
	}
	if raw, err = apply(raw, d.Ops); err != nil {
		return nil, d.Found, err
	}
	out := &corev1.Pod{}
	if err := json.Unmarshal(raw, out); err != nil {
		return nil, d.Found, fmt.Errorf("read the patched pod: %w", err)
	}
	return out, d.Found, nil
}

// apply changes an object in JSON.
func apply(raw []byte, ops []Op) ([]byte, error) {
	text, err := json.Marshal(ops)
	if err != nil {
		return nil, fmt.Errorf("write the patch: %w", err)
	}
	p, err := jsonpatch.DecodePatch(text)
	if err == nil {
		raw, err = p.Apply(raw)
	}
	if err != nil {
		return nil, fmt.Errorf("apply the patch: %w", err)
	}
	return raw, nil
}

// Decide says whether a pod gets a proxy, because of what, and by which changes.
func Decide(pod *corev1.Pod, namespace Namespace, o Options) Decision {
	p := &plan{pod: pod, namespace: namespace, o: &o}
	p.ref = decision.Ref{Dialect: decision.Core, Kind: "Pod", Namespace: namespace.Name, Name: nameOf(pod)}
	d := Decision{}
	d.Inject, d.Because = p.wanted()
	if d.Inject && !p.refused() {
		p.change()
	}
	if d.Found = p.found; !p.refused() && len(p.errs) == 0 {
		d.Ops = p.ops
	}
	for _, err := range p.errs { // of values that are made here: a mistake in this package
		d.Found = append(d.Found, mesh.Finding{Ref: p.ref, Level: mesh.Error, Text: err.Error()})
	}
	return d
}

// nameOf is a pod's name; that of one which a controller makes is not known before it is stored.
func nameOf(pod *corev1.Pod) string {
	if pod.Name == "" && pod.GenerateName != "" {
		return pod.GenerateName + "*"
	}
	return pod.Name
}

// plan is a decision in the making.
type plan struct {
	pod       *corev1.Pod
	namespace Namespace
	o         *Options
	ref       decision.Ref
	found     []mesh.Finding
	ops       []Op
	errs      []error
}

func (p *plan) refuse(field, text, remedy string) { p.note(mesh.Error, field, text, remedy) }
func (p *plan) warn(field, text, remedy string)   { p.note(mesh.Warning, field, text, remedy) }
func (p *plan) info(field, text, remedy string)   { p.note(mesh.Info, field, text, remedy) }

func (p *plan) note(l mesh.Level, field, text, remedy string) {
	f := mesh.Finding{Ref: p.ref, Field: field, Text: text, Remedy: remedy, Level: l}
	if !slices.Contains(p.found, f) {
		p.found = append(p.found, f)
	}
}

func (p *plan) refused() bool {
	return slices.ContainsFunc(p.found, func(f mesh.Finding) bool { return f.Level == mesh.Error })
}

// change gives the pod its proxy.
func (p *plan) change() {
	at := slices.IndexFunc(p.pod.Spec.InitContainers, func(c corev1.Container) bool { return c.Name == proxyName })
	if at >= 0 && p.pod.Annotations[Injected] != "" {
		p.probesAgain(at)
		return
	}
	p.conflicts()
	s := p.settings()
	if p.refused() {
		return
	}
	p.containers(s, p.probes(s))
	p.volumes()
	p.preStop(s)
	p.drained(s)
	p.pullSecrets()
	notes := map[string]string{Injected: p.o.Version, dialect.Tunnel: fmt.Sprintf(":%d", traffic.TunnelPort)}
	if p.o.CNI {
		notes[plugged] = jsonText(&s.redirect)
	}
	p.annotate(notes)
}

func (p *plan) add(path string, value any)     { p.op("add", path, value) }
func (p *plan) replace(path string, value any) { p.op("replace", path, value) }

func (p *plan) op(op, path string, value any) {
	raw, err := json.Marshal(value)
	if err != nil {
		p.errs = append(p.errs, fmt.Errorf("%s: %w", path, err))
	}
	p.ops = append(p.ops, Op{op, path, raw})
}
