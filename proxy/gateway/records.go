package gateway

import (
	"crypto/tls"
	"net"
	"time"

	"github.com/weft-mesh/weft/wire/record"
)

// Conn is a connection whose TLS ends here.
type Conn struct {
	*tls.Conn
	records *records
}

// Read is crypto/tls's.
func (c *Conn) Read(p []byte) (n int, err error) {
	if n, err = c.Conn.Read(p); n > 0 {
		c.records.brought()
	}
	return n, err
}

// Partial says whether a record, or a message of the handshake's protocol, may have begun that is not whole. It is for who reads.
func (c *Conn) Partial() bool { return c.records.partial() }

// Rest does nothing: crypto/tls keeps what it has.
func (c *Conn) Rest() {}

// records is what crypto/tls reads from. It sees where records begin and end, and bounds how long crypto/tls waits for the rest of what has
// begun: who serves the connection cannot tell that from a caller who sends nothing, which may go on for long.
//
// Of records of TLS 1.3 it does not see what is in them. So those that have brought no data for more bytes than an honest caller has to say
// (KeyUpdate, 22 bytes each) are taken for the begin of a message: crypto/tls would hold 64 KiB of one. What hides behind data in one read is
// not seen, and no more than what crypto/tls holds of any connection that has read a long record.
type records struct {
	net.Conn
	most time.Duration
	late func() // nil: the handshake is bounded by others

	head   [record.HeaderLen]byte
	have   int // of head
	left   int // bytes of the record's body
	barren int // bytes of records since the last data
	waited time.Duration
	timer  *time.Timer // closes the connection; nil: never needed so far
}

const mostBarren = 512

// NetConn is the connection below.
func (r *records) NetConn() net.Conn { return r.Conn }

func (r *records) partial() bool { return r.have > 0 || r.barren > mostBarren }

// Read bounds the time that is spent in here. What the caller's next bytes wait for elsewhere, a slow callee say, does not count.
func (r *records) Read(p []byte) (n int, err error) {
	if r.late == nil || !r.partial() {
		n, err = r.Conn.Read(p)
		r.follow(p[:n])
		return n, err
	}
	began := time.Now()
	if left := r.most - r.waited; r.timer == nil {
		r.timer = time.AfterFunc(left, r.late)
	} else {
		r.timer.Reset(left)
	}
	n, err = r.Conn.Read(p)
	r.timer.Stop()
	r.waited += time.Since(began)
	r.follow(p[:n])
	return n, err
}

// follow takes note of bytes that come next.
func (r *records) follow(b []byte) {
	for len(b) > 0 {
		if r.have < len(r.head) {
			n := copy(r.head[r.have:], b)
			r.have, b = r.have+n, b[n:]
			r.left = int(r.head[3])<<8 | int(r.head[4]) // right as soon as the head is whole
		} else {
			n := min(r.left, len(b))
			r.left, b = r.left-n, b[n:]
		}
		if r.have == len(r.head) && r.left == 0 {
			r.ended()
		}
	}
}

// ended is the end of a record.
func (r *records) ended() {
	r.have = 0
	if r.barren += len(r.head) + int(r.head[3])<<8 + int(r.head[4]); r.barren <= mostBarren {
		r.waited = 0
	}
}

// brought says that records have brought data.
func (r *records) brought() {
	if r.barren > mostBarren && r.have == 0 {
		r.waited = 0
	}
	r.barren = 0
}
