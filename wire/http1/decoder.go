package http1

import "io"

// MaxExtensions bounds the bytes of all chunk extensions of one body: they carry nothing that anyone uses, and cost as much
// as what does.
const MaxExtensions = 16 << 10

// Decoder takes a body out of the bytes of a connection.
type Decoder struct {
	// Trailer holds the fields after a chunked body once Next has returned io.EOF, lent from the bytes of that call.
	// Fields that would change how a message is framed, routed or kept alive are left out (RFC 9110 section 6.5.1).
	Trailer []Field

	limits  Limits
	framing Framing
	left    int64 // bytes of the body, or of the chunk
	ext     int   // bytes of extensions so far
	digits  uint8
	state   state
	scan    Scan
}

type state uint8

const (
	size state = iota
	space
	extension
	sizeLF
	data
	dataCR
	dataLF
	trailer
	ended
)

// Begin readies d for a body.
func (d *Decoder) Begin(f Framing, l Limits) {
	*d = Decoder{Trailer: d.Trailer[:0], framing: f, limits: l.Or(), left: f.Length}
	if f.Kind == Chunked {
		d.left = 0
	}
}

// Framing is what Begin was given.
func (d *Decoder) Framing() Framing { return d.framing }

// Left is how many bytes a Sized body still has.
func (d *Decoder) Left() int64 { return d.left }

// Next lends the first body bytes of src, and says how many bytes of src are used up. Neither: more bytes are needed, behind
// those not used. io.EOF: the body has ended within the bytes used.
func (d *Decoder) Next(src []byte) (b []byte, used int, err error) {
	switch {
	case d.Ended():
		return nil, 0, io.EOF
	case len(src) == 0:
		return nil, 0, nil
	case d.framing.Kind == Sized:
		n := int(min(d.left, int64(len(src))))
		d.left -= int64(n)
		return src[:n], n, nil
	case d.framing.Kind == Chunked:
		return d.chunked(src)
	}
	return src, len(src), nil
}

// Ended says whether the body is complete: Next would return io.EOF without more bytes.
func (d *Decoder) Ended() bool {
	switch d.framing.Kind {
	case NoBody:
		return true
	case Sized:
		return d.left == 0
	}
	return d.state == ended
}

// Closed is told that the connection has been closed by the peer: io.EOF if that ends the body.
func (d *Decoder) Closed() error {
	if d.Ended() || d.framing.Kind == UntilClose || d.framing.Kind == Tunnel {
		return io.EOF
	}
	return ErrTruncated
}

func (d *Decoder) chunked(src []byte) (b []byte, used int, err error) {
	for used < len(src) {
		switch d.state {
		case data:
			n := int(min(d.left, int64(len(src)-used)))
			if d.left -= int64(n); d.left == 0 {
				d.state = dataCR
			}
			return src[used : used+n], used + n, nil
		case trailer:
			n, err := d.trailers(src[used:])
			return nil, used + n, err
		}
		if err := d.step(src[used]); err != nil {
			return nil, used, err
		}
		used++
	}
	return nil, used, nil
}

// step takes one byte of a chunk's frame.
func (d *Decoder) step(c byte) error {
	switch d.state {
	case size:
		return d.sizeDigit(c)
	case space, extension:
		return d.extend(c)
	case sizeLF:
		if c != '\n' {
			return ErrBareCR
		}
		d.digits = 0
		if d.state = data; d.left == 0 {
			d.state = trailer
		}
	case dataCR:
		if c != '\r' {
			return ErrChunkEnd
		}
		d.state = dataLF
	case dataLF:
		if c != '\n' {
			return ErrChunkEnd
		}
		d.state = size
	}
	return nil
}

// sizeDigit takes a byte of the chunk size: at most sixteen digits, and not more than an int64 holds, so that it cannot wrap.
func (d *Decoder) sizeDigit(c byte) error {
	if v := hexValue[c]; v != 0 {
		if d.digits++; d.digits > 16 || d.left >= 1<<59 {
			return ErrChunkSize
		}
		d.left = d.left<<4 | int64(v-1)
		return nil
	}
	if d.digits == 0 {
		return ErrChunkSize
	}
	switch c {
	case '\r':
		d.state = sizeLF
		return nil
	case ';', ' ', '\t':
		return d.extend(c)
	case '\n':
		return ErrBareLF
	}
	return ErrChunkSize
}

// extend skips chunk extensions: "a recipient MUST ignore unrecognized chunk extensions" (RFC 9112 section 7.1.1). White
// space may stand before one, not instead of one.
func (d *Decoder) extend(c byte) error {
	d.ext++
	switch {
	case d.ext > MaxExtensions:
		return ErrExtensions
	case c == ';':
		d.state = extension
	case c == '\r' && d.state == extension:
		d.state = sizeLF
	case c == '\n':
		return ErrBareLF
	case d.state == extension && (c >= ' ' && c != 0x7f || c == '\t'):
	case d.state != extension && (c == ' ' || c == '\t'):
		d.state = space
	default:
		return ErrExtension
	}
	return nil
}

// trailers reads the trailer section, once all of it is there.
func (d *Decoder) trailers(src []byte) (used int, err error) {
	if src[0] == '\r' && d.scan == (Scan{}) {
		return d.noTrailers(src)
	}
	d.scan.trailer = true
	n, err := d.scan.Head(src, &d.limits)
	if n == 0 || err != nil {
		return 0, err
	}
	for i := 0; i+2 < n; {
		f, next, err := parseField(src[:n], i)
		if err != nil {
			return 0, err
		}
		if !Forbidden(f.Name) {
			d.Trailer = append(d.Trailer, f)
		}
		i = next
	}
	d.state = ended
	return n, io.EOF
}

func (d *Decoder) noTrailers(src []byte) (int, error) {
	switch {
	case len(src) < 2:
		return 0, nil
	case src[1] != '\n':
		return 0, ErrBareCR
	}
	d.state = ended
	return 2, io.EOF
}

// Forbidden says whether a field must not stand in a trailer section (RFC 9110 section 6.5.1).
func Forbidden(name string) bool {
	switch name {
	case "content-length", "transfer-encoding", "host", "connection", "keep-alive", "proxy-connection", "te", "upgrade",
		"trailer", "expect", "authorization", "proxy-authorization", "cookie", "set-cookie", "content-encoding",
		"content-type", "content-range", "cache-control", "max-forwards":
		return true
	}
	return false
}
