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
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weft-mesh/weft/control/lastgood"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/identity/ca"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/source"
	"github.com/weft-mesh/weft/stream"
)

// Options configures a control plane.
type Options struct {
	State        string          // directory that is private to the user; made if missing; required, but for a Cluster, which has none
	Sources      []source.Source // of configuration
	TrustDomain  string          // [cluster.local]
	CertLifetime time.Duration   // of workloads' certificates [24 h]
	Allow        []Rule          // who may claim which identities; without a rule nobody may
	Grace        time.Duration   // a restarted control plane keeps workloads this long until they have registered again [30 s]
	Log          *slog.Logger    // [slog.Default()]
	Private      []string        // files and directories, beside State, that applications must not see: whoever can use the sockets there acts for the user
	Rules        []string        // absolute paths of configuration that a workload of this machine must not write
	Unguarded    bool            // begin although a policy is refused of which no earlier version is known: what it forbids passes
	Changed      func(*View)     // hears of changes since Run, soon after them; it may be nil
	Applied      func(Applied)   // hears of each change of configuration since Synced, in its turn, which waits for it; it may be nil
	// Adopts says of a Namespace whether weft acts for objects there that do not say who is to [of none].
	Adopts func(namespace *dialect.Object) bool
	// Seek hears which Secrets objects name, there or not, whenever these are others: sources need not read the rest [nobody hears].
	Seek    func(secrets []dialect.Key)
	Cluster *Cluster // workloads are the Pods of a cluster, and the control plane has replicas; nil: all is on this machine
}

func (o Options) defaults() (Options, error) {
	if o.State == "" && o.Cluster == nil {
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
	if o.Cluster != nil {
		return o, o.Cluster.check()
	}
	return o, nil
}

// Control is a control plane.
type Control struct {
	opts  Options
	state dir
	ca    *ca.CA

	members   members
	registry  *registry
	hearing   map[string]*hearing    // by workload; of the owner
	meshed    map[string]int         // by namespace, how many pods have a proxy; of the owner
	publisher *publisher             // of the owner
	model     *model                 // of the owner
	syncing   int                    // sources that have not yet given all they have; of the owner
	restored  map[dialect.Key]string // objects of an earlier run, with their files, that no source has given yet; of the owner
	unread    map[string][]string    // by source, files and directories that can't be read; of the owner
	unheard   map[string]bool        // workloads of an earlier run whose proxies have not said yet what they hold; of the owner

	work    chan func()
	done    chan struct{}        // closed when the owner has stopped
	synced  chan struct{}        // closed when all sources have given what they have
	view    atomic.Pointer[View] // nil: something has changed, and nobody has asked since
	news    chan struct{}        // holds one: there is something to tell
	told    told                 // who is to be told
	unkept  chan struct{}        // holds one: the objects are others than those in the state directory
	changes atomic.Uint64        // of objects whose last good versions are kept

	ackMu    sync.Mutex
	ackWait  chan struct{} // closed when a proxy acknowledges, or is gone; nil: nobody waits for that
	rooted   rooted
	counters counters
	nacks    nacks
	rotating sync.Mutex
	retiring atomic.Bool // a root that this replica has retired is published until the others have looked
	awaited  awaited     // guarded by rotating

	reach time.Duration // what a rotation waits for before it retires a root: handshakeTime, or Cluster.Reach
}

// View is what the control plane knows at one moment.
type View struct {
	Mesh     *mesh.Snapshot
	Findings []dialect.Located
	Objects  []*dialect.Object // the newest version of each
}

// New reads the state directory, or what a cluster keeps in its place. Nothing runs before Run.
func New(opts Options) (*Control, error) {
	opts, err := opts.defaults()
	if err != nil {
		return nil, err
	}
	c := &Control{opts: opts, state: dir(opts.State), publisher: newPublisher(), work: make(chan func(), 64), done: make(chan struct{}),
		synced: make(chan struct{}), syncing: len(opts.Sources),
		restored: map[dialect.Key]string{}, unread: map[string][]string{}, unheard: map[string]bool{}, hearing: map[string]*hearing{}, meshed: map[string]int{}, reach: handshakeTime,
		news: make(chan struct{}, 1), unkept: make(chan struct{}, 1)}
	c.count()
	if c.opts.Cluster == nil {
		if err := c.state.prepare(); err != nil {
			return nil, err
		}
	}
	if err := c.openAuthority(); err != nil {
		return nil, err
	}
	c.publisher.trust = c.trust()
	if err := c.restore(); err != nil {
		return nil, err
	}
	c.look()
	return c, nil
}

// restore takes up what an earlier run knew: addresses, workloads, and the last good version of each object.
func (c *Control) restore() error {
	var addrs map[string]netip.Addr
	var workloads []*Workload
	var objects []*dialect.Object
	var found []dialect.Located
	var err error
	if cl := c.opts.Cluster; cl != nil {
		objects, found, err = lastgood.Read(cl.Good, c.kept)
	} else {
		err = errors.Join(c.state.load("addresses.json", &addrs), c.state.load("workloads.json", &workloads), c.state.load("objects.json", &objects))
	}
	if err != nil {
		return err
	}
	h := fnv.New32a()
	h.Write([]byte(c.state))
	c.model = newModel(c.opts.TrustDomain, newVIPs(addrs))
	c.model.objects.Adopts = c.opts.Adopts
	if c.opts.Seek != nil {
		c.model.objects.Seek("", "Secret")
	}
	c.registry = &registry{byKey: map[string]*Workload{}, rules: c.opts.Allow, trustDomain: c.opts.TrustDomain, cursor: h.Sum32() % addresses,
		free: free, flaws: newTrial(c.opts.TrustDomain).flaws}
	c.members = c.registry
	if cl := c.opts.Cluster; cl != nil {
		c.members, c.reach, c.model.vips = &pods{c, cl.Attest}, cl.Reach, nil
	}
	for _, o := range objects {
		c.restored[o.Key()] = o.Source.File
	}
	c.apply(objects, nil)
	c.model.objects.WasGood(objects)
	c.model.objects.Report("kept", found)
	for _, f := range found {
		c.opts.Log.Error("last good versions of configuration are lost", "why", f.String())
	}
	var runs []*dialect.Object
	for _, w := range workloads {
		c.registry.byKey[w.Key()], c.unheard[w.Key()] = w, true
		runs = append(runs, c.model.present(w, workloads)...)
	}
	c.apply(runs, nil)
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
			emit := func(e source.Event) {
				_ = c.do(func() {
					if err := c.take(name, e); err != nil {
						cancel(err)
					}
				})
			}
			if err := s.Run(ctx, emit); err != nil && ctx.Err() == nil {
				cancel(fmt.Errorf("source of configuration: %w", err))
			}
		})
	}
	if len(c.opts.Sources) == 0 {
		c.change(nil, c.outdated())
		c.saveGood(c.good())
		close(c.synced)
	}
	grace := time.AfterFunc(c.opts.Grace, func() { c.expire() })
	running.Go(func() { c.tell(ctx) })
	if c.opts.Cluster != nil {
		running.Go(func() { c.follow(ctx) })
	} else {
		running.Go(func() { c.keeper(ctx) })
	}
	c.own(ctx)
	c.look()
	good := c.good()
	grace.Stop()
	close(c.done)
	running.Wait()
	c.saveGood(good)
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

// begun says whether every source has given all it has.
func (c *Control) begun() bool {
	select {
	case <-c.synced:
		return true
	default:
		return false
	}
}

// Synced is closed when every source has given all it has.
func (c *Control) Synced() <-chan struct{} { return c.synced }

// take brings an event of a source into the mesh. An error means that calls would pass which its policies forbid, were the mesh to
// begin.
func (c *Control) take(source string, e source.Event) error {
	c.model.objects.Report(source, e.Findings)
	for _, o := range e.Put {
		delete(c.restored, o.Key())
	}
	c.unread[source] = nil
	for _, f := range e.Findings {
		if f.Ref.Kind == dialect.FileKind {
			c.unread[source] = append(c.unread[source], f.File)
		}
	}
	if e.Synced {
		c.syncing--
	}
	c.change(e.Put, slices.Concat(e.Delete, c.outdated()))
	if !e.Synced || c.syncing > 0 {
		c.warn(e.Put)
		return nil
	}
	if err := c.guarded(); err != nil {
		return err
	}
	c.saveGood(c.good())
	close(c.synced)
	return nil
}

// outdated takes out of restored what no source has any more, once all have given what they have. What stood in a file that can't
// be read stays until it can: its last good version is in force.
func (c *Control) outdated() (gone []dialect.Key) {
	if c.syncing > 0 {
		return nil
	}
	for key, file := range c.restored {
		if !c.unreadable(file) {
			gone = append(gone, key)
			delete(c.restored, key)
		}
	}
	return gone
}

func (c *Control) unreadable(file string) bool {
	for _, lost := range c.unread {
		for _, at := range lost {
			if within(file, at) {
				return true
			}
		}
	}
	return false
}

// within says whether a file is at or below a path.
func within(file, at string) bool {
	rest, below := strings.CutPrefix(file, at)
	return below && (rest == "" || os.IsPathSeparator(rest[0]) || strings.HasSuffix(at, "/"))
}

// change applies what sources say, and has what is good of it kept.
func (c *Control) change(put []*dialect.Object, gone []dialect.Key) {
	if c.opts.Applied != nil && c.begun() {
		defer c.report(c.newest(put, gone))
	}
	c.apply(put, gone)
	if slices.ContainsFunc(put, func(o *dialect.Object) bool { return c.kept(o.Key()) }) || slices.ContainsFunc(gone, c.kept) {
		c.changes.Add(1)
		stir(c.unkept)
	}
}

func stir(one chan struct{}) {
	select {
	case one <- struct{}{}:
	default:
	}
}

// keepPause gathers changes that come together. A control plane that is killed meanwhile will know a state that is older by this.
const keepPause = time.Second

// keeper writes objects to the state directory, beside the owner: to encode 10,000 takes a tenth of a second, and a disk its time.
func (c *Control) keeper(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.unkept:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(keepPause):
		}
		var good []*dialect.Object
		if c.do(func() { good = c.good() }) != nil {
			return
		}
		c.saveGood(good)
	}
}

// saveGood writes what good says to the state directory. A cluster has none, and a leader that writes it elsewhere, see GoodTask.
func (c *Control) saveGood(good []*dialect.Object) {
	if c.opts.Cluster == nil {
		c.save("objects.json", good)
	}
}

// good is the last good version of each object that came from a file; none on a cluster, see versions.
func (c *Control) good() []*dialect.Object {
	if c.opts.Cluster != nil {
		return nil
	}
	return slices.DeleteFunc(c.model.objects.Good(c.kept), func(o *dialect.Object) bool { return o.Source.File == runFile })
}

// kept says whether the last good version of an object is kept over a restart. Those of a cluster's own kinds are not: they are many,
// change all the time, and their API server lets no bad one in.
func (c *Control) kept(k dialect.Key) bool {
	return c.opts.Cluster == nil || k.Group != "" && (!strings.HasSuffix(k.Group, ".k8s.io") || strings.Contains(k.Group, "networking"))
}

// apply changes objects, and tells proxies what follows.
func (c *Control) apply(put []*dialect.Object, gone []dialect.Key) {
	pods := podsAmong(put, gone)
	c.countMeshed(pods, -1)
	touched, fresh := c.model.apply(put, gone)
	c.countMeshed(pods, 1)
	if secrets, anew := c.model.objects.Sought(); anew {
		c.opts.Seek(secrets)
	}
	if fresh {
		c.save("addresses.json", c.model.vips.ByHost)
	}
	c.publisher.update(c.model.snap, touched)
	c.sayShut()
	c.heard(pods)
	c.view.Store(nil)
	c.stirNews()
}

// stirNews says that there is something to tell, once all sources have given what they have.
func (c *Control) stirNews() {
	if c.syncing == 0 {
		stir(c.news)
	}
}

// tellPause gathers changes that come together: what there is to say is worked out once for them all.
const tellPause = 50 * time.Millisecond

// tell has Changed hear of changes.
func (c *Control) tell(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.news:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(tellPause):
		}
		select { // of what came meanwhile the view knows
		case <-c.news:
		default:
		}
		c.told.all()
		if c.opts.Changed != nil {
			c.opts.Changed(c.View())
		}
	}
}

func (c *Control) save(name string, v any) {
	if err := c.state.save(name, v); err != nil {
		c.opts.Log.Error("state is not saved; a restart would not know of the latest changes", "error", err)
	}
}

// refused logs and keeps what a proxy could not take into use.
func (c *Control) refused(workload string, n stream.Nack) {
	c.nacks.add(workload, n)
	c.counters.refusals.Add(kindOf(n.Name))
	c.opts.Log.Warn("a proxy refused configuration; its last good version stays in force", "workload", workload, "resource", n.Name, "error", n.Error)
}

// View returns what is known now. It is worked out when it is asked for: its cost grows with the mesh, that of a change must not.
// The owner does not call it.
func (c *Control) View() *View {
	if v := c.view.Load(); v != nil {
		return v
	}
	var v *View
	if err := c.do(func() { c.look(); v = c.view.Load() }); err != nil {
		return c.view.Load() // the owner has stopped, and left its last one
	}
	return v
}

// Mesh returns the mesh of now, whatever its size; nil: the control plane has stopped.
func (c *Control) Mesh() (now *mesh.Snapshot) {
	_ = c.do(func() { now = c.model.snap })
	return now
}

// look works the view out, in the owner.
func (c *Control) look() {
	if c.view.Load() == nil {
		c.view.Store(c.model.view())
	}
}
