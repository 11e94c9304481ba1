// Package metrics counts records and writes the counts in Prometheus's text format (version 0.0.4).
//
// It has weft's own metrics, and the names and labels of Istio's and Linkerd's request counters for those whose dashboards and
// alerts exist already. Labels hold accounts, services and rules, never instances, addresses or paths; the number of series is
// bounded: what comes beyond the bound is counted in series whose labels say "overflow", and counted as lost detail. Each
// combination of labels is written once, and the values of labels are valid UTF-8, whatever a call says.
//
// Taking a record locks nothing and allocates nothing once its series exist.
package metrics

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/observe"
	"github.com/weft-mesh/weft/traffic"
)

// Bounds of what is told apart.
const (
	MaxSeries   = 1000 // combinations of labels; so many are 4 MB of text
	maxServices = 100  // hosts that callers say they called: these are words of theirs
	maxRules    = 1000
	maxValues   = 100 // of a label that should have been out of a closed list
)

// overflow stands for what is not told apart any more.
const overflow = "overflow"

// Buckets are the upper bounds of latency histograms.
var Buckets = [...]time.Duration{
	500 * time.Microsecond, time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond,
	25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second,
}

// key is what series are told apart by. It is hashed for every call: one string for an identity, numbers where they will do.
type key struct {
	from, to       string // identities
	caller, callee string // workloads without what tells their instances apart
	service        string
	status         uint16
	grpc           grpcStatus
	reason         decision.Reason // of what the mesh itself answered
	brief
	local bool
}

// brief is what is left of a key when there are too many.
type brief struct {
	reporter       observe.Reporter
	proto          traffic.Proto
	failed, secure bool
}

// Own implements observe.Key.
func (k key) Own() key {
	for _, s := range []*string{&k.from, &k.to, &k.caller, &k.callee, &k.service} {
		*s = strings.Clone(*s)
	}
	return k
}

// series is one combination of labels.
type series struct {
	calls, sent, received, attempts atomic.Uint64
	took                            atomic.Int64 // nanoseconds, summed up
	buckets                         [len(Buckets) + 1]atomic.Uint64
}

// Registry is a sink that counts. The zero Registry is ready for use.
type Registry struct {
	series   observe.Bounded[key, series]
	services observe.Bounded[observe.Name, struct{}]
	over     [2][traffic.UDP + 1][2][2]series // by brief
	lost     atomic.Uint64

	verdicts     observe.Bounded[verdict, atomic.Uint64]
	overVerdicts atomic.Uint64

	mu     sync.Mutex
	counts []*Counts
	gauges []gauge
}

// Take counts a record.
func (r *Registry) Take(rec *observe.Record) {
	s := r.find(keyOf(rec))
	s.calls.Add(1)
	s.sent.Add(uint64(max(rec.Sent, 0)))
	s.received.Add(uint64(max(rec.Received, 0)))
	if rec.Attempts > 1 {
		s.attempts.Add(uint64(rec.Attempts - 1))
	}
	s.took.Add(int64(rec.Took))
	i, _ := slices.BinarySearch(Buckets[:], rec.Took)
	s.buckets[i].Add(1)
	for _, v := range rec.Verdicts {
		if v.Outcome == decision.Deny || v.Reason != decision.Matched && v.Reason != decision.Default {
			r.fell(rec.Reporter, v)
		}
	}
}

// find returns the series of k, or the one that counts what has none.
func (r *Registry) find(k key) *series {
	if s := r.series.Peek(k); s != nil {
		return s
	}
	known := true
	if k.reporter == observe.Destination && k.service != "" && r.services.Get(observe.Name(k.service), maxServices) == nil {
		k.service, known = overflow, false
	}
	s := r.series.Get(k, MaxSeries)
	if s == nil {
		s, known = r.beyond(k.brief), false
	}
	if !known {
		r.lost.Add(1)
	}
	return s
}

func (r *Registry) beyond(k brief) *series {
	return &r.over[k.reporter][k.proto][index(k.failed)][index(k.secure)]
}

func index(b bool) int {
	if b {
		return 1
	}
	return 0
}

func keyOf(r *observe.Record) key {
	k := key{from: r.From.ID.String(), to: r.To.ID.String(), caller: group(r.From.Workload), callee: group(r.To.Workload), service: r.Service,
		brief: brief{r.Reporter, r.Proto, r.Failed, r.Secure}, reason: r.Reason(), local: r.Local}
	if r.Status > 0 && r.Status < 1000 {
		k.status = uint16(r.Status)
	}
	if r.Proto == traffic.GRPC {
		k.grpc = grpcOf(r.GRPC)
	}
	return k
}

// group is a workload's name without what tells its instances apart: the number that weft run gives them.
func group(workload string) string {
	at := len(workload)
	for at > 0 && workload[at-1] >= '0' && workload[at-1] <= '9' {
		at--
	}
	if at == len(workload) || at < 2 || workload[at-1] != '-' {
		return workload
	}
	return workload[:at-1]
}

// grpcStatus is a code and one; 0: there is none. An application could make up any number of others.
type grpcStatus uint8

const badStatus grpcStatus = 18

func grpcOf(s string) grpcStatus {
	if s == "" {
		return 0
	}
	n, err := strconv.ParseUint(s, 10, 5)
	if err != nil || n > 16 || len(s) > 1 && s[0] == '0' {
		return badStatus
	}
	return grpcStatus(n + 1)
}

func (g grpcStatus) String() string {
	switch g {
	case 0:
		return ""
	case badStatus:
		return "invalid"
	}
	return strconv.Itoa(int(g) - 1)
}

// verdict is what a rule said and who heard it.
type verdict struct {
	reporter observe.Reporter
	outcome  decision.Outcome
	reason   decision.Reason
	rule     decision.Ref
}

// Own implements observe.Key.
func (v verdict) Own() verdict {
	for _, s := range []*string{&v.rule.Kind, &v.rule.Namespace, &v.rule.Name, &v.rule.Rule} {
		*s = strings.Clone(*s)
	}
	return v
}

// fell counts a verdict by its rule.
func (r *Registry) fell(by observe.Reporter, v decision.Verdict) {
	k := verdict{reporter: by, outcome: v.Outcome, reason: v.Reason}
	if v.Ref != nil {
		k.rule = *v.Ref
	}
	n := r.verdicts.Get(k, maxRules)
	if n == nil {
		n = &r.overVerdicts
		r.lost.Add(1)
	}
	n.Add(1)
}

// Counts counts events by the value of one label, out of a closed list.
type Counts struct {
	name, help, label string
	values            observe.Bounded[observe.Name, atomic.Uint64]
	over              atomic.Uint64
}

// NewCounts adds a counter to the registry. The name ends with _total.
func (r *Registry) NewCounts(name, help, label string) *Counts {
	c := &Counts{name: name, help: help, label: label}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts = append(r.counts, c)
	return c
}

// Add counts an event.
func (c *Counts) Add(value string) { c.add(value, 1) }

// All returns the counts by value.
func (c *Counts) All() map[string]uint64 {
	out := map[string]uint64{}
	for k, v := range c.values.All() {
		out[string(k)] = v.Load()
	}
	if n := c.over.Load(); n > 0 {
		out[overflow] += n
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
