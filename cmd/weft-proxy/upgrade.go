package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/proxy/launch"
	"github.com/weft-mesh/weft/proxy/upgrade"
)

// Bounds of an upgrade.
const (
	successorTime = 30 * time.Second // for the new process to serve
	countEvery    = time.Second      // what an old process that is killed takes with it at most
)

// handover is this process' part in upgrades: as the one whose place another takes, and before as the one that took another's.
type handover struct {
	starter *upgrade.Starter
	busy    sync.Mutex         // held while a new process is tried, and for good when it serves
	next    *upgrade.Successor // nil: none serves
	done    chan time.Duration // gets the limit when it does
	older   sync.WaitGroup     // until the process before has told all that it counted
}

// takeOver takes the place of another process. What goes wrong before this one serves is told to that one, which goes on.
func takeOver(c *launch.Config) error {
	old, legacy, err := upgrade.Take(os.NewFile(uintptr(c.TakeOver), "conversation"))
	var s *server
	if err == nil {
		s, err = inherit(c, legacy)
	}
	if err != nil {
		if old != nil {
			old.Fail(err)
		}
		return fmt.Errorf("take over: %w", err)
	}
	defer s.close()
	s.run(func() {
		s.owner.Store(true)
		if err := errors.Join(s.move.starter.Serving(), old.Serves()); err != nil {
			s.log.Warn("the process before, or whoever started it, is gone already", "error", err)
		}
		s.move.older.Go(func() { s.takeCounts(old) })
	})
	return nil
}

// inherit makes a proxy of what another leaves, and checks it.
func inherit(c *launch.Config, l *upgrade.Legacy) (*server, error) {
	full, err := c.Again(l.Config)
	if err != nil {
		return nil, err
	}
	s, err := newServer(full, &descriptors{fds: l.FDs, passed: true}, append([]byte{}, l.State...)) // none is no reason to look elsewhere
	if err != nil {
		return nil, err
	}
	if err := s.proxy.Ready(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// counted is what one process tells the other.
type counted struct {
	Since   int64  `pb:"1"` // Unix time in nanoseconds
	Metrics []byte `pb:"2"`
	Stats   []byte `pb:"3"`
}

// takeCounts adds what the process before counts until its end. Nobody asks for numbers before its first word: they would seem to
// go back.
func (s *server) takeCounts(old *upgrade.Predecessor) {
	var asked sync.Once
	answer := func() {
		if err := s.serveAdmin(); err != nil {
			s.log.Error("nobody can ask about this process", "error", err)
		}
	}
	err := old.Counts(func(b []byte) {
		var c counted
		err := config.Parse(b, &c)
		if err == nil {
			err = errors.Join(s.registry.Add(c.Metrics), s.table.Add(c.Stats, time.Now()))
		}
		if err != nil {
			s.log.Warn("counts of the process before are lost", "error", err)
		}
		asked.Do(func() {
			if c.Since != 0 {
				s.since.Store(c.Since)
			}
			answer()
		})
	})
	if err != nil {
		s.log.Warn("counts of the process before are lost", "error", err)
	}
	asked.Do(answer)
}

var errUpgrading = errors.New("another process is about to take this one's place, or has")

// upgrade has a new process take this one's place, and returns when that one serves and is asked instead. limit is how long
// connections may go on here after that; 0: as long as usual.
func (s *server) upgrade(limit time.Duration) error {
	if !s.move.busy.TryLock() {
		s.log.Warn("no upgrade", "error", errUpgrading)
		return errUpgrading
	}
	if err := s.handOver(); err != nil {
		s.move.busy.Unlock()
		s.log.Error("the upgrade failed, and this process goes on", "error", err)
		return err
	}
	limit = cmp.Or(limit, upgrade.Limit)
	s.log.Info("another process has taken over; this one ends with its last connection", "limit", limit)
	s.move.done <- limit
	return nil
}

func (s *server) handOver() error {
	if s.c.Gateway != "" {
		return errors.New("the ports of a gateway cannot be handed over to another process; end this one and start it again")
	}
	if err := s.proxy.Ready(); err != nil {
		return fmt.Errorf("this process is not ready itself: %w", err)
	}
	c, err := json.Marshal(s.c)
	if err != nil {
		return err
	}
	next, err := s.move.starter.Start()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), successorTime)
	defer cancel()
	if err := next.Await(ctx, &upgrade.Legacy{Config: c, State: s.proxy.State(), FDs: s.fds.fds}); err != nil {
		next.Close()
		return errors.Join(err, s.move.starter.GiveUp())
	}
	s.owner.Store(false)
	s.proxy.Yield()
	if err := s.move.starter.HandedOver(); err != nil {
		s.log.Warn("whoever started this process does not hear that another has taken over", "error", err)
	}
	s.move.next = next
	s.tellCounts()
	return nil
}

// tellCounts hands on what was counted since the last time.
func (s *server) tellCounts() {
	c := counted{Since: s.since.Load(), Metrics: s.registry.Move(), Stats: s.table.Move()}
	if err := s.move.next.Count(config.Append(nil, &c)); err != nil {
		s.warn(fmt.Errorf("the new process does not hear what this one has counted: %w", err))
	}
}

// settle lets connections end that are this process' own, and tells what they count meanwhile. Signals are for the workload as a
// whole: then they end as in stop.
func (s *server) settle(ctx context.Context, signals <-chan os.Signal, limit time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	settled := make(chan struct{})
	go func() {
		defer close(settled)
		s.proxy.Settle(ctx)
		s.move.older.Wait() // its counts go on by way of this process
	}()
	gone := s.gone()
	tick := time.NewTicker(countEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.tellCounts()
		case <-settled:
			return
		case <-gone:
			s.stop(ctx, signals, false)
			return
		case <-signals:
			s.stop(ctx, signals, true)
			return
		}
	}
}

// finish tells the rest, when nothing counts any more.
func (h *handover) finish(s *server) {
	if h.next != nil {
		s.tellCounts()
		h.next.Close()
	}
}
