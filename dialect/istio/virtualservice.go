package istio

import (
	"fmt"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/feature/route"
	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/traffic"
)

func virtualService(o *dialect.Object, v dialect.View) (part mesh.Part, found []mesh.Finding) {
	r, vs := newReader(o, v), &networking.VirtualService{}
	if !r.decode(vs) || !r.sane(vs) {
		return part, r.Found
	}
	if forMesh(vs) {
		part.Routes = r.between(vs)
	}
	part.GatewayRoutes = r.bound(vs)
	if r.Refused() {
		return mesh.Part{}, r.Found
	}
	return part, r.Found
}

// sane refuses what has no effect anywhere.
func (r *reader) sane(vs *networking.VirtualService) bool {
	switch {
	case len(vs.Http)+len(vs.Tls)+len(vs.Tcp) == 0:
		r.Refuse("spec", "it has neither http nor tls nor tcp", "add an http rule with a route")
	case len(vs.Hosts) == 0 && len(vs.Gateways) > 0:
		r.Refuse("spec.hosts", "no host is named, and what another VirtualService delegates to has no gateways", "name the hosts")
	case len(vs.Hosts) == 0:
		r.Warn("spec.hosts", "without hosts it has an effect only where another VirtualService delegates to it, which weft does not do yet",
			"put the rules into the VirtualService that delegates")
	default:
		return true
	}
	return false
}

// forMesh says whether the object has rules for proxies beside workloads.
func forMesh(vs *networking.VirtualService) bool {
	return len(vs.Gateways) == 0 || slices.Contains(vs.Gateways, meshGateway)
}

// between lowers what is for calls between services.
func (r *reader) between(vs *networking.VirtualService) (out []mesh.Route) {
	namespaces, any := r.exported(vs.ExportTo)
	hosts := r.hosts(vs.Hosts, len(vs.Gateways) > 1)
	rules := r.rules(vs.Http)
	if !any {
		r.Info("spec.exportTo", "it is exported to no namespace, so it has no effect", "")
	}
	if len(vs.Tls) > 0 {
		r.Warn("spec.tls", "between services TLS that the application starts goes to the endpoints of the port that it calls: the rules are for gateways alone", "")
	}
	if len(vs.Tcp) > 0 {
		r.Warn("spec.tcp", "between services connections go to the endpoints of the port that is called: the rules are for gateways alone", "")
	}
	if len(rules) == 0 || !any {
		return nil
	}
	if namespaces == nil {
		namespaces = []string{""}
	}
	for _, host := range hosts {
		for _, ns := range namespaces {
			out = append(out, mesh.Route{Ref: r.Ref, Created: r.Object.Created, Host: host, Rank: mesh.RankVirtualService, Consumer: ns, Rules: rules})
		}
	}
	return out
}

// hosts returns the full names that calls are made to. Some may be for calls from outside: outward.
func (r *reader) hosts(list []string, outward bool) (hosts []string) {
	for i, h := range list {
		field := dialect.Index("spec.hosts", i)
		full := r.full(h)
		switch {
		case h == "":
			r.Refuse(field, "the host is empty", "")
		case h == "*":
			r.Refuse(field, `"*" is for gateways alone`, "name the services")
		case slices.ContainsFunc(hosts, func(x string) bool { return covers(x, full) || covers(full, x) }):
			r.Refuse(field, "the host "+full+" is named twice", "name it once")
		default:
			if !outward {
				r.checkHost(field, h, "it applies to no call")
			}
			hosts = append(hosts, full)
		}
	}
	return hosts
}

// rules lowers http. The first rule that matches is followed, so that nothing behind a rule for every call applies.
func (r *reader) rules(list []*networking.HTTPRoute) (rules []mesh.Rule) {
	last := ""
	for i, h := range list {
		field := dialect.Index("spec.http", i)
		if last != "" {
			r.Info(field, "it is never reached: "+last+" is for every call", "move it up")
			continue
		}
		ways, all := r.ways(field, h)
		rules = append(rules, r.follow(field, h, ways)...)
		if all {
			last = strings.TrimPrefix(field, "spec.")
		}
	}
	if last == "" && len(rules) > 0 {
		r.Info("spec.http", "calls that none of these rules matches get 404", "add a rule without match, for all other calls")
	}
	return rules
}

// follow lowers one rule, once for each way of it.
func (r *reader) follow(field string, h *networking.HTTPRoute, ways []way) (rules []mesh.Rule) {
	base := r.action(field, h)
	for _, w := range ways {
		rule := base
		rule.Caller, rule.Port, rule.Matches = w.caller, w.port, w.requests
		rule.Rewrite, rule.Redirect = r.rewrite(field, h, w), r.redirect(field, h, w)
		r.sound(field, rule)
		rules = append(rules, rule)
	}
	return rules
}

// sound refuses what a feature would: a proxy that was given it would refuse the whole service.
func (r *reader) sound(field string, rule mesh.Rule) {
	if p := rule.Headers; p != nil {
		r.refuseError(field+".headers", p.Validate())
	}
	for i := range rule.Backends {
		if p := rule.Backends[i].Headers; p != nil {
			r.refuseError(dialect.Index(field+".route", i)+".headers", p.Validate())
		}
	}
	if p := rule.Rewrite; p != nil && !r.Refused() {
		trial := *p
		r.refuseError(field+".rewrite.uriRegexRewrite.rewrite", trial.Compile())
	}
	if p := rule.CORS; p != nil && !r.Refused() {
		r.refuseError(field+".corsPolicy", p.Compile())
	}
	if p := rule.Retry; p != nil {
		r.refuseError(field+".retries", p.Validate())
	}
	if p := rule.Fault; p != nil {
		r.refuseError(field+".fault", p.Validate())
	}
}

// refuseError refuses a field for an error of a feature, unless it has been refused already.
func (r *reader) refuseError(field string, err error) {
	if err == nil || !r.once(field) {
		return
	}
	_, text, _ := strings.Cut(err.Error(), ": ")
	r.Refuse(field, text, "")
}

// action is what a rule does, whichever of its matches was met.
func (r *reader) action(field string, h *networking.HTTPRoute) mesh.Rule {
	r.checkAction(field, h)
	rule := mesh.Rule{Rule: route.Rule{Ref: r.Rule(field)}}
	rule.Backends = r.backends(field, h)
	rule.Headers = r.headers(field+".headers", rule.Ref, h.Headers)
	rule.Fault, rule.Answer = r.fault(field, h), r.answer(field, h)
	rule.Mirrors = r.mirrors(field, h)
	rule.Timeout, rule.Attempt = r.timeouts(field, h)
	rule.CORS = r.cors(field, h.CorsPolicy)
	rule.Retry = r.retry(field, h)
	return rule
}

// checkAction refuses rules that say several things at once, or nothing.
func (r *reader) checkAction(field string, h *networking.HTTPRoute) {
	said := map[string]bool{"route": len(h.Route) > 0, "redirect": h.Redirect != nil, "directResponse": h.DirectResponse != nil,
		"delegate": h.Delegate != nil, "rewrite": h.Rewrite != nil, "fault": h.Fault != nil, "mirrors": len(h.Mirrors) > 0}
	for _, pair := range [][2]string{{"redirect", "route"}, {"directResponse", "route"}, {"delegate", "route"}, {"directResponse", "redirect"},
		{"delegate", "redirect"}, {"redirect", "rewrite"}, {"redirect", "fault"}, {"directResponse", "rewrite"}, {"directResponse", "fault"}} {
		if said[pair[0]] && said[pair[1]] {
			r.Refuse(field+"."+pair[0], fmt.Sprintf("a rule cannot have both %s and %s", pair[0], pair[1]), "leave one out")
		}
	}
	if h.Mirror != nil && said["mirrors"] {
		r.Refuse(field+".mirror", "a rule cannot have both mirror and mirrors", "move it to the list")
	}
	if !said["route"] && !said["redirect"] && !said["directResponse"] && !said["delegate"] {
		r.Refuse(field, "it has neither route nor redirect nor directResponse", "add a route with a destination")
	}
}

// backends lowers the destinations. One alone takes every call, whatever its weight; beside others, weight 0 means none.
func (r *reader) backends(field string, h *networking.HTTPRoute) (list []mesh.Backend) {
	total := uint64(0)
	for i, d := range h.Route {
		at := dialect.Index(field+".route", i)
		weight := uint32(max(d.Weight, 0))
		switch {
		case d.Weight < 0:
			r.Refuse(at+".weight", "the weight is negative", "")
		case len(h.Route) == 1:
			weight = 1
		}
		total += uint64(weight)
		target := r.target(at+".destination", d.Destination)
		if weight == 0 {
			continue
		}
		headers := r.headers(at+".headers", r.Rule(field), d.Headers)
		if headers != nil && authority(h) != "" {
			headers.Request.Set = without(headers.Request.Set, "host") // the rule's own word comes first
		}
		list = append(list, mesh.Backend{Weighted: route.Weighted{Target: target, Weight: weight}, Headers: headers})
	}
	if len(h.Route) > 0 && total == 0 {
		r.Refuse(field+".route", "all weights are 0", "give one destination a weight")
	}
	return list
}

// target lowers a destination and says where it leads nowhere.
func (r *reader) target(field string, d *networking.Destination) traffic.Target {
	switch {
	case d.GetHost() == "":
		r.Refuse(field+".host", "the host is missing", "")
		return traffic.Target{}
	case strings.HasPrefix(d.Host, "*"):
		r.Refuse(field+".host", "calls cannot be sent to a wildcard", "name one service")
		return traffic.Target{}
	}
	r.checkHost(field+".host", d.Host, "calls that are sent there get 503")
	r.checkSubset(field+".subset", d)
	host := r.full(d.Host)
	port := r.port(field+".port.number", d.GetPort().GetNumber())
	if d.Port == nil {
		port = r.onlyPort(host)
	} else if port == 0 {
		r.Refuse(field+".port.number", "a port is from 1 to 65535", "")
	} else {
		r.checkPort(field+".port.number", host, port)
	}
	return traffic.Target{Service: host, Subset: d.Subset, Port: port}
}

// port checks a number.
func (r *reader) port(field string, n uint32) uint16 {
	if n > 65535 {
		r.Refuse(field, fmt.Sprintf("%d is not a port", n), "a port is from 1 to 65535")
		return 0
	}
	return uint16(n)
}

// way is matches of one rule, in order, that differ in nothing but what they ask of the request.
type way struct {
	requests []match.Request // none: every request
	caller   *match.Caller
	port     uint16
	prefix   string // of the path, that all of them match by: a rewrite takes it away
	whole    bool   // they match by the path as a whole
}
