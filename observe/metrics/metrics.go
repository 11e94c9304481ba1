// Package metrics counts records and writes the counts in Prometheus's text format (version 0.0.4).
//
// It has weft's own metrics, and the names and labels of Istio's and Linkerd's request counters for those whose dashboards and
// alerts exist already. Labels hold accounts and services, never instances, addresses or paths; the number of series is bounded:
// what comes beyond the bound is counted in one series whose labels say "overflow", and counted as lost detail.
//
// Taking a record locks nothing and allocates nothing once its series exist.
package metrics

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/observe"
	"github.com/weft-mesh/weft/traffic"
)

// MaxSeries bounds the combinations of labels that are told apart.
const MaxSeries = 2000

// Buckets are the upper bounds of latency histograms.
var Buckets = [...]time.Duration{
	500 * time.Microsecond, time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond,
	25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second,
}

// key is what series are told apart by.
type key struct {
	reporter observe.Reporter
	proto    traffic.Proto
	from, to identity.ID
	caller   string // name of the calling workload without its instance
	callee   string
	service  string
	status   int
	grpc     string
	reason   decision.Reason // of what the mesh itself answered
	local    bool
	failed   bool
	secure   bool
	overflow bool
}

// series is one combination of labels.
type series struct {
	calls, sent, received, attempts atomic.Uint64
	took                            atomic.Int64 // nanoseconds, summed up
	buckets                         [len(Buckets) + 1]atomic.Uint64
}

// Registry is a sink that counts. The zero Registry is ready for use.
type Registry struct {
	series table[key, series]
	lost   atomic.Uint64

	mu     sync.Mutex
	counts []*Counts
	gauges []gauge
}

// Take counts a record.
func (r *Registry) Take(rec *observe.Record) {
	k := keyOf(rec)
	s := r.series.get(k, MaxSeries)
	if s == nil {
		r.lost.Add(1)
		s = r.series.get(key{reporter: k.reporter, proto: k.proto, failed: k.failed, secure: k.secure, overflow: true}, MaxSeries+16)
	}
	s.calls.Add(1)
	s.sent.Add(uint64(max(rec.Sent, 0)))
	s.received.Add(uint64(max(rec.Received, 0)))
	if rec.Attempts > 1 {
		s.attempts.Add(uint64(rec.Attempts - 1))
	}
	s.took.Add(int64(rec.Took))
	i, _ := slices.BinarySearch(Buckets[:], rec.Took)
	s.buckets[i].Add(1)
}

func keyOf(r *observe.Record) key {
	k := key{reporter: r.Reporter, proto: r.Proto, from: r.From.ID, to: r.To.ID, caller: group(r.From.Workload), callee: group(r.To.Workload),
		service: r.Service, status: r.Status, grpc: r.GRPC, local: r.Local, failed: r.Failed, secure: r.Secure}
	if r.Local || r.Err != nil {
		k.reason = r.Deciding.Reason
	}
	if k.status < 0 || k.status > 999 {
		k.status = 0
	}
	if len(k.grpc) > 2 { // no code that there is: an application could make up any number of them
		k.grpc = "invalid"
	}
	return k
}

// group is a workload's name without what tells its instances apart: the number that weft run gives them.
func group(workload string) string {
	at := strings.LastIndexByte(workload, '-')
	if at < 0 || at == len(workload)-1 || strings.Trim(workload[at+1:], "0123456789") != "" {
		return workload
	}
	return workload[:at]
}

// own copies the strings of a key, which a call has lent.
func (k key) own() key {
	for _, s := range []*string{&k.caller, &k.callee, &k.service, &k.grpc} {
		*s = strings.Clone(*s)
	}
	return k
}

// text is a label's value.
type text string

func (t text) own() text { return text(strings.Clone(string(t))) }

// table is a map that is read without a lock and copied to grow.
type table[K interface {
	comparable
	own() K
}, V any] struct {
	m  atomic.Pointer[map[K]*V]
	mu sync.Mutex
}

// get returns the value of k, making it; nil: there are most of them.
func (t *table[K, V]) get(k K, most int) *V {
	if m := t.m.Load(); m != nil {
		if v := (*m)[k]; v != nil {
			return v
		}
		if len(*m) >= most {
			return nil
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	m := map[K]*V{}
	if old := t.m.Load(); old != nil {
		if v := (*old)[k]; v != nil {
			return v
		}
		m = maps.Clone(*old)
	}
	v := new(V)
	m[k.own()] = v
	t.m.Store(&m)
	return v
}

func (t *table[K, V]) all() map[K]*V {
	if m := t.m.Load(); m != nil {
		return *m
	}
	return nil
}

// Counts counts events by the value of one label, out of a closed list.
type Counts struct {
	name, help, label string
	values            table[text, atomic.Uint64]
}

// NewCounts adds a counter to the registry. The name ends with _total.
func (r *Registry) NewCounts(name, help, label string) *Counts {
	c := &Counts{name: name, help: help, label: label}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts = append(r.counts, c)
	return c
}

// maxValues bounds the values of a label that should have been out of a closed list.
const maxValues = 100

// Add counts an event.
func (c *Counts) Add(value string) {
	v := c.values.get(text(value), maxValues)
	if v == nil {
		v = c.values.get("overflow", maxValues+1)
	}
	v.Add(1)
}

// All returns the counts by value.
func (c *Counts) All() map[string]uint64 {
	out := map[string]uint64{}
	for k, v := range c.values.all() {
		out[string(k)] = v.Load()
	}
	return out
}

type gauge struct {
	name, help string
	read       func() float64
}

// NewGauge adds a gauge that is read when the metrics are.
func (r *Registry) NewGauge(name, help string, read func() float64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gauges = append(r.gauges, gauge{name, help, read})
}
