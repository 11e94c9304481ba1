package http1

import "bytes"

// Scan finds the end of a head that arrives in pieces, and refuses early what can never become one. The zero value begins a
// message; each byte is looked at once however the pieces fall.
type Scan struct {
	line, seen int // begin of the current line; bytes looked at
	fields     int
	blank      bool // an empty line came first
	trailer    bool // there is no start line
}

// Head returns the length of the head at the begin of b, its empty line included; 0: more is needed. b must begin with the
// same bytes at each call for a message.
func (s *Scan) Head(b []byte, l *Limits) (n int, err error) {
	if s.seen == 0 && len(b) > 0 && lower[b[0]] == 0 && b[0] != '\r' {
		return 0, firstByte(b[0])
	}
	for s.seen < len(b) {
		i := bytes.IndexByte(b[s.seen:], '\n')
		if i < 0 {
			s.seen = len(b)
			break
		}
		end := s.seen + i
		if end == 0 || b[end-1] != '\r' {
			return 0, ErrBareLF
		}
		s.seen = end + 1
		if done, err := s.ended(end-1-s.line, l); done || err != nil {
			return s.seen, err
		}
		s.line = s.seen
	}
	return 0, s.within(len(b), l)
}

// ended judges a line of n bytes; done: it is the empty line.
func (s *Scan) ended(n int, l *Limits) (done bool, err error) {
	switch {
	case n == 0 && s.line == 0: // "SHOULD ignore at least one empty line" (RFC 9112 section 2.2)
		s.blank = true
		return false, nil
	case n == 0 && s.blank && s.line == 2:
		return false, ErrLine
	case n == 0:
		return true, s.within(s.seen, l)
	case s.first() && n > l.Line:
		return false, ErrLineLimit
	case !s.first():
		if s.fields++; s.fields > l.Fields {
			return false, ErrFieldLimit
		}
	}
	return false, s.within(s.seen, l)
}

// first says whether the current line is the start line.
func (s *Scan) first() bool { return !s.trailer && (s.line == 0 || s.blank && s.line == 2) }

func (s *Scan) within(n int, l *Limits) error {
	switch {
	case s.first() && n-s.line > l.Line+2:
		return ErrLineLimit
	case n > l.Head:
		return ErrHeadLimit
	}
	return nil
}

func firstByte(c byte) error {
	switch c {
	case '\n':
		return ErrBareLF
	case ' ', '\t':
		return ErrFold
	}
	return ErrMethod
}
