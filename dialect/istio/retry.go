package istio

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/weft-mesh/weft/feature/retry"
)

// retryOn is what Istio retries where a rule does not say: its list ends with retriable-status-codes, but names no status, so
// that a 503 is not retried.
const retryOn = "connect-failure,refused-stream,unavailable,cancelled"

// retry lowers retries: two where the rule has no block, none where a block does not say how many.
func (r *reader) retry(field string, h *networking.HTTPRoute) *retry.Policy {
	switch x := h.Retries; {
	case h.Redirect != nil || h.DirectResponse != nil:
		return nil
	case h.Fault != nil:
		return &retry.Policy{Ref: r.Rule(field)}
	case x == nil:
		p := &retry.Policy{Ref: r.Rule(field + " default"), Attempts: 2}
		r.conditions("", retryOn, p)
		return p
	}
	return r.retries(field+".retries", h.Retries, &retry.Policy{Ref: r.Rule(field)})
}

func (r *reader) retries(field string, x *networking.HTTPRetry, p *retry.Policy) *retry.Policy {
	switch {
	case x.Attempts < 0:
		r.Refuse(field+".attempts", "the number of attempts is negative", "")
		return p
	case x.Attempts == 0 && (x.PerTryTimeout != nil || x.RetryOn != "" || x.RetryRemoteLocalities != nil):
		r.Refuse(field, "it says how to retry, and that there are no attempts", "set attempts, or leave out the rest")
		return p
	case x.Attempts == 0:
		r.Info(field, "without attempts there are no retries, not even the two that a rule without this block has", "set attempts")
		return p
	}
	p.Attempts, p.Backoff = int(x.Attempts), x.Backoff.AsDuration()
	on := x.RetryOn
	if on == "" {
		on = retryOn
	}
	r.conditions(field+".retryOn", on, p)
	if x.RetryIgnorePreviousHosts != nil && !x.RetryIgnorePreviousHosts.Value {
		r.Warn(field+".retryIgnorePreviousHosts", "weft prefers endpoints that were not tried yet, always", "")
	}
	return p
}

// conditions lowers a list of Envoy's retry conditions, statuses among them.
func (r *reader) conditions(field, list string, p *retry.Policy) {
	for _, word := range strings.Split(list, ",") {
		word = strings.TrimSpace(word)
		status, err := strconv.Atoi(word)
		lower := conditions[word]
		switch {
		case err == nil && http.StatusText(status) != "":
			p.Codes = append(p.Codes, status)
		case word == "" || word == "retriable-status-codes": // the statuses of the list
		case lower != nil:
			lower(p)
		case slices.Contains([]string{"envoy-ratelimited", "retriable-headers", "http3-post-connect-failure"}, word):
			r.Warn(field, fmt.Sprintf("weft does not know the condition %s yet; no call is retried for it", word), "")
		default:
			r.Refuse(field, fmt.Sprintf("%q is not a retry condition", word), suggestCondition(word))
		}
	}
}

// conditions are Envoy's (its router's x-envoy-retry-on and x-envoy-retry-grpc-on), each with all that it includes.
var conditions = map[string]func(*retry.Policy){
	"5xx":                  func(p *retry.Policy) { p.ServerErr = true; silent(p) },
	"gateway-error":        func(p *retry.Policy) { p.Codes = append(p.Codes, 502, 503, 504); silent(p) },
	"reset":                silent,
	"reset-before-request": func(p *retry.Policy) { p.Connect = true },
	"connect-failure":      func(p *retry.Policy) { p.Connect = true },
	"refused-stream":       func(p *retry.Policy) { p.Refused = true },
	"retriable-4xx":        func(p *retry.Policy) { p.Codes = append(p.Codes, 409) },
	"cancelled":            func(p *retry.Policy) { p.GRPC = append(p.GRPC, 1) },
	"deadline-exceeded":    func(p *retry.Policy) { p.GRPC = append(p.GRPC, 4) },
	"resource-exhausted":   func(p *retry.Policy) { p.GRPC = append(p.GRPC, 8) },
	"internal":             func(p *retry.Policy) { p.GRPC = append(p.GRPC, 13) },
	"unavailable":          func(p *retry.Policy) { p.GRPC = append(p.GRPC, 14) },
}

// silent: the endpoint gave no answer, for whatever reason.
func silent(p *retry.Policy) { p.Connect, p.Refused, p.Reset, p.TimedOut = true, true, true, true }

func suggestCondition(word string) string {
	switch {
	case strings.HasPrefix(word, "5") || strings.EqualFold(word, "server-error"):
		return "write 5xx, or a status"
	case strings.Contains(word, "connect"):
		return "write connect-failure"
	case strings.Contains(word, "gateway"):
		return "write gateway-error"
	}
	return "see Envoy's x-envoy-retry-on"
}
