package cilium

import (
	"slices"

	"k8s.io/utils/ptr"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/schema"
	"github.com/weft-mesh/weft/feature/authz"
	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/mesh"
)

func lowerPolicy(trustDomain string, shape *schema.Schema) func(*dialect.Object, dialect.View) (mesh.Part, []mesh.Finding) {
	return func(o *dialect.Object, v dialect.View) (part mesh.Part, found []mesh.Finding) {
		r := &reader{dialect.NewReader(decision.Cilium, o, v), trustDomain, shape}
		var p policy
		if !r.Decode(&p) {
			return part, r.Found
		}
		if p.Spec == nil && p.Specs == nil {
			r.Refuse("spec", "it has neither spec nor specs", "")
		}
		if p.Spec != nil {
			part.Authorizations = r.rule("spec", p.Spec)
		}
		for i := range p.Specs {
			part.Authorizations = append(part.Authorizations, r.rule(dialect.Index("specs", i), &p.Specs[i])...)
		}
		return part, r.Found
	}
}

// rule lowers what is said of the endpoints that one rule selects, direction by direction.
func (r *reader) rule(field string, x *rule) (out []mesh.Authorization) {
	base, ok := r.subject(field, x)
	strays := r.Strays(r.schema, field, "it lets nobody pass", "ingress", "ingressDeny", "egress", "egressDeny")
	if len(x.Ingress)+len(x.IngressDeny)+len(x.Egress)+len(x.EgressDeny) == 0 {
		r.Warn(field, "it has no ingress, no egress and no deny section, so it has no effect", "write ingress: [{}] to let nothing in")
	}
	if x.EndpointSelector == nil && x.NodeSelector != nil {
		return nil
	}
	for _, d := range []direction{
		{field: field, allow: inward(field, x.Ingress), deny: inwardDeny(field, x.IngressDeny), opt: x.EnableDefaultDeny.Ingress, name: "ingress"},
		{field: field, allow: outward(field, x.Egress), deny: outwardDeny(field, x.EgressDeny), opt: x.EnableDefaultDeny.Egress, name: "egress", out: true},
	} {
		d.about(x.EndpointSelector, strays)
		if a, any := r.direction(base, d); any && ok {
			out = append(out, a)
		}
	}
	return out
}

// subject lowers which workloads a rule is for. false: for none, and a finding says why.
func (r *reader) subject(field string, x *rule) (a mesh.Authorization, ok bool) {
	a = mesh.Authorization{Ref: r.Ref, Created: r.Object.Created}
	switch at := field + ".endpointSelector"; {
	case x.EndpointSelector == nil && x.NodeSelector == nil:
		r.Refuse(at, "required, and not there: nothing is selected", "write endpointSelector: {} for all endpoints"+r.inNamespace()+
			", or name their labels below endpointSelector.matchLabels")
	case x.EndpointSelector != nil && x.NodeSelector != nil:
		r.Refuse(field+".nodeSelector", "a rule is either for endpoints or for nodes", "leave out one of the selectors")
	case x.NodeSelector != nil && !r.clusterwide():
		r.Refuse(field+".nodeSelector", "a CiliumNetworkPolicy cannot select nodes", "write a CiliumClusterwideNetworkPolicy")
	case x.EndpointSelector != nil:
		return r.selects(at, x.EndpointSelector, a)
	}
	return a, false
}

func (r *reader) inNamespace() string {
	if r.clusterwide() {
		return ""
	}
	return " of the namespace " + r.namespace()
}

// direction is all that a rule says of calls in or out.
type direction struct {
	field, name string
	allow, deny []section
	opt         *bool // enableDefaultDeny
	out         bool
}

// about tells every rule of a direction whose calls it judges, and whether what is around it holds a field that is not known.
func (d *direction) about(subject *labelSelector, strays bool) {
	for _, list := range [][]section{d.allow, d.deny} {
		for i := range list {
			list[i].subject, list[i].strays = ptr.Deref(subject, labelSelector{}), strays
		}
	}
}

// direction lowers one; false: the rule does not speak of it. Whatever no rule allows is denied, "once any rule selects the endpoint",
// unless the policy opts out.
func (r *reader) direction(a mesh.Authorization, d direction) (mesh.Authorization, bool) {
	opt := d.field + ".enableDefaultDeny." + d.name
	if len(d.allow)+len(d.deny) == 0 {
		if ptr.Deref(d.opt, false) {
			r.Warn(opt, "without a rule for "+d.name+" nothing is denied, in Cilium neither", "write "+d.name+": [{}] to deny all")
		}
		return a, false
	}
	a.Out = d.out
	deny, allow, last := tier{effect: authz.Deny}, tier{effect: authz.Allow}, tier{effect: authz.DenyLast}
	for i := range d.deny {
		r.section(&d.deny[i], &deny, nil)
	}
	for i := range d.allow {
		r.section(&d.allow[i], &allow, &last)
	}
	if ptr.Deref(d.opt, true) {
		a.Closes, last = &r.Ref, tier{}
	} else if !last.empty() {
		r.Info(opt, "rules for HTTP deny what they do not allow all the same, on their ports", "add a rule {} to their lists to let the rest pass")
	}
	for _, t := range []tier{deny, allow, last} {
		if len(t.rules) > 0 {
			a.Tiers = append(a.Tiers, authz.Tier{Effect: t.effect, Rules: t.rules})
		}
		a.Named = append(a.Named, t.named...)
	}
	return a, true
}

// tier collects rules of one effect.
type tier struct {
	effect authz.Effect
	rules  []authz.Rule
	named  []mesh.Named
}

func (t *tier) empty() bool { return len(t.rules)+len(t.named) == 0 }

// add adds a rule for requests, on the ports that they name, and on those that have a name only.
func (t *tier) add(ref decision.Ref, p peers, out bool, q requests) {
	base := authz.Rule{Ref: ref, From: p.list}
	if out {
		base.From, base.Dest = nil, p.list
	}
	for o, list := range q.numbered {
		if len(list) == 0 {
			continue
		}
		x := base
		if x.When = over(o).when(); !slices.ContainsFunc(list, every) {
			x.To = list
		}
		t.rules = append(t.rules, x)
	}
	for _, n := range q.named {
		x := base
		x.To, x.When = n.requests, n.over.when()
		t.named = append(t.named, mesh.Named{Port: n.port, Datagrams: n.over == overUDP, Effect: t.effect, Rule: x})
	}
}

// every says whether all calls match.
func every(q match.Request) bool { return !q.HTTP() && len(q.Ports) == 0 }

// section is one element of ingress, ingressDeny, egress or egressDeny.
type section struct {
	field, toward string // "spec.ingress[0]", "from"
	out, deny     bool
	strays        bool          // the policy holds fields that are not known
	subject       labelSelector // of the workloads whose policy it is
	endpoints     []labelSelector
	cidrs         []string
	sets          []cidrRule
	entities      []string
	nodes         []labelSelector
	requires      int
	unknown       int // peers that cannot be judged, or fields that nobody knows
	ports         []portRule
	icmps         int
	auth          *authentication
}

func (f *from) section(field string, i int) section {
	return section{field: dialect.Index(field, i), toward: "from", endpoints: f.FromEndpoints, cidrs: f.FromCIDR, sets: f.FromCIDRSet,
		entities: f.FromEntities, nodes: f.FromNodes, requires: len(f.FromRequires), unknown: len(f.FromGroups)}
}

func (t *to) section(field string, i int) section {
	return section{field: dialect.Index(field, i), toward: "to", out: true, endpoints: t.ToEndpoints, cidrs: t.ToCIDR, sets: t.ToCIDRSet,
		entities: t.ToEntities, nodes: t.ToNodes, requires: len(t.ToRequires), unknown: len(t.ToGroups) + len(t.ToServices)}
}

func inward(field string, list []ingress) (out []section) {
	for i := range list {
		x := &list[i]
		s := x.from.section(field+".ingress", i)
		s.ports, s.icmps, s.auth = x.ToPorts, len(x.ICMPs), x.Authentication
		out = append(out, s)
	}
	return out
}

func inwardDeny(field string, list []ingressDeny) (out []section) {
	for i := range list {
		x := &list[i]
		s := x.from.section(field+".ingressDeny", i)
		s.ports, s.icmps, s.deny = plain(x.ToPorts), len(x.ICMPs), true
		out = append(out, s)
	}
	return out
}

func outward(field string, list []egress) (out []section) {
	for i := range list {
		x := &list[i]
		s := x.to.section(field+".egress", i)
		s.ports, s.icmps, s.auth = x.ToPorts, len(x.ICMPs), x.Authentication
		s.unknown += len(x.ToFQDNs)
		out = append(out, s)
	}
	return out
}

func outwardDeny(field string, list []egressDeny) (out []section) {
	for i := range list {
		x := &list[i]
		s := x.to.section(field+".egressDeny", i)
		s.ports, s.icmps, s.deny = plain(x.ToPorts), len(x.ICMPs), true
		out = append(out, s)
	}
	return out
}

func plain(list []portDeny) (out []portRule) {
	for _, p := range list {
		out = append(out, portRule{Ports: p.Ports})
	}
	return out
}

// section lowers one: it matches calls of its peers on its ports. last gets what its rules for HTTP leave over.
func (r *reader) section(s *section, into, last *tier) {
	r.checkSection(s)
	if s.deny && r.Strays(r.schema, s.field, "it denies everybody, on its ports") {
		s.unknown++
	}
	p := r.peers(s)
	if s.auth != nil && s.auth.Mode != "disabled" {
		p = r.authenticated(s, p)
	}
	if !s.deny && (r.Strays(r.schema, s.field, "it lets nobody pass") || s.strays) {
		p = peers{}
	}
	ref := r.Rule(s.field)
	if len(s.ports) == 0 {
		if s.icmps == 0 && s.limited() && !p.nobody() {
			into.add(ref, p, s.out, requests{numbered: [transports][]match.Request{{{}}}})
		}
		return
	}
	q, rest := r.requests(s)
	if p.nobody() {
		return
	}
	into.add(ref, p, s.out, q)
	if last != nil {
		last.add(ref, p, s.out, rest)
	}
}

// checkSection refuses what Cilium's agent does.
func (r *reader) checkSection(s *section) {
	if s.requires > 0 {
		r.Refuse(s.field+"."+s.toward+"Requires", "Cilium does not take it any more", "name the labels in "+s.toward+"Endpoints")
	}
	if s.icmps > 0 && len(s.ports) > 0 {
		r.Refuse(s.field+".icmps", "it cannot stand beside toPorts", "write a rule of its own")
	}
	var used []string
	for _, x := range []struct {
		name string
		n    int
	}{{"Endpoints", len(s.endpoints)}, {"CIDR", len(s.cidrs)}, {"CIDRSet", len(s.sets)}, {"Entities", len(s.entities)}, {"Nodes", len(s.nodes)}} {
		if x.n > 0 {
			used = append(used, s.toward+x.name)
		}
	}
	if len(used) > 1 {
		r.Refuse(s.field+"."+used[1], used[0]+" is set too, and a rule has only one of them", "write two rules")
	}
}
