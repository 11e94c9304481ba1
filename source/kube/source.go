package kube

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/source"
)

// Source is the objects of these kinds that the API server has, also of those that it learns later, in the best version that it
// serves. Kinds that have no part in the mesh are not read, unless a choice names them.
func (c *Cluster) Source(kinds []dialect.Kind, choices ...Choice) *Source {
	return &Source{cluster: c, kinds: kinds, choices: choices, anew: make(chan struct{}, 1)}
}

// Source is a source.Source.
type Source struct {
	cluster *Cluster
	kinds   []dialect.Kind
	choices []Choice

	mu     sync.Mutex
	sought []dialect.Key
	anew   chan struct{} // holds one: sought is other than before
}

var _ source.Source = &Source{}

// Run lists and watches until ctx ends. It never returns an error: an API server that is away comes back.
func (s *Source) Run(ctx context.Context, emit func(source.Event)) error {
	ctx, stop := context.WithCancel(ctx)
	r := &run{cluster: s.cluster, emit: emit, news: make(chan news), looks: make(chan *served), poke: make(chan struct{}, 1),
		readings: map[schema.GroupKind]*reading{}, single: map[dialect.Key]*reading{}, crowded: map[dialect.Key]bool{}, odd: map[schema.GroupKind]string{}, sought: s.seeks}
	for i := range s.kinds {
		if c := choice(&s.kinds[i], s.choices); !c.Skip {
			r.wanted = append(r.wanted, wanted{&s.kinds[i], c})
		}
	}
	defer r.running.Wait()
	defer stop()
	r.running.Go(func() { r.look(ctx) })
	r.running.Go(func() { r.watchDefinitions(ctx, s.cluster.metadata) })
	for {
		select {
		case <-ctx.Done():
			return nil
		case n := <-r.news:
			if r.take(n); n.verb == "" && n.from.choice.Sought != "" {
				r.seek(ctx)
			}
		case <-s.anew:
			for _, now := range r.single {
				now.absent = false // who seeks may have forgotten meanwhile
			}
			r.seek(ctx)
		case s := <-r.looks:
			r.serve(ctx, s)
		}
		r.tell(ctx)
	}
}

// run is one Run. All of it belongs to Run's goroutine, except where it says something else.
type run struct {
	cluster *Cluster
	emit    func(source.Event)
	wanted  []wanted
	running sync.WaitGroup

	news  chan news     // from reflectors
	looks chan *served  // what the API server has, whenever somebody has looked
	poke  chan struct{} // holds one: somebody should look
	blind atomic.Bool   // nobody says when somebody should

	served   *served // nil: nobody has looked yet
	readings map[schema.GroupKind]*reading
	single   map[dialect.Key]*reading    // of objects that are sought
	sought   func() []dialect.Key        // which these are
	crowded  map[dialect.Key]bool        // namespaces and kinds of which too many are, and that was said
	odd      map[schema.GroupKind]string // why a kind that is served is not read
	told     bool                        // of all that there was
	synced   bool                        // and that it was all
	event    source.Event                // what there is to tell
	said     []dialect.Located
}

type wanted struct {
	kind   *dialect.Kind
	choice Choice
}

func (w wanted) of() schema.GroupKind {
	return schema.GroupKind{Group: w.kind.Group, Kind: w.kind.Name}
}

// serve begins to read what the API server has, and ends with what it has no more.
func (r *run) serve(ctx context.Context, s *served) {
	r.served = s
	clear(r.odd)
	for _, w := range r.wanted {
		gk := w.of()
		now := r.readings[gk]
		switch at, ok := s.best(gk, w.kind.Versions); {
		case ok && now == nil:
			r.begin(ctx, newReading(w, at, nil))
		case ok && now.at != at:
			now.stop()
			r.begin(ctx, newReading(w, at, now))
		case ok || s.silent[gk.Group] != nil:
		case now == nil:
			r.lacks(w, s.versions(gk))
		case now.missing: // one of several API servers that does not know the kind yet is no reason to forget it: its objects are gone too
			now.stop()
			delete(r.readings, gk)
			r.forget(now)
		}
	}
}

// lacks notes that a kind is served, and in no version that weft reads.
func (r *run) lacks(w wanted, versions []string) {
	if len(versions) > 0 {
		r.odd[w.of()] = fmt.Sprintf("the API server has %s in %s only, and weft reads %s: objects of this kind have no effect",
			w.kind.Name, strings.Join(versions, ", "), strings.Join(w.kind.Versions, ", "))
	}
}

func (r *run) begin(ctx context.Context, now *reading) {
	r.readings[now.of()] = now
	r.start(ctx, now)
}

func (r *run) start(ctx context.Context, now *reading) {
	ctx, now.stop = context.WithCancel(ctx)
	r.running.Go(func() { now.run(ctx, r.cluster, r.news) })
}

func (r *run) forget(gone *reading) {
	for n := range gone.known.names() {
		r.gone(gone, n)
	}
}

// take takes in what a reflector says.
func (r *run) take(n news) {
	now := n.from
	if now.only == nil && r.readings[now.of()] != now || now.only != nil && r.single[now.key(*now.only)] != now {
		return // it has been stopped meanwhile
	}
	switch {
	case n.verb != "":
		r.answered(now, n.verb, n.err)
	case n.all:
		now.listed = true
		r.answered(now, "list", nil) // the watch has given it
		r.replace(now, n.put)
	default:
		for _, o := range n.put {
			r.put(now, o)
		}
		for _, o := range n.gone {
			r.gone(now, nameOf(o))
		}
	}
}

// answered notes how a list or watch went.
func (r *run) answered(now *reading, verb string, err error) {
	log := r.cluster.log.With("kind", now.kind.Name, "group", now.kind.Group)
	was := now.trouble[verb]
	now.note(verb, err)
	switch trouble := now.trouble[verb]; {
	case err == nil && was != nil:
		log.Info("objects can be read again", "verb", verb)
	case verb == "watch" && !now.listed && apierrors.IsForbidden(err): // the list that follows says it
	case err != nil && (was == nil || was.Error() != trouble.Error()):
		log.Warn("objects can't be read; what is known of them stays in force", "verb", verb, "error", r.cluster.explain(verb, err))
	}
	if now.missing {
		stir(r.poke)
	}
}

func stir(one chan struct{}) {
	select {
	case one <- struct{}{}:
	default:
	}
}

// replace takes a list of all that there are.
func (r *run) replace(now *reading, all []*dialect.Object) {
	there := make(map[name]bool, len(all))
	for _, o := range all {
		there[nameOf(o)] = true
		r.put(now, o)
	}
	for n := range now.known.names() {
		if !there[n] {
			r.gone(now, n)
		}
	}
}

// put keeps the newest version of an object, which is the one that who reads this source keeps too.
func (r *run) put(now *reading, o *dialect.Object) {
	if old := now.known.get(nameOf(o)); old != nil && old.Same(o) {
		return
	}
	now.known.put(o)
	now.absent = false
	if r.told {
		r.event.Put = append(r.event.Put, o)
	}
}

func (r *run) gone(now *reading, n name) {
	o := now.known.get(n)
	if o == nil {
		return
	}
	now.known.delete(n)
	switch other := r.other(now, n); {
	case !r.told:
	case other != nil: // it was made anew, and is among others now
		r.event.Put = append(r.event.Put, other)
	default:
		r.event.Delete = append(r.event.Delete, o.Key())
	}
}

// tell emits what there is to tell. Before every kind has been listed there is nothing; and who is told of all that there is may seek more
// before it is said that this was all.
func (r *run) tell(ctx context.Context) {
	found := r.findings()
	if !r.told {
		if !r.complete() {
			return
		}
		r.told, r.event = true, source.Event{}
		if r.first(); r.seeks() {
			r.say(found)
			r.seek(ctx)
		}
	}
	switch {
	case !r.synced && r.found():
		r.synced, r.event.Synced = true, true
	case len(r.event.Put)+len(r.event.Delete) == 0 && slices.Equal(found, r.said):
		return
	}
	r.say(found)
}

func (r *run) say(found []dialect.Located) {
	r.event.Source, r.event.Findings, r.said = "cluster "+r.cluster.Host(), found, found
	r.emit(r.event)
	r.event = source.Event{}
}

// piece is how many objects are told of at a time at first: what it takes to take them in is garbage soon, and grows with them.
const piece = 1000

// first tells of all objects, and leaves the last piece to tell. What others ask for comes before them: nodes and namespaces, and the kinds in
// their order, of which the cluster's own are the first.
func (r *run) first() {
	for _, cluster := range []bool{true, false} {
		for _, w := range r.wanted {
			now := r.readings[w.of()]
			if now == nil || w.kind.Cluster != cluster {
				continue
			}
			for _, n := range slices.SortedFunc(now.known.names(), name.compare) { // neighbours have much in common, which who reads them keeps once
				if len(r.event.Put) == piece {
					r.emit(r.event)
					r.event = source.Event{}
				}
				r.event.Put = append(r.event.Put, now.known.get(n))
			}
		}
	}
}

// complete says whether all has been listed that can be.
func (r *run) complete() bool {
	if r.served == nil {
		return false
	}
	return !slices.ContainsFunc(r.wanted, func(w wanted) bool {
		now := r.readings[w.of()]
		return now == nil && r.served.silent[w.kind.Group] != nil || now != nil && !now.listed && !now.excused()
	})
}

// findings are the kinds that can't be read, and why.
func (r *run) findings() (out []dialect.Located) {
	for _, w := range r.wanted {
		text, remedy := r.odd[w.of()], "weft of another version may read it; else have the API server serve one of these"
		if now := r.readings[w.of()]; now != nil {
			text, remedy = now.flaw()
		}
		if text != "" {
			out = append(out, w.finding(text, remedy))
		}
	}
	return out
}

// finding is about a whole kind. Where the kind has an effect it is an Error: without it a mesh may let pass what an object forbids.
func (w wanted) finding(text, remedy string) dialect.Located {
	f := mesh.Finding{Ref: decision.Ref{Dialect: w.kind.Dialect, Kind: w.kind.Name, Name: "*"}, Level: mesh.Warning, Text: text, Remedy: remedy}
	if w.kind.Lower != nil {
		f.Level = mesh.Error
	}
	return dialect.Located{Position: dialect.Position{File: "API server"}, Finding: f}
}
