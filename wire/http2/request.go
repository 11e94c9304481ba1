package http2

import "strings"

// Request is the head of a request. Strings are lent by its Section.
type Request struct {
	Method    string
	Scheme    string // empty for CONNECT
	Authority string // :authority, else host
	Path      string // with the query; empty for CONNECT
	Protocol  string // of an extended CONNECT (RFC 8441)
	Length    int64  // content-length; -1: none
	Fields    []Field
}

// Request checks a section against RFC 9113 sections 8.2 and 8.3.1 and takes it apart. Fields are the regular ones, without
// host (it is Authority) and with cookies joined. An error means that the request is malformed: an error of its stream.
func (s *Section) Request() (Request, error) {
	r := Request{Length: -1}
	n := 0
	for n < len(s.Fields) && strings.HasPrefix(s.Fields[n].Name, ":") {
		if err := r.pseudo(&s.Fields[n]); err != nil {
			return r, err
		}
		n++
	}
	if err := r.regular(s, n); err != nil {
		return r, err
	}
	if err := r.whole(); err != nil {
		return r, err
	}
	return r, nil
}

// pseudo takes one pseudo-header field: known, once, valid.
func (r *Request) pseudo(f *Field) *Error {
	var into *string
	ok := false
	switch f.Name {
	case ":method":
		into, ok = &r.Method, only(f.Value, inToken)
	case ":scheme":
		into, ok = &r.Scheme, validScheme(f.Value)
	case ":authority":
		into, ok = &r.Authority, f.Value == "" || validAuthority(f.Value)
	case ":path":
		into, ok = &r.Path, only(f.Value, inTarget)
	case ":protocol":
		into, ok = &r.Protocol, only(f.Value, inToken) || f.Value != "" && only(strings.ReplaceAll(f.Value, "/", ""), inToken)
	default:
		return malformed("unknown pseudo-header field")
	}
	if !ok {
		return malformed("invalid pseudo-header field")
	}
	if *into != "" {
		return malformed("pseudo-header field twice")
	}
	*into = f.Value
	return nil
}

// regular checks the fields after the pseudo-header fields and keeps in place those that are passed on.
func (r *Request) regular(s *Section, from int) *Error {
	kept := s.Fields[from:from]
	crumbs, size := 0, 0
	for i := from; i < len(s.Fields); i++ {
		f := s.Fields[i]
		if err := checkField(&f); err != nil {
			return err
		}
		switch f.Name {
		case "host":
			if err := r.host(f.Value); err != nil {
				return err
			}
			continue
		case "content-length":
			again := r.Length >= 0
			var err *Error
			if r.Length, err = length(r.Length, f.Value); err != nil {
				return err
			}
			if again {
				continue
			}
		case "cookie":
			crumbs++
			size += len(f.Value)
		}
		kept = append(kept, f)
	}
	r.Fields = s.joinCookies(kept, crumbs, size)
	return nil
}

// host stands in for :authority, and must not contradict it: the two would be routed differently by different hops
// (RFC 9113 section 8.3.1).
func (r *Request) host(v string) *Error {
	if r.Authority == "" && v != "" {
		if !validAuthority(v) {
			return malformed("invalid host")
		}
		r.Authority = v
		return nil
	}
	if !strings.EqualFold(r.Authority, v) {
		return malformed("host differs from :authority")
	}
	return nil
}

// whole checks which fields a request must and must not have (sections 8.3.1 and 8.5, RFC 8441 section 4).
func (r *Request) whole() *Error {
	switch {
	case r.Method == "":
		return malformed("no :method")
	case r.Protocol != "" && r.Method != "CONNECT":
		return malformed(":protocol without CONNECT")
	case r.Method == "CONNECT" && r.Protocol == "":
		if r.Scheme != "" || r.Path != "" || r.Authority == "" {
			return malformed("CONNECT with :scheme or :path, or without :authority")
		}
		return nil
	case r.Scheme == "" || r.Path == "":
		return malformed("no :scheme or :path")
	case r.Path[0] != '/' && (r.Path != "*" || r.Method != "OPTIONS"):
		return malformed(":path does not begin with a slash")
	}
	return nil
}

func validScheme(s string) bool {
	for i := range len(s) {
		c := s[i] | 0x20
		if c < 'a' || c > 'z' {
			if i == 0 || !strings.Contains("0123456789+-.", s[i:i+1]) {
				return false
			}
		}
	}
	return s != ""
}

// validAuthority refuses user information ("MUST NOT include the deprecated userinfo subcomponent": section 8.3.1) and
// whatever could end an authority.
func validAuthority(s string) bool {
	return only(s, inTarget) && !strings.ContainsAny(s, "@/?\\")
}
