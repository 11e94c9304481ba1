// Package redirect answers a call with the address where it should go instead.
package redirect

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/traffic"
)

// Policy says what of the request's URL changes; what is unset stays.
type Policy struct {
	Ref    decision.Ref `pb:"1"`
	Scheme string       `pb:"2"`
	Host   string       `pb:"3"`
	Port   uint16       `pb:"4"` // 0: the scheme's own if Scheme is set, else the request's
	Path   *string      `pb:"5"` // the whole path
	Prefix *string      `pb:"6"` // what takes the place of the prefix that the rule matched
	Strip  string       `pb:"7"` // the prefix that the rule matched
	Status int          `pb:"8"` // 301, 302, 303, 307, 308 [302]
}

// Validate says what can't be.
func (p *Policy) Validate() error {
	switch p.Status {
	case 0, 301, 302, 303, 307, 308:
	default:
		return fmt.Errorf("redirect: status %d is none of 301, 302, 303, 307 and 308", p.Status)
	}
	if p.Path != nil && p.Prefix != nil {
		return fmt.Errorf("redirect: a path takes the place of the whole path or of its prefix, not of both")
	}
	return nil
}

// Location is where the call should go: an absolute URL with the request's query. It makes a string.
//
// The port follows HTTPRequestRedirectFilter.port of the Gateway API: the policy's, else the well-known one of the policy's
// scheme, else the one that the caller dialled; a port that the scheme implies is left out.
func (p *Policy) Location(a *traffic.Attrs) string {
	scheme, host, port := a.Scheme, hostOnly(a.Authority), p.Port
	if scheme == "" {
		scheme = "http"
	}
	if p.Host != "" {
		host = p.Host
	}
	if port == 0 && (p.Scheme == "" || wellKnown(p.Scheme) == 0) {
		port = requestPort(a)
	}
	if p.Scheme != "" {
		scheme = p.Scheme
	}
	u := scheme + "://" + host
	if port != 0 && port != wellKnown(scheme) {
		u += ":" + strconv.Itoa(int(port))
	}
	u += p.path(a.Path)
	if a.Query != "" && !strings.Contains(u, "?") {
		u += "?" + a.Query
	}
	return u
}

func (p *Policy) path(path string) string {
	switch {
	case p.Path != nil && strings.HasPrefix(*p.Path, "/"):
		return *p.Path
	case p.Path != nil:
		return "/" + *p.Path
	case p.Prefix != nil:
		return match.ReplacePrefix(path, p.Strip, *p.Prefix, true)
	}
	return path
}

func wellKnown(scheme string) uint16 {
	switch scheme {
	case "http", "ws":
		return 80
	case "https", "wss":
		return 443
	}
	return 0
}

// requestPort: where the caller thought it was going, else what it wrote.
func requestPort(a *traffic.Attrs) uint16 {
	if p := a.Port(); p != 0 {
		return p
	}
	n, _ := strconv.ParseUint(strings.TrimPrefix(a.Authority[len(hostOnly(a.Authority)):], ":"), 10, 16)
	return uint16(n)
}

// hostOnly leaves out the port; the colons of an IPv6 address stand in brackets.
func hostOnly(authority string) string {
	if i := strings.LastIndexByte(authority, ':'); i > strings.LastIndexByte(authority, ']') {
		return authority[:i]
	}
	return authority
}
