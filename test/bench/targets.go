package main

import (
	"fmt"
	"io"
)

// target is a promise about weft, checked where its group was measured.
type target struct {
	group  string // as group.name says it
	text   string
	figure figure
	added  bool   // what is added to direct counts
	to     string // peer
	most   float64
}

var targets = []target{
	{"hop, 64 callers", "CPU", cpu, false, "nginx", 0.80},
	{"hop, 64 callers", "CPU", cpu, false, "haproxy", 0.85},
	{"hop, 64 callers", "CPU", cpu, false, relay, 1.35},
	{"hop-in, 64 callers", "CPU", cpu, false, "nginx", 0.80},
	{"hop-in, 64 callers", "CPU", cpu, false, "haproxy", 0.85},
	{"hop-in, 64 callers", "CPU", cpu, false, relay, 1.35},
	{"pair, 64 callers", "CPU", cpu, false, "nginx", 0.40},
	{"pair, 64 callers", "CPU", cpu, false, "haproxy-h2", 0.75},
	{"pair, 64 callers", "CPU", cpu, false, "envoy", 0.40},
	{"pair, 64 callers", "CPU", cpu, false, "envoy-h2", 0.40},
	{"grpc, 64 callers", "CPU", cpu, false, "envoy-h2", 0.40},
	{"tcp-small, in the clear, 64 callers", "CPU", cpu, false, "haproxy", 0.80},
	{"tcp-bulk, in the clear, to the caller, 4 callers", "CPU", cpu, false, "haproxy", 0.35},
	{"tcp-bulk, in the clear, to the application, 4 callers", "CPU", cpu, false, "haproxy", 0.35},
}

func init() {
	for _, group := range []string{"latency, one hop, 32 callers", "latency, pair, 32 callers"} {
		for _, peer := range []string{"nginx", "haproxy", "haproxy-h2", "envoy", "envoy-h2"} {
			targets = append(targets, target{group, "added p50", p50, true, peer, 1}, target{group, "added p99", p99, true, peer, 1})
		}
	}
}

// check says what came of the targets of a group.
func (g *group) check(w io.Writer) (passed, failed int) {
	for _, t := range targets {
		if t.group != g.name() {
			continue
		}
		x, y, ok := t.read(g)
		switch {
		case !ok:
			continue // a peer was left out, or there is none in this case
		case x <= t.most*y:
			passed++
			fmt.Fprintf(w, "ok   %s: %s %.1f µs, %.2f of %s's (at most %.2f)\n", t.group, t.text, x, x/y, t.to, t.most)
		default:
			failed++
			fmt.Fprintf(w, "FAIL %s: %s %.1f µs, %.2f of %s's (at most %.2f)\n", t.group, t.text, x, x/y, t.to, t.most)
		}
	}
	for _, name := range g.Peers {
		if why := g.Failed[name]; why != "" {
			failed++
			fmt.Fprintf(w, "FAIL %s: %s could not be measured: %s\n", g.name(), name, why)
		}
	}
	return passed, failed
}

// read returns weft's figure and the peer's.
func (t *target) read(g *group) (x, y float64, ok bool) {
	if t.added {
		a, ok1 := g.added(weft, t.figure)
		b, ok2 := g.added(t.to, t.figure)
		return a.Median, b.Median, ok1 && ok2
	}
	a, ok1 := g.of(weft, t.figure)
	b, ok2 := g.ratio(weft, t.to, t.figure)
	return a.Median, a.Median / b.Median, ok1 && ok2
}
