package gatewayapi

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/utils/ptr"
	v1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/traffic"
)

// BackendTLSPolicy says how gateways begin TLS with a Service's endpoints. Services that call it have mutual TLS of the mesh's own, or what
// their application begins: TLS in TLS is nobody's wish, so that the policy is for gateways alone.

func backendTLSKind() dialect.Kind {
	k := kind[v1.BackendTLSPolicy]("BackendTLSPolicy", "v1", "v1alpha3")
	k.Lower, k.Status = lowerBackendTLS, statusOfBackendTLS
	k.Fields = slices.Concat(dialect.Below("spec.targetRefs[]", "group", "kind", "name", "sectionName"),
		dialect.Below("spec.validation", "caCertificateRefs[].group", "caCertificateRefs[].kind", "caCertificateRefs[].name", "wellKnownCACertificates", "hostname",
			"subjectAltNames[].type", "subjectAltNames[].hostname", "subjectAltNames[].uri"))
	k.Unsupported["spec.options"] = "weft takes TLS 1.2 and 1.3, with what Go takes for secure"
	k.Schema.SetEnum("spec.validation.subjectAltNames[].type", "Hostname", "URI").SetEnum("spec.validation.wellKnownCACertificates", "System")
	k.Schema.Require("spec.targetRefs", "spec.targetRefs[].kind", "spec.targetRefs[].name", "spec.validation", "spec.validation.hostname",
		"spec.validation.caCertificateRefs[].name", "spec.validation.subjectAltNames[].type")
	return k
}

// backendTLS is what is to be known of a policy.
type backendTLS struct {
	object   *dialect.Object
	spec     v1.BackendTLSPolicySpec
	secure   traffic.Secure
	targets  []backendTarget
	accepted verdict // why none of the targets has it
	resolved verdict
}

// backendTarget is a Service, or a port of it, that a policy is for.
type backendTarget struct {
	field string
	name  string
	port  uint16  // 0: all
	why   verdict // it does not have the policy
}

// backendTLS reads the policy that the reader is of.
func (r *reader) backendTLS(spec v1.BackendTLSPolicySpec) *backendTLS {
	p := &backendTLS{object: r.Object, spec: spec, secure: traffic.Secure{Ref: r.Ref, Mode: traffic.Simple, SNI: strings.ToLower(string(spec.Validation.Hostname))}}
	for _, n := range spec.Validation.SubjectAltNames {
		p.secure.Names = append(p.secure.Names, cmp.Or(string(n.URI), strings.ToLower(string(n.Hostname))))
	}
	r.trust(p)
	for i := range spec.TargetRefs {
		p.targets = append(p.targets, r.backendTarget(dialect.Index("spec.targetRefs", i), &spec.TargetRefs[i]))
	}
	if !slices.ContainsFunc(p.targets, func(t backendTarget) bool { return t.why.reason == "" }) && len(p.targets) > 0 {
		p.accepted = p.targets[0].why
	}
	return p
}

// trust finds the authorities that vouch for the backend. "Connections using an invalid CACertificateRef MUST fail": where none can be had,
// no call is made.
func (r *reader) trust(p *backendTLS) {
	for _, ref := range p.spec.Validation.CACertificateRefs {
		roots, why := r.backendRoots(&ref)
		p.resolved = cmp.Or(p.resolved, why)
		p.secure.Roots = append(p.secure.Roots, roots...)
	}
	if len(p.secure.Roots) == 0 && p.spec.Validation.WellKnownCACertificates == nil {
		p.secure.Mode, p.secure.Why = traffic.Barred, cmp.Or(p.resolved.text, "no authority is named")
		p.accepted = verdict{string(v1.BackendTLSPolicyReasonNoValidCACertificate), "no authority can be had that vouches for the backend: calls to it get 503", "see ResolvedRefs"}
	}
}

func (r *reader) backendRoots(ref *v1.LocalObjectReference) ([][]byte, verdict) {
	if ref.Group != "" || ref.Kind != "ConfigMap" {
		return nil, verdict{string(v1.BackendTLSPolicyReasonInvalidKind), fmt.Sprintf("authorities come from ConfigMaps, not from a %s of %q", ref.Kind, ref.Group), "name a ConfigMap"}
	}
	return r.authorities(r.Object.Namespace, string(ref.Name), string(v1.BackendTLSPolicyReasonInvalidCACertificateRef))
}

func (r *reader) backendTarget(field string, ref *v1.LocalPolicyTargetReferenceWithSectionName) backendTarget {
	t := backendTarget{field: field, name: string(ref.Name)}
	const absent = string(v1.PolicyReasonTargetNotFound)
	s := r.service(r.Object.Namespace, t.name)
	section := string(ptr.Deref(ref.SectionName, ""))
	switch {
	case ref.Group != "" || ref.Kind != "Service":
		t.why = verdict{string(v1.PolicyReasonInvalid), fmt.Sprintf("weft begins TLS with Services alone, not with a %s of %q", ref.Kind, ref.Group), "name a Service"}
		return t
	case s == nil:
		t.why = verdict{absent, "there is no Service " + t.name + " in the namespace: the policy has no effect on it", "correct the name, or write the Service"}
		return t
	case section != "":
		i := slices.IndexFunc(s.ports, func(p servicePort) bool { return p.name == section })
		if i < 0 {
			t.why = verdict{absent, s.String() + " has no port of the name " + section + ": the policy has no effect on it", offer(s.ports)}
			return t
		}
		t.port = s.ports[i].number
	}
	if by := r.older(ref); by != "" {
		t.why = verdict{string(v1.PolicyReasonConflicted), by + ", which goes before it, is for the same target: this one has no effect on it", "leave one of them"}
	}
	return t
}

// older names the policy for the same target that goes before: the oldest, and then by name (GEP-713, "Conflict resolution").
func (r *reader) older(ref *v1.LocalPolicyTargetReferenceWithSectionName) string {
	key := target(r.Object.Namespace, string(ref.Group), string(ref.Kind), string(ref.Name), string(ptr.Deref(ref.SectionName, "")))
	if list := r.View.Find(byTarget, key); len(list) > 0 && goesBefore(list[0], r.Object) {
		return "BackendTLSPolicy " + list[0].Name
	}
	return ""
}

func lowerBackendTLS(o *dialect.Object, v dialect.View) (part mesh.Part, found []mesh.Finding) {
	r := newReader(o, v)
	var spec v1.BackendTLSPolicySpec
	if !r.Spec(&spec) {
		return part, r.Found
	}
	r.checkBackendTLS(&spec)
	p := r.backendTLS(spec)
	if p.resolved.reason != "" {
		r.Warn("spec.validation.caCertificateRefs", p.resolved.text, p.resolved.remedy)
	}
	if p.secure.Mode == traffic.Barred {
		r.Warn("spec.validation", p.accepted.text, p.accepted.remedy)
	}
	for _, t := range p.targets {
		if t.why.reason != "" {
			r.Warn(t.field, t.why.text, t.why.remedy)
			continue
		}
		part.Originations = append(part.Originations, mesh.Origination{Ref: r.Ref, Created: o.Created, Host: dialect.Host(t.name, o.Namespace), Port: t.port, Secure: p.secure})
	}
	return part, r.Found
}

// checkBackendTLS refuses what the API's own validation does.
func (r *reader) checkBackendTLS(spec *v1.BackendTLSPolicySpec) {
	x := &spec.Validation
	if strings.HasPrefix(string(x.Hostname), "*") {
		r.Refuse("spec.validation.hostname", "it is sent to the backend: it has no wildcard", "name alternatives in subjectAltNames")
	} else {
		r.checkHost("spec.validation.hostname", string(x.Hostname))
	}
	switch known := x.WellKnownCACertificates != nil; {
	case known && len(x.CACertificateRefs) > 0:
		r.Refuse("spec.validation.wellKnownCACertificates", "authorities are either well known, or named in caCertificateRefs", "leave one out")
	case !known && len(x.CACertificateRefs) == 0:
		r.Refuse("spec.validation", "it says nothing of who vouches for the backend", "name ConfigMaps in caCertificateRefs, or write wellKnownCACertificates: System")
	}
	for i, n := range x.SubjectAltNames {
		field := dialect.Index("spec.validation.subjectAltNames", i)
		switch {
		case (n.Type == v1.HostnameSubjectAltNameType) != (n.Hostname != ""), (n.Type == v1.URISubjectAltNameType) != (n.URI != ""):
			r.Refuse(field, "of hostname and uri it has the one that its type says", "")
		case n.Hostname != "":
			r.checkHost(field+".hostname", string(n.Hostname))
		case !strings.Contains(string(n.URI), ":"):
			r.Refuse(field+".uri", fmt.Sprintf("%q has no scheme", n.URI), "write the whole URI, as spiffe://example/name")
		}
	}
}

// ancestors are the Gateways of weft's with a route that leads to a Service of the policy's, as "NAMESPACE/NAME", sorted.
func (r *reader) ancestors(p *backendTLS) (keys []string) {
	seen := map[*dialect.Object]bool{}
	for _, kind := range routeKinds {
		for i := range p.spec.TargetRefs {
			for _, o := range r.View.Find(byBackend[kind], referred("", "Service", p.object.Namespace, string(p.spec.TargetRefs[i].Name))) {
				if !seen[o] {
					seen[o] = true
					keys = append(keys, r.entered(o)...)
				}
			}
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// entered are the Gateways of weft's with a listener that a route is attached to.
func (r *reader) entered(o *dialect.Object) (keys []string) {
	x, ok := readRoute(o)
	if !ok {
		return nil
	}
	for i := range x.parents {
		if !isGateway(&x.parents[i]) {
			continue
		}
		if a := r.enter(x, &x.parents[i]); a.gateway != nil && len(a.entries) > 0 {
			keys = append(keys, a.gateway.key())
		}
	}
	return keys
}

// maxAncestors is how many a status may have (PolicyStatus.ancestors).
const maxAncestors = 16

// statusOfBackendTLS says of each Gateway of weft's that comes to use the policy how it does. What other controllers say stays.
func statusOfBackendTLS(o *dialect.Object, v dialect.View, found []mesh.Finding) dialect.Status {
	r := newReader(o, v)
	var spec v1.BackendTLSPolicySpec
	if dialect.DecodeField(o, "spec", &spec) != nil {
		return nil
	}
	p := r.backendTLS(spec)
	keys := r.ancestors(p)
	if bad := refusal(found); bad.reason != "" {
		bad.reason = string(v1.PolicyReasonInvalid)
		p.accepted = bad
	}
	return func(was map[string]any, now time.Time) map[string]any {
		before, _ := was["ancestors"].([]any)
		list := []any{}
		for _, a := range before {
			if m, ok := a.(map[string]any); ok && m["controllerName"] != Controller {
				list = append(list, a)
			}
		}
		if len(keys) == 0 && len(list) == len(before) {
			return was // no Gateway of weft's uses it
		}
		for _, key := range keys {
			if len(list) < maxAncestors {
				list = append(list, p.ancestor(key, before, now))
			}
		}
		status := begun(was)
		status["ancestors"] = list
		return status
	}
}

func (p *backendTLS) ancestor(key string, was []any, now time.Time) map[string]any {
	namespace, name, _ := strings.Cut(key, "/")
	ref := map[string]any{"group": group, "kind": "Gateway", "namespace": namespace, "name": name}
	var before map[string]any
	for _, a := range was {
		if m, ok := a.(map[string]any); ok && m["controllerName"] == Controller && sameRef(m["ancestorRef"], ref) {
			before = m
		}
	}
	c := dialect.ConditionsOf(p.object, before["conditions"], now)
	judged(c, string(v1.PolicyConditionAccepted), p.accepted, string(v1.PolicyReasonAccepted), "the Gateway begins TLS by it")
	judged(c, string(v1.BackendTLSPolicyConditionResolvedRefs), p.resolved, string(v1.BackendTLSPolicyReasonResolvedRefs), "all that it refers to is there")
	return map[string]any{"ancestorRef": ref, "controllerName": Controller, "conditions": c.List}
}
