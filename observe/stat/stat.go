// Package stat keeps the numbers that people look at: of each pair of caller and callee how many calls there were, how they
// ended, how long they took, and how many came by mutual TLS. A Table is a sink; its Snapshot is what a proxy answers on its
// admin socket, and what `weft stat` and `weft edges` add up.
package stat

import (
	"cmp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/weft-mesh/weft/observe"
	"github.com/weft-mesh/weft/traffic"
)

// Snapshot is all edges that a proxy has seen, counted since it began.
type Snapshot struct {
	Workload string    `json:"workload"` // whose proxy it is
	Since    time.Time `json:"since"`
	Now      time.Time `json:"now"`
	Edges    []Edge    `json:"edges"`
	Lost     uint64    `json:"lost,omitempty"` // calls that were counted nowhere: there are too many edges
}

// Edge is the calls of one caller to one callee, as one side saw them.
type Edge struct {
	Reporter    string    `json:"reporter"` // source or destination
	From        string    `json:"from"`     // workload, namespace/name; empty: from outside of the mesh
	FromAccount string    `json:"fromAccount,omitempty"`
	Service     string    `json:"service,omitempty"` // host that was called; at the destination, as the caller says
	Port        uint16    `json:"port"`
	Subset      string    `json:"subset,omitempty"`
	To          string    `json:"to"` // workload; empty: none was reached, or it is none of the mesh's
	ToAccount   string    `json:"toAccount,omitempty"`
	Protocol    string    `json:"protocol"`
	Calls       uint64    `json:"calls"`
	Failed      uint64    `json:"failed"` // for another reason than a denial
	Denied      uint64    `json:"denied"` // by a policy
	Secure      uint64    `json:"secure"` // by mutual TLS
	Retries     uint64    `json:"retries"`
	Sent        uint64    `json:"sent"`
	Received    uint64    `json:"received"`
	Latency     Histogram `json:"latency"`
	LastDenial  string    `json:"lastDenial,omitempty"`  // the rule
	LastFailure string    `json:"lastFailure,omitempty"` // what went wrong, or the answer, and because of what
}

type key struct {
	reporter          observe.Reporter
	proto             traffic.Proto
	from, fromAccount string
	service, subset   string
	port              uint16
	to, toAccount     string
}

// Own implements observe.Key.
func (k key) Own() key {
	for _, s := range []*string{&k.from, &k.fromAccount, &k.service, &k.subset, &k.to, &k.toAccount} {
		*s = strings.Clone(*s)
	}
	return k
}

type edge struct {
	calls, failed, denied, secure, retries, sent, received atomic.Uint64
	last                                                   atomic.Int64 // when a call ended, in Unix seconds
	latency                                                [buckets]atomic.Uint64
	denial, failure                                        atomic.Pointer[string]
}

// Bounds of a Table.
const (
	MaxEdges    = 1000
	maxServices = 100     // hosts that callers say they called: these are words of theirs
	idle        = 10 * 60 // seconds after which an edge may be forgotten for a new one
	sweep       = 10      // seconds between looks for those
)

// Table is a sink. The zero Table is ready for use.
type Table struct {
	edges    observe.Bounded[key, edge]
	services observe.Bounded[observe.Name, struct{}]
	swept    atomic.Int64
	lost     atomic.Uint64
}

// Take counts a record.
func (t *Table) Take(r *observe.Record) {
	now := r.Start.Add(r.Took).Unix()
	e := t.find(key{r.Reporter, r.Proto, r.From.Workload, r.From.ID.String(), r.Service, r.Subset, r.Port, r.To.Workload, r.To.ID.String()}, now)
	if e == nil {
		t.lost.Add(1)
		return
	}
	if e.last.Load() != now {
		e.last.Store(now)
	}
	e.calls.Add(1)
	e.sent.Add(uint64(max(r.Sent, 0)))
	e.received.Add(uint64(max(r.Received, 0)))
	e.latency[bucketOf(r.Took)].Add(1)
	if r.Secure {
		e.secure.Add(1)
	}
	if r.Attempts > 1 {
		e.retries.Add(uint64(r.Attempts - 1))
	}
	switch {
	case r.Denied():
		e.denied.Add(1)
		note(&e.denial, r)
	case r.Failed:
		e.failed.Add(1)
		note(&e.failure, r)
	}
}

// find returns the edge of k; nil: there are too many.
func (t *Table) find(k key, now int64) *edge {
	if e := t.edges.Peek(k); e != nil {
		return e
	}
	if k.reporter == observe.Destination && k.service != "" && t.services.Get(observe.Name(k.service), maxServices) == nil {
		k.service = ""
	}
	e := t.edges.Get(k, MaxEdges)
	if e == nil && t.forget(now) > 0 {
		e = t.edges.Get(k, MaxEdges)
	}
	return e
}

// forget drops edges without a call for long, unless it was done a moment ago.
func (t *Table) forget(now int64) int {
	last := t.swept.Load()
	if now-last < sweep || !t.swept.CompareAndSwap(last, now) {
		return 0
	}
	return t.edges.Drop(func(e *edge) bool {
		at := e.last.Load()
		return at != 0 && now-at > idle // 0: it was made just now
	})
}

// note remembers why, in words, unless that is known.
func note(p *atomic.Pointer[string], r *observe.Record) {
	s := r.Why()
	if old := p.Load(); old == nil || *old != s {
		p.Store(&s)
	}
}

// Snapshot reads the table.
func (t *Table) Snapshot() Snapshot {
	s := Snapshot{Lost: t.lost.Load(), Edges: []Edge{}}
	for k, e := range t.edges.All() {
		s.Edges = append(s.Edges, e.snapshot(k))
	}
	slices.SortFunc(s.Edges, func(a, b Edge) int {
		return cmp.Or(cmp.Compare(a.Reporter, b.Reporter), cmp.Compare(a.From, b.From), cmp.Compare(a.Service, b.Service),
			cmp.Compare(a.Port, b.Port), cmp.Compare(a.Subset, b.Subset), cmp.Compare(a.To, b.To), cmp.Compare(a.Protocol, b.Protocol),
			cmp.Compare(a.FromAccount, b.FromAccount), cmp.Compare(a.ToAccount, b.ToAccount))
	})
	return s
}

func (e *edge) snapshot(k key) Edge {
	out := k.edge()
	for i := range e.latency {
		if n := e.latency[i].Load(); n > 0 {
			out.Latency[i] = n
		}
	}
	e.words(&out)
	for _, x := range e.fields(&out) {
		*x.to = x.from.Load()
	}
	return out
}

// edge is one without counts.
func (k key) edge() Edge {
	return Edge{Reporter: k.reporter.String(), From: k.from, FromAccount: k.fromAccount, Service: k.service, Port: k.port, Subset: k.subset,
		To: k.to, ToAccount: k.toAccount, Protocol: k.proto.String(), Latency: Histogram{}}
}

// counter is one of an edge and where it goes.
type counter struct {
	from *atomic.Uint64
	to   *uint64
}

// fields lists the calls last: Take counts them first, so that there are never more failures than calls.
func (e *edge) fields(x *Edge) [7]counter {
	return [...]counter{{&e.failed, &x.Failed}, {&e.denied, &x.Denied}, {&e.secure, &x.Secure}, {&e.retries, &x.Retries}, {&e.sent, &x.Sent},
		{&e.received, &x.Received}, {&e.calls, &x.Calls}}
}

func (e *edge) words(x *Edge) {
	if s := e.denial.Load(); s != nil {
		x.LastDenial = *s
	}
	if s := e.failure.Load(); s != nil {
		x.LastFailure = *s
	}
}
