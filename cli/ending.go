package cli

import (
	"context"
	"fmt"
	"syscall"
	"time"
)

// ending is a workload's way to its end, by events: first its callers hear that they are to make no more calls to it, then its proxy
// lets none through and says when the application has answered those that it has, and only then is the application told. A call that
// comes late, by whatever time, finds a proxy that refuses it so that it is made again elsewhere; it never meets the end of a
// connection of the application's.
type ending struct {
	signal syscall.Signal   // for the application; 0: it was told
	heard  <-chan error     // gets a word when the callers have heard
	late   <-chan time.Time // the proxy takes too long
}

// Bounds of the end.
const (
	drainWait = 5 * time.Second  // for callers to hear of it
	leaveWait = 10 * time.Second // for the proxy, which lets calls under way have 5 s (launch.Config.Drain)
	// onTheWay is for calls that callers had begun to send when they heard. Nothing is lost without: those would be refused, and made
	// again if their policy lets them.
	onTheWay = 250 * time.Millisecond
)

// waits are what the end is waiting for.
func (e *ending) waits() (heard <-chan error, late <-chan time.Time) {
	if e == nil {
		return nil, nil
	}
	return e.heard, e.late
}

// signalled passes a signal on to the application, one that is to end it after all has been made ready. Who asks again does not wait.
func (w *workload) signalled(ctx context.Context, s syscall.Signal) {
	if s != syscall.SIGTERM && s != syscall.SIGINT || w.end != nil {
		w.signalApp(s)
		return
	}
	heard := make(chan error, 1)
	w.end = &ending{signal: s, heard: heard}
	go func() {
		ctx, cancel := context.WithTimeout(ctx, drainWait)
		defer cancel()
		err := w.member.drain(ctx)
		select {
		case <-time.After(onTheWay):
		case <-ctx.Done():
		}
		heard <- err
	}()
}

// leave has the proxy let no more calls through: the callers have heard, or err says why not.
func (w *workload) leave(err error) {
	if err != nil {
		fmt.Fprintln(w.errs, "weft run: the mesh may still call the workload while it ends:", err)
	}
	w.end.heard, w.end.late = nil, time.After(leaveWait)
	w.proxies.leave()
}

// endApp tells the application to end, once. despite is what is not as it should be.
func (w *workload) endApp(despite string) {
	if w.end == nil || w.end.signal == 0 {
		return
	}
	if despite != "" {
		fmt.Fprintln(w.errs, "weft run: the application is told to end, though", despite)
	}
	w.signalApp(w.end.signal)
	w.end.signal, w.end.late = 0, nil
}
