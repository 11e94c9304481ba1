package tls13

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"

	"github.com/weft-mesh/weft/proxy/buffer"
	"github.com/weft-mesh/weft/wire/record"
)

// in is what is read.
type in struct {
	mu       sync.Mutex
	client   bool
	key      record.Key
	messages record.Messages
	useless  int    // records without data, one after the other
	raw      []byte // what was read and is not opened yet stands in here, from from on; nil: nothing is there
	from     int
	plain    []byte // what was opened in raw and is not read yet
	err      error  // nothing more is read
}

// mostUseless is as in crypto/tls.
const mostUseless = 16

// Read reads the content of as many records as are there and fit.
func (c *Conn) Read(p []byte) (n int, err error) {
	i := &c.in
	i.mu.Lock()
	defer i.mu.Unlock()
	for len(p) > 0 {
		switch {
		case len(i.plain) > 0:
			n = copy(p, i.plain)
			i.plain = i.plain[n:]
			i.settle()
		case i.err != nil:
			i.end(i.err)
			return 0, i.err
		default:
			n, err = i.next(c, p)
		}
		if err != nil && i.err != nil {
			i.end(i.err)
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
	return 0, nil
}

// next brings content into p, if that is long enough for a record, or into plain.
func (i *in) next(c *Conn, p []byte) (n int, err error) {
	held := i.raw[i.from:]
	size, err := record.Size(held)
	switch {
	case err != nil:
		i.fail(c, err)
		return 0, nil
	case size > 0 && size <= len(held):
		i.from += size
		i.plain = i.open(c, held[:size])
		i.settle()
		return 0, nil
	case max(size, record.HeaderLen) <= len(p):
		return i.within(c, p)
	}
	return 0, i.beside(c, max(size, record.HeaderLen))
}

// beside reads into a buffer of its own, with room for a record of that size.
func (i *in) beside(c *Conn, size int) error {
	held := i.raw[i.from:]
	if cap(i.raw) < size {
		b := append(buffer.Get(size), held...)
		i.give()
		i.raw = b
	} else {
		i.raw = i.raw[:copy(i.raw[:cap(i.raw)], held)]
	}
	i.from = 0
	n, err := c.Conn.Read(i.raw[len(i.raw):cap(i.raw)])
	i.raw = i.raw[:len(i.raw)+n]
	i.settle() // it waited for nothing
	return i.failed(n, len(i.raw), err)
}

// within reads into p until a record is whole there, and opens all that are.
func (i *in) within(c *Conn, p []byte) (n int, err error) {
	have, size := copy(p, i.raw[i.from:]), 0
	i.give()
	for size == 0 || have < size {
		got, rerr := c.Conn.Read(p[have:])
		have += got
		if err := i.failed(got, have, rerr); err != nil {
			i.keep(p[:have])
			return 0, err
		}
		size, err = record.Size(p[:have])
		if err != nil || size > len(p) { // next says what then
			i.keep(p[:have])
			return 0, nil
		}
	}
	from := 0
	for size > 0 && size <= have-from && i.err == nil {
		n += copy(p[n:], i.open(c, p[from:from+size]))
		from += size
		size, err = record.Size(p[from:have])
		if err != nil {
			break
		}
	}
	if i.err == nil {
		i.keep(p[from:have])
	}
	return n, nil
}

// failed says whether reading has, of which an end between two records is the peer's right.
func (i *in) failed(n, have int, err error) error {
	switch {
	case n > 0 || err == nil:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded): // it may be moved
		return err
	case err == io.EOF && have > 0:
		err = io.ErrUnexpectedEOF
	}
	i.err = err
	return err
}

// open opens a record where it stands, acts on it, and returns its content if that is data.
func (i *in) open(c *Conn, r []byte) []byte {
	typ, content, err := i.key.Open(r)
	if err == nil && typ == record.Application && len(content) > 0 && !i.messages.Partial() {
		i.useless = 0
		return content
	}
	if err == nil {
		err = i.control(c, typ, content)
	}
	if err != nil {
		i.fail(c, err)
	}
	return nil
}

// control takes what is no data.
func (i *in) control(c *Conn, typ byte, content []byte) error {
	i.useless++
	switch {
	case typ != record.Handshake && i.messages.Partial(): // RFC 8446 section 5.1
		return &record.Error{Alert: record.UnexpectedMessage, Reason: "a record in the middle of a handshake message"}
	case i.useless > mostUseless:
		return &record.Error{Alert: record.UnexpectedMessage, Reason: "too many records without data"}
	case typ == record.Handshake:
		return i.handshake(c, content)
	case typ == record.AlertType:
		return alert(content)
	case typ != record.Application:
		return &record.Error{Alert: record.UnexpectedMessage, Reason: "a record of a type that has no place here"}
	}
	return nil
}

func (i *in) handshake(c *Conn, content []byte) error {
	u, err := i.messages.Read(content, i.client)
	if err != nil || u == record.NoUpdate {
		return err
	}
	if u == record.UpdateRequested {
		c.asked.Store(true)
	}
	return i.key.Update()
}

// alert is the error that an alert is, which of those that are none is io.EOF or nil (RFC 8446 section 6).
func alert(content []byte) error {
	switch a, err := record.ParseAlert(content); {
	case err != nil:
		return err
	case a == record.CloseNotify:
		return io.EOF
	case a == record.UserCanceled: // a handshake's, which some send before close_notify
		return nil
	default:
		return &net.OpError{Op: "remote error", Err: a}
	}
}

// fail ends reading, and writing but for a peer that has only said that it writes no more.
func (i *in) fail(c *Conn, err error) {
	if i.err = err; err != io.EOF {
		c.breach(err)
	}
}

// keep holds on to what is not opened yet.
func (i *in) keep(b []byte) {
	if len(b) > 0 {
		i.raw, i.from = append(buffer.Get(len(b)), b...), 0
	}
}

// settle gives the buffer back once all that was in it is read.
func (i *in) settle() {
	if len(i.plain) == 0 && i.from == len(i.raw) {
		i.give()
	}
}

func (i *in) give() {
	if i.raw != nil {
		buffer.Put(i.raw)
	}
	i.raw, i.from, i.plain = nil, 0, nil
}

// end has nothing more be read.
func (i *in) end(err error) {
	if i.err == nil {
		i.err = err
	}
	i.give()
	i.key.Forget()
}
