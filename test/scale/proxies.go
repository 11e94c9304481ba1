package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/proxy/plane"
	"github.com/weft-mesh/weft/stream"
)

// change is one on its way to the proxies that want the service that it is of.
type change struct {
	begun time.Time
	left  atomic.Int32 // proxies that have not acknowledged it
	took  time.Duration
	over  chan struct{} // closed when all have
}

// fleet is the simulated proxies: each with a connection of its own, TLS and a token as in pods, and the stream's client that proxies have.
type fleet struct {
	received atomic.Int64 // bytes of messages
	messages atomic.Int64
	changes  sync.Map // *change by resource name
	running  sync.WaitGroup
	stop     context.CancelFunc
}

// proxy is one.
type proxy struct {
	fleet  *fleet
	client stream.Client
	all    chan struct{} // closed when everything that it wants has come
	mu     sync.Mutex
	left   map[string]bool // what has not come yet
	taken  []*change       // that the next acknowledgement is of
}

// subscription is a pod and the services that its proxy wants.
type subscription struct {
	namespace, account, pod, uid string
	hosts                        []string
}

// connecting is how many proxies connect at the same time.
const connecting = 16

// connect starts proxies, and returns once each has all that it wants.
func connect(ctx context.Context, to plane.Plane, all []subscription) (*fleet, error) {
	ctx, stop := context.WithCancel(ctx)
	f := &fleet{stop: stop}
	places := make(chan struct{}, connecting)
	failed := make(chan error, len(all))
	for i := range all {
		places <- struct{}{}
		go func() {
			defer func() { <-places }()
			failed <- f.begin(ctx, to, &all[i])
		}()
	}
	for range all {
		if err := <-failed; err != nil {
			f.close()
			return nil, err
		}
	}
	return f, nil
}

func (f *fleet) close() {
	f.stop()
	f.running.Wait()
}

func (f *fleet) begin(ctx context.Context, to plane.Plane, s *subscription) error {
	token := tokenOf(s.namespace, s.account, s.pod, s.uid)
	p := &proxy{fleet: f, all: make(chan struct{}), left: map[string]bool{}}
	workload := s.namespace + "/" + s.pod
	names := []string{config.Name(config.KindTrust, "cluster.local"), config.Name(config.KindWorkload, workload)}
	for _, h := range s.hosts {
		names = append(names, config.Name(config.KindService, h))
	}
	for _, n := range names {
		p.left[n] = true
	}
	gone := make(chan error, 1)
	p.client = stream.Client{
		Hello: func() (stream.Hello, error) {
			return stream.Hello{Workload: workload, Token: token, Version: "bench"}, nil
		},
		Dial: func(ctx context.Context) (stream.Transport, error) {
			t, err := to.Dial(ctx)
			if err != nil {
				return nil, err
			}
			return &counted{t, p}, nil
		},
		Apply: p.apply,
		Status: func(err error) {
			if err != nil {
				select {
				case gone <- err:
				default:
				}
			}
		},
	}
	p.client.Want(names...)
	f.running.Go(func() { _ = p.client.Run(ctx) })
	select {
	case <-p.all:
		return nil
	case err := <-gone:
		return fmt.Errorf("proxy of %s: %w", workload, err)
	case <-time.After(time.Minute):
		return fmt.Errorf("proxy of %s has not had all that it wants within a minute", workload)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// apply takes updates in as a proxy would: it reads a service, and is done.
func (p *proxy) apply(updates []stream.Update) map[string]error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, u := range updates {
		if strings.HasPrefix(u.Name, config.KindService+"/") {
			if c, ok := p.fleet.changes.Load(u.Name); ok && !p.left[u.Name] {
				p.taken = append(p.taken, c.(*change))
			}
		}
		if delete(p.left, u.Name); len(p.left) == 0 {
			select {
			case <-p.all:
			default:
				close(p.all)
			}
		}
	}
	return nil
}

// counted is a transport that counts, and notes when an acknowledgement has been handed to the connection.
type counted struct {
	stream.Transport
	proxy *proxy
}

// Send implements stream.Transport.
func (c *counted) Send(b []byte) error {
	err := c.Transport.Send(b)
	c.proxy.mu.Lock()
	defer c.proxy.mu.Unlock()
	for _, x := range c.proxy.taken {
		if x.left.Add(-1) == 0 {
			x.took = time.Since(x.begun)
			close(x.over)
		}
	}
	c.proxy.taken = c.proxy.taken[:0]
	return err
}

// Recv implements stream.Transport.
func (c *counted) Recv() ([]byte, error) {
	b, err := c.Transport.Recv()
	c.proxy.fleet.received.Add(int64(len(b)))
	c.proxy.fleet.messages.Add(1)
	return b, err
}

// expect says that a service is about to change, which so many proxies are to hear of; false: an earlier change is still under way.
func (f *fleet) expect(host string, subscribers int) (c *change, free bool) {
	name := config.Name(config.KindService, host)
	if _, busy := f.changes.Load(name); busy {
		return nil, false
	}
	c = &change{begun: time.Now(), over: make(chan struct{})}
	c.left.Store(int32(subscribers))
	f.changes.Store(name, c)
	return c, true
}

// settled forgets a change.
func (f *fleet) settled(host string) { f.changes.Delete(config.Name(config.KindService, host)) }
