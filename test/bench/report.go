package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// columns are a group's table, a header and a row for each contender.
func (g *group) columns() (out [][]string) {
	if g.Memory {
		out = append(out, strings.Split("PEER|RSS MB|MIN-MAX|ANONYMOUS MB|MIN-MAX|EACH PROXY", "|"))
	} else {
		out = append(out, strings.Split("PEER|µs CPU/"+g.Unit+"|MIN-MAX|WEFT/PEER|MIN-MAX|PER CORE|PER s|+P50 µs|+P90|+P99|RSS MB", "|"))
	}
	for _, name := range g.Peers {
		switch {
		case g.Failed[name] != "":
			why, _, _ := strings.Cut(g.Failed[name], "\n")
			out = append(out, []string{name, "failed: " + why})
		case g.Memory:
			out = append(out, g.memoryRow(name))
		case name == direct:
			out = append(out, g.directRow())
		default:
			out = append(out, g.row(name))
		}
	}
	return out
}

func (g *group) directRow() []string {
	r, _ := g.of(direct, rate)
	out := []string{direct, "", "", "", "", "", fmt.Sprintf("%.0f", r.Median)}
	for _, f := range []figure{p50, p90, p99} {
		x, _ := g.of(direct, f)
		out = append(out, fmt.Sprintf("(%.0f)", x.Median))
	}
	return append(out, "")
}

func (g *group) row(name string) []string {
	c, _ := g.of(name, cpu)
	core, _ := g.of(name, perCore)
	r, _ := g.of(name, rate)
	m, _ := g.of(name, rss)
	to, between := "", ""
	if of := counterpart(name); name != of {
		if x, ok := g.ratio(of, name, cpu); ok {
			to, between = fmt.Sprintf("%.2f", x.Median), fmt.Sprintf("%.2f-%.2f", x.Min, x.Max)
		}
	}
	out := []string{name, fmt.Sprintf("%.1f", c.Median), fmt.Sprintf("%.1f-%.1f", c.Min, c.Max), to, between, fmt.Sprintf("%.0f", core.Median), fmt.Sprintf("%.0f", r.Median)}
	for _, f := range []figure{p50, p90, p99} {
		x, _ := g.added(name, f)
		out = append(out, fmt.Sprintf("%.0f", x.Median))
	}
	return append(out, fmt.Sprintf("%.1f", m.Median))
}

func (g *group) memoryRow(name string) []string {
	a, _ := g.of(name, rss)
	b, _ := g.of(name, allAnonymous)
	each := ""
	for i := range g.Samples[name][0].RSS {
		x, _ := g.of(name, func(s *sample) float64 { return float64(s.RSS[i]) / mb })
		y, _ := g.of(name, func(s *sample) float64 { return float64(s.Anonymous[i]) / mb })
		each += fmt.Sprintf("%.1f (%.1f) ", x.Median, y.Median)
	}
	return []string{name, fmt.Sprintf("%.1f", a.Median), fmt.Sprintf("%.1f-%.1f", a.Min, a.Max), fmt.Sprintf("%.1f", b.Median), fmt.Sprintf("%.1f-%.1f", b.Min, b.Max),
		strings.TrimSpace(each)}
}

// Heading, Noise and Title are for the page.
func (g *group) Heading() string { return g.name() }

// Noise says what others did to the figures; empty: nothing.
func (g *group) Noise() string {
	disturbed, all, again := 0, 0, 0
	for _, list := range g.Samples {
		for _, s := range list {
			all++
			again += s.Attempts - 1
			if s.Noisy {
				disturbed++
			}
		}
	}
	if again+disturbed == 0 || g.Memory {
		return ""
	}
	return fmt.Sprintf("Others used the machine: %d attempts were thrown away, and of %d rounds %d count although disturbed.", again, all, disturbed)
}

// print writes a group as a table for people.
func (g *group) print(w io.Writer) {
	fmt.Fprintf(w, "\n%s: %s\n", g.name(), g.Title)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range g.columns() {
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	t.Flush()
	if s := g.Noise(); s != "" {
		fmt.Fprintln(w, s)
	}
}
