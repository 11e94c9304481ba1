package mesh

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/feature/retry"
	"github.com/weft-mesh/weft/match"
)

// Caller is what rules may tell callers apart by.
type Caller struct {
	Namespace string
	Labels    []string // "key=value", sorted
}

// DefaultRetry is for rules that say nothing of retries: what has not reached an application is safe to send again, and so is
// what is idempotent.
var DefaultRetry = retry.Policy{Attempts: 2, Connect: true, Refused: true, ResetSafe: true}

// Over returns o with what is unset taken from under.
func (o Outbound) Over(under Outbound) Outbound {
	return Outbound{
		Balance: cmp.Or(o.Balance, under.Balance),
		Outlier: cmp.Or(o.Outlier, under.Outlier),
		Breaker: cmp.Or(o.Breaker, under.Breaker),
		Connect: cmp.Or(o.Connect, under.Connect),
		Secure:  cmp.Or(o.Secure, under.Secure),
		Budget:  cmp.Or(o.Budget, under.Budget),
	}
}

// Calling is how calls to a service's port are made by a caller.
type Calling struct {
	Route   decision.Ref // of the object whose rules these are; zero: none, every call goes to the port's endpoints
	Rules   []Rule
	Profile []Rule
	Budget  *retry.Budget
	Policy  Outbound
	Subsets []Subset // their policies complete
}

// Calling merges what all objects say of a service's port for c.
func (s *Snapshot) Calling(svc *Service, port uint16, c Caller) (out Calling) {
	if won := winners(s.routes(svc.Host), port, c.Namespace); len(won) > 0 {
		// A route all of whose rules are for other callers or ports says nothing of these calls (Istio's default route).
		if rules := rulesFor(won, port, c); len(rules) > 0 || !anyRule(won) {
			out.Route, out.Rules = won[0].Ref, rules
		}
	}
	if p := firstProfile(s.profiles(svc.Host), c.Namespace, LayerRule); p != nil {
		out.Budget = p.Budget
	}
	if p := known(s.profiles(svc.Host), c.Namespace); p != nil {
		out.Profile = rulesOf(p.Rules, port, c)
	}
	out.Policy, out.Subsets = s.backend(svc, port, c)
	out.Budget = cmp.Or(out.Budget, out.Policy.Budget)
	return out
}

// winners returns the routes that choose the backend: of the lowest rank that speaks of the port, the consumer's own if it has
// any; all of them where rules are pooled, else the oldest alone.
func winners(all []*Route, port uint16, namespace string) []*Route {
	var mine []*Route
	for _, r := range all {
		if (r.Port == 0 || r.Port == port) && (r.Consumer == "" || r.Consumer == namespace) {
			mine = append(mine, r)
		}
	}
	slices.SortStableFunc(mine, func(a, b *Route) int {
		return cmp.Or(cmp.Compare(a.Rank, b.Rank), -cmp.Compare(a.Consumer, b.Consumer), wildcards(a.Host, b.Host), older(a, b))
	})
	for i, r := range mine {
		if r.Consumer != mine[0].Consumer || r.Rank != mine[0].Rank || !r.Pooled && i > 0 {
			return mine[:i]
		}
	}
	return mine
}

func anyRule(routes []*Route) bool {
	return slices.ContainsFunc(routes, func(r *Route) bool { return len(r.Rules) > 0 })
}

func older(a, b *Route) int { return age(a.Created, a.Ref, b.Created, b.Ref) }

// age: the oldest first, then by namespace and name.
func age(at time.Time, a decision.Ref, bt time.Time, b decision.Ref) int {
	return cmp.Or(at.Compare(bt), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

// wildcards: exact hosts first, then the longer suffix.
func wildcards(a, b string) int {
	wa, wb := strings.HasPrefix(a, "*"), strings.HasPrefix(b, "*")
	switch {
	case wa != wb && wb:
		return -1
	case wa != wb:
		return 1
	}
	return cmp.Compare(len(b), len(a))
}

func rulesFor(routes []*Route, port uint16, c Caller) (rules []Rule) {
	for _, r := range routes {
		rules = append(rules, rulesOf(r.Rules, port, c)...)
	}
	if routes[0].Pooled {
		slices.SortStableFunc(rules, MoreSpecific)
	}
	return rules
}

func rulesOf(all []Rule, port uint16, c Caller) (rules []Rule) {
	for _, r := range all {
		if (r.Port == 0 || r.Port == port) && r.Caller.Match(c.Namespace, c.Labels) {
			rules = append(rules, r)
		}
	}
	return rules
}

// MoreSpecific is the precedence of the Gateway API among rules of one match each (HTTPRouteRule.matches): the narrower hostname of a route,
// an exact path, the longer prefix, a method, more headers, more query parameters. A regular expression comes after every prefix.
func MoreSpecific(a, b Rule) int {
	x, y := specificity(&a), specificity(&b)
	return cmp.Or(MoreSpecificHost(a.Hostname, b.Hostname), slices.Compare(y[:], x[:]))
}

func specificity(r *Rule) (s [5]int) {
	if len(r.Matches) == 0 {
		return s
	}
	m := &r.Matches[0]
	if len(m.Paths) > 0 {
		s[0] = map[match.Kind]int{match.Exact: 3, match.PathPrefix: 2, match.Prefix: 2, match.Regex: 1}[m.Paths[0].Kind]
		s[1] = len(m.Paths[0].Value)
	}
	if len(m.Methods) > 0 {
		s[2] = 1
	}
	s[3], s[4] = len(m.Headers), len(m.Params)
	return s
}

// known is the profile whose rules count: by Linkerd's proxy, what annotations say where a ServiceProfile has none.
func known(all []*Profile, namespace string) *Profile {
	if p := firstProfile(all, namespace, LayerRule); p != nil && len(p.Rules) > 0 {
		return p
	}
	return firstProfile(all, namespace, LayerAnnotation)
}

func firstProfile(all []*Profile, namespace string, layer Layer) (won *Profile) {
	for _, p := range all {
		switch {
		case p.Layer != layer:
		case p.Consumer != "" && p.Consumer != namespace:
		case won == nil || p.Consumer > won.Consumer || p.Consumer == won.Consumer && age(p.Created, p.Ref, won.Created, won.Ref) < 0:
			won = p
		}
	}
	return won
}

// backend joins the backend policies of a service for a caller, layer by layer.
func (s *Snapshot) backend(svc *Service, port uint16, c Caller) (o Outbound, subsets []Subset) {
	for layer := LayerRule; layer <= LayerAnnotation; layer++ {
		for _, p := range backendsFor(s.backends(svc.Host), layer, svc.Namespace, c) {
			if o == (Outbound{}) || layer > LayerRule {
				o = o.Over(portPolicy(p.Policy, p.Ports, port))
			}
			for _, sub := range p.Subsets {
				if !slices.ContainsFunc(subsets, func(x Subset) bool { return x.Name == sub.Name }) {
					sub.Policy = portPolicy(sub.Policy, sub.Ports, port)
					subsets = append(subsets, sub)
				}
			}
		}
	}
	for i := range subsets {
		subsets[i].Policy = subsets[i].Policy.Over(o)
	}
	return o, subsets
}

// portPolicy: the port's own settings replace those around them, field by field.
func portPolicy(around Outbound, ports []PortPolicy, port uint16) Outbound {
	for _, p := range ports {
		if p.Port == port {
			return p.Policy.Over(around)
		}
	}
	return around
}

// backendsFor returns the policies that count: those of the caller's namespace if there are any, else of the service's, else of
// the root's; among them the most specific host alone, one for some callers first, then the oldest. Callers in the root namespace
// have of it only what is for nobody else in their own namespace's place: the rest is for all, and must not go before the service's.
func backendsFor(all []*BackendPolicy, layer Layer, service string, c Caller) []*BackendPolicy {
	var tiers [3][]*BackendPolicy
	for _, p := range all {
		if p.Layer != layer || len(p.Exports) > 0 && !slices.Contains(p.Exports, c.Namespace) {
			continue
		}
		if p.Selector != nil && (p.Ref.Namespace != c.Namespace || !p.Selector.Match(c.Labels)) {
			continue
		}
		switch {
		case p.Root && !p.private():
			tiers[2] = append(tiers[2], p)
		case p.Ref.Namespace == c.Namespace:
			tiers[0] = append(tiers[0], p)
		case p.Ref.Namespace == service:
			tiers[1] = append(tiers[1], p)
		}
	}
	for _, t := range tiers {
		if len(t) > 0 {
			slices.SortStableFunc(t, func(a, b *BackendPolicy) int {
				return cmp.Or(wildcards(a.Host, b.Host), bySelector(a, b), age(a.Created, a.Ref, b.Created, b.Ref))
			})
			return slices.DeleteFunc(t, func(p *BackendPolicy) bool { return p.Host != t[0].Host })
		}
	}
	return nil
}

// private says whether a policy is for callers of its own namespace alone.
func (p *BackendPolicy) private() bool { return len(p.Exports) == 1 && p.Exports[0] == p.Ref.Namespace }

// bySelector: a policy for some callers goes before one for all.
func bySelector(a, b *BackendPolicy) int {
	switch {
	case a.Selector != nil && b.Selector == nil:
		return -1
	case a.Selector == nil && b.Selector != nil:
		return 1
	}
	return 0
}
