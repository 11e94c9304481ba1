package gatewayapi

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"
	"time"

	"k8s.io/utils/ptr"
	v1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/feature/retry"
	"github.com/weft-mesh/weft/feature/timeout"
	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/mesh"
)

func httpRoute(o *dialect.Object, v dialect.View) (part mesh.Part, found []mesh.Finding) {
	r := newReader(o, v)
	var spec v1.HTTPRouteSpec
	if !r.Spec(&spec) {
		return part, r.Found
	}
	parents := r.yield(r.attach(spec.ParentRefs))
	list := r.noted(r.httpRules(spec.Rules), len(parents) > 0)
	r.tellOrder(spec.Rules)
	part = r.part(parents, r.entries(spec.ParentRefs, spec.Hostnames), spec.Hostnames, list)
	return part, r.Found
}

func (r *reader) httpRules(rules []v1.HTTPRouteRule) (list []rule) {
	if len(rules) == 0 && r.policy {
		rules = []v1.HTTPRouteRule{{}} // as an API server fills it in
	}
	for i := range rules {
		list = append(list, r.httpRule(dialect.Index("spec.rules", i), &rules[i]))
	}
	return list
}

func (r *reader) httpRule(field string, x *v1.HTTPRouteRule) rule {
	out := rule{field: field, filters: x.Filters, backends: x.BackendRefs, retry: r.retry(field, x.Retry)}
	out.timeout, out.attempt = r.timeouts(field, x.Timeouts)
	for i := range x.Matches {
		out.matches = append(out.matches, r.httpMatch(dialect.Index(field+".matches", i), &x.Matches[i]))
	}
	if len(x.Matches) == 0 { // "the default is a prefix path match on "/""
		out.matches = []matched{{prefix: "/"}}
	}
	return out
}

// tellOrder says which rules a regular expression gives way to; the API leaves it open.
func (r *reader) tellOrder(list []v1.HTTPRouteRule) {
	regex, prefix := "", false
	for i := range list {
		for j := range list[i].Matches {
			switch p := list[i].Matches[j].Path; {
			case p == nil:
			case ptr.Deref(p.Type, "") == v1.PathMatchRegularExpression:
				regex = cmp.Or(regex, dialect.Index(dialect.Index("spec.rules", i)+".matches", j)+".path")
			default:
				prefix = prefix || ptr.Deref(p.Value, "/") != "/"
			}
		}
	}
	if regex != "" && prefix {
		r.Info(regex, "regular expressions are tried after all exact paths and all prefixes but /", "")
	}
}

// httpMatch lowers one match: all that it asks for has to hold.
func (r *reader) httpMatch(field string, x *v1.HTTPRouteMatch) matched {
	m := r.path(field+".path", x.Path)
	if x.Method != nil {
		m.request.Methods = []match.String{{Value: string(*x.Method)}}
	}
	var names names
	for i, h := range x.Headers {
		at := dialect.Index(field+".headers", i)
		if r.header(at, &names, string(h.Name)) {
			r.addHeader(&m.request, string(h.Name), r.value(at, string(ptr.Deref(h.Type, v1.HeaderMatchExact)), h.Value))
		}
	}
	names = nil
	for i, q := range x.QueryParams {
		at := dialect.Index(field+".queryParams", i)
		if names.first(string(q.Name)) {
			m.request.Params = append(m.request.Params, match.Param{Name: string(q.Name),
				Values: []match.String{r.value(at, string(ptr.Deref(q.Type, v1.QueryParamMatchExact)), q.Value)}})
		} else {
			r.Warn(at, "an entry of this name stands before it: this one is ignored", "remove it")
		}
	}
	return m
}

// names are those that a match has spoken of.
type names map[string]bool

func (n *names) first(name string) bool {
	if *n == nil {
		*n = names{}
	}
	first := !(*n)[name]
	(*n)[name] = true
	return first
}

// header says whether an entry counts: "Subsequent entries with an equivalent header name MUST be ignored" (HTTPHeaderMatch.name).
func (r *reader) header(field string, n *names, name string) bool {
	switch {
	case !token.MatchString(name):
		r.Refuse(field+".name", fmt.Sprintf("%q is not a header's name", name), "")
	case !n.first(strings.ToLower(name)):
		r.Warn(field, "an entry of this name stands before it, letters compared without case: this one is ignored", "remove it")
	default:
		return true
	}
	return false
}

// addHeader: Host is a part of the request that is no header here.
func (r *reader) addHeader(q *match.Request, name string, v match.String) {
	if strings.EqualFold(name, "host") {
		q.Hosts = []match.String{v}
		return
	}
	q.Headers = append(q.Headers, match.Header{Name: strings.ToLower(name), Values: []match.String{v}})
}

// value lowers what is compared with a whole value.
func (r *reader) value(field, kind, v string) match.String {
	if v == "" {
		r.Refuse(field+".value", "the value is empty", "")
	}
	if kind != "RegularExpression" {
		return match.String{Value: v}
	}
	r.Regex(field+".value", v)
	return match.String{Kind: match.Regex, Value: v}
}

// path lowers a match on the path; the prefix / is that of every path, and asks for nothing, so that it comes last.
func (r *reader) path(field string, p *v1.HTTPPathMatch) (m matched) {
	kind, value := v1.PathMatchPathPrefix, "/"
	if p != nil {
		kind, value = ptr.Deref(p.Type, kind), ptr.Deref(p.Value, value)
	}
	s := match.String{Value: value}
	switch kind {
	case v1.PathMatchRegularExpression:
		s.Kind, m.whole = match.Regex, true
		r.Regex(field+".value", value)
	case v1.PathMatchExact:
		m.whole = true
		r.checkPath(field+".value", value)
	default:
		s.Kind, m.prefix = match.PathPrefix, value
		r.checkPath(field+".value", value)
	}
	if s.Kind != match.PathPrefix || value != "/" {
		m.request.Paths = []match.String{s}
	}
	return m
}

// timeouts lowers the bounds of the call and of each attempt; "0s" means that there is none.
func (r *reader) timeouts(field string, t *v1.HTTPRouteTimeouts) (whole, attempt *timeout.Policy) {
	if t == nil {
		return nil, nil
	}
	whole, attempt = r.limit(field, "request", t.Request), r.limit(field, "backendRequest", t.BackendRequest)
	if whole != nil && attempt != nil && whole.Limit > 0 && attempt.Limit > whole.Limit {
		r.Refuse(field+".timeouts.backendRequest", fmt.Sprintf("%v for an attempt is more than %v for the whole call", attempt.Limit, whole.Limit), "")
	}
	return whole, attempt
}

func (r *reader) limit(field, name string, d *v1.Duration) *timeout.Policy {
	if d == nil {
		return nil
	}
	return &timeout.Policy{Ref: r.Rule(field), Limit: r.duration(field+".timeouts."+name, d)}
}

var duration = regexp.MustCompile(`^([0-9]{1,5}(h|m|s|ms)){1,4}$`)

// duration reads a duration of the Gateway API, which is a part of what Go reads (GEP-2257).
func (r *reader) duration(field string, d *v1.Duration) time.Duration {
	if d == nil {
		return 0
	}
	v, err := time.ParseDuration(string(*d))
	if r.policy && err == nil && v >= 0 {
		return v // Linkerd takes what Go takes
	}
	if err != nil || !duration.MatchString(string(*d)) {
		r.Refuse(field, fmt.Sprintf("%q is not a duration of the Gateway API: whole numbers of h, m, s and ms", *d), `write 1500ms, say`)
	}
	return v
}

// retry lowers retries. "Implementations SHOULD retry on connection errors (disconnect, reset, timeout, TCP failure) if a retry
// stanza is configured" (HTTPRouteRetry); how often, where it does not say, is open: twice.
func (r *reader) retry(field string, x *v1.HTTPRouteRetry) *retry.Policy {
	if x == nil {
		return nil
	}
	field += ".retry"
	p := &retry.Policy{Ref: r.Rule(strings.TrimSuffix(field, ".retry")), Attempts: ptr.Deref(x.Attempts, 2), Connect: true, Refused: true, Reset: true,
		TimedOut: true, Backoff: r.duration(field+".backoff", x.Backoff)}
	if p.Attempts < 1 {
		r.Refuse(field+".attempts", fmt.Sprintf("%d is not a number of attempts", p.Attempts), "leave out retry, or write 1 or more")
	}
	for i, code := range x.Codes {
		if code < 400 || code > 599 {
			r.Refuse(dialect.Index(field+".codes", i), fmt.Sprintf("%d is not a status to retry on", code), "use one from 400 to 599")
		}
		p.Codes = append(p.Codes, int(code))
	}
	if p.Backoff > 0 {
		r.Info(field+".backoff", "weft waits a random time up to this, twice that before the next retry, and so on; it may be shorter than what is written", "")
	}
	return p
}
