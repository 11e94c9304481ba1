package linkerd

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/gatewayapi"
	"github.com/weft-mesh/weft/feature/authz"
	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/mesh"
)

// serverSpec is Server.spec.
type serverSpec struct {
	PodSelector              *metav1.LabelSelector `json:"podSelector"`
	ExternalWorkloadSelector *metav1.LabelSelector `json:"externalWorkloadSelector"`
	Port                     intstr.IntOrString    `json:"port"`
	ProxyProtocol            string                `json:"proxyProtocol"`
	AccessPolicy             string                `json:"accessPolicy"`
}

func serverKind(trustDomain string) dialect.Kind {
	s := shape[serverSpec]().Require("spec", "spec.port").
		SetEnum("spec.proxyProtocol", "unknown", "HTTP/1", "HTTP/2", "gRPC", "opaque", "TLS").
		SetEnum("spec.accessPolicy", "deny", "audit", "all-unauthenticated", "all-authenticated", "cluster-unauthenticated", "cluster-authenticated")
	s.Fields["spec"].OneOf = [][]string{{"podSelector", "externalWorkloadSelector"}}
	s.SetSelector("spec.podSelector")
	return dialect.Kind{Dialect: decision.Linkerd, Group: policyGroup, Name: "Server", Versions: []string{"v1beta3", "v1beta2", "v1beta1", "v1alpha1"},
		Schema: s, Fields: append(dialect.SelectorFields("spec.podSelector"), "spec.port", "spec.accessPolicy"),
		Lower: lowering(trustDomain, (*reader).server),
		Unsupported: map[string]string{
			"spec.externalWorkloadSelector": "workloads outside of the cluster cannot be added yet, so the Server selects none",
			"spec.proxyProtocol":            "what the port is declared to speak by its name or appProtocol, else the first bytes of each connection, decides; it says only which routes count at the Server",
		},
		Renamed: map[string]string{"spec.selector": "podSelector", "spec.ports": "port: a Server has one", "spec.podSelector.labels": "matchLabels",
			"spec.defaultPolicy": "accessPolicy", "spec.protocol": "proxyProtocol"}}
}

// server lowers a Server: of the workloads that it selects one port, and all who may call it. Of several Servers for one port the
// oldest counts, then the first by name.
func (r *reader) server() (part mesh.Part) {
	var spec serverSpec
	if !r.Spec(&spec) || !r.selects(&spec) {
		return part
	}
	a := mesh.Authorization{Ref: r.Ref, Created: r.Object.Created, Namespaces: []string{r.Object.Namespace}, Exclusive: true, Closes: &r.Ref,
		Selector: r.selector("spec.podSelector", spec.PodSelector), Port: r.port(&spec.Port)}
	r.overlaps(&spec, a.Selector)
	rules := append(r.serverAuthorizations(), r.policies()...)
	rules = append(rules, r.access(spec.AccessPolicy)...)
	tiers := []authz.Tier{{Effect: authz.Allow, Rules: rules}}
	if served, attached := gatewayapi.ServedBy(r.View, r.Object); attached {
		tiers = r.byRoute(served, rules)
	}
	if r.strays() {
		tiers = nil
	}
	for _, t := range tiers {
		for i := range t.Rules { // a Server's port is one of TCP, all that Linkerd's proxies take: a datagram to its number is let pass by nobody
			t.Rules[i].When = []match.Condition{match.Over(match.OverTCP)}
		}
	}
	tiers = slices.DeleteFunc(tiers, func(t authz.Tier) bool { return len(t.Rules) == 0 })
	if !slices.ContainsFunc(tiers, func(t authz.Tier) bool { return t.Effect == authz.Allow }) {
		r.Info("", "no policy lets anybody pass: every call to the port is denied", "")
		tiers = nil
	}
	a.Tiers = tiers
	part.Authorizations = []mesh.Authorization{a}
	return part
}

// selects says whether the Server is for pods.
func (r *reader) selects(spec *serverSpec) bool {
	if spec.PodSelector == nil && spec.ExternalWorkloadSelector == nil {
		r.Refuse("spec.podSelector", "required, and not there", "write podSelector: {} for all pods of the namespace")
	}
	return spec.PodSelector != nil
}

func (r *reader) port(p *intstr.IntOrString) string {
	if p.Type == intstr.Int && (p.IntVal < 1 || p.IntVal > 65535) {
		r.Refuse("spec.port", fmt.Sprintf("%d is not a port", p.IntVal), "a port is from 1 to 65535")
	}
	if p.Type == intstr.String {
		if why := validation.IsValidPortName(p.StrVal); len(why) > 0 {
			r.Refuse("spec.port", fmt.Sprintf("%q is no port's name: %s", p.StrVal, why[0]), "write a number without quotes")
		}
	}
	return p.String()
}

// access lowers accessPolicy: what becomes of calls that no policy lets pass.
func (r *reader) access(policy string) []authz.Rule {
	const field = "spec.accessPolicy"
	if policy != "" && r.Object.Version != "v1beta3" {
		r.Warn(field, "Server "+r.Object.Version+" has no such field: what no policy allows is denied", "write apiVersion: policy.linkerd.io/v1beta3")
		return nil
	}
	rule := authz.Rule{Ref: r.Ref.At("accessPolicy")}
	switch policy {
	case "audit":
		r.Warn(field, "calls that no policy allows pass, and nothing marks them but that their record names accessPolicy", "")
	case "all-unauthenticated":
	case "all-authenticated":
		rule.From = []match.Source{{Authenticated: true}}
	case "cluster-unauthenticated":
		rule.From = []match.Source{{Networks: cluster}}
	case "cluster-authenticated":
		rule.From = []match.Source{{Networks: cluster, Authenticated: true}}
	default:
		return nil
	}
	return []authz.Rule{rule}
}

// serverAuthorizations returns a rule for each ServerAuthorization that names or selects the Server.
func (r *reader) serverAuthorizations() (rules []authz.Rule) {
	for _, o := range r.View.List(policyGroup, "ServerAuthorization", r.Object.Namespace) {
		x := r.of(o)
		if on, from, ok := x.serverAuthorization(); ok && !x.Refused() && on.match(r.Object) {
			rules = append(rules, authz.Rule{Ref: x.Ref, From: from})
		}
	}
	return rules
}

// policies returns a rule for each AuthorizationPolicy for the Server or its namespace.
func (r *reader) policies() (rules []authz.Rule) {
	for _, o := range r.View.List(policyGroup, "AuthorizationPolicy", r.Object.Namespace) {
		x := r.of(o)
		if to, from, ok := x.authorizationPolicy(); ok && !x.Refused() && to.covers(r.Object) {
			rules = append(rules, authz.Rule{Ref: x.Ref, From: from})
		}
	}
	return rules
}

// overlaps says so where an older Server, or one of the same age and a lesser name, judges the same port of the same pods.
func (r *reader) overlaps(spec *serverSpec, own match.Selector) {
	for _, o := range r.View.List(policyGroup, "Server", r.Object.Namespace) {
		var other serverSpec
		x := r.of(o)
		if cmp.Or(o.Created.Compare(r.Object.Created), cmp.Compare(o.Name, r.Object.Name)) >= 0 || !x.Spec(&other) ||
			other.PodSelector == nil || other.Port != spec.Port {
			continue
		}
		switch theirs := x.selector("", other.PodSelector); {
		case theirs.Empty() || reflect.DeepEqual(theirs, own):
			r.Warn("spec", fmt.Sprintf("the Server %s is for the same port of these pods, and goes before: this one has no effect", o.Name), "join the two")
			return
		case !apart(theirs.Labels, own.Labels):
			r.Info("spec", fmt.Sprintf("of pods that the Server %s selects too, that one alone judges the port", o.Name), "")
		}
	}
}

// apart says whether no pod can carry both lists of "key=value".
func apart(a, b []string) bool {
	return slices.ContainsFunc(a, func(l string) bool {
		key, value, _ := strings.Cut(l, "=")
		other, ok := match.Label(b, key)
		return ok && other != value
	})
}
