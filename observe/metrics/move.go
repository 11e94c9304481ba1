package metrics

import (
	"cmp"

	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/observe"
	"github.com/weft-mesh/weft/traffic"
)

// moved is counts on their way from one registry to another, maybe of another version of weft. What is 0 is left out.
type moved struct {
	Series   []movedSeries  `pb:"1"`
	Verdicts []movedVerdict `pb:"2"`
	Counts   []movedCount   `pb:"3"`
	Lost     uint64         `pb:"4"`
}

type movedSeries struct {
	From     string   `pb:"1"`
	To       string   `pb:"2"`
	Caller   string   `pb:"3"`
	Callee   string   `pb:"4"`
	Service  string   `pb:"5"`
	Status   uint16   `pb:"6"`
	GRPC     uint8    `pb:"7"`
	Reason   string   `pb:"8"`
	Local    bool     `pb:"9"`
	Reporter uint8    `pb:"10"`
	Proto    uint8    `pb:"11"`
	Failed   bool     `pb:"12"`
	Secure   bool     `pb:"13"`
	Beyond   bool     `pb:"14"` // it counts what has no series of its own
	Calls    uint64   `pb:"15"`
	Sent     uint64   `pb:"16"`
	Received uint64   `pb:"17"`
	Attempts uint64   `pb:"18"`
	Took     int64    `pb:"19"`
	Buckets  []uint64 `pb:"20"`
}

type movedVerdict struct {
	Reporter uint8        `pb:"1"`
	Outcome  string       `pb:"2"`
	Reason   string       `pb:"3"`
	Rule     decision.Ref `pb:"4"`
	Beyond   bool         `pb:"5"`
	N        uint64       `pb:"6"`
}

type movedCount struct {
	Name  string `pb:"1"` // of the counter
	Value string `pb:"2"` // of its label
	N     uint64 `pb:"3"`
}

// Move takes all counts out of the registry, which goes on from 0, for the Add of another one. Nothing is
// lost or counted twice, whatever is counted meanwhile: of a call that just ends, one part may go and the other one stay.
func (r *Registry) Move() []byte {
	m := moved{Lost: r.lost.Swap(0)}
	for k, s := range r.series.All() {
		m.take(k, s, false)
	}
	for i := range r.over {
		for j := range r.over[i] {
			for f := range r.over[i][j] {
				for s := range r.over[i][j][f] {
					b := brief{observe.Reporter(i), traffic.Proto(j), f == 1, s == 1}
					m.take(key{brief: b}, r.beyond(b), true)
				}
			}
		}
	}
	for v, n := range r.verdicts.All() {
		if n := n.Swap(0); n > 0 {
			m.Verdicts = append(m.Verdicts, movedVerdict{Reporter: uint8(v.reporter), Outcome: v.outcome.String(), Reason: v.reason.String(), Rule: v.rule, N: n})
		}
	}
	if n := r.overVerdicts.Swap(0); n > 0 {
		m.Verdicts = append(m.Verdicts, movedVerdict{Beyond: true, N: n})
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.counts {
		m.Counts = append(m.Counts, c.move()...)
	}
	return config.Append(nil, &m)
}

func (m *moved) take(k key, s *series, beyond bool) {
	x := movedSeries{From: k.from, To: k.to, Caller: k.caller, Callee: k.callee, Service: k.service, Status: k.status, GRPC: uint8(k.grpc),
		Reason: k.reason.String(), Local: k.local, Reporter: uint8(k.reporter), Proto: uint8(k.proto), Failed: k.failed, Secure: k.secure, Beyond: beyond,
		Calls: s.calls.Swap(0), Sent: s.sent.Swap(0), Received: s.received.Swap(0), Attempts: s.attempts.Swap(0), Took: s.took.Swap(0)}
	some := x.Calls > 0 || x.Sent > 0 || x.Received > 0 || x.Attempts > 0 || x.Took != 0
	for i := range s.buckets {
		n := s.buckets[i].Swap(0)
		x.Buckets, some = append(x.Buckets, n), some || n > 0
	}
	if some {
		m.Series = append(m.Series, x)
	}
}

func (c *Counts) move() (out []movedCount) {
	for v, n := range c.values.All() {
		if n := n.Swap(0); n > 0 {
			out = append(out, movedCount{c.name, string(v), n})
		}
	}
	if n := c.over.Swap(0); n > 0 {
		out = append(out, movedCount{c.name, overflow, n})
	}
	return out
}

// Add adds what Move took out of another registry. Counters that this one does not have are left out. An error says that b is not of
// Move's; nothing was added then.
func (r *Registry) Add(b []byte) error {
	var m moved
	if err := config.Parse(b, &m); err != nil {
		return err
	}
	r.lost.Add(m.Lost)
	for i := range m.Series {
		r.addSeries(&m.Series[i])
	}
	for i := range m.Verdicts {
		r.addVerdict(&m.Verdicts[i])
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.counts {
		for _, x := range m.Counts {
			if x.Name == c.name {
				c.add(x.Value, x.N)
			}
		}
	}
	return nil
}

// addSeries: words and numbers of a newer version that are not known here become those that say nothing.
func (r *Registry) addSeries(x *movedSeries) {
	k := key{from: x.From, to: x.To, caller: x.Caller, callee: x.Callee, service: x.Service, status: x.Status, grpc: min(grpcStatus(x.GRPC), badStatus),
		local: x.Local, brief: brief{min(observe.Reporter(x.Reporter), observe.Destination), min(traffic.Proto(x.Proto), traffic.UDP), x.Failed, x.Secure}}
	_ = k.reason.UnmarshalText([]byte(x.Reason))
	s := r.beyond(k.brief)
	switch {
	case x.Beyond:
	case k.service == overflow: // which is none that a caller has called
		s = cmp.Or(r.series.Get(k, MaxSeries), s)
	default:
		s = r.find(k)
	}
	s.calls.Add(x.Calls)
	s.sent.Add(x.Sent)
	s.received.Add(x.Received)
	s.attempts.Add(x.Attempts)
	s.took.Add(x.Took)
	for i, n := range x.Buckets[:min(len(x.Buckets), len(s.buckets))] {
		s.buckets[i].Add(n)
	}
}

func (r *Registry) addVerdict(x *movedVerdict) {
	v := verdict{reporter: min(observe.Reporter(x.Reporter), observe.Destination), rule: x.Rule}
	_, _ = v.outcome.UnmarshalText([]byte(x.Outcome)), v.reason.UnmarshalText([]byte(x.Reason))
	n := &r.overVerdicts
	if at := r.verdicts.Get(v, maxRules); at != nil && !x.Beyond {
		n = at
	}
	n.Add(x.N)
}

func (c *Counts) add(value string, n uint64) {
	at := c.values.Get(observe.Name(value), maxValues)
	if at == nil {
		at = &c.over
	}
	at.Add(n)
}
