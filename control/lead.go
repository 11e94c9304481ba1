package control

import (
	"context"
	"sync"
	"time"
)

// Task is work that one replica does for all: it brings the cluster into line with what is known here (see View, whose cost grows with
// the mesh). Do is called when the replica begins to lead, when what is known has changed, and again after an error or some minutes.
type Task struct {
	Name string
	Do   func(ctx context.Context) error
}

// Lead does tasks, each in its turn of time, until ctx ends.
func (c *Control) Lead(ctx context.Context, tasks ...Task) {
	var running sync.WaitGroup
	for _, t := range tasks {
		running.Go(func() { c.lead(ctx, t) })
	}
	running.Wait()
}

// Pauses of a task: changes that come together are gathered, an error is tried again after a while that doubles, and what somebody else
// has undone is mended in the end.
const (
	leadPause = 300 * time.Millisecond
	firstTry  = time.Second
	lastTry   = time.Minute
	leadAgain = 5 * time.Minute
)

func (c *Control) lead(ctx context.Context, t Task) {
	news := c.told.listen()
	defer c.told.forget(news)
	pause := firstTry
	for {
		again := leadAgain
		if err := t.Do(ctx); ctx.Err() != nil {
			return
		} else if err != nil {
			c.opts.Log.Error("a task of the leader failed; it is tried again", "task", t.Name, "error", err)
			c.counters.failed.Add(t.Name)
			again, pause = pause, min(2*pause, lastTry)
		} else {
			pause = firstTry
		}
		wake := time.NewTimer(again)
		select {
		case <-ctx.Done():
			wake.Stop()
			return
		case <-news:
		case <-wake.C:
		}
		wake.Stop()
		select {
		case <-ctx.Done():
			return
		case <-time.After(leadPause):
		}
	}
}

// told is those who are to be told of changes.
type told struct {
	mu sync.Mutex
	to map[chan struct{}]bool // each holds one
}

func (t *told) listen() chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.to == nil {
		t.to = map[chan struct{}]bool{}
	}
	news := make(chan struct{}, 1)
	t.to[news] = true
	return news
}

func (t *told) forget(news chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.to, news)
}

func (t *told) all() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for news := range t.to {
		stir(news)
	}
}
