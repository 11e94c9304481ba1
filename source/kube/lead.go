package kube

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// Of a lease: how long it is good for without being renewed, how long its holder tries to renew it before it gives up, and how often.
const (
	leaseTime  = 15 * time.Second
	renewTime  = 10 * time.Second
	renewEvery = 2 * time.Second
)

// Lead runs lead while this replica, by its identity, holds the Lease of a name, again and again until ctx ends. The context that lead
// gets ends when the lease is lost, before another replica can hold it; lead has to return then. When ctx ends, or lead returns by
// itself, the lease is given back once lead has returned, so that another replica need not wait for it to expire. Lead returns nil
// when ctx has ended.
func (c *Cluster) Lead(ctx context.Context, namespace, name, identity string, lead func(context.Context)) error {
	lock := &resourcelock.LeaseLock{LeaseMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Client: c.typed.CoordinationV1(),
		LockConfig: resourcelock.ResourceLockConfig{Identity: identity}}
	for ctx.Err() == nil {
		if err := c.term(ctx, lock, lead); err != nil {
			return fmt.Errorf("leading by Lease %s/%s: %w", namespace, name, err)
		}
	}
	return nil
}

// term waits for the lease, leads while it is held, and gives it back.
func (c *Cluster) term(ctx context.Context, lock resourcelock.Interface, lead func(context.Context)) error {
	// The library gives the lease back as soon as the context that it was given ends: that must not be before lead has returned.
	held, giveBack := context.WithCancel(context.WithoutCancel(ctx))
	defer giveBack()
	t := &term{Interface: lock, done: make(chan struct{}), log: c.log}
	defer context.AfterFunc(ctx, func() {
		if !t.end() {
			giveBack()
		}
	})()
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: t, LeaseDuration: leaseTime, RenewDeadline: renewTime, RetryPeriod: renewEvery, ReleaseOnCancel: true, Name: lock.Describe(),
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(held context.Context) {
				defer giveBack()
				defer close(t.done)
				leading, stop := context.WithCancel(held)
				defer stop()
				if !t.begin(stop) {
					return
				}
				c.log.Info("leading", "lease", lock.Describe(), "identity", lock.Identity())
				defer context.AfterFunc(ctx, stop)()
				lead(leading)
			},
			OnStoppedLeading: func() {},
		},
	})
	if err != nil {
		return err
	}
	elector.Run(held)
	if t.end() {
		<-t.done
		c.log.Info("leading no more", "lease", lock.Describe(), "identity", lock.Identity())
	}
	return nil
}

// term is one time of leading, and the lock that it rests on.
type term struct {
	resourcelock.Interface
	done   chan struct{} // closed when leading is over
	holder string        // of the lease, when it was last read; of the library's goroutine
	failed bool          // the last request; of the library's goroutine
	log    *slog.Logger

	mu     sync.Mutex
	stop   func() // has the leader stop; nil: nobody has begun to lead
	closed bool   // nobody begins any more
}

// begin is false if there is no time left to lead.
func (t *term) begin(stop func()) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	t.stop = stop
	return true
}

// end lets nobody begin any more, and has who leads stop, if somebody does.
func (t *term) end() (leading bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	if t.stop != nil {
		t.stop()
	}
	return t.stop != nil
}

// Get notes who holds the lease.
func (t *term) Get(ctx context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	r, raw, err := t.Interface.Get(ctx)
	if t.holder = ""; err == nil {
		t.holder = r.HolderIdentity
	}
	if !apierrors.IsNotFound(err) {
		t.tell(err)
	}
	return r, raw, err
}

// Create makes the lease.
func (t *term) Create(ctx context.Context, r resourcelock.LeaderElectionRecord) error {
	err := t.Interface.Create(ctx, r)
	t.tell(err)
	return err
}

// tell logs the first of some requests that fail: the library tries again and again, and says nothing.
func (t *term) tell(err error) {
	if err != nil && !t.failed {
		t.log.Warn("the lease of the leader can't be read or written", "lease", t.Describe(), "error", err)
	}
	t.failed = err != nil
}

// Update gives the lease back only when nobody leads, and only if it is still held: the library, where it failed to renew the lease
// in time, does it first, and whoever may hold it by then.
func (t *term) Update(ctx context.Context, r resourcelock.LeaderElectionRecord) error {
	if r.HolderIdentity != "" {
		return t.Interface.Update(ctx, r)
	}
	if t.holder != t.Identity() {
		return fmt.Errorf("it is held by %q", t.holder)
	}
	if t.end() {
		select {
		case <-t.done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	err := t.Interface.Update(ctx, r)
	if !apierrors.IsConflict(err) {
		return err
	}
	// A renewal whose request was cut off was written all the same, or is another's by now.
	if _, _, err := t.Get(ctx); err != nil {
		return err
	}
	if t.holder != t.Identity() {
		return fmt.Errorf("it is held by %q", t.holder)
	}
	return t.Interface.Update(ctx, r)
}
