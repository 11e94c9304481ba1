package tls13

import (
	"errors"
	"net"
	"os"
	"sync"

	"github.com/weft-mesh/weft/proxy/buffer"
	"github.com/weft-mesh/weft/wire/record"
)

// out is what is written.
type out struct {
	mu  sync.Mutex
	key record.Key
	err error // nothing more is written
}

const (
	batch   = 64 << 10                  // bytes of records for one system call
	content = batch/4 - record.Overhead // of each: four fill a batch
	control = record.Overhead + 5       // a KeyUpdate, and more than an alert
)

var errLate = errors.New("tls: a write has failed by its deadline, and nothing can follow it")

// Write seals p and writes it.
func (c *Conn) Write(p []byte) (n int, err error) {
	o := &c.out
	o.mu.Lock()
	defer o.mu.Unlock()
	for n < len(p) {
		m := min(len(p)-n, 4*content)
		if err := o.write(c.Conn, p[n:n+m], c.asked.Swap(false)); err != nil {
			return n, err
		}
		n += m
	}
	return n, nil
}

// write writes a batch at most, after a KeyUpdate if one is due (RFC 8446 section 4.6.3).
func (o *out) write(to net.Conn, p []byte, update bool) (err error) {
	if o.err != nil {
		return o.err
	}
	b := buffer.Get(len(p) + (len(p)+content-1)/content*record.Overhead)
	if update || o.key.Worn() {
		b, err = o.update(buffer.Grow(b, cap(b)+control))
	}
	for len(p) > 0 && err == nil {
		n := min(len(p), content)
		b, err = o.key.Seal(b, record.Application, p[:n])
		p = p[n:]
	}
	return o.flush(to, b, err)
}

// update seals a KeyUpdate and goes on with the next key.
func (o *out) update(b []byte) ([]byte, error) {
	b, err := o.key.Seal(b, record.Handshake, record.AppendKeyUpdate(nil))
	if err != nil {
		return b, err
	}
	return b, o.key.Update()
}

// alert writes an alert.
func (o *out) alert(to net.Conn, a record.Alert) error {
	b, err := o.key.Seal(buffer.Get(control), record.AlertType, record.AppendAlert(nil, a))
	return o.flush(to, b, err)
}

// flush writes records, unless sealing them has failed, and gives their buffer back. Part of a record may be out after an error.
func (o *out) flush(to net.Conn, b []byte, err error) error {
	if err == nil {
		_, err = to.Write(b)
	}
	buffer.Put(b)
	if err != nil {
		o.end(err)
	}
	return err
}

// end has nothing more be written.
func (o *out) end(err error) {
	if errors.Is(err, os.ErrDeadlineExceeded) { // a later deadline would not help
		err = errLate
	}
	if o.err == nil {
		o.err = err
	}
	o.key.Forget()
}
