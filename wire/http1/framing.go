package http1

// Kind is how the end of a body is found.
type Kind uint8

const (
	NoBody     Kind = iota
	Sized           // Content-Length bytes
	Chunked         // the chunked transfer coding
	UntilClose      // all until the connection is closed; only of a response
	Tunnel          // bytes of another protocol from here on
)

// Framing is how the end of a body is found, and the length of a Sized one.
type Framing struct {
	Kind   Kind
	Length int64
}

// request decides for a request (RFC 9112 section 6.3).
func (m *message) request(minor int) (Framing, error) {
	switch {
	case m.coded:
		return Framing{Kind: Chunked}, m.coding(minor)
	case m.length > 0:
		return Framing{Sized, m.length}, nil
	}
	return Framing{}, nil
}

// coding says what is wrong with a Transfer-Encoding. Beside a length it is an attack or a broken peer, whatever the
// order of precedence says.
func (m *message) coding(minor int) error {
	switch {
	case minor == 0:
		return ErrCodingIn10
	case m.length >= 0:
		return ErrBothLengths
	case !m.chunked || m.passed:
		return ErrCoding
	case m.others:
		return ErrOtherCoding
	}
	return nil
}

// response decides for a response to a request of that method (RFC 9112 section 6.3, in its order).
func (m *message) response(method string, status, minor int) (Framing, error) {
	if m.coded && !(method == "CONNECT" && status/100 == 2) {
		if err := m.coding(minor); err != nil {
			return Framing{}, err
		}
	}
	switch {
	case status == 101, method == "CONNECT" && status/100 == 2:
		return Framing{Kind: Tunnel}, nil
	case !HasBody(method, status):
		return Framing{}, nil
	case m.coded:
		return Framing{Kind: Chunked}, nil
	case m.length > 0:
		return Framing{Sized, m.length}, nil
	case m.length == 0:
		return Framing{}, nil
	}
	return Framing{Kind: UntilClose}, nil
}

// HasBody says whether a response of that status to a request of that method can have a body.
func HasBody(method string, status int) bool {
	return method != "HEAD" && status >= 200 && status != 204 && status != 304
}
