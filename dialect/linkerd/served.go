package linkerd

import (
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/gatewayapi"
	"github.com/weft-mesh/weft/feature/authz"
	"github.com/weft-mesh/weft/match"
)

// byRoute judges calls by the first match that is theirs: whoever may call the Server passes, and whom the policies for the match's route
// let pass; nobody else, though a later match let him. Calls that no match is for pass for nobody.
func (r *reader) byRoute(served []gatewayapi.Served, server []authz.Rule) (tiers []authz.Tier) {
	if len(served) > 0 {
		r.Info("", "routes are attached to it: calls that none of their rules matches are denied, with 403 where Linkerd answers 404", "")
	}
	of := map[dialect.Key][]authz.Rule{}
	for _, s := range served {
		key := s.Route.Key()
		if _, read := of[key]; !read {
			of[key] = r.routePolicies(key)
		}
		on := []match.Request{headed(s.Rule.Matches[0])}
		if !s.Barred {
			var rules []authz.Rule
			for _, list := range [][]authz.Rule{server, of[key]} {
				for _, x := range list {
					x.To = on
					rules = append(rules, x)
				}
			}
			tiers = append(tiers, authz.Tier{Effect: authz.Allow, Rules: rules})
		}
		tiers = append(tiers, authz.Tier{Effect: authz.Deny, Rules: []authz.Rule{{Ref: s.Rule.Ref, To: on}}})
	}
	return tiers
}

// headed has a match ask for what every request has: one that asks for nothing would be of bytes too that are no requests, and these no route
// is for.
func headed(q match.Request) match.Request {
	if !q.HTTP() {
		q.Paths = []match.String{{Kind: match.Prefix}}
	}
	return q
}

// routePolicies returns a rule for each AuthorizationPolicy for a route.
func (r *reader) routePolicies(route dialect.Key) (rules []authz.Rule) {
	for _, o := range r.View.List(policyGroup, "AuthorizationPolicy", r.Object.Namespace) {
		x := r.of(o)
		if to, from, ok := x.authorizationPolicy(); ok && !x.Refused() && to.route == route {
			rules = append(rules, authz.Rule{Ref: x.Ref, From: from})
		}
	}
	return rules
}
