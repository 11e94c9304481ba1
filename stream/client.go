package stream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// ErrMoved is what Recv returns where the control plane has ended the stream in good order: another replica, or this one again, takes
// the proxy from here on.
var ErrMoved = errors.New("the control plane asks to connect again")

// Transport carries whole messages both ways; Recv fails once Close was called.
type Transport interface {
	Send([]byte) error
	Recv() ([]byte, error)
	Close() error
}

// Update is what came of one resource; a nil Body: there is none.
type Update struct {
	Name string
	Body []byte
}

// Client keeps a proxy's subscriptions alive over reconnections.
type Client struct {
	// Hello is asked for what to send first on each connection. An error is why nothing can be sent now; it is asked again.
	Hello func() (Hello, error)
	// Dial opens a connection to the control plane.
	Dial func(context.Context) (Transport, error)
	// Apply takes updates into use, in one goroutine; it returns why it refused some, by name.
	Apply func([]Update) map[string]error
	// Status hears of connections coming (nil) and going, and why none can be made, once each; it may be nil.
	Status func(error)

	mu     sync.Mutex
	wanted map[string]*held
	conn   Transport
}

// held is what is held of a resource as long as it is wanted: one that is wanted again is another one.
type held struct{ version uint64 } // that is in use; 0: none yet

// Pauses between attempts to connect: from the first to the last, doubling, so that a control plane that comes back finds its
// proxies back within two seconds.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = 2 * time.Second
)

// Run connects, and reconnects, until ctx ends.
func (c *Client) Run(ctx context.Context) error {
	pause := firstPause
	for told := ""; ctx.Err() == nil; {
		start := time.Now()
		stood, err := c.session(ctx)
		moved := stood && errors.Is(err, ErrMoved) // which is nothing to tell
		if c.Status != nil && ctx.Err() == nil && !moved && (stood || err.Error() != told) {
			c.Status(err)
		}
		told = err.Error()
		if moved || time.Since(start) > lastPause {
			pause = firstPause
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, lastPause)
	}
	return ctx.Err()
}

// session is one connection, from its beginning to its end. stood: the control plane has let this proxy in.
func (c *Client) session(ctx context.Context) (stood bool, err error) {
	t, err := c.Dial(ctx)
	if err != nil {
		return false, fmt.Errorf("stream: connect to the control plane (is the control plane running?): %w", err)
	}
	defer context.AfterFunc(ctx, func() { t.Close() })()
	defer t.Close()
	if err := c.begin(t); err != nil {
		return false, err
	}
	defer c.end(t)
	for {
		b, err := t.Recv()
		if err != nil {
			return stood, fmt.Errorf("stream: the control plane has gone: %w", err)
		}
		if !stood && c.Status != nil {
			c.Status(nil)
		}
		stood = true
		if err := c.take(t, b); err != nil {
			return true, err
		}
	}
}

// begin says hello, and all that is wanted with what is held of it.
func (c *Client) begin(t Transport) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	hello, err := c.Hello()
	if err != nil {
		return fmt.Errorf("stream: %w", err)
	}
	up := Up{Hello: &hello}
	for _, name := range slices.Sorted(maps.Keys(c.wanted)) {
		up.Subscribe = append(up.Subscribe, Want{name, c.wanted[name].version})
	}
	c.conn = t
	return t.Send(Marshal(&up))
}

func (c *Client) end(t Transport) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == t {
		c.conn = nil
	}
}

func (c *Client) take(t Transport, b []byte) error {
	var down Down
	if err := Unmarshal(b, &down); err != nil {
		return fmt.Errorf("stream: the control plane sent what this proxy cannot read: %w", err)
	}
	var updates []Update
	for _, r := range down.Resources {
		u := Update{Name: r.Name}
		if !r.Gone {
			u.Body = append([]byte{}, r.Body...)
		}
		updates = append(updates, u)
	}
	if down.Nonce == 0 { // a greeting
		return nil
	}
	before := c.holds(updates)
	refused := c.Apply(updates)
	up := Up{Ack: down.Nonce}
	for _, name := range slices.Sorted(maps.Keys(refused)) {
		up.Refused = append(up.Refused, Nack{name, refused[name].Error()})
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, r := range down.Resources {
		if h := before[i]; h != nil && refused[r.Name] == nil {
			h.version = r.Version
		}
	}
	return t.Send(Marshal(&up))
}

// holds is what is held of resources before they are applied. Who drops one and wants it again meanwhile may have forgotten what was applied,
// and is to get it once more: to say on the next connection that it is there would be to wait for it until it changes.
func (c *Client) holds(updates []Update) (out []*held) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, u := range updates {
		out = append(out, c.wanted[u.Name])
	}
	return out
}

// Want subscribes to resources; those already wanted are left alone.
func (c *Client) Want(names ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var up Up
	for _, n := range names {
		if _, old := c.wanted[n]; !old {
			c.hold(n, 0)
			up.Subscribe = append(up.Subscribe, Want{Name: n})
		}
	}
	c.send(&up, len(up.Subscribe))
}

// Restore says that a resource is held already, from disk say, before Run.
func (c *Client) Restore(name string, body []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hold(name, VersionOf(body))
}

// hold needs the lock.
func (c *Client) hold(name string, version uint64) {
	if c.wanted == nil {
		c.wanted = map[string]*held{}
	}
	c.wanted[name] = &held{version}
}

// Drop unsubscribes.
func (c *Client) Drop(names ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var up Up
	for _, n := range names {
		if _, old := c.wanted[n]; old {
			delete(c.wanted, n)
			up.Unsubscribe = append(up.Unsubscribe, n)
		}
	}
	c.send(&up, len(up.Unsubscribe))
}

// Rests tells on which root the certificate in use rests: until all have told, no root can be retired.
func (c *Client) Rests(root []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.send(&Up{Root: root}, len(root))
}

// send: a failure shows in Recv, and all is said again on the next connection.
func (c *Client) send(up *Up, n int) {
	if n > 0 && c.conn != nil {
		_ = c.conn.Send(Marshal(up))
	}
}

// Connected says whether a connection stands.
func (c *Client) Connected() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.conn != nil
}
