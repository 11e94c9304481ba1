package control

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/all"
	"github.com/weft-mesh/weft/source"
	"github.com/weft-mesh/weft/source/files"
	"github.com/weft-mesh/weft/stream"
)

const domain = "cluster.local"

// bound is how long anything may take before a test fails.
const bound = 30 * time.Second

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// parse reads objects of a text, as a source of files would.
func parse(t testing.TB, text string) []*dialect.Object {
	t.Helper()
	objects, found := files.Parse(all.Kinds(domain), "test.yaml", []byte(text), noon)
	for _, f := range found {
		t.Error(f)
	}
	return objects
}

// feed is a source that the test speaks for.
type feed struct {
	first  source.Event
	events chan source.Event
	taken  chan struct{}
}

func newFeed(first source.Event) *feed {
	return &feed{first: first, events: make(chan source.Event), taken: make(chan struct{})}
}

func (f *feed) Run(ctx context.Context, emit func(source.Event)) error {
	emit(f.first)
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-f.events:
			emit(e)
			f.taken <- struct{}{}
		}
	}
}

// emit returns when the control plane has taken the event in.
func (f *feed) emit(t testing.TB, e source.Event) {
	t.Helper()
	timer := time.NewTimer(bound)
	defer timer.Stop()
	select {
	case f.events <- e:
		<-f.taken
	case <-timer.C:
		t.Fatal("the control plane takes no event")
	}
}

// plane is a control plane that runs.
type plane struct {
	*Control
	t    testing.TB
	stop func()
}

func options(t testing.TB, state string, sources ...source.Source) Options {
	return Options{State: state, Sources: sources, Allow: []Rule{{UID: os.Getuid(), Namespace: "*", Account: "*"}}, Log: slog.New(slog.DiscardHandler)}
}

func state(t testing.TB) string { return filepath.Join(t.TempDir(), "state") }

// run starts a control plane and waits until it has read its sources.
func run(t testing.TB, o Options) *plane {
	t.Helper()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	c.reach = time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := c.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	p := &plane{Control: c, t: t, stop: sync.OnceFunc(func() { cancel(); running.Wait() })}
	t.Cleanup(p.stop)
	select {
	case <-c.Synced():
	case <-time.After(bound):
		t.Fatal("the sources are not read")
	}
	return p
}

// register brings in a workload of service and version.
func (p *plane) register(service, version string, more ...func(*Registration)) *Workload {
	p.t.Helper()
	r := Registration{Namespace: "default", Service: service, Version: version, Account: service, Ports: []Port{{Number: 9080}}}
	for _, f := range more {
		f(&r)
	}
	w, err := p.Register(r, os.Getuid())
	if err != nil {
		p.t.Fatal(err)
	}
	return w
}

// proxy is a proxy that the test speaks for.
type proxy struct {
	t testing.TB
	s *session
}

func (p *plane) proxy(w *Workload) *proxy {
	p.t.Helper()
	s, err := p.Open(p.t.Context(), &stream.Hello{Workload: w.Key(), Token: w.Token})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(s.Close)
	return &proxy{t: p.t, s: s.(*session)}
}

func (x *proxy) take(up stream.Up) {
	x.t.Helper()
	if err := x.s.Take(&up); err != nil {
		x.t.Fatal(err)
	}
}

func (x *proxy) want(names ...string) {
	x.t.Helper()
	up := stream.Up{}
	for _, n := range names {
		up.Subscribe = append(up.Subscribe, stream.Want{Name: n})
	}
	x.take(up)
}

// next returns the next message, which is not acknowledged.
func (x *proxy) next() *stream.Down {
	x.t.Helper()
	ctx, cancel := context.WithTimeout(x.t.Context(), bound)
	defer cancel()
	down, err := x.s.Next(ctx)
	if err != nil {
		x.t.Fatal(err)
	}
	return down
}

// nothing fails the test if anything waits to be sent.
func (x *proxy) nothing() {
	x.t.Helper()
	if down, err := x.s.take(); down != nil || err != nil {
		x.t.Errorf("%v, %v, want nothing", names(down), err)
	}
}

// get returns what is sent next, acknowledged, by name.
func (x *proxy) get() map[string]stream.Resource {
	x.t.Helper()
	down := x.next()
	x.take(stream.Up{Ack: down.Nonce})
	out := map[string]stream.Resource{}
	for _, r := range down.Resources {
		out[r.Name] = r
	}
	return out
}

func names(d *stream.Down) (out []string) {
	if d != nil {
		for _, r := range d.Resources {
			out = append(out, r.Name)
		}
	}
	slices.Sort(out)
	return out
}

// of decodes a resource.
func of[T any](t testing.TB, r stream.Resource) *T {
	t.Helper()
	v := new(T)
	if err := config.Parse(r.Body, v); err != nil {
		t.Fatal(err)
	}
	return v
}

// serve makes the proxy answer all that it is sent, until the test ends, and rest on the root that signs as the trust says.
func (x *proxy) serve(renews bool) {
	ctx, cancel := context.WithCancel(x.t.Context())
	var done sync.WaitGroup
	done.Go(func() {
		for {
			down, err := x.s.Next(ctx)
			if err != nil {
				return
			}
			up := stream.Up{Ack: down.Nonce}
			for _, r := range down.Resources {
				if kind, _ := config.Cut(r.Name); kind == config.KindTrust && renews {
					up.Root = of[config.Trust](x.t, r).Issuer
				}
			}
			if x.s.Take(&up) != nil {
				return
			}
		}
	})
	x.t.Cleanup(func() { cancel(); done.Wait() })
}

func host(service string) string {
	return config.Name(config.KindService, service+".default.svc.cluster.local")
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }
