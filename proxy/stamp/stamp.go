// Package stamp is what proxies add to heads that lack it, an id to requests and a date to answers, to those between them, and to answers of
// their own: why they are given. Of what others answered it allocates nothing in the steady state.
package stamp

import (
	"encoding/binary"
	"encoding/hex"
	"sync/atomic"
	"time"

	"github.com/weft-mesh/weft/traffic"
)

// Identify gives a request an id, unless it has one: it is what a person looks for in the records of all proxies on its way. It is no
// secret, so lots are random enough.
func Identify(h *traffic.Header, draw func() uint64) {
	if _, ok := h.Get("x-request-id"); ok {
		return
	}
	var id [16]byte
	var s [36]byte
	binary.NativeEndian.PutUint64(id[:8], draw())
	binary.NativeEndian.PutUint64(id[8:], draw())
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80 // a random UUID (RFC 9562 section 5.4)
	hex.Encode(s[:], id[:4])
	for i, at := range [...]int{9, 14, 19, 24} {
		s[at-1] = '-'
		hex.Encode(s[at:], id[4+2*i:6+2*i])
	}
	hex.Encode(s[24:], id[10:])
	h.Add("x-request-id", h.LendBytes(s[:]))
}

// Dates is the text of the latest second that an answer was dated with. Its zero value is ready; it may be used by several goroutines.
type Dates struct{ last atomic.Pointer[dated] }

type dated struct {
	second int64
	text   string
}

// Add dates an answer that has no date: a recipient with a clock "MUST record the time it was received and append a corresponding
// Date header field" when it forwards it (RFC 9110 section 6.6.1).
func (d *Dates) Add(r *traffic.Response, now func() time.Time) {
	if _, ok := r.Header.Get("date"); ok || r.Status < 200 {
		return
	}
	t := now()
	x := d.last.Load()
	if x == nil || x.second != t.Unix() {
		x = &dated{t.Unix(), t.UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT")}
		d.last.Store(x)
	}
	r.Header.Add("date", x.text)
}
