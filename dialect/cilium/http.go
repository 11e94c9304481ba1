package cilium

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/match"
)

// http lowers one rule for requests: all that it asks for has to hold. One that asks for nothing matches every request, but no
// connection that is not HTTP. The path is compared with its query. false: no request can match.
func (r *reader) http(field string, h *http) (q match.Request, ok bool) {
	q.Methods = []match.String{{Kind: match.Present}}
	if h.Method != "" {
		q.Methods = []match.String{r.expression(field+".method", h.Method)}
	}
	if h.Path != "" {
		q.Targets = []match.String{r.expression(field+".path", h.Path)}
	}
	if h.Host != "" {
		q.Hosts = []match.String{r.expression(field+".host", h.Host)}
		r.tellDots(field+".host", h.Host)
	}
	for i, text := range h.Headers {
		q.Headers = append(q.Headers, r.headerLine(dialect.Index(field+".headers", i), text))
	}
	ok = true
	for i := range h.HeaderMatches {
		x, asks, known := r.headerMatch(dialect.Index(field+".headerMatches", i), &h.HeaderMatches[i])
		ok = ok && known
		if asks {
			q.Headers = append(q.Headers, x)
		}
	}
	return q, ok
}

// expression lowers a regular expression that is compared with the whole value, as Envoy's safe_regex is; one without any operator
// is the value itself.
func (r *reader) expression(field, re string) match.String {
	if regexp.QuoteMeta(re) == re {
		return match.String{Value: re}
	}
	r.Regex(field, re)
	return match.String{Kind: match.Regex, Value: re}
}

var plainHost = regexp.MustCompile(`^[a-zA-Z0-9-]+(\.[a-zA-Z0-9-]+)+$`)

// tellDots: "foo.bar.com will match the host fooXbar.com or foo-bar.com" (PortRuleHTTP.host).
func (r *reader) tellDots(field, host string) {
	if plainHost.MatchString(host) {
		r.Info(field, "it is a regular expression, in which a dot stands for any character", "write "+strings.ReplaceAll(host, ".", `\.`))
	}
}

// headerLine lowers "NAME: VALUE", or "NAME" for a header that has to be there: the first space divides them.
func (r *reader) headerLine(field, text string) match.Header {
	name, value, two := strings.Cut(text, " ")
	if two {
		name = strings.TrimRight(name, ":")
	}
	switch {
	case name == "":
		r.Refuse(field, "the header's name is missing", `write "NAME: VALUE", or "NAME"`)
	case strings.Contains(name, ":"):
		r.Warn(field, fmt.Sprintf("without a space behind the colon it asks for a header of the name %q, which no request has", name), "write "+strings.Replace(text, ":", ": ", 1))
	}
	return header(name, value)
}

// header asks for a value, or, without one, that the header is there.
func header(name, value string) match.Header {
	h := match.Header{Name: strings.ToLower(name)}
	if value != "" {
		h.Values = []match.String{{Value: value}}
	}
	return h
}

// headerMatch lowers one; asks: a request can fail it; false: none can meet it. With an action for a mismatch "the overall rule is
// still considered as matching" (HeaderMatch.mismatch).
func (r *reader) headerMatch(field string, h *headerMatch) (x match.Header, asks, known bool) {
	if h.Name == "" {
		r.Refuse(field+".name", "the header's name is missing", "")
	}
	if h.Mismatch != "" {
		r.Warn(field+".mismatch", "with an action the header is not asked for, in Cilium neither; the action itself, "+h.Mismatch+", is not done yet", "")
		return x, false, true
	}
	if h.Secret != nil {
		return x, false, false
	}
	return header(h.Name, h.Value), true, true
}
