package h1

import (
	"io"
	"time"

	"github.com/weft-mesh/weft/traffic"
	"github.com/weft-mesh/weft/wire/http1"
)

// incoming is a body that is read from a connection.
type incoming struct {
	in  *reader
	dec http1.Decoder
	err error // that stays; io.EOF at the end
}

func (b *incoming) begin(in *reader, f http1.Framing, l http1.Limits) {
	b.in, b.err = in, nil
	b.dec.Begin(f, l)
}

// next lends the next bytes, and waits for them at most until the given time (zero: for ever).
func (b *incoming) next(until time.Time) ([]byte, error) {
	for b.err == nil {
		data, n, err := b.dec.Next(b.in.bytes())
		b.in.use(n)
		switch {
		case data != nil:
			return data, nil
		case err != nil:
			b.err = err
		case n == 0:
			if err := b.wait(until); err != nil {
				return nil, err
			}
		}
	}
	return nil, b.err
}

// wait fills the reader. What may pass, an interruption or a time limit, is not kept.
func (b *incoming) wait(until time.Time) error {
	switch err := b.in.fill(until); err {
	case nil, traffic.ErrInterrupted, ErrSlow:
		return err
	case io.EOF:
		b.err = b.dec.Closed()
	default:
		b.err = err
	}
	return b.err
}

// ready says whether next would return at once.
func (b *incoming) ready() bool {
	if b.err != nil || b.dec.Ended() {
		return true
	}
	look := b.dec
	look.Trailer = nil
	data, _, err := look.Next(b.in.bytes())
	return data != nil || err != nil
}

// trailers moves the fields after the body into h, which owns them from then on.
func (b *incoming) trailers(h *traffic.Header) {
	for _, f := range b.dec.Trailer {
		h.Receive(h.Lend(f.Name), h.Lend(f.Value))
	}
	b.dec.Trailer = b.dec.Trailer[:0]
}
