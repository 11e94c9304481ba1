package meshtest

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"
)

// order is what the test asks of the application.
type order struct {
	status int
	takes  time.Duration
	hold   <-chan struct{} // it answers when this is closed; nil: at once
}

// calls are those under way, by request id.
type calls struct {
	mu     sync.Mutex
	next   int
	orders map[string]order
	saw    map[string][]seen
	more   chan struct{} // closed and made anew whenever an application sees a call
	tcp    int           // TCP calls under way
}

func (c *calls) begin(o order) (id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.orders == nil {
		c.orders, c.saw = map[string]order{}, map[string][]seen{}
	}
	c.next++
	id = fmt.Sprintf("call-%d", c.next)
	c.orders[id] = o
	return id
}

// arrived notes what an application saw, and returns what it is to do.
func (c *calls) arrived(id string, s seen) order {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.saw == nil {
		c.saw = map[string][]seen{}
	}
	c.saw[id] = append(c.saw[id], s)
	if c.more != nil {
		close(c.more)
		c.more = nil
	}
	o, ok := c.orders[id]
	if !ok {
		o.status = http.StatusOK
	}
	return o
}

// of returns what was seen of a call, and what is closed when there is more.
func (c *calls) of(id string) ([]seen, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.more == nil {
		c.more = make(chan struct{})
	}
	return slices.Clone(c.saw[id]), c.more
}

func (c *calls) opaque() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tcp > 0
}

func (c *calls) tcpCalls(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tcp += n
	delete(c.saw, "")
}
