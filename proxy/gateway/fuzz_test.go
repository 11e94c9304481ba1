package gateway

import "testing"

// FuzzRecords: however the bytes come, a record has begun and not ended where a plain reader of them all says so.
func FuzzRecords(f *testing.F) {
	f.Add([]byte{23, 3, 3, 0, 1, 42, 23, 3}, uint8(1))
	f.Add([]byte{22, 3, 1, 0, 0, 23, 3, 3, 255, 255}, uint8(7))
	f.Fuzz(func(t *testing.T, b []byte, step uint8) {
		var r records
		for i := 0; i < len(b); i += int(step) + 1 {
			r.follow(b[i:min(i+int(step)+1, len(b))])
		}
		rest, whole := b, 0
		for len(rest) >= 5 && len(rest)-5 >= int(rest[3])<<8+int(rest[4]) {
			n := 5 + int(rest[3])<<8 + int(rest[4])
			rest, whole = rest[n:], whole+n
		}
		if r.have > 0 != (len(rest) > 0) || r.barren != whole {
			t.Errorf("%d bytes of a record's header, %d of whole records, want a rest of %d, and %d", r.have, r.barren, len(rest), whole)
		}
	})
}
