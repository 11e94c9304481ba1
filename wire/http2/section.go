package http2

import "unsafe"

// Field is one line of a field section. Its strings are lent until the Section is reset.
type Field struct {
	Name, Value string
	Never       bool // received as never indexed: it must be sent on so (RFC 7541 section 6.2.3)
}

// Section is a decoded field section: what one block of HEADERS and CONTINUATION frames said. It keeps its memory when reset.
type Section struct {
	Fields []Field
	// Limit bounds Size; 0: none. What comes after is decoded, because the table depends on it, but not kept.
	Limit    uint32
	Size     uint32 // as RFC 9113 section 10.5.1 counts: 32 more than its bytes for each field
	TooLarge bool   // Size would have passed Limit

	buf []byte
}

// maxKept bounds the memory that a Section holds on to while it is not used.
const maxKept = 16 << 10

// Reset empties the section; strings that it lent must not be used any more.
func (s *Section) Reset() {
	clear(s.Fields)
	s.Fields, s.buf, s.Size, s.TooLarge = s.Fields[:0], s.buf[:0], 0, false
}

// Large says whether the section has more memory than it should hold on to while it is not used.
func (s *Section) Large() bool { return cap(s.buf) > maxKept }

// Shrink gives up what makes a section large; it has to be reset.
func (s *Section) Shrink() {
	if s.Large() {
		s.buf = nil
	}
}

// add keeps a field if the limit allows.
func (s *Section) add(f Field) {
	size := uint64(len(f.Name)) + uint64(len(f.Value)) + fieldOverhead
	if s.TooLarge || s.Limit > 0 && uint64(s.Size)+size > uint64(s.Limit) {
		s.TooLarge = true
		return
	}
	s.Size += uint32(size)
	s.Fields = append(s.Fields, f)
}

// need makes sure that n bytes can be appended without moving what has been lent.
func (s *Section) need(n int) {
	if cap(s.buf)-len(s.buf) < n {
		s.buf = make([]byte, 0, max(2*cap(s.buf), n, 1024))
	}
}

// keep copies b, which needs no room beyond what need was asked for.
func (s *Section) keep(b []byte) string {
	s.need(len(b))
	at := len(s.buf)
	s.buf = append(s.buf, b...)
	return lend(s.buf[at:])
}

// lend makes a string of bytes that nobody changes until the section is reset.
func lend(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
