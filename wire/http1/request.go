package http1

// Request is the head of a request. Its strings are lent from the bytes it was parsed from.
type Request struct {
	Method    string
	Form      Form
	Scheme    string // http or https, of an absolute target; else empty
	Authority string // of the target, else of Host; may be empty
	Path      string // without the query; "*" of OPTIONS for the whole server; empty of CONNECT
	Query     string // without the question mark
	Minor     int    // of the version: 0, or 1 for all that are later
	Fields    []Field
	Framing   Framing
	Persists  bool   // another request may follow
	Expects   bool   // 100-continue
	Upgrade   string // the protocol that the connection may change to, as written

	m message
}

// Parse reads the head that b is, from its first byte to the end of its empty line, and puts field names into lower case in
// place. Fields are those to be forwarded: what is for one hop (RFC 9110 section 7.6.1) and Host are left out; TE is there
// only as "trailers". Memory is used again.
func (r *Request) Parse(b []byte) error {
	*r = Request{m: r.m}
	r.m.reset()
	i := 0
	if len(b) > 1 && b[0] == '\r' && b[1] == '\n' {
		i = 2 // "a server SHOULD ignore at least one empty line" (RFC 9112 section 2.2)
	}
	i, err := r.line(b, i)
	if err != nil {
		return err
	}
	if err := r.m.parse(b, i); err != nil {
		return err
	}
	r.Fields = r.m.fields
	return r.conclude()
}

// line reads "method SP request-target SP HTTP-version CRLF".
func (r *Request) line(b []byte, i int) (next int, err error) {
	begin := i
	for i < len(b) && lower[b[i]] != 0 {
		i++
	}
	if i == begin || i == len(b) || b[i] != ' ' {
		return 0, ErrMethod
	}
	r.Method = lend(b[begin:i])
	i++
	begin = i
	for i < len(b) && target[b[i]] != 0 {
		i++
	}
	if i == len(b) || b[i] == '#' {
		return 0, ErrTarget
	}
	if i == begin || b[i] != ' ' {
		return 0, ErrLine
	}
	t := lend(b[begin:i])
	if r.Minor, err = version(b[i+1:]); err != nil {
		return 0, err
	}
	if i += 1 + len("HTTP/1.1"); i+1 >= len(b) || b[i] != '\r' || b[i+1] != '\n' {
		return 0, ErrLine
	}
	return i + 2, r.aim(t)
}

// version reads "HTTP/d.d". A later minor version is read as 1.1 (RFC 9110 section 2.5).
func version(b []byte) (minor int, err error) {
	if len(b) < 8 || string(b[:5]) != "HTTP/" || b[5]-'0' > 9 || b[6] != '.' || b[7]-'0' > 9 {
		return 0, ErrLine
	}
	if b[5] != '1' {
		return 0, ErrVersion
	}
	return min(int(b[7]-'0'), 1), nil
}

// conclude judges what only the whole head shows.
func (r *Request) conclude() (err error) {
	m := &r.m
	switch {
	case m.hosts > 1:
		return ErrTwoHosts
	case m.hosts == 0 && r.Minor > 0:
		return ErrNoHost
	case m.host != "" && !validAuthority(m.host, false):
		return ErrHost
	case r.Form == Origin || r.Form == Asterisk:
		r.Authority = m.host
	} // else the target's authority stands, and Host is ignored (RFC 9112 section 3.2.2)
	if r.Framing, err = m.request(r.Minor); err != nil {
		return err
	}
	if r.Method == "CONNECT" && r.Framing.Kind != NoBody {
		return ErrConnectBody
	}
	r.Persists = m.persists(r.Minor)
	if r.Minor > 0 { // "MUST ignore" in HTTP/1.0 (RFC 9110 sections 7.8 and 10.1.1)
		r.Expects = m.expect && r.Framing.Kind != NoBody
		if m.upgrading && r.Framing.Kind == NoBody && r.Method != "CONNECT" {
			r.Upgrade = m.upgrade
		}
	}
	return nil
}
