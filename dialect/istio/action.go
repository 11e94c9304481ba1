package istio

import (
	"fmt"
	"math"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/feature/fault"
	"github.com/weft-mesh/weft/feature/mirror"
	"github.com/weft-mesh/weft/feature/redirect"
	"github.com/weft-mesh/weft/feature/rewrite"
	"github.com/weft-mesh/weft/feature/timeout"
)

// rewrite lowers a rewrite for one way of the rule: what takes the place of the prefix that was matched, or of the whole path
// where it was not matched by a prefix.
func (r *reader) rewrite(field string, h *networking.HTTPRoute, w way) *rewrite.Policy {
	x := h.Rewrite
	if x == nil {
		return nil
	}
	field += ".rewrite"
	p := &rewrite.Policy{Ref: r.Rule(strings.TrimSuffix(field, ".rewrite")), Authority: x.Authority}
	switch re := x.UriRegexRewrite; {
	case x.Uri == "" && re == nil && x.Authority == "":
		r.Refuse(field, "it says nothing to rewrite", "set uri, uriRegexRewrite or authority")
	case x.Uri != "" && re != nil:
		r.Refuse(field, "a rewrite has either uri or uriRegexRewrite", "leave one out")
	case re != nil && (re.Match == "" || re.Rewrite == ""):
		r.Refuse(field+".uriRegexRewrite", "it needs both match and rewrite", "")
	case re != nil:
		r.checkRegex(field+".uriRegexRewrite.match", re.Match)
		p.Regex, p.Subst = re.Match, re.Rewrite
	case x.Uri != "" && w.whole:
		p.Path = &x.Uri
	case x.Uri != "":
		p.Prefix, p.Strip = &x.Uri, w.prefix
	}
	if x.Authority != "" && authority(&networking.HTTPRoute{Headers: h.Headers}) != "" {
		r.Refuse(field+".authority", "the authority is set here and among the headers", "set it once")
	}
	return p
}

// redirect lowers a redirect for one way of the rule: 301 unless it says otherwise.
func (r *reader) redirect(field string, h *networking.HTTPRoute, w way) *redirect.Policy {
	x := h.Redirect
	if x == nil {
		return nil
	}
	field += ".redirect"
	r.checkRedirect(field, x, w)
	p := &redirect.Policy{Ref: r.Rule(strings.TrimSuffix(field, ".redirect")), Scheme: x.Scheme, Status: 301}
	if x.RedirectCode != 0 {
		p.Status = int(x.RedirectCode)
	}
	if x.Uri != "" {
		p.Path = &x.Uri
	}
	if x.PrefixRewrite != "" {
		p.Prefix, p.Strip = &x.PrefixRewrite, w.prefix
	}
	r.location(field, x, w, p)
	return p
}

// location sets host and port. A new host without a port is at the one that the scheme of the calls implies.
func (r *reader) location(field string, x *networking.HTTPRedirect, w way, p *redirect.Policy) {
	p.Host = x.Authority
	if host, port, err := net.SplitHostPort(x.Authority); err == nil {
		n, _ := strconv.ParseUint(port, 10, 16)
		p.Host, p.Port = host, uint16(n)
	}
	derive, isDerived := x.RedirectPort.(*networking.HTTPRedirect_DerivePort)
	switch keeps := isDerived && derive.DerivePort == networking.HTTPRedirect_FROM_REQUEST_PORT; {
	case x.GetPort() != 0:
		p.Port = r.port(field+".port", x.GetPort())
	case keeps, !isDerived && p.Host == "" && p.Scheme != "":
		r.requestPort(field, w, p)
	case p.Port == 0 && p.Scheme == "" && (isDerived || p.Host != ""):
		p.Scheme = r.place.scheme()
	}
}

// requestPort keeps the port of the request. Where scheme or host are new, the model does so only if the port is known.
func (r *reader) requestPort(field string, w way, p *redirect.Policy) {
	if r.place != nil {
		w.port = r.place.port
	}
	switch {
	case p.Scheme == "" && p.Host == "", p.Scheme == "https" && w.port == 80, p.Scheme == "http" && w.port == 443:
	case w.port == 0:
		r.Info(field, "the port of the request is kept, beside a new scheme or authority, only where the match names it", "add port to the match")
	default:
		p.Port = w.port
	}
}

func (r *reader) checkRedirect(field string, x *networking.HTTPRedirect, w way) {
	switch {
	case x.Uri == "" && x.PrefixRewrite == "" && x.Authority == "" && x.RedirectPort == nil && x.Scheme == "":
		r.Refuse(field, "it says nothing of where to go", "set uri, authority, scheme or port")
	case x.Uri != "" && x.PrefixRewrite != "":
		r.Refuse(field, "a redirect has either uri or prefixRewrite", "leave one out")
	case x.PrefixRewrite != "" && w.whole:
		r.Refuse(field+".prefixRewrite", "the rule does not match by a prefix of the path", "match by uri.prefix")
	}
	if x.Scheme != "" && x.Scheme != "http" && x.Scheme != "https" {
		r.Refuse(field+".scheme", fmt.Sprintf("%q is not a scheme", x.Scheme), `write "http" or "https"`)
	}
	if !slices.Contains([]uint32{0, 301, 302, 303, 307, 308}, x.RedirectCode) {
		r.Refuse(field+".redirectCode", fmt.Sprintf("%d is not a status to redirect with", x.RedirectCode), "301, 302, 303, 307 and 308 are")
	}
	if _, err := url.Parse(x.Uri); err != nil {
		r.Refuse(field+".uri", err.Error(), "")
	}
}

// answer lowers a fixed answer, of all calls.
func (r *reader) answer(field string, h *networking.HTTPRoute) *fault.Policy {
	d := h.DirectResponse
	if d == nil {
		return nil
	}
	return &fault.Policy{Ref: r.Rule(field), Status: r.status(field+".directResponse.status", int32(d.Status)), AbortShare: million}
}

func (r *reader) fault(field string, h *networking.HTTPRoute) *fault.Policy {
	if h.Fault == nil {
		return nil
	}
	p := &fault.Policy{Ref: r.Rule(field)}
	field += ".fault"
	if h.Timeout != nil || h.Retries != nil {
		r.Info(field, "where faults are injected, the rule's timeout and retries do not count", "")
	}
	if h.Fault.Delay == nil && h.Fault.Abort == nil {
		r.Refuse(field, "it has neither delay nor abort", "")
	}
	r.delay(field+".delay", h.Fault.Delay, p)
	r.abort(field+".abort", h.Fault.Abort, p)
	return p
}

func (r *reader) delay(field string, d *networking.HTTPFaultInjection_Delay, p *fault.Policy) {
	if d == nil {
		return
	}
	if d.GetFixedDelay().AsDuration() <= 0 {
		r.Refuse(field+".fixedDelay", "the delay is missing", "")
	}
	p.Delay = d.GetFixedDelay().AsDuration()
	p.DelayShare = r.share(field+".percentage", d.Percentage, float64(d.Percent)) //nolint:staticcheck // deprecated, and it counts
	if d.Percentage == nil && d.Percent == 0 {                                    //nolint:staticcheck // deprecated, and still written
		r.Warn(field, "no percentage is set, so no call is delayed", "set percentage.value to 100 to delay all")
	}
}

func (r *reader) abort(field string, a *networking.HTTPFaultInjection_Abort, p *fault.Policy) {
	if a == nil {
		return
	}
	switch e := a.ErrorType.(type) {
	case *networking.HTTPFaultInjection_Abort_HttpStatus:
		p.Status = r.status(field+".httpStatus", e.HttpStatus)
	case *networking.HTTPFaultInjection_Abort_GrpcStatus:
		code := slices.Index(grpcCodes, e.GrpcStatus)
		if code < 0 {
			r.Refuse(field+".grpcStatus", fmt.Sprintf("%q is not a gRPC status", e.GrpcStatus), `write its name, as "UNAVAILABLE"`)
		}
		p.GRPC = &code
	default:
		r.Warn(field, "no error is named, so no call is aborted", "set httpStatus or grpcStatus")
		return
	}
	p.AbortShare = r.share(field+".percentage", a.Percentage, 0)
	if a.Percentage == nil {
		r.Warn(field, "no percentage is set, so no call is aborted", "set percentage.value to 100 to abort all")
	}
}

// grpcCodes are the names of gRPC's status codes, by number.
var grpcCodes = []string{"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
	"PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL",
	"UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"}

func (r *reader) status(field string, s int32) int {
	if s < 200 || s > 599 {
		r.Refuse(field, fmt.Sprintf("%d is not a status to answer with", s), "use one from 200 to 599")
	}
	return int(s)
}

const million = 1_000_000

// share turns a percentage into millionths; percent is what counts where it is not set.
func (r *reader) share(field string, p *networking.Percent, percent float64) uint32 {
	if p != nil {
		percent = p.Value
	}
	if !(percent >= 0 && percent <= 100) {
		r.Refuse(field, fmt.Sprintf("%v is not a percentage", percent), "use a number from 0 to 100")
		return 0
	}
	return uint32(math.Round(percent * million / 100))
}

// mirrors lowers where copies go: of all calls, unless a percentage is set.
func (r *reader) mirrors(field string, h *networking.HTTPRoute) (list []mirror.Policy) {
	ref := r.Rule(field)
	if h.Mirror != nil {
		percent := 100.0
		if h.MirrorPercent != nil { //nolint:staticcheck // deprecated, and it counts
			percent = float64(h.MirrorPercent.Value) //nolint:staticcheck // deprecated, and still written
		}
		list = r.mirror(list, ref, field+".mirror", h.Mirror, r.share(field+".mirrorPercentage", h.MirrorPercentage, percent))
	} else if h.MirrorPercentage != nil {
		r.Info(field+".mirrorPercentage", "it is of mirror, which is not there: it has no effect", "an element of mirrors has a percentage of its own")
	}
	for i, m := range h.Mirrors {
		at := dialect.Index(field+".mirrors", i)
		list = r.mirror(list, ref, at+".destination", m.Destination, r.share(at+".percentage", m.Percentage, 100))
	}
	return list
}

func (r *reader) mirror(list []mirror.Policy, ref decision.Ref, field string, d *networking.Destination, share uint32) []mirror.Policy {
	target := r.target(field, d)
	if share == 0 {
		return list
	}
	return append(list, mirror.Policy{Ref: ref, Target: target, Share: share, Shadow: true})
}

// timeouts lowers the bounds of the whole call and of each attempt; there are none by default, and none where calls are made to fail.
func (r *reader) timeouts(field string, h *networking.HTTPRoute) (whole, attempt *timeout.Policy) {
	try := h.GetRetries().GetPerTryTimeout()
	if h.Timeout.AsDuration() < 0 || try.AsDuration() < 0 {
		r.Refuse(field, "a timeout is negative", "")
	}
	if h.Fault != nil {
		return nil, nil
	}
	if h.Timeout != nil {
		whole = &timeout.Policy{Ref: r.Rule(field), Limit: h.Timeout.AsDuration()}
	}
	if try != nil && h.Retries.GetAttempts() > 0 {
		attempt = &timeout.Policy{Ref: r.Rule(field), Limit: try.AsDuration()}
	}
	return whole, attempt
}
