// Package caller finds out what policies ask of whoever calls a workload: the labels of one that a certificate names, and the pod that has
// the address of one without. It asks the control plane, which answers once for many calls, and tells of changes.
//
// Errors are why somebody who has shown an identity may not be let in: those of Finder.Get, or that the control plane knows nothing of him.
package caller

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/traffic"
)

// Finder finds callers. All fields are required, and not changed once it is in use.
type Finder struct {
	Get    func(ctx context.Context, name string) (any, error) // a resource; nil: it does not exist
	Disown func()                                              // forgets all pods, so that they are asked for anew
	Lookup time.Duration                                       // an answer is waited for no longer
	Clock  func() time.Time

	away atomic.Int64 // since when the control plane is, in nanoseconds; 0: it is not
}

// believed is how long an address is its pod's without the control plane: pods come and go without it, and each takes an address that
// another one had.
const believed = 5 * time.Minute

// Away tells that the control plane is away, or back.
func (f *Finder) Away(away bool) {
	switch {
	case away:
		f.away.CompareAndSwap(0, f.Clock().UnixNano())
		return
	case f.stale():
		f.Disown()
	}
	f.away.Store(0)
}

// IsAway says whether the control plane is away.
func (f *Finder) IsAway() bool { return f.away.Load() != 0 }

func (f *Finder) stale() bool {
	since := f.away.Load()
	return since != 0 && f.Clock().Sub(time.Unix(0, since)) > believed
}

var errStranger = errors.New("the control plane does not know the calling workload, and a policy asks for its labels")

// Labels are those of a caller, as the control plane knows them, if any policy asks for them. Without an answer nobody is let in: a
// rule that denies by labels would not match a caller without any. Callers of other trust domains have none.
func (f *Finder) Labels(ctx context.Context, me *config.Workload, from *traffic.Peer) ([]string, error) {
	if me == nil || !me.Labelled || from.Workload == "" {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, f.Lookup)
	defer cancel()
	v, err := f.Get(ctx, config.Name(config.KindPeer, from.Workload))
	if err != nil {
		return nil, err
	}
	peer, _ := v.(*config.Peer)
	if peer == nil || peer.ID != from.ID { // another account may have an instance of that name now
		return nil, errStranger
	}
	return peer.Labels, nil
}

// unclear is the pod of whom nobody can say anything.
var unclear = &traffic.Pod{Unclear: true}

// Pod is the one that has the address of a caller without an identity, if any policy asks for it; nil: none has. While the control plane is
// away an answer that is not there is not waited for: rules for addresses outside of the cluster go on.
func (f *Finder) Pod(ctx context.Context, me *config.Workload, from *traffic.Peer) *traffic.Pod {
	switch {
	case me == nil || !me.ByAddress || !from.ID.IsZero() || !from.Addr.IsValid():
		return nil
	case f.stale():
		return unclear
	}
	wait := f.Lookup
	if f.IsAway() {
		wait = 0
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	v, err := f.Get(ctx, config.Name(config.KindPod, from.Addr.Addr().String()))
	if err != nil {
		return unclear
	}
	pod, _ := v.(*traffic.Pod)
	return pod
}

// Keep has the control plane tell of what becomes of a caller whose connection lasts, though it makes no new calls.
func (f *Finder) Keep(me *config.Workload, from *traffic.Peer) {
	now, cancel := context.WithCancel(context.Background())
	cancel()
	_, _ = f.Labels(now, me, from)
	_ = f.Pod(now, me, from)
}
