package main

import (
	"fmt"
	"io"
)

// target is a promise about weft (issue "The data path at the limit"; DESIGN section 12), checked where its group was measured.
type target struct {
	group string // as group.name says it
	text  string
	most  float64
	read  func(*group) (x float64, ok bool)
	unit  string
}

// within is a target for weft's figure in terms of a peer's, round by round.
func within(of, peer string, most float64) target {
	return target{of, "CPU in terms of " + peer, most, func(g *group) (float64, bool) {
		x, ok := g.ratio(weft, peer, cpu)
		return x.Median, ok
	}, ""}
}

// growth is a target for one kind of weft in terms of another.
func growth(of, kind, from string, most float64) target {
	return target{of, fmt.Sprintf("CPU with %s in terms of that with %s", kind, from), most, func(g *group) (float64, bool) {
		x, ok := g.ratio(weft+" "+kind, weft+" "+from, cpu)
		return x.Median, ok
	}, ""}
}

// lowest is a target for what weft adds in terms of what the best of the others adds.
func lowest(of, name string, f figure) target {
	return target{of, "added " + name + " in terms of the lowest peer's", 1, func(g *group) (float64, bool) {
		best, found := 0.0, false
		for _, peer := range []string{"nginx", "haproxy", "haproxy-h2", "envoy", "envoy-h2"} {
			if x, ok := g.added(peer, f); ok && (!found || x.Median < best) {
				best, found = x.Median, true
			}
		}
		x, ok := g.added(weft, f)
		return x.Median / best, ok && found
	}, ""}
}

// memoryOf is a target for megabytes.
func memoryOf(of, text string, f figure, most float64) target {
	return target{of, text, most, func(g *group) (float64, bool) {
		x, ok := g.of(weft, f)
		return x.Median, ok
	}, " MB"}
}

// perConn is a target for the memory of one more idle connection, our own: the kernel's is not in it.
func perConn(of string, most float64) target {
	return target{of, "memory for each idle connection", most, func(g *group) (float64, bool) {
		few, ok1 := g.of(weft+" 64", allAnonymous)
		many, ok2 := g.of(weft+" 5000", allAnonymous)
		return (many.Median - few.Median) * (mb >> 10) / (5000 - 64), ok1 && ok2
	}, " KB"}
}

var targets = []target{
	within("hop, 64 callers", "nginx", 0.80),
	within("hop, 64 callers", "haproxy", 0.85),
	within("hop, 64 callers", relay, 1.35),
	within("hop-in, 64 callers", "nginx", 0.80),
	within("hop-in, 64 callers", "haproxy", 0.85),
	within("hop-in, 64 callers", relay, 1.35),
	within("pair, 64 callers", "nginx", 0.40),
	within("pair, 64 callers", "haproxy-h2", 0.75),
	within("pair, 64 callers", "envoy", 0.40),
	within("pair, 64 callers", "envoy-h2", 0.40),
	within("grpc, 64 callers", "envoy-h2", 0.40),
	lowest("latency, one hop, 32 callers", "p50", p50),
	lowest("latency, one hop, 32 callers", "p99", p99),
	lowest("latency, pair, 32 callers", "p50", p50),
	lowest("latency, pair, 32 callers", "p99", p99),
	within("tcp-small, in the clear, 64 callers", "haproxy", 0.80),
	within("tcp-bulk, in the clear, to the application, 4 callers", "haproxy", 0.35),
	within("tcp-bulk, in the clear, to the caller, 4 callers", "haproxy", 0.35),
	growth("routes-exact, 64 callers", "1000", "1", 1.10),
	growth("routes-prefix, 64 callers", "1000", "1", 1.10),
	growth("routes-header, 64 callers", "1000", "1", 1.10),
	growth("rules-exact, 64 callers", "1000", "1", 1.10),
	growth("rules-prefix, 64 callers", "1000", "1", 1.10),
	growth("rules-header, 64 callers", "1000", "1", 1.10),
	growth("procs, one hop, 64 callers", "GOMAXPROCS=2", "GOMAXPROCS=1", 1.10),
	growth("procs, pair, 64 callers", "GOMAXPROCS=2", "GOMAXPROCS=1", 1.10),
	memoryOf("rest", "RSS of the larger proxy", worstRSS, 10),
	memoryOf("rest", "anonymous memory of the larger proxy", worstAnonymous, 5),
	perConn("idle, one hop", 1.5),
	perConn("idle-tls", 10),
}

// verdict is what came of a target.
type verdict struct {
	Text   string `json:"text"`
	Passed bool   `json:"passed"`
}

func (v verdict) String() string {
	return map[bool]string{true: "ok   ", false: "FAIL "}[v.Passed] + v.Text
}

// check says what came of the targets of a group. One that a failure kept from being measured is missed, as is everything where
// weft failed; that a peer failed which no target names is in the table alone.
func (g *group) check() (out []verdict) {
	for _, t := range targets {
		if t.group != g.name() {
			continue
		}
		x, ok := t.read(g)
		switch {
		case ok:
			out = append(out, verdict{fmt.Sprintf("%s: %s %.2f%s (at most %.2f)", t.group, t.text, x, t.unit, t.most), x <= t.most})
		case len(g.Failed) > 0: // else a peer was left out
			out = append(out, verdict{fmt.Sprintf("%s: %s could not be measured", t.group, t.text), false})
		}
	}
	for _, name := range g.Peers {
		if why := g.Failed[name]; why != "" && counterpart(name) == name {
			out = append(out, verdict{fmt.Sprintf("%s: %s failed: %s", g.name(), name, why), false})
		}
	}
	return out
}

// tell prints verdicts.
func tell(w io.Writer, list []verdict) {
	for _, v := range list {
		fmt.Fprintln(w, v)
	}
}
