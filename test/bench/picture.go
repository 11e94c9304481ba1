package main

import (
	"bytes"
	"fmt"
	"html"
)

// pictured are the groups of the picture.
var pictured = []string{"hop, 64 callers", "pair, 64 callers", "http2, 64 callers", "grpc, 64 callers", "tcp-small, in the clear, 64 callers", "tcp-small, mutual TLS, 64 callers"}

const (
	barHeight  = 14
	barStep    = 19
	labelWidth = 110
	barWidth   = 420
	width      = labelWidth + barWidth + 110
)

// picture is a bar for the CPU time per request of each proxy in the main groups, with a line from the least to the most of the rounds.
// Each group has a scale of its own: its longest bar has the whole width.
func (r *results) picture() []byte {
	var body bytes.Buffer
	y := 10
	for _, name := range pictured {
		for _, g := range r.Groups {
			if g.name() == name {
				y = g.bars(&body, y)
			}
		}
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", width, y, width, y)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", width, y)
	b.Write(body.Bytes())
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// bars draws a group below y and returns where it ends.
func (g *group) bars(b *bytes.Buffer, y int) int {
	most := 0.0
	for _, name := range g.Peers {
		if x, ok := g.of(name, cpu); ok && name != direct {
			most = max(most, x.Median)
		}
	}
	y += 16
	fmt.Fprintf(b, `<text x="4" y="%d" font-weight="bold">%s</text>`+"\n", y, html.EscapeString(g.Title+", "+fmt.Sprint(g.Callers)+" callers: µs CPU per "+g.Unit))
	y += 8
	for _, name := range g.Peers {
		x, ok := g.of(name, cpu)
		if !ok || name == direct {
			continue
		}
		color := "#9aa7b5"
		if name == weft {
			color = "#1f6feb"
		}
		scale := func(v float64) float64 { return labelWidth + min(v/most, 1.1)*barWidth }
		middle := float64(y) + barHeight/2
		fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="end">%s</text>`, labelWidth-6, y+barHeight-3, html.EscapeString(name))
		fmt.Fprintf(b, `<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/>`, labelWidth, y, scale(x.Median)-labelWidth, barHeight, color)
		fmt.Fprintf(b, `<path d="M%.1f %.1fH%.1f" stroke="#24292f"/>`, scale(x.Min), middle, scale(x.Max))
		fmt.Fprintf(b, `<text x="%.1f" y="%d">%.1f</text>`+"\n", max(scale(x.Median), scale(x.Max))+6, y+barHeight-3, x.Median)
		y += barStep
	}
	return y + 10
}
