package cilium

import (
	"maps"
	"reflect"
	"slices"
	"strconv"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/schema"
	"github.com/weft-mesh/weft/feature/authz"
	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/mesh"
)

// Kubernetes' own NetworkPolicy is read here: Cilium's agent makes rules of its own kind of it (pkg/k8s/network_policy.go), so that one engine
// judges by both, and what either allows may pass. Where Kubernetes leaves open whether an ipBlock means pods, this takes the stricter
// reading, which is Cilium's too: it means callers that are none of the mesh.

// kubernetesPolicy is networking.k8s.io's NetworkPolicy.
func kubernetesPolicy(trustDomain string) dialect.Kind {
	k := dialect.Kind{Dialect: decision.Core, Group: "networking.k8s.io", Name: "NetworkPolicy", Versions: []string{"v1"},
		Schema: schema.Of(reflect.TypeFor[networkingv1.NetworkPolicy]()), Ignored: map[string]string{}, Unsupported: map[string]string{}}
	k.Fields = append(dialect.SelectorFields("spec.podSelector"), "spec.policyTypes")
	k.Schema.SetEnum("spec.policyTypes[]", "Ingress", "Egress").SetSelector("spec.podSelector")
	for _, at := range []string{"spec.ingress[].from[]", "spec.egress[].to[]"} {
		k.Fields = slices.Concat(k.Fields, dialect.SelectorFields(at+".podSelector"), dialect.SelectorFields(at+".namespaceSelector"),
			dialect.Below(at+".ipBlock", "cidr", "except"))
		k.Schema.SetSelector(at + ".podSelector").SetSelector(at + ".namespaceSelector").Require(at + ".ipBlock.cidr")
	}
	for _, at := range []string{"spec.ingress[].ports[]", "spec.egress[].ports[]"} {
		k.Fields = append(k.Fields, dialect.Below(at, "port", "endPort", "protocol")...)
		k.Schema.SetEnum(at+".protocol", "TCP", "UDP", "SCTP")
	}
	k.Renamed = map[string]string{"spec.endpointSelector": "podSelector", "spec.ingress[].fromEndpoints": "from", "spec.egress[].toEndpoints": "to",
		"spec.ingress[].toPorts": "ports", "spec.egress[].toPorts": "ports", "spec.ingress[].to": "from", "spec.egress[].from": "to"}
	k.Lower = lowerKubernetes(trustDomain, k.Schema)
	return k
}

func lowerKubernetes(trustDomain string, shape *schema.Schema) func(*dialect.Object, dialect.View) (mesh.Part, []mesh.Finding) {
	return func(o *dialect.Object, v dialect.View) (part mesh.Part, found []mesh.Finding) {
		r := &reader{dialect.NewReader(decision.Core, o, v), trustDomain, shape}
		var p networkingv1.NetworkPolicy
		if !r.Decode(&p) {
			return part, r.Found
		}
		x := &p.Spec
		base := mesh.Authorization{Ref: r.Ref, Created: o.Created, Engine: decision.Cilium, Namespaces: []string{o.Namespace}, Closes: &r.Ref,
			Selector: r.pods("spec.podSelector", &x.PodSelector)}
		strays := r.Strays(shape, "spec", "it lets nobody pass", "ingress", "egress")
		for _, d := range []struct {
			kind     networkingv1.PolicyType
			field    string
			out      bool
			sections []kubernetesRule
		}{{networkingv1.PolicyTypeIngress, "spec.ingress", false, ingressRules(x.Ingress)}, {networkingv1.PolicyTypeEgress, "spec.egress", true, egressRules(x.Egress)}} {
			if !closes(x, d.kind) {
				if len(d.sections) > 0 {
					r.Warn(d.field, "policyTypes does not name "+string(d.kind)+": the rules have no effect", "add it to policyTypes")
				}
				continue
			}
			a := base
			a.Out = d.out
			allow := tier{effect: authz.Allow}
			for i := range d.sections {
				s := section{field: dialect.Index(d.field, i), toward: "from", out: d.out, strays: strays, subject: x.PodSelector}
				r.kubernetesRule(&s, &d.sections[i], &allow)
			}
			if a.Named = allow.named; len(allow.rules) > 0 {
				a.Tiers = []authz.Tier{{Effect: authz.Allow, Rules: allow.rules}}
			}
			part.Authorizations = append(part.Authorizations, a)
		}
		return part, r.Found
	}
}

// closes says whether a policy is about a direction, in which its pods may do what a policy allows alone. "If this field is not specified, it
// will default based on the existence of ingress or egress rules; [...] policies (whether or not they contain an ingress section) are assumed
// to affect ingress" (NetworkPolicySpec.policyTypes).
func closes(x *networkingv1.NetworkPolicySpec, d networkingv1.PolicyType) bool {
	if len(x.PolicyTypes) > 0 {
		return slices.Contains(x.PolicyTypes, d)
	}
	return d == networkingv1.PolicyTypeIngress || len(x.Egress) > 0
}

// kubernetesRule is an element of ingress or egress.
type kubernetesRule struct {
	toward string // "from"
	peers  []networkingv1.NetworkPolicyPeer
	ports  []networkingv1.NetworkPolicyPort
}

func ingressRules(list []networkingv1.NetworkPolicyIngressRule) (out []kubernetesRule) {
	for i := range list {
		out = append(out, kubernetesRule{"from", list[i].From, list[i].Ports})
	}
	return out
}

func egressRules(list []networkingv1.NetworkPolicyEgressRule) (out []kubernetesRule) {
	for i := range list {
		out = append(out, kubernetesRule{"to", list[i].To, list[i].Ports})
	}
	return out
}

// kubernetesRule lowers one: it allows calls of its peers on its ports, of all where it names none.
func (r *reader) kubernetesRule(s *section, x *kubernetesRule, into *tier) {
	s.toward = x.toward
	p := peers{all: len(x.peers) == 0}
	for i := range x.peers {
		p.list = append(p.list, r.kubernetesPeer(dialect.Index(s.field+"."+x.toward, i), s, &x.peers[i])...)
	}
	q := requests{numbered: [transports][]match.Request{{{}}}}
	if len(x.ports) > 0 {
		q = requests{}
		on := make([]ports, transports)
		for o := range on {
			on[o].over = over(o)
		}
		for i := range x.ports {
			r.kubernetesPort(dialect.Index(s.field+".ports", i), s, &x.ports[i], on)
		}
		q.add(on, []match.Request{{}})
	}
	if r.Strays(r.schema, s.field, "it lets nobody pass") || s.strays || p.nobody() {
		return
	}
	into.add(r.Rule(s.field), p, s.out, q)
}

// kubernetesPeer lowers one peer: pods by what they are, or addresses.
func (r *reader) kubernetesPeer(field string, s *section, x *networkingv1.NetworkPolicyPeer) []match.Source {
	selects := x.PodSelector != nil || x.NamespaceSelector != nil
	switch {
	case x.IPBlock != nil && selects:
		r.Refuse(field, "an ipBlock stands alone, and there is a selector beside it", "write two elements")
		return nil
	case x.IPBlock != nil:
		r.Info(field+".ipBlock", "it means who is not of the mesh: workloads of the mesh are known by what they are, whatever their addresses", "select them by podSelector and namespaceSelector")
		return r.cidrSet(field+".ipBlock", &cidrRule{CIDR: x.IPBlock.CIDR, Except: x.IPBlock.Except}, false)
	case !selects:
		r.Refuse(field, "it names nobody", "write podSelector, namespaceSelector or ipBlock")
		return nil
	}
	var c choice
	if x.NamespaceSelector == nil {
		c.namespaces = names{in: []string{r.namespace()}, set: true}
		s.endpoints = append(s.endpoints, *x.PodSelector)
	} else {
		r.byNamespaceLabels(&c, r.plainly(field+".namespaceSelector", x.NamespaceSelector))
	}
	in, not := c.namespaces.split()
	src := match.Source{Authenticated: true, ByAddress: !s.out, Namespaces: exact(in), NotNamespaces: exact(not)}
	if pods := r.pods(field+".podSelector", x.PodSelector); !pods.Empty() {
		src.Selectors = []match.Selector{pods}
	}
	if c.nobody {
		return nil
	}
	return []match.Source{src}
}

// plainly lowers a selector whose keys are labels as they stand: Kubernetes knows no sources of labels.
func (r *reader) plainly(field string, s *labelSelector) (out []requirement) {
	if s == nil {
		return nil
	}
	for _, key := range slices.Sorted(maps.Keys(s.MatchLabels)) {
		out = append(out, requirement{match.Requirement{Key: key, Op: match.In, Values: []string{s.MatchLabels[key]}}, dialect.Child(field+".matchLabels", key), "any"})
	}
	for i, e := range s.MatchExpressions {
		at := dialect.Index(field+".matchExpressions", i)
		out = append(out, requirement{r.Requirement(at, e), at, "any"})
	}
	return out
}

// pods lowers a selector of pods; nil selects all.
func (r *reader) pods(field string, s *labelSelector) (out match.Selector) {
	for _, q := range r.plainly(field, s) {
		if q.Op == match.In && len(q.Values) == 1 {
			out.Labels = append(out.Labels, q.Key+"="+q.Values[0])
		} else {
			out.Exprs = append(out.Exprs, q.Requirement)
		}
	}
	return out
}

// kubernetesPort lowers one port: without a number or a name it is every port of its protocol.
func (r *reader) kubernetesPort(field string, s *section, x *networkingv1.NetworkPolicyPort, on []ports) {
	p := port{Port: "0", EndPort: ptr.Deref(x.EndPort, 0), Protocol: string(ptr.Deref(x.Protocol, "TCP"))}
	switch to := ptr.Deref(x.Port, intstr.IntOrString{}); {
	case x.Port == nil && x.EndPort != nil:
		r.Refuse(field+".endPort", "it ends a range that nothing begins", "write port too")
		return
	case x.Port == nil:
	case to.Type == intstr.String && !portName.MatchString(to.StrVal):
		r.Refuse(field+".port", strconv.Quote(to.StrVal)+" is not the name of a port", "write a number without quotes")
		return
	case to.Type == intstr.String && x.EndPort != nil:
		r.Refuse(field+".endPort", "it cannot stand beside a port's name", "write the number")
		return
	case to.Type == intstr.Int && (to.IntVal < 1 || to.IntVal > 65535):
		r.Refuse(field+".port", strconv.Itoa(to.IntValue())+" is not a port", "")
		return
	case to.Type == intstr.Int && x.EndPort != nil && *x.EndPort < to.IntVal:
		r.Refuse(field+".endPort", "it is below the port", "")
		return
	default:
		p.Port = to.String()
	}
	if o, ok := r.transport(field, s, &p); ok {
		r.port(field, s, &p, &on[o])
	}
}
