package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// run serves until a signal, the end of the sandbox, or until another process has taken over, and lets what it has end then. begun
// is called once connections are accepted.
func (s *server) run(begun func()) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	signals, upgrade := make(chan os.Signal, 2), make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	signal.Notify(upgrade, syscall.SIGUSR2)
	ended := make(chan error, 2)
	go func() { ended <- s.client.Run(ctx) }()
	go func() { ended <- s.proxy.Run(ctx) }()
	go s.tellReady(ctx)
	go trim(ctx)
	go govern(ctx)
	go s.room.Watch(ctx)
	go s.move.starter.Orders(func() { s.leave(ctx) })
	begun()
	s.live(ctx, signals, upgrade)
	cancel()
	<-ended
	<-ended
	s.move.finish(s)
}

// live returns when what the process had has ended, or was cut.
func (s *server) live(ctx context.Context, signals, upgrade <-chan os.Signal) {
	for {
		select {
		case <-signals:
			s.stop(ctx, signals, true)
			return
		case <-s.drain:
			s.stop(ctx, signals, false)
			return
		case <-s.gone():
			s.stop(ctx, signals, false)
			return
		case <-upgrade:
			go func() { _ = s.upgrade(0) }() // it logs what goes wrong
		case limit := <-s.move.done:
			s.settle(ctx, signals, limit)
			return
		}
	}
}

// stop lets calls under way end, as long as they may. signalled: by a signal, so that the next one does not wait.
func (s *server) stop(ctx context.Context, signals <-chan os.Signal, signalled bool) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(s.c.Drain)*time.Second)
	defer cancel()
	go func() {
		for first := !signalled; ; first = false {
			select {
			case <-signals:
			case <-ctx.Done():
				return
			}
			if !first {
				cancel()
			}
		}
	}()
	if err := s.proxy.Drain(ctx); err != nil {
		s.log.Warn("calls were cut at the end", "error", err)
	}
}

// leave keeps the application from being called, as long as calls under way may take, so that it may be told to end.
func (s *server) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(s.c.Drain)*time.Second)
	defer cancel()
	if err := s.proxy.Leave(ctx); err != nil {
		s.log.Warn("the application is told to end while it has calls to answer", "after", time.Duration(s.c.Drain)*time.Second)
	}
	if err := s.move.starter.Left(); err != nil {
		s.log.Warn("whoever started this process does not hear that nothing comes to the application any more", "error", err)
	}
}

// gone is closed when the sandbox has ended: its listeners would be kept by a proxy that lives on.
func (s *server) gone() <-chan struct{} {
	if s.doors == nil {
		return nil
	}
	return s.doors.App.Gone()
}

// tellReady writes a line once calls can be served.
func (s *server) tellReady(ctx context.Context) {
	if s.c.Ready <= 0 {
		return
	}
	f := os.NewFile(uintptr(s.c.Ready), "ready")
	defer f.Close()
	for s.proxy.Ready() != nil {
		select {
		case <-ctx.Done():
			return
		case <-time.After(5 * time.Millisecond):
		}
	}
	_, _ = f.WriteString("ready\n")
}

func (s *server) close() {
	if s.access != nil {
		s.access.Close()
	}
	if s.doors != nil {
		s.doors.Close()
	}
	if s.c.Admin != "" && s.owner.Load() {
		os.Remove(s.c.Admin)
	}
}
