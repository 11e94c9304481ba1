package main

import (
	"fmt"
	"slices"
	"strings"
)

// group is one table: what was measured side by side.
type group struct {
	Case    string              `json:"case"`
	Title   string              `json:"title"`
	Variant string              `json:"variant,omitempty"`
	Callers int                 `json:"callers"`
	Unit    string              `json:"unit"`
	Memory  bool                `json:"memory,omitempty"` // it counts, not time
	Peers   []string            `json:"peers"`            // in order, each with its kind
	Samples map[string][]sample `json:"samples"`
	Failed  map[string]string   `json:"failed,omitempty"`
}

// spread is the median of a figure over the rounds, with its extremes.
type spread struct{ Median, Min, Max float64 }

func spreadOf(list []float64) (s spread, ok bool) {
	if len(list) == 0 {
		return s, false
	}
	list = slices.Sorted(slices.Values(list))
	s = spread{Median: list[len(list)/2], Min: list[0], Max: list[len(list)-1]}
	if len(list)%2 == 0 {
		s.Median = (list[len(list)/2-1] + s.Median) / 2
	}
	return s, true
}

// figure reads one of a sample's.
type figure func(*sample) float64

func cpu(s *sample) (sum float64) {
	for _, x := range s.CPU {
		sum += x
	}
	return sum
}

func rate(s *sample) float64    { return s.Rate }
func p50(s *sample) float64     { return s.P50 }
func p90(s *sample) float64     { return s.P90 }
func p99(s *sample) float64     { return s.P99 }
func perCore(s *sample) float64 { return 1e6 / cpu(s) }

const mb = 1 << 20

func rss(s *sample) (sum float64) {
	for _, x := range s.RSS {
		sum += float64(x) / mb
	}
	return sum
}

// worstRSS and worstAnonymous are of the proxy that takes most.
func worstRSS(s *sample) float64       { return float64(slices.Max(s.RSS)) / mb }
func worstAnonymous(s *sample) float64 { return float64(slices.Max(s.Anonymous)) / mb }

// allAnonymous is what proxies hold that is no file's.
func allAnonymous(s *sample) (sum float64) {
	for _, x := range s.Anonymous {
		sum += float64(x) / mb
	}
	return sum
}

// of is a peer's figure over the rounds.
func (g *group) of(peer string, f figure) (spread, bool) {
	var list []float64
	for _, s := range g.Samples[peer] {
		list = append(list, f(&s))
	}
	return spreadOf(list)
}

// added is what a peer adds to what is measured without any.
func (g *group) added(peer string, f figure) (spread, bool) {
	return g.pairwise(peer, direct, func(a, b float64) float64 { return a - b }, f)
}

// ratio is one peer's figure in terms of another's, round by round, so that what changes on the machine from round to round counts
// for both.
func (g *group) ratio(peer, to string, f figure) (spread, bool) {
	return g.pairwise(peer, to, func(a, b float64) float64 { return a / b }, f)
}

func (g *group) pairwise(a, b string, combine func(a, b float64) float64, f figure) (spread, bool) {
	var list []float64
	for i := range min(len(g.Samples[a]), len(g.Samples[b])) {
		list = append(list, combine(f(&g.Samples[a][i]), f(&g.Samples[b][i])))
	}
	return spreadOf(list)
}

func (g *group) name() string {
	name := g.Case
	if g.Variant != "" {
		name += ", " + g.Variant
	}
	if g.Memory {
		return name
	}
	return fmt.Sprintf("%s, %d callers", name, g.Callers)
}

// counterpart is weft with the kind of another contender.
func counterpart(name string) string {
	_, kind, ok := strings.Cut(name, " ")
	if !ok {
		return weft
	}
	return weft + " " + kind
}
