package control

import (
	"context"
	"slices"
	"time"

	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/dialect"
)

// Register brings a process into the mesh, for a user of the machine.
func (c *Control) Register(r Registration, uid int) (*Workload, error) {
	w, err := c.registry.add(r, uid, time.Now())
	if err != nil {
		return nil, err
	}
	err = c.do(func() {
		c.present(w)
		c.save("workloads.json", c.registry.all())
	})
	c.opts.Log.Info("workload registered", "workload", w.Key(), "account", w.Account, "address", w.Address)
	return w, err
}

// present makes w's objects part of the configuration.
func (c *Control) present(w *Workload) { c.apply(c.model.present(w, c.registry.all()), nil) }

// Deregister takes a workload out of the mesh.
func (c *Control) Deregister(key, token string) {
	w := c.registry.get(key)
	if w == nil || !c.registry.remove(key, token) {
		return
	}
	_ = c.do(func() { c.absent(w) })
	c.opts.Log.Info("workload gone", "workload", key)
}

func (c *Control) absent(w *Workload) {
	delete(c.unheard, w.Key())
	c.apply(c.left(w))
	c.save("workloads.json", c.registry.all())
}

// left is what changes when w goes: its pod goes, and its service is what the workloads make that are left of it, unless a file
// declares it.
func (c *Control) left(w *Workload) (put []*dialect.Object, gone []dialect.Key) {
	gone = []dialect.Key{pod(w).Key()}
	switch s := c.model.service(w, c.registry.all()); {
	case s != nil:
		put = append(put, s)
	case w.Service != "" && !c.model.declared(serviceKey(w)):
		gone = append(gone, serviceKey(w))
	}
	return put, gone
}

// Drain keeps new calls from w and returns when every proxy that calls its services knows, or ctx ends. After a restart it is not
// known whom a proxy calls before that one is back.
func (c *Control) Drain(ctx context.Context, key, token string) error {
	if err := c.registry.check(key, token); err != nil {
		return err
	}
	w := c.registry.drain(key)
	if w == nil {
		return nil
	}
	var hosts []string
	if err := c.do(func() {
		if m := c.publisher.snap.Workloads.Get(key); m != nil {
			for _, svc := range c.publisher.snap.ServicesOf(m) {
				hosts = append(hosts, config.Name(config.KindService, svc.Host))
			}
		}
		c.present(w)
	}); err != nil {
		return err
	}
	return c.settled(ctx, func() bool {
		return (len(c.unheard) == 0 || len(c.unheard) == 1 && c.unheard[key]) && !slices.ContainsFunc(hosts, c.lagging)
	})
}

// lagging says whether a proxy has not yet taken in what it was last sent of a resource. It runs in the owner.
func (c *Control) lagging(name string) bool {
	for s := range c.publisher.wanted[name] {
		if s.acked(name) != s.last(name) {
			return true
		}
	}
	return false
}

// Settled returns when every proxy has taken in, or refused, all that it was sent; Refused tells them apart.
func (c *Control) Settled(ctx context.Context) error {
	return c.settled(ctx, func() bool {
		for _, of := range c.publisher.sessions {
			if slices.ContainsFunc(of, func(s *session) bool { return !s.settled() }) {
				return false
			}
		}
		return true
	})
}

// settled waits until done, asked in the owner whenever a proxy acknowledges, says so.
func (c *Control) settled(ctx context.Context, done func() bool) error {
	for {
		wait := c.nextAck()
		ok := false
		if err := c.do(func() { ok = done() }); err != nil || ok {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-wait:
		case <-c.done:
			return errStopped
		}
	}
}

func (c *Control) nextAck() <-chan struct{} {
	c.ackMu.Lock()
	defer c.ackMu.Unlock()
	if c.ackWait == nil {
		c.ackWait = make(chan struct{})
	}
	return c.ackWait
}

func (c *Control) acknowledged() {
	c.ackMu.Lock()
	defer c.ackMu.Unlock()
	if c.ackWait != nil {
		close(c.ackWait)
		c.ackWait = nil
	}
}

// expire lets go of workloads that an earlier run knew and that did not come back.
func (c *Control) expire() {
	for _, w := range c.registry.unconfirmed() {
		c.opts.Log.Warn("workload did not come back after the control plane's restart", "workload", w.Key())
		c.Deregister(w.Key(), w.Token)
	}
}
