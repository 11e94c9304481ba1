package serve

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// quiet is how long a connection without a protocol of its own stays silent before a draining server takes it as
// finished: nothing in plain TCP says so.
const quiet = time.Second

// Conns keeps the connections that no http.Server looks after: plain TCP, and those taken over by an upgrade.
// The zero value is ready.
type Conns struct {
	draining atomic.Bool
	mu       sync.Mutex
	held     int
	open     map[*Conn]struct{}
	empty    chan struct{} // what Drain waits for; nil before
}

// Conn is a connection kept by [Conns]; a Read fails with os.ErrDeadlineExceeded when the server drains and the peer
// has been silent for a second.
type Conn struct {
	net.Conn
	owner *Conns
}

// Hold announces a connection that will be kept in a moment, so that Drain doesn't end in between; release withdraws
// the announcement.
func (c *Conns) Hold() (release func()) {
	c.mu.Lock()
	c.held++
	c.mu.Unlock()
	return func() { c.leave(func() { c.held-- }) }
}

// Keep adds a connection; it leaves with its Close.
func (c *Conns) Keep(conn net.Conn) *Conn {
	k := &Conn{Conn: conn, owner: c}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == nil {
		c.open = make(map[*Conn]struct{})
	}
	c.open[k] = struct{}{}
	return k
}

// Read reads from the connection.
func (c *Conn) Read(b []byte) (int, error) {
	// Quiesce sets the flag first and then the deadline of every open connection, so a Read that misses the flag still
	// gets the deadline.
	if c.owner.draining.Load() {
		c.SetReadDeadline(time.Now().Add(quiet))
	}
	return c.Conn.Read(b)
}

// CloseWrite ends the sending half when the connection has halves.
func (c *Conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Close closes the connection and lets its keeper forget it.
func (c *Conn) Close() error {
	err := c.Conn.Close()
	c.owner.leave(func() { delete(c.owner.open, c) })
	return err
}

// Quiesce gives every connection, also those to come, a second of silence before its reads fail.
func (c *Conns) Quiesce() {
	c.draining.Store(true)
	c.mu.Lock()
	defer c.mu.Unlock()
	for k := range c.open {
		k.SetReadDeadline(time.Now().Add(quiet))
	}
}

// Drain quiesces and waits until every connection has ended. Connections open when ctx ends are cut, and that is an
// error. Nothing may be kept any more that was not held or kept before.
func (c *Conns) Drain(ctx context.Context) error {
	c.Quiesce()
	empty := make(chan struct{})
	c.leave(func() { c.empty = empty })
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("drain: %d connections still in use were cut: %w", c.cut(), ctx.Err())
	}
}

// leave makes a change that may leave nothing open, and tells Drain so.
func (c *Conns) leave(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
	if c.empty != nil && c.held == 0 && len(c.open) == 0 {
		close(c.empty)
		c.empty = nil
	}
}

func (c *Conns) cut() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k := range c.open {
		k.Conn.Close()
	}
	return len(c.open)
}
