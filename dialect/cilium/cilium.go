// Package cilium reads Cilium's objects: cilium.io.
//
// A network policy is judged at proxies here: calls over TCP, with their HTTP heads, by the port of the workload where they
// arrive. What Cilium's agent refuses is an error, and the object is not in force. Of what weft cannot judge it takes the stricter
// reading: a rule that allows matches less, a rule that denies matches more, and a finding says so.
//
// Cilium's modules cannot be had as Go modules, so the fields are typed here, as the custom resource definitions of Cilium 1.20
// have them, with those that 1.19 still had.
package cilium

import (
	"slices"
	"strings"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/mesh"
)

const group = "cilium.io"

// reader reads one object and collects what is to be said of it.
type reader struct {
	object      *dialect.Object
	view        dialect.View
	ref         decision.Ref
	trustDomain string
	found       []mesh.Finding
}

// namespace is the policy's own; empty: it is for the whole cluster.
func (r *reader) namespace() string { return r.object.Namespace }

// clusterwide says whether the policy is for all namespaces.
func (r *reader) clusterwide() bool { return r.object.Kind == "CiliumClusterwideNetworkPolicy" }

// refuse says why the object cannot be in force.
func (r *reader) refuse(field, text, remedy string) { r.note(mesh.Error, field, text, remedy) }

func (r *reader) warn(field, text, remedy string) { r.note(mesh.Warning, field, text, remedy) }

func (r *reader) info(field, text, remedy string) { r.note(mesh.Info, field, text, remedy) }

func (r *reader) note(l mesh.Level, field, text, remedy string) {
	f := mesh.Finding{Ref: r.ref, Field: field, Text: text, Remedy: remedy, Level: l}
	if !slices.Contains(r.found, f) {
		r.found = append(r.found, f)
	}
}

// ruleRef is the Ref of the rule at a field: "spec.ingress[0]" is rule ingress[0].
func (r *reader) ruleRef(field string) decision.Ref {
	return r.ref.At(strings.TrimPrefix(field, "spec."))
}

// or returns what p points at, else what counts where nothing is written.
func or[T any](p *T, unset T) T {
	if p == nil {
		return unset
	}
	return *p
}
