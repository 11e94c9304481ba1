package http1

import (
	"net/netip"
	"strings"
)

// Form is the form of a request target (RFC 9112 section 3.2).
type Form uint8

const (
	Origin    Form = iota // /path?query
	Absolute              // http://host/path?query, to a proxy
	Authority             // host:port, of CONNECT
	Asterisk              // *, of OPTIONS
)

// aim takes the target apart.
func (r *Request) aim(t string) error {
	switch {
	case r.Method == "CONNECT":
		return r.aimAuthority(t)
	case t[0] == '/':
		r.Form = Origin
		r.split(t)
		return nil
	case t == "*":
		r.Form, r.Path = Asterisk, t
		if r.Method != "OPTIONS" {
			return ErrForm
		}
		return nil
	}
	return r.aimAbsolute(t)
}

func (r *Request) split(t string) { r.Path, r.Query, _ = strings.Cut(t, "?") }

func (r *Request) aimAuthority(t string) error {
	r.Form, r.Authority = Authority, t
	if !validAuthority(t, true) {
		return ErrForm
	}
	return nil
}

func (r *Request) aimAbsolute(t string) error {
	r.Form = Absolute
	scheme, rest, ok := strings.Cut(t, "://")
	if !ok {
		return ErrForm
	}
	switch {
	case strings.EqualFold(scheme, "http"):
		r.Scheme = "http"
	case strings.EqualFold(scheme, "https"):
		r.Scheme = "https"
	default:
		return ErrForm
	}
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	if r.Authority = rest[:end]; !validAuthority(r.Authority, false) {
		return ErrAuthority
	}
	switch rest = rest[end:]; {
	case rest == "" && r.Method == "OPTIONS": // asked of the server as a whole (RFC 9112 section 3.2.4)
		r.Path = "*"
	case rest == "":
		r.Path = "/"
	case rest[0] == '?':
		r.Path, r.Query = "/", rest[1:]
	default:
		r.split(rest)
	}
	return nil
}

// validAuthority says whether s is a host with an optional port. User information is refused: it hides who is called
// (RFC 9110 section 4.2.4).
func validAuthority(s string, needPort bool) bool {
	host, port := s, ""
	if i := strings.LastIndexByte(s, ':'); i >= 0 && strings.IndexByte(s[i:], ']') < 0 {
		host, port = s[:i], s[i+1:]
		if !validPort(port) {
			return false
		}
	}
	return validHost(host) && (port != "" || !needPort)
}

func validPort(s string) bool {
	n, ok := ParseLength(s)
	return ok && n > 0 && n < 1<<16
}

func validHost(s string) bool {
	if s == "" {
		return false
	}
	if s[0] == '[' {
		if s[len(s)-1] != ']' {
			return false
		}
		a, err := netip.ParseAddr(s[1 : len(s)-1])
		return err == nil && a.Is6() && a.Zone() == ""
	}
	for i := range len(s) {
		if regName[s[i]] == 0 {
			return false
		}
	}
	return true
}
