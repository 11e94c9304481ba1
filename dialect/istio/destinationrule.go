package istio

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/feature/balance"
	"github.com/weft-mesh/weft/feature/breaker"
	"github.com/weft-mesh/weft/feature/outlier"
	"github.com/weft-mesh/weft/feature/retry"
	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/traffic"
)

func destinationRule(o *dialect.Object, v dialect.View) (part mesh.Part, found []mesh.Finding) {
	r, dr := newReader(o, v), &networking.DestinationRule{}
	if !r.decode(dr) {
		return part, r.Found
	}
	namespaces, any := r.exported(dr.ExportTo)
	p := mesh.BackendPolicy{Ref: r.Ref, Created: o.Created, Host: r.full(dr.Host), Root: r.root(), Exports: namespaces}
	if dr.Host == "" {
		r.Refuse("spec.host", "the host is empty", "")
	} else {
		r.checkHost("spec.host", dr.Host, "it applies to no call")
	}
	p.Policy, p.Ports = r.policy("spec.trafficPolicy", p.Host, dr.TrafficPolicy)
	p.Subsets = r.subsets(p.Host, dr.Subsets)
	if s := dr.WorkloadSelector; s != nil {
		p.Selector = r.selector("spec.workloadSelector", s)
		r.checkSelectorExport(namespaces)
	}
	if !any {
		r.Info("spec.exportTo", "it is exported to no namespace, so it has no effect", "")
		return part, r.Found
	}
	part.Backends = []mesh.BackendPolicy{p}
	return part, r.Found
}

// checkSelectorExport: callers are selected in the rule's own namespace only.
func (r *reader) checkSelectorExport(namespaces []string) {
	if len(namespaces) > 1 || len(namespaces) == 1 && namespaces[0] != r.Object.Namespace {
		r.Refuse("spec.exportTo", "a rule with a workloadSelector is for its own namespace alone", `write ["."], or leave exportTo out`)
	}
}

func (r *reader) subsets(host string, list []*networking.Subset) (out []mesh.Subset) {
	for i, s := range list {
		field := dialect.Index("spec.subsets", i)
		switch {
		case s.Name == "":
			r.Refuse(field+".name", "the subset has no name", "")
		case slices.ContainsFunc(out, func(x mesh.Subset) bool { return x.Name == s.Name }):
			r.Refuse(field+".name", "the subset "+s.Name+" is defined twice", "")
		}
		x := mesh.Subset{Ref: r.Rule(field), Name: s.Name, Labels: dialect.Labels(s.Labels)}
		x.Policy, x.Ports = r.policy(field+".trafficPolicy", host, s.TrafficPolicy)
		out = append(out, x)
	}
	return out
}

// policy lowers a trafficPolicy. Its blocks replace those around them as a whole.
func (r *reader) policy(field, host string, p *networking.TrafficPolicy) (o mesh.Outbound, ports []mesh.PortPolicy) {
	if p == nil {
		return o, nil
	}
	o = r.blocks(field, host, p)
	o.Budget = r.budget(field+".retryBudget", p.RetryBudget)
	for i, s := range p.PortLevelSettings {
		at := dialect.Index(field+".portLevelSettings", i)
		n := r.port(at+".port.number", s.GetPort().GetNumber())
		if n == 0 {
			r.Refuse(at+".port.number", "a port is from 1 to 65535", "")
		}
		ports = append(ports, mesh.PortPolicy{Port: n, Policy: r.alone(at, r.blocks(at, host, s))})
	}
	return o, ports
}

// blocks are what a trafficPolicy and a portLevelSettings have in common.
type blocks interface {
	GetLoadBalancer() *networking.LoadBalancerSettings
	GetConnectionPool() *networking.ConnectionPoolSettings
	GetOutlierDetection() *networking.OutlierDetection
	GetTls() *networking.ClientTLSSettings
}

func (r *reader) blocks(field, host string, b blocks) (o mesh.Outbound) {
	o.Balance = r.balance(field+".loadBalancer", b.GetLoadBalancer())
	o.Breaker, o.Connect = r.pool(field+".connectionPool", b.GetConnectionPool())
	o.Outlier = r.outlier(field+".outlierDetection", b.GetOutlierDetection())
	o.Secure = r.secure(field+".tls", host, b.GetTls())
	return o
}

// alone fills in Istio's defaults: settings of a port inherit nothing from around them, but for the budget
// (TrafficPolicy.portLevelSettings).
func (r *reader) alone(field string, o mesh.Outbound) mesh.Outbound {
	ref := r.Rule(field)
	return o.Over(mesh.Outbound{
		Balance: &balance.Policy{Ref: ref, Algorithm: balance.LeastRequest},
		Outlier: &outlier.Policy{Ref: ref},
		Breaker: &breaker.Policy{Ref: ref},
		Connect: &traffic.Connect{Ref: ref},
		Secure:  &traffic.Secure{Ref: ref},
	})
}

// pool lowers a connectionPool. A limit of 0 is none, as in Istio, which cannot tell it from one that is not set.
func (r *reader) pool(field string, p *networking.ConnectionPoolSettings) (*breaker.Policy, *traffic.Connect) {
	if p == nil {
		return nil, nil
	}
	b, c := &breaker.Policy{Ref: r.Rule(field)}, &traffic.Connect{Ref: r.Rule(field)}
	if t := p.Tcp; t != nil {
		b.MaxConnections = r.limit(field+".tcp.maxConnections", t.MaxConnections)
		c.Timeout = r.positive(field+".tcp.connectTimeout", t.ConnectTimeout.AsDuration())
		c.Idle = r.positive(field+".tcp.idleTimeout", t.IdleTimeout.AsDuration())
	}
	if h := p.Http; h != nil {
		b.MaxPending = r.limit(field+".http.http1MaxPendingRequests", h.Http1MaxPendingRequests)
		b.MaxRequests = r.limit(field+".http.http2MaxRequests", h.Http2MaxRequests)
		b.MaxRetries = r.limit(field+".http.maxRetries", h.MaxRetries)
		c.MaxRequests = r.limit(field+".http.maxRequestsPerConnection", h.MaxRequestsPerConnection)
		if h.IdleTimeout != nil {
			c.Idle = r.positive(field+".http.idleTimeout", h.IdleTimeout.AsDuration())
		}
		c.Upgrade = h.H2UpgradePolicy == networking.ConnectionPoolSettings_HTTPSettings_UPGRADE
		if c.Upgrade && h.UseClientProtocol {
			r.Refuse(field+".http.useClientProtocol", "it cannot be true where h2UpgradePolicy is UPGRADE", "leave one out")
		}
	}
	r.checkPool(field, p, b)
	return b, c
}

func (r *reader) checkPool(field string, p *networking.ConnectionPoolSettings, b *breaker.Policy) {
	switch {
	case p.Tcp == nil && p.Http == nil:
		r.Refuse(field, "it has neither tcp nor http", "")
	case b.MaxPending > 0 && b.MaxConnections == 0:
		r.Info(field+".http.http1MaxPendingRequests", "calls wait only where tcp.maxConnections bounds the connections", "set tcp.maxConnections too")
	case p.Tcp.GetIdleTimeout() != nil && p.Http.GetIdleTimeout() == nil:
		r.Info(field+".tcp.idleTimeout", "it closes pooled connections that have no calls; weft does not close opaque TCP connections for idling", "")
	}
}

func (r *reader) limit(field string, n int32) uint32 {
	if n < 0 {
		r.Refuse(field, "the limit is negative", "leave it out for none")
	}
	return uint32(max(n, 0))
}

func (r *reader) positive(field string, d time.Duration) time.Duration {
	if d < 0 {
		r.Refuse(field, "the duration is negative", "")
	}
	return d
}

// outlier lowers an outlierDetection: five answers of 5xx in a row eject an endpoint unless it says otherwise.
func (r *reader) outlier(field string, o *networking.OutlierDetection) *outlier.Policy {
	if o == nil {
		return nil
	}
	p := &outlier.Policy{Ref: r.Rule(field), Consecutive: 5, Gateway: o.ConsecutiveGatewayErrors.GetValue(),
		Base: r.positive(field+".baseEjectionTime", o.BaseEjectionTime.AsDuration()), Interval: r.positive(field+".interval", o.Interval.AsDuration()),
		MaxPercent: r.percent(field+".maxEjectionPercent", o.MaxEjectionPercent), MinHealth: r.percent(field+".minHealthPercent", o.MinHealthPercent)}
	if o.Consecutive_5XxErrors != nil {
		p.Consecutive = o.Consecutive_5XxErrors.Value
	}
	local := o.ConsecutiveLocalOriginFailures.GetValue()
	switch {
	case o.SplitExternalLocalOriginErrors && local > 0:
		p.Local = local
	case o.SplitExternalLocalOriginErrors:
		p.Local = 5
	case local > 0:
		r.Refuse(field+".consecutiveLocalOriginFailures", "it counts only where splitExternalLocalOriginErrors is true", "set that too")
	}
	if p.Consecutive > 0 && p.Gateway >= p.Consecutive {
		r.Info(field+".consecutiveGatewayErrors", fmt.Sprintf("each of these is a 5xx too, and %d of those eject already", p.Consecutive),
			"make it smaller, or set consecutive5xxErrors to 0")
	}
	return p
}

func (r *reader) percent(field string, n int32) uint32 {
	if n < 0 || n > 100 {
		r.Refuse(field, fmt.Sprintf("%d is not a percentage", n), "use a number from 0 to 100")
	}
	return uint32(max(n, 0))
}

// secure lowers tls. Without it weft decides for each endpoint, as Istio's automatic mutual TLS does.
func (r *reader) secure(field, host string, t *networking.ClientTLSSettings) *traffic.Secure {
	if t == nil {
		return nil
	}
	s := &traffic.Secure{Ref: r.Rule(field)}
	if t.Sni != "" && (t.Mode == networking.ClientTLSSettings_DISABLE || t.Mode == networking.ClientTLSSettings_ISTIO_MUTUAL) {
		r.Info(field+".sni", "without TLS, and between workloads of the mesh, no server name is sent: it has no effect", "it counts with the mode SIMPLE")
	}
	switch t.Mode {
	case networking.ClientTLSSettings_DISABLE:
		s.Mode = traffic.Clear
		return s
	case networking.ClientTLSSettings_ISTIO_MUTUAL:
		s.Mode = traffic.Required
		return s
	case networking.ClientTLSSettings_MUTUAL:
		r.Warn(field+".mode", "weft cannot show certificates from files yet: it starts TLS without one, which the server may refuse",
			"use ISTIO_MUTUAL between workloads of the mesh")
	}
	s.Mode, s.SNI = traffic.Simple, t.Sni
	if s.SNI == "" && !strings.HasPrefix(host, "*") {
		s.SNI = host
	}
	return s
}

// budget lowers a retryBudget.
func (r *reader) budget(field string, b *networking.TrafficPolicy_RetryBudget) *retry.Budget {
	if b == nil {
		return nil
	}
	out := &retry.Budget{Ref: r.Rule(field), Window: r.positive(field+".budgetInterval", b.BudgetInterval.AsDuration())}
	switch p := b.Percent; {
	case p == nil:
	case !(p.Value >= 0 && p.Value <= 100):
		r.Refuse(field+".percent", fmt.Sprintf("%v is not a percentage", p.Value), "use a number from 0 to 100")
	default:
		out.Percent = new(uint32(math.Ceil(p.Value)))
	}
	return out
}

// selector lowers matchLabels.
func (r *reader) selector(field string, s interface{ GetMatchLabels() map[string]string }) *match.Selector {
	for k, v := range s.GetMatchLabels() {
		switch {
		case k == "":
			r.Refuse(field+".matchLabels", "a label's name is empty", "")
		case strings.Contains(k, "*") || strings.Contains(v, "*"):
			r.Refuse(dialect.Child(field+".matchLabels", k), "labels are compared as they are; a wildcard matches nothing", "")
		}
	}
	return &match.Selector{Labels: dialect.Labels(s.GetMatchLabels())}
}
