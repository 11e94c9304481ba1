package cluster

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"
)

// gone is Leftovers once the kernel has had its time: it takes networks away after the processes in them.
func gone() (err error) {
	for range 100 {
		if err = Leftovers(); err == nil {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return err
}

// Down ends the cluster of this machine, whoever has started it, and removes what one has left that was killed. There need not be any.
// sweep removes what is there while no cluster runs; a keeper does the same at its end.
func Down(ctx context.Context, sweep func() error) error {
	const patience = 45 * time.Second
	asked := 0
	for began := time.Now(); ; {
		l, err := TakeLock("make cluster-down")
		if err == nil {
			defer l.Release()
			return errors.Join(sweep(), gone())
		}
		pid, _ := holder()
		switch {
		case !errors.Is(err, ErrRunning) || pid <= 0:
			return err
		case time.Since(began) > 2*patience:
			return fmt.Errorf("%w: it does not end", err)
		case time.Since(began) > patience && asked < 2:
			asked, err = 2, syscall.Kill(pid, syscall.SIGKILL) // all that it keeps ends with it
		case asked == 0:
			asked, err = 1, syscall.Kill(pid, syscall.SIGTERM)
		default:
			err = nil
		}
		if err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("process %d, which keeps the cluster: %w", pid, err)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
