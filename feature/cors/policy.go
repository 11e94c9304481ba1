// Package cors lets scripts of other origins call a service from a browser, or not (Fetch standard, section 3.3, "HTTP extensions").
// It protects nobody but users of browsers: any other client sends what it likes.
package cors

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/traffic"
)

// All stands in lists for all there are.
const All = "*"

// Policy says which origins may call, and what their scripts may send and see.
type Policy struct {
	Ref         decision.Ref   `pb:"1"`
	Origins     []match.String `pb:"2"` // one that matches is enough
	Methods     []string       `pb:"3"` // All: each that is asked for
	Headers     []string       `pb:"4"` // of requests; likewise
	Expose      []string       `pb:"5"` // headers of responses that scripts may read; All: each, where Credentials is not set
	MaxAge      *int           `pb:"6"` // seconds for which a browser need not ask again; nil: not said
	Credentials bool           `pb:"7"` // scripts may send cookies and the like
	Forward     bool           `pb:"8"` // a preflight request of another origin goes on to the callee; else it is answered, without leave
}

// Compile readies the origins, and says what can't be: a header that it would make is sent as it is.
func (p *Policy) Compile() error {
	var errs []error
	for i := range p.Origins {
		errs = append(errs, p.Origins[i].Compile())
	}
	for _, x := range slices.Concat(p.Methods, p.Headers, p.Expose) {
		if x == "" || strings.ContainsFunc(x, func(c rune) bool { return c <= ' ' || c >= 127 || c == ',' }) {
			errs = append(errs, fmt.Errorf("cors: %q is no name of a method or a header", x))
		}
	}
	if p.MaxAge != nil && *p.MaxAge < 0 {
		errs = append(errs, fmt.Errorf("cors: an age of %d seconds can't be", *p.MaxAge))
	}
	return errors.Join(errs...)
}

// Preflight says whether a request is a browser's question whether it may send another one ("CORS-preflight request").
func Preflight(a *traffic.Attrs) bool {
	if a.Method != "OPTIONS" {
		return false
	}
	_, origin := a.Header.Get("origin")
	_, method := a.Header.Get("access-control-request-method")
	return origin && method
}

// Origin returns the origin that a request comes from, and whether it may call; empty: the request says of none, or of several, which
// no browser does.
func (p *Policy) Origin(a *traffic.Attrs) (origin string, allowed bool) {
	n := 0
	for name, v := range a.Header.All {
		if name == "origin" {
			origin, n = v, n+1
		}
	}
	if n != 1 {
		return "", false
	}
	for i := range p.Origins {
		if p.Origins[i].Match(origin) {
			return origin, true
		}
	}
	return origin, false
}

// share lets scripts of an origin have a response. It is the origin itself that is named, never all: a cache keeps responses for
// several apart by it, and browsers take no "*" where there are credentials.
func (p *Policy) share(h *traffic.Header, origin string) {
	h.Set("access-control-allow-origin", origin)
	if p.Credentials {
		h.Set("access-control-allow-credentials", "true")
	} else { // the callee may have said so to the few origins that it knows
		h.Del("access-control-allow-credentials")
	}
	switch all := slices.Contains(p.Expose, All); {
	case all && !p.Credentials:
		h.Set("access-control-expose-headers", All)
	case !all && len(p.Expose) > 0:
		h.Set("access-control-expose-headers", strings.Join(p.Expose, ", "))
	}
	if v, _ := h.Joined("vary"); !variesByOrigin(v) {
		h.Add("vary", "Origin")
	}
}

func variesByOrigin(vary string) bool {
	for name := range strings.SplitSeq(vary, ",") {
		if name = strings.TrimSpace(name); name == All || strings.EqualFold(name, "origin") {
			return true
		}
	}
	return false
}

// withhold takes the leave out of a response that its callee gives by itself.
func withhold(h *traffic.Header) {
	for _, name := range []string{"allow-origin", "allow-credentials", "allow-methods", "allow-headers", "expose-headers", "max-age"} {
		h.Del("access-control-" + name)
	}
}

// answer says what a script may send.
func (p *Policy) answer(h *traffic.Header, a *traffic.Attrs) {
	allow(h, "access-control-allow-methods", p.Methods, a, "access-control-request-method")
	allow(h, "access-control-allow-headers", p.Headers, a, "access-control-request-headers")
	if p.MaxAge != nil {
		h.Set("access-control-max-age", strconv.Itoa(*p.MaxAge))
	}
}

// allow lists what is allowed; All of it: what is asked for.
func allow(h *traffic.Header, name string, list []string, a *traffic.Attrs, asked string) {
	v := strings.Join(list, ", ")
	if slices.Contains(list, All) {
		v, _ = a.Header.Joined(asked)
	}
	if v != "" {
		h.Set(name, v)
	}
}
