package tls13

import (
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/weft-mesh/weft/identity/cert"
	"github.com/weft-mesh/weft/wire/record"
)

// Conn is one end of a connection. Reads, and writes, are for as many goroutines as like to.
type Conn struct {
	net.Conn // below
	in       in
	out      out
	asked    atomic.Bool // the peer wants a KeyUpdate
}

// Take carries on what c has begun; c must not be used any more, and is closed after an error. Connections that package record is not for stay
// with crypto/tls.
func Take(c *cert.Conn) (net.Conn, error) {
	n := &Conn{}
	raw, err := c.Keys(&n.in.key, &n.out.key)
	switch {
	case errors.Is(err, record.ErrUnsupported):
		return c, nil
	case err != nil:
		c.Close()
		return nil, err
	}
	n.Conn, n.in.client = raw, c.Client()
	return n, nil
}

// Format prints who is connected, and none of the keys.
func (c *Conn) Format(f fmt.State, _ rune) { _, _ = fmt.Fprintf(f, "TLS with %v", c.RemoteAddr()) }

// NetConn is the connection below.
func (c *Conn) NetConn() net.Conn { return c.Conn }

// Rest lets go of the ciphers, which the next record has made anew. It is for connections that nothing is read from or written to just now.
func (c *Conn) Rest() {
	if c.in.mu.TryLock() {
		c.in.key.Rest()
		c.in.mu.Unlock()
	}
	if c.out.mu.TryLock() {
		c.out.key.Rest()
		c.out.mu.Unlock()
	}
}

// Partial says whether a record has begun that is not whole: what there is of it takes memory. It is for who reads.
func (c *Conn) Partial() bool {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	return c.in.from < len(c.in.raw)
}

// CloseWrite says that nothing more is written. The connection below stays as it is.
func (c *Conn) CloseWrite() error {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	return c.notify()
}

// Close says so too, unless a write is under way, and closes the connection below.
func (c *Conn) Close() error {
	if c.out.mu.TryLock() {
		_ = c.notify() // the connection ends with or without it
		c.out.mu.Unlock()
	}
	err := c.Conn.Close()
	if c.in.mu.TryLock() { // else whoever reads finds it closed
		c.in.end(net.ErrClosed)
		c.in.mu.Unlock()
	}
	return err
}

// lastWords is how long an alert may take.
const lastWords = time.Second

// errShut is what is written after the end.
var errShut = fmt.Errorf("tls: nothing may be written after close_notify: %w", net.ErrClosed)

// notify sends close_notify, once. It needs the lock of out.
func (c *Conn) notify() error {
	if c.out.err == errShut {
		return nil
	}
	return c.say(record.CloseNotify, errShut)
}

// breach ends the connection because of what the peer did, and tells it why if that was against the protocol.
func (c *Conn) breach(why error) {
	c.bound() // a write that is in the way too
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	var remote *net.OpError
	if errors.As(why, &remote) { // an alert ends both directions, and is not answered
		c.out.end(why)
		return
	}
	a := record.InternalError
	if e, ok := errors.AsType[*record.Error](why); ok {
		a = e.Alert
	}
	_ = c.say(a, why) // the connection ends with or without it
}

// say sends an alert, after which nothing is written. It needs the lock of out.
func (c *Conn) say(a record.Alert, why error) error {
	if c.out.err != nil {
		return c.out.err
	}
	c.bound()
	err := c.out.alert(c.Conn, a)
	c.out.end(why)
	return err
}

// bound lets writes take no longer than lastWords from now on. That it was closed shows with the write.
func (c *Conn) bound() { _ = c.Conn.SetWriteDeadline(time.Now().Add(lastWords)) }
