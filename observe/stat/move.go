package stat

import (
	"cmp"
	"encoding/json"
	"time"

	"github.com/weft-mesh/weft/observe"
	"github.com/weft-mesh/weft/traffic"
)

// Move takes all counts out of the table, which goes on from 0, for the Add of another one. Nothing is lost or counted twice,
// whatever is counted meanwhile.
func (t *Table) Move() []byte {
	s := Snapshot{Lost: t.lost.Swap(0)}
	for k, e := range t.edges.All() {
		if x := e.move(k); !x.empty() {
			s.Edges = append(s.Edges, x)
		}
	}
	b, _ := json.Marshal(s) // of numbers and strings
	return b
}

func (e *edge) move(k key) Edge {
	out := k.edge()
	for _, x := range e.fields(&out) {
		*x.to = x.from.Swap(0)
	}
	for i := range e.latency {
		if n := e.latency[i].Swap(0); n > 0 {
			out.Latency[i] = n
		}
	}
	e.words(&out)
	return out
}

func (e *Edge) empty() bool {
	return len(e.Latency) == 0 && cmp.Or(e.Calls, e.Failed, e.Denied, e.Secure, e.Retries, e.Sent, e.Received) == 0
}

// Add adds what Move took out of another table. An error says that b is not of Move's; nothing was added then.
func (t *Table) Add(b []byte, now time.Time) error {
	var s Snapshot
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	t.lost.Add(s.Lost)
	for i := range s.Edges {
		t.add(&s.Edges[i], now.Unix())
	}
	return nil
}

func (t *Table) add(x *Edge, now int64) {
	k := key{proto: protoOf(x.Protocol), from: x.From, fromAccount: x.FromAccount, service: x.Service, subset: x.Subset, port: x.Port, to: x.To, toAccount: x.ToAccount}
	if x.Reporter == observe.Destination.String() {
		k.reporter = observe.Destination
	}
	e := t.find(k, now)
	if e == nil {
		t.lost.Add(x.Calls)
		return
	}
	e.last.CompareAndSwap(0, now)
	for _, f := range e.fields(x) {
		f.from.Add(*f.to)
	}
	for i, n := range x.Latency {
		if i >= 0 && i < buckets {
			e.latency[i].Add(n)
		}
	}
	if x.LastDenial != "" {
		e.denial.Store(&x.LastDenial)
	}
	if x.LastFailure != "" {
		e.failure.Store(&x.LastFailure)
	}
}

// protoOf reads a protocol's word; one that is not known here says nothing.
func protoOf(word string) traffic.Proto {
	for p := traffic.TCP; p <= traffic.UDP; p++ {
		if p.String() == word {
			return p
		}
	}
	return traffic.Detect
}
