package main

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// print writes a group as a table for people.
func (g *group) print(w io.Writer) {
	fmt.Fprintf(w, "\n%s: %s\n", g.name(), g.Title)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "PEER\tµs CPU/%s\tMIN-MAX\tWEFT/PEER\tMIN-MAX\tPER CORE\tPER s\t+P50 µs\t+P90\t+P99\tRSS MB\n", g.Unit)
	for _, name := range g.Peers {
		g.row(t, name)
	}
	t.Flush()
	if n, all, thrown := g.noisy(); thrown > 0 {
		fmt.Fprintf(w, "%d attempts were thrown away because others used the machine; of %d rounds, %d were disturbed in every attempt\n", thrown-n, all, n)
	}
}

func (g *group) row(t io.Writer, name string) {
	if g.Failed[name] != "" {
		fmt.Fprintf(t, "%s\tfailed\n", name)
		return
	}
	r, _ := g.of(name, rate)
	if name == direct {
		a, _ := g.of(name, p50)
		b, _ := g.of(name, p90)
		c, _ := g.of(name, p99)
		fmt.Fprintf(t, "%s\t\t\t\t\t\t%.0f\t(%.0f)\t(%.0f)\t(%.0f)\n", name, r.Median, a.Median, b.Median, c.Median)
		return
	}
	c, _ := g.of(name, cpu)
	core, _ := g.of(name, perCore)
	m, _ := g.of(name, rss)
	to, between := "", ""
	if x, ok := g.ratio(weft, name, cpu); ok && name != weft {
		to, between = fmt.Sprintf("%.2f", x.Median), fmt.Sprintf("%.2f-%.2f", x.Min, x.Max)
	}
	fmt.Fprintf(t, "%s\t%.1f\t%.1f-%.1f\t%s\t%s\t%.0f\t%.0f", name, c.Median, c.Min, c.Max, to, between, core.Median, r.Median)
	for _, f := range []figure{p50, p90, p99} {
		x, _ := g.added(name, f)
		fmt.Fprintf(t, "\t%.0f", x.Median)
	}
	fmt.Fprintf(t, "\t%.1f\n", m.Median/(1<<20))
}
