package http1

// Response is the head of a response. Its strings are lent from the bytes it was parsed from.
type Response struct {
	Status   int
	Minor    int // of the version: 0, or 1 for all that are later
	Fields   []Field
	Framing  Framing
	Persists bool   // another response may follow
	Upgrade  string // of a 101

	m message
}

// Parse reads the head that b is, of a response to a request of that method, and puts field names into lower case in place.
// Fields are those to be forwarded. Memory is used again.
func (r *Response) Parse(b []byte, method string) (err error) {
	*r = Response{m: r.m}
	r.m.reset()
	i, err := r.line(b)
	if err != nil {
		return err
	}
	if err := r.m.parse(b, i); err != nil {
		return err
	}
	r.Fields = r.m.fields
	if r.Framing, err = r.m.response(method, r.Status, r.Minor); err != nil {
		return err
	}
	r.conclude(method)
	return nil
}

// line reads "HTTP-version SP status-code SP [ reason-phrase ] CRLF". A missing space before a missing reason is common and
// cannot be misread.
func (r *Response) line(b []byte) (next int, err error) {
	if r.Minor, err = version(b); err != nil {
		return 0, ErrStatus
	}
	i := len("HTTP/1.1 ")
	if len(b) < i+3 || b[i-1] != ' ' {
		return 0, ErrStatus
	}
	for _, c := range b[i : i+3] {
		if c -= '0'; c > 9 {
			return 0, ErrStatus
		}
		r.Status = 10*r.Status + int(c)
	}
	i += 3
	if i >= len(b) || r.Status < 100 || b[i] != ' ' && b[i] != '\r' {
		return 0, ErrStatus
	}
	for i += control(b[i:]); i < len(b) && b[i] == '\t'; i += 1 + control(b[i+1:]) {
	}
	if i+1 >= len(b) || b[i] != '\r' || b[i+1] != '\n' {
		return 0, badValue(b, i)
	}
	return i + 2, nil
}

func (r *Response) conclude(method string) {
	r.Persists = r.m.persists(r.Minor)
	switch r.Framing.Kind {
	case UntilClose, Tunnel:
		r.Persists = false
	case NoBody:
		// A body that must not be there may follow all the same: what comes next cannot be told from the next response.
		if r.m.coded && method != "HEAD" || r.Status == 204 && r.m.length > 0 {
			r.Persists = false
		}
	}
	if r.Status == 101 {
		r.Upgrade = r.m.upgrade
	}
	if r.Status < 200 || r.Status == 204 || r.Framing.Kind == Tunnel {
		r.Fields = without(r.Fields, "content-length") // "MUST NOT" be there (RFC 9110 section 8.6)
	}
}

func without(fields []Field, name string) []Field {
	kept := fields[:0]
	for _, f := range fields {
		if f.Name != name {
			kept = append(kept, f)
		}
	}
	return kept
}
