package proxy

import (
	"context"
	"time"
)

// Bounds of what is closed when another process has taken over.
const (
	lastQuestion = 100 * time.Millisecond // for a question about the proxy that has just been let in; more is local to this machine
	lastMoment   = time.Second            // for what was told to end
)

// Yield leaves the listeners to another process that has them too: this one stops accepting, those that ask about it included, and
// lets what it has go on. Connections of HTTP/1.1 end with their next response, which announces that, and those of HTTP/2 with
// their last stream. When it returns nobody asks this process about itself any more.
func (p *Proxy) Yield() {
	p.saving.Lock()
	p.yielded = true
	p.saving.Unlock()
	for _, c := range p.opts.DNS {
		_ = c.SetReadDeadline(past) // not closed: answers are on their way
	}
	p.sessions.finish(leaving)
	p.plain.Leave()
	p.app.Leave() // an application that passes calls on may hold a connection here open as long as it holds one of these
	p.admins.finish(leaving)
	if p.admins.await(lastQuestion) {
		return
	}
	p.admins.finish(ending)
	p.admins.await(lastMoment)
	p.admins.close()
}

// Settle returns when all connections have ended. When ctx ends first it closes those that are left, which are counted as cut where
// calls were under way.
func (p *Proxy) Settle(ctx context.Context) {
	select {
	case <-p.sessions.over:
		return
	case <-ctx.Done():
	}
	p.sessions.finish(ending)
	if p.sessions.await(lastQuestion) { // they idled
		return
	}
	for range p.sessions.count() {
		p.opts.Cut("upgrade-limit")
	}
	for _, l := range p.live.all() {
		l.outlast()
	}
	p.sessions.await(lastMoment)
	p.sessions.close()
}

// await says whether no connection is left, and takes a while at most to find out.
func (s *sessions) await(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-s.over:
		return true
	case <-t.C:
		return false
	}
}
