// Package stat keeps the numbers that people look at: of each pair of caller and callee how many calls there were, how they
// ended, how long they took, and how many came by mutual TLS. A Table is a sink; its Snapshot is what a proxy answers on its
// admin socket, and what `weft stat` and `weft edges` add up.
package stat

import (
	"cmp"
	"maps"
	"math/bits"
	"slices"
	"strings"
	"sync"
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
	Service     string    `json:"service,omitempty"` // host that was called; empty at the destination, which sees its port only
	Port        uint16    `json:"port"`
	Subset      string    `json:"subset,omitempty"`
	To          string    `json:"to"` // workload; empty: none was reached, or it is none of the mesh's
	ToAccount   string    `json:"toAccount,omitempty"`
	Protocol    string    `json:"protocol"`
	Calls       uint64    `json:"calls"`
	Failed      uint64    `json:"failed"`
	Denied      uint64    `json:"denied"` // by a policy
	Secure      uint64    `json:"secure"` // by mutual TLS
	Retries     uint64    `json:"retries"`
	Sent        uint64    `json:"sent"`
	Received    uint64    `json:"received"`
	Latency     Histogram `json:"latency"`
	LastDenial  string    `json:"lastDenial,omitempty"` // the rule
	LastFailure string    `json:"lastFailure,omitempty"`
}

// Histogram counts durations in buckets that are an eighth of their size wide, from 64 µs to more than a minute: a quantile is
// off by 6 % at most. Indices without calls are left out.
type Histogram map[int]uint64

const (
	unit    = 64 * time.Microsecond
	steps   = 8
	buckets = 21 * steps
)

// bucketOf is the index of a duration.
func bucketOf(d time.Duration) int {
	n := uint64(max(d, 0) / (unit / steps))
	if n < steps {
		return int(n)
	}
	e := bits.Len64(n) - 4 // n>>e is in [8, 16)
	return min((e+1)*steps+int(n>>e)-steps, buckets-1)
}

// Bound is the upper end of a bucket.
func Bound(i int) time.Duration {
	if i < steps {
		return time.Duration(i+1) * (unit / steps)
	}
	e := i/steps - 1
	return time.Duration(uint64(i%steps+steps+1)<<e) * (unit / steps)
}

// Add adds o to h.
func (h Histogram) Add(o Histogram) {
	for i, n := range o {
		h[i] += n
	}
}

// Sub takes an earlier state of the same histogram away.
func (h Histogram) Sub(o Histogram) {
	for i, n := range o {
		if h[i] -= min(n, h[i]); h[i] == 0 {
			delete(h, i)
		}
	}
}

// Quantile returns the duration that the share q of all calls did not exceed; 0: there were none.
func (h Histogram) Quantile(q float64) time.Duration {
	var total uint64
	for _, n := range h {
		total += n
	}
	rank := min(uint64(q*float64(total))+1, total)
	for _, i := range slices.Sorted(maps.Keys(h)) {
		if h[i] >= rank {
			return Bound(i)
		}
		rank -= h[i]
	}
	return 0
}

type key struct {
	reporter          observe.Reporter
	proto             traffic.Proto
	from, fromAccount string
	service, subset   string
	port              uint16
	to, toAccount     string
}

type edge struct {
	calls, failed, denied, secure, retries, sent, received atomic.Uint64
	latency                                                [buckets]atomic.Uint32
	denial, failure                                        atomic.Pointer[string]
}

// MaxEdges bounds the edges of a Table.
const MaxEdges = 1000

// Table is a sink. The zero Table is ready for use.
type Table struct {
	edges atomic.Pointer[map[key]*edge] // copied to grow: reading takes no lock
	mu    sync.Mutex
	lost  atomic.Uint64
}

// Take counts a record.
func (t *Table) Take(r *observe.Record) {
	k := key{r.Reporter, r.Proto, r.From.Workload, account(r.From), r.Service, r.Subset, r.Port, r.To.Workload, account(r.To)}
	e := t.get(k)
	if e == nil {
		t.lost.Add(1)
		return
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
	if r.Failed {
		e.failed.Add(1)
		note(&e.failure, r)
	}
	if r.Denied() {
		e.denied.Add(1)
		note(&e.denial, r)
	}
}

// note remembers why, in words, unless that is known.
func note(p *atomic.Pointer[string], r *observe.Record) {
	s := r.Why()
	if old := p.Load(); old == nil || *old != s {
		p.Store(&s)
	}
}

func account(p observe.Party) string {
	if p.ID.IsZero() {
		return ""
	}
	return p.ID.String()
}

func (t *Table) get(k key) *edge {
	m := t.edges.Load()
	if m != nil {
		if e := (*m)[k]; e != nil {
			return e
		}
		if len(*m) >= MaxEdges {
			return nil
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	next := map[key]*edge{}
	if m = t.edges.Load(); m != nil {
		if e := (*m)[k]; e != nil {
			return e
		}
		next = maps.Clone(*m)
	}
	e := &edge{}
	for _, s := range []*string{&k.from, &k.service, &k.subset, &k.to} { // lent by a call
		*s = strings.Clone(*s)
	}
	next[k] = e
	t.edges.Store(&next)
	return e
}

// Snapshot reads the table.
func (t *Table) Snapshot() Snapshot {
	s := Snapshot{Lost: t.lost.Load(), Edges: []Edge{}}
	if m := t.edges.Load(); m != nil {
		for k, e := range *m {
			s.Edges = append(s.Edges, e.snapshot(k))
		}
	}
	slices.SortFunc(s.Edges, func(a, b Edge) int {
		return cmp.Or(cmp.Compare(a.Reporter, b.Reporter), cmp.Compare(a.From, b.From), cmp.Compare(a.Service, b.Service),
			cmp.Compare(a.Port, b.Port), cmp.Compare(a.Subset, b.Subset), cmp.Compare(a.To, b.To), cmp.Compare(a.Protocol, b.Protocol))
	})
	return s
}

func (e *edge) snapshot(k key) Edge {
	out := Edge{Reporter: k.reporter.String(), From: k.from, FromAccount: k.fromAccount, Service: k.service, Port: k.port, Subset: k.subset,
		To: k.to, ToAccount: k.toAccount, Protocol: k.proto.String(), Calls: e.calls.Load(), Failed: e.failed.Load(), Denied: e.denied.Load(),
		Secure: e.secure.Load(), Retries: e.retries.Load(), Sent: e.sent.Load(), Received: e.received.Load(), Latency: Histogram{}}
	for i := range e.latency {
		if n := e.latency[i].Load(); n > 0 {
			out.Latency[i] = uint64(n)
		}
	}
	if s := e.denial.Load(); s != nil {
		out.LastDenial = *s
	}
	if s := e.failure.Load(); s != nil {
		out.LastFailure = *s
	}
	return out
}
