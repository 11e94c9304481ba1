// Package control wires source -> dialect -> mesh -> compile -> stream. It owns every goroutine of the control plane; one of
// them, the owner, has the current mesh and everything that follows from it, and all changes go through it in turn.
package control

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/identity/ca"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/source"
	"github.com/weft-mesh/weft/stream"
)

// Options configures a control plane.
type Options struct {
	State        string          // directory that is private to the user; made if missing; required
	Sources      []source.Source // of configuration
	TrustDomain  string          // [cluster.local]
	CertLifetime time.Duration   // of workloads' certificates [24 h]
	Allow        []Rule          // who may claim which identities; required: without a rule nobody may
	Grace        time.Duration   // a restarted control plane keeps workloads this long until they have registered again [30 s]
	Log          *slog.Logger    // [slog.Default()]
	Changed      func(*View)     // hears of every change, in the owner; it may be nil
}

func (o Options) defaults() (Options, error) {
	if o.State == "" {
		return o, errors.New("control: no state directory")
	}
	if o.TrustDomain == "" {
		o.TrustDomain = "cluster.local"
	}
	if o.Grace == 0 {
		o.Grace = 30 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return o, nil
}

// Control is a control plane.
type Control struct {
	opts  Options
	state dir
	ca    *ca.CA

	registry  *registry
	publisher *publisher             // of the owner
	model     *model                 // of the owner
	syncing   int                    // sources that have not yet given all they have; of the owner
	restored  map[dialect.Key]string // objects of an earlier run, with their files, that no source has given yet
	unread    map[string]bool        // files that could not be read while sources were syncing

	work   chan func()
	done   chan struct{} // closed when the owner has stopped
	synced chan struct{} // closed when all sources have given what they have
	view   atomic.Pointer[View]

	ackMu   sync.Mutex
	ackWait chan struct{} // closed and made anew whenever a proxy acknowledges
	rooted  rooted
	nacks   nacks
}

// View is what the control plane knows at one moment.
type View struct {
	Mesh     *mesh.Snapshot
	Findings []dialect.Located
	Objects  []*dialect.Object // the newest version of each
}

// New reads the state directory. Nothing runs before Run.
func New(opts Options) (*Control, error) {
	opts, err := opts.defaults()
	if err != nil {
		return nil, err
	}
	c := &Control{opts: opts, state: dir(opts.State), publisher: newPublisher(), work: make(chan func(), 64), done: make(chan struct{}), synced: make(chan struct{}), ackWait: make(chan struct{}),
		syncing: len(opts.Sources)}
	if err := c.state.prepare(); err != nil {
		return nil, err
	}
	c.ca, err = ca.Open(ca.Dir(c.state.path("ca")), ca.Config{TrustDomain: opts.TrustDomain, Lifetime: opts.CertLifetime}, time.Now())
	if err != nil {
		return nil, err
	}
	c.publisher.trust = c.trust()
	return c, c.restore()
}

// restore takes up what an earlier run knew: addresses, workloads, and the last good version of each object.
func (c *Control) restore() error {
	var addrs map[string]netip.Addr
	var workloads []*Workload
	var objects []*dialect.Object
	if err := errors.Join(c.state.load("addresses.json", &addrs), c.state.load("workloads.json", &workloads),
		c.state.load("objects.json", &objects)); err != nil {
		return err
	}
	h := fnv.New32a()
	h.Write([]byte(c.state))
	c.model = newModel(c.opts.TrustDomain, addrs)
	c.registry = &registry{byKey: map[string]*Workload{}, rules: c.opts.Allow, trustDomain: c.opts.TrustDomain, base: h.Sum32() % (1 << 22), free: free}
	for _, w := range workloads {
		c.registry.byKey[w.Key()] = w
	}
	c.restored, c.unread = map[dialect.Key]string{}, map[string]bool{}
	for _, o := range objects {
		c.restored[o.Key()] = o.Source.File
	}
	c.apply(objects, nil)
	for _, w := range workloads {
		c.present(w)
	}
	return nil
}

// free tries an address: another mesh on this machine may have it.
func free(a netip.AddrPort) bool {
	l, err := net.Listen("tcp", a.String())
	if err != nil {
		return false
	}
	return l.Close() == nil
}

// Run reads sources and answers until ctx ends.
func (c *Control) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var running sync.WaitGroup
	for i, s := range c.opts.Sources {
		name := strconv.Itoa(i)
		running.Go(func() {
			if err := s.Run(ctx, func(e source.Event) { _ = c.do(func() { c.take(name, e) }) }); err != nil && ctx.Err() == nil {
				cancel(fmt.Errorf("source of configuration: %w", err))
			}
		})
	}
	if len(c.opts.Sources) == 0 {
		close(c.synced)
	}
	grace := time.AfterFunc(c.opts.Grace, func() { c.expire() })
	c.own(ctx)
	grace.Stop()
	close(c.done)
	running.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// own is the owner: it does what is to be done, in turn.
func (c *Control) own(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case f := <-c.work:
			f()
		}
	}
}

var errStopped = errors.New("the control plane has stopped")

// do has the owner run f, and waits until it has.
func (c *Control) do(f func()) error {
	ran := make(chan struct{})
	select {
	case c.work <- func() { f(); close(ran) }:
	case <-c.done:
		return errStopped
	}
	select {
	case <-ran:
		return nil
	case <-c.done:
		return errStopped
	}
}

// Synced is closed when every source has given all it has.
func (c *Control) Synced() <-chan struct{} { return c.synced }

// take brings an event of a source into the mesh.
func (c *Control) take(source string, e source.Event) {
	c.model.objects.Report(source, e.Findings)
	for _, o := range e.Put {
		delete(c.restored, o.Key())
	}
	for _, f := range e.Findings {
		c.unread[f.File] = true
	}
	c.apply(e.Put, e.Delete)
	if e.Synced {
		if c.syncing--; c.syncing == 0 {
			c.forget()
			close(c.synced)
		}
	}
}

// forget drops what an earlier run knew and no source has any more. What stood in a file that cannot be read now stays: its last
// good version is in force.
func (c *Control) forget() {
	var gone []dialect.Key
	for key, file := range c.restored {
		if !c.unread[file] {
			gone = append(gone, key)
		}
	}
	c.restored, c.unread = nil, map[string]bool{}
	c.apply(nil, gone)
}

// apply changes objects, and tells proxies what follows.
func (c *Control) apply(put []*dialect.Object, gone []dialect.Key) {
	touched, fresh := c.model.apply(put, gone)
	if fresh {
		c.save("addresses.json", c.model.vips.ByHost)
	}
	c.publisher.update(c.model.snap, touched)
	v := c.model.view()
	c.view.Store(v)
	if c.opts.Changed != nil {
		c.opts.Changed(v)
	}
	c.save("objects.json", slices.DeleteFunc(c.model.objects.Good(), func(o *dialect.Object) bool { return o.Source.File == runFile }))
}

// trust is the roots that proxies are to verify with.
func (c *Control) trust() config.Trust {
	b, roots := c.ca.Bundle(), c.ca.Roots()
	id := roots.Active.ID()
	return config.Trust{Domain: b.TrustDomain, Sequence: b.Sequence, Roots: b.Roots, Issuer: id[:]}
}

func (c *Control) save(name string, v any) {
	if err := c.state.save(name, v); err != nil {
		c.opts.Log.Error("state is not saved; a restart would not know of the latest changes", "error", err)
	}
}

// refused logs and keeps what a proxy could not take into use.
func (c *Control) refused(workload string, n stream.Nack) {
	c.nacks.add(workload, n)
	c.opts.Log.Warn("a proxy refused configuration; its last good version stays in force", "workload", workload, "resource", n.Name, "error", n.Error)
}

// View returns what is known now.
func (c *Control) View() *View { return c.view.Load() }
