package istio

import (
	"fmt"
	"math"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/weft-mesh/weft/feature/balance"
)

// balance lowers a loadBalancer; one that names no algorithm has Istio's default, least request.
func (r *reader) balance(field string, lb *networking.LoadBalancerSettings) *balance.Policy {
	if lb == nil {
		return nil
	}
	p := &balance.Policy{Ref: r.Rule(field), Algorithm: balance.LeastRequest}
	switch x := lb.LbPolicy.(type) {
	case *networking.LoadBalancerSettings_Simple:
		r.simple(field+".simple", x.Simple, p)
	case *networking.LoadBalancerSettings_ConsistentHash:
		p.Algorithm = balance.RingHash
		r.hash(field+".consistentHash", x.ConsistentHash, &p.Hash)
	}
	r.slowStart(field, lb, p)
	return p
}

func (r *reader) simple(field string, lb networking.LoadBalancerSettings_SimpleLB, p *balance.Policy) {
	switch lb {
	case networking.LoadBalancerSettings_RANDOM:
		p.Algorithm = balance.Random
	case networking.LoadBalancerSettings_ROUND_ROBIN:
		p.Algorithm = balance.RoundRobin
	case networking.LoadBalancerSettings_PASSTHROUGH:
		r.Warn(field, "weft does not send calls on to the address that was called; it balances by least request", "")
	}
}

func (r *reader) hash(field string, c *networking.LoadBalancerSettings_ConsistentHashLB, h *balance.Hash) {
	switch k := c.HashKey.(type) {
	case *networking.LoadBalancerSettings_ConsistentHashLB_HttpHeaderName:
		h.Header = strings.ToLower(k.HttpHeaderName)
	case *networking.LoadBalancerSettings_ConsistentHashLB_HttpCookie:
		h.Cookie, h.Path = k.HttpCookie.Name, k.HttpCookie.Path
		h.SetTTL, h.TTL = k.HttpCookie.Ttl != nil, r.positive(field+".httpCookie.ttl", k.HttpCookie.Ttl.AsDuration())
	case *networking.LoadBalancerSettings_ConsistentHashLB_UseSourceIp:
		h.SourceIP = k.UseSourceIp
	case *networking.LoadBalancerSettings_ConsistentHashLB_HttpQueryParameterName:
		h.Param = k.HttpQueryParameterName
	}
	if h.Header == "" && h.Cookie == "" && !h.SourceIP && h.Param == "" {
		r.Warn(field, "it names nothing to hash, so calls go to any endpoint", "set httpHeaderName, httpCookie, useSourceIp or httpQueryParameterName")
	}
	r.ring(field, c, h)
}

func (r *reader) ring(field string, c *networking.LoadBalancerSettings_ConsistentHashLB, h *balance.Hash) {
	size := c.MinimumRingSize //nolint:staticcheck // deprecated, and it counts
	if size != 0 && c.HashAlgorithm != nil {
		r.Refuse(field+".minimumRingSize", "ringHash or maglev is set too", "set ringHash.minimumRingSize alone")
	}
	if c.GetRingHash() != nil {
		size = c.GetRingHash().MinimumRingSize
	}
	if size > math.MaxUint32 {
		r.Refuse(field, fmt.Sprintf("a ring of %d points is too large", size), "")
	}
	h.MinRing = uint32(size)
}

// slowStart lowers a warm-up, which Istio has for round robin and least request alone.
func (r *reader) slowStart(field string, lb *networking.LoadBalancerSettings, p *balance.Policy) {
	d := lb.WarmupDurationSecs //nolint:staticcheck // deprecated, and it counts
	if w := lb.Warmup; w != nil {
		if d = w.Duration; d == nil {
			r.Refuse(field+".warmup.duration", "the duration is missing", "")
		}
	}
	if d == nil {
		return
	}
	if p.Algorithm != balance.RoundRobin && p.Algorithm != balance.LeastRequest {
		r.Info(field, fmt.Sprintf("new endpoints are not warmed up with %s", p.Algorithm), "use ROUND_ROBIN or LEAST_REQUEST")
		return
	}
	p.SlowStart = r.positive(field+".warmup.duration", d.AsDuration())
}
