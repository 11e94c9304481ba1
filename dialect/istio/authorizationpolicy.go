package istio

import (
	"fmt"
	"slices"
	"strconv"

	security "istio.io/api/security/v1beta1"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/feature/authz"
	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/mesh"
)

const dryRun = "istio.io/dry-run"

// authorization reads one AuthorizationPolicy.
type authorization struct {
	*reader
	trustDomain string
	// deny: what cannot be judged counts as matching, as in a rule that denies it must; else as not matching.
	deny bool
}

func authorizationPolicy(trustDomain string) func(*dialect.Object, dialect.View) (mesh.Part, []mesh.Finding) {
	return func(o *dialect.Object, v dialect.View) (part mesh.Part, found []mesh.Finding) {
		r, ap := &authorization{reader: newReader(o, v), trustDomain: trustDomain}, &security.AuthorizationPolicy{}
		if !r.decode(ap) || !r.enforced(ap) {
			return part, r.Found
		}
		r.deny = ap.Action != security.AuthorizationPolicy_ALLOW
		part.Authorizations = []mesh.Authorization{r.authorization(ap)}
		return part, r.Found
	}
}

// enforced says whether the policy decides anything here.
func (r *authorization) enforced(ap *security.AuthorizationPolicy) bool {
	r.checkAction(ap)
	switch {
	case len(ap.TargetRefs) > 0 || ap.TargetRef != nil: // proxies beside workloads go by selectors alone
		if ap.Selector != nil {
			r.Refuse("spec.selector", "a policy has either selector or targetRefs", "leave one out")
		}
	case r.dry(ap):
		r.Info("metadata.annotations", "it is a dry run: no call is judged by it", "remove the annotation "+dryRun+" to enforce it")
	case ap.Action == security.AuthorizationPolicy_AUDIT:
		r.Info("spec.action", "AUDIT lets every call pass, and weft keeps no audit log: it has no effect", "")
	default:
		return true
	}
	return false
}

func (r *authorization) checkAction(ap *security.AuthorizationPolicy) {
	custom := ap.Action == security.AuthorizationPolicy_CUSTOM
	switch {
	case custom && ap.GetProvider().GetName() == "":
		r.Refuse("spec.provider.name", "CUSTOM needs to know whom to ask", "name a provider")
	case custom:
		r.Warn("spec.action", "CUSTOM is not supported yet: calls that the rules match are denied, since nobody can be asked", "")
	case ap.GetProvider() != nil:
		r.Refuse("spec.provider", "a provider is for the action CUSTOM alone", "remove it, or set the action")
	}
	if len(ap.Rules) == 0 && ap.Action != security.AuthorizationPolicy_ALLOW {
		r.Warn("spec.rules", fmt.Sprintf("without rules %s matches no call", ap.Action), "write rules: [{}] to match all calls")
	}
}

// dry says whether the policy is only to be tried.
func (r *authorization) dry(ap *security.AuthorizationPolicy) bool {
	v, ok := r.Object.Annotations[dryRun]
	if !ok {
		return false
	}
	field := dialect.Child("metadata.annotations", dryRun)
	dry, err := strconv.ParseBool(v)
	switch {
	case err != nil:
		r.Refuse(field, fmt.Sprintf("%q is neither true nor false", v), "")
	case ap.Action != security.AuthorizationPolicy_ALLOW && ap.Action != security.AuthorizationPolicy_DENY:
		r.Refuse(field, "only ALLOW and DENY can be tried", "")
	}
	return dry
}

// authorization lowers a policy that is enforced. Where a policy allows, whatever none allows is denied, so that one without
// rules denies all; an empty rule matches all.
func (r *authorization) authorization(ap *security.AuthorizationPolicy) mesh.Authorization {
	a := mesh.Authorization{Ref: r.Ref, Created: r.Object.Created, Namespaces: []string{r.Object.Namespace}}
	if r.root() {
		a.Namespaces = nil
	}
	if ap.Selector != nil {
		a.Selector = *r.selector("spec.selector", ap.Selector)
	}
	tier := authz.Tier{Effect: authz.Deny}
	if !r.deny {
		tier.Effect, a.Closes = authz.Allow, &r.Ref
	}
	for i, rule := range ap.Rules {
		for _, x := range r.judge(i, rule) {
			tier.Rules = append(tier.Rules, r.datagrams(x)...)
		}
	}
	if r.Strays(schemaOf[*security.AuthorizationPolicy](), "spec", "it denies every call", "rules") { // even the action may be another than was meant
		tier.Rules, a.Closes = nil, &r.Ref
	}
	if len(tier.Rules) > 0 {
		a.Tiers = []authz.Tier{tier}
	}
	return a
}

// judge lowers a rule: one of the sources, one of the operations and all of the conditions. Sources with conditions of their own
// make rules of their own. None: the rule matches no call.
func (r *authorization) judge(i int, rule *security.Rule) (rules []authz.Rule) {
	field := dialect.Index("spec.rules", i)
	r.checkLists(field, rule)
	when, ok := r.when(field, rule.When)
	to, can := r.to(field, rule.To)
	if !ok || !can || !r.deny && r.Strays(schemaOf[*security.AuthorizationPolicy](), field, "it lets nobody pass") {
		return nil
	}
	r.checkTCP(field, rule)
	base := authz.Rule{Ref: r.Rule(field), To: to, When: when}
	if len(rule.From) == 0 {
		return []authz.Rule{base}
	}
	plain := base
	for j, f := range rule.From {
		src, own, ok := r.source(dialect.Index(field+".from", j)+".source", f.Source)
		switch {
		case !ok:
		case len(own) == 0:
			plain.From = append(plain.From, src)
		default:
			x := base
			x.From, x.When = []match.Source{src}, append(own, when...)
			rules = append(rules, x)
		}
	}
	if len(plain.From) > 0 {
		rules = append(rules, plain)
	}
	return rules
}

// datagrams adds what a rule means for what is sent over UDP. Istio's proxies take none, and its ports are those of TCP: a datagram is to
// none of them. So a rule that allows calls to ports, or to all ports but some, allows none; one that denies all ports but some denies those
// some over UDP too; and one that denies ports denies them over UDP as well, as what cannot be judged counts as matching there.
func (r *authorization) datagrams(rule authz.Rule) []authz.Rule {
	has := func(of func([]match.Range, []match.Range) bool) bool {
		return slices.ContainsFunc(rule.To, func(q match.Request) bool { return of(q.Ports, q.NotPorts) }) ||
			slices.ContainsFunc(rule.When, func(c match.Condition) bool { return of(c.Ports, c.NotPorts) })
	}
	switch {
	case !r.deny && has(func(in, not []match.Range) bool { return len(in)+len(not) > 0 }):
		rule.When = append(slices.Clip(rule.When), match.Over(match.OverTCP))
	case r.deny && has(func(_, not []match.Range) bool { return len(not) > 0 }):
		return []authz.Rule{rule, overUDP(rule)}
	}
	return []authz.Rule{rule}
}

// overUDP is a rule that denies, for datagrams alone and on all ports that it excepts.
func overUDP(rule authz.Rule) authz.Rule {
	rule.To, rule.When = slices.Clone(rule.To), append(slices.Clone(rule.When), match.Over(match.OverUDP))
	for i := range rule.To {
		rule.To[i].NotPorts = nil
	}
	for i := range rule.When {
		rule.When[i].NotPorts = nil
	}
	return rule
}

// checkLists refuses lists that are there and empty, which might be read as anybody or as nobody.
func (r *authorization) checkLists(field string, rule *security.Rule) {
	for _, name := range []string{"from", "to"} {
		if n := map[string]int{"from": len(rule.From), "to": len(rule.To)}[name]; n == 0 && r.Object.Value(field+"."+name) != nil {
			r.Refuse(field+"."+name, "the list is empty", "leave it out to match all")
		}
	}
}

// checkTCP: a rule that denies by what only HTTP has denies every TCP call that may be it.
func (r *authorization) checkTCP(field string, rule *security.Rule) {
	if !r.deny {
		return
	}
	http, ports := false, true
	for _, t := range rule.To {
		o := t.Operation
		http = http || len(o.Methods)+len(o.NotMethods)+len(o.Paths)+len(o.NotPaths)+len(o.Hosts)+len(o.NotHosts) > 0
		ports = ports && len(o.Ports)+len(o.NotPorts) > 0
	}
	if http && !ports {
		r.Info(field, "it asks for what only HTTP has, and so denies every TCP call that the rest of it matches", "name the ports")
	}
}
