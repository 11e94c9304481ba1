package main

import (
	"bytes"
	_ "embed" // the page
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/weft-mesh/weft/test/machine"
)

// verdict is a target, and whether it is reached.
type verdict struct {
	Reached bool   `json:"reached"`
	Text    string `json:"text"`
}

func (v verdict) String() string {
	if v.Reached {
		return "reached: " + v.Text
	}
	return "missed: " + v.Text
}

// Targets of issue 4.
const (
	mostRSS = 400_000_000
	mostP99 = 100 * time.Millisecond
	same    = 1.1 // RSS of two processes that do the same
	flat    = 1.5 // work in the largest cluster by that in the smallest: "independent", with room for caches that hold less of it
)

// judge compares figures with the targets; what was not measured has no verdict.
func (r *results) judge() {
	for i := range r.Clusters {
		c := &r.Clusters[i]
		r.Verdicts = append(r.Verdicts,
			verdict{c.Peak <= mostRSS, fmt.Sprintf("%d services, %d pods, %d proxies: RSS is at most %s; %s are bearable", c.Shape.Services, c.Shape.Pods, c.Proxies, mb(c.Peak), mb(mostRSS))},
			verdict{c.Each.P99 <= mostP99 && c.Each.Lost == 0, fmt.Sprintf("%d services, %.0f changes/s: p99 is %.1f ms to the last acknowledgement; 100 are bearable", c.Shape.Services, c.Each.Rate, ms(c.Each.P99))})
	}
	if n := len(r.Sizes); n > 1 {
		first, last := &r.Sizes[0], &r.Sizes[n-1]
		ratio := float64(last.CPU) / float64(first.CPU)
		r.Verdicts = append(r.Verdicts, verdict{ratio <= flat, fmt.Sprintf("a change costs %.2f times in a cluster of %d services what it does in one of %d; %.1f are bearable", ratio, last.Of, first.Of, flat)})
	}
	if n := len(r.Subscribers); n > 1 {
		first, last := &r.Subscribers[0], &r.Subscribers[n-1]
		ratio := float64(last.CPU) / float64(first.CPU)
		r.Verdicts = append(r.Verdicts, verdict{ratio <= float64(last.Of)/float64(first.Of), fmt.Sprintf("a change for %d subscribers costs %.1f times what it does for %d: less than in proportion", last.Of, ratio, first.Of)})
	}
	if n := len(r.Sidecars); n > 1 {
		first, last := &r.Sidecars[0], &r.Sidecars[n-1]
		ratio := float64(max(last.RSS, last.After)) / float64(first.RSS)
		r.Verdicts = append(r.Verdicts, verdict{ratio <= same, fmt.Sprintf("a proxy that calls %d services has %.2f times the RSS in a cluster of %d services that it has in one of %d; %.2f are bearable: chance", last.Services, ratio, last.Of, first.Of, same)})
	}
}

//go:embed control-performance.md.tmpl
var pageText string

// write writes the page, its picture and the figures.
func (r *results) write(f *flags) error {
	page, err := template.New("page").Funcs(template.FuncMap{"ms": ms, "mb": mb, "mb10": mb10, "seconds": time.Duration.Seconds}).Parse(pageText)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	err = page.Execute(&text, map[string]any{"R": r, "Date": time.Now().UTC().Format(time.DateOnly), "CPU": machine.Processor(), "Cores": runtime.NumCPU(), "Go": runtime.Version(),
		"Kernel": machine.Kernel(), "Window": f.window, "Load": load()})
	if err != nil {
		return err
	}
	raw, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	at := func(name string) string { return filepath.Join(f.docs, "control-performance."+name) }
	return errors.Join(os.WriteFile(at("json"), append(raw, '\n'), 0o644), os.WriteFile(at("md"), text.Bytes(), 0o644), os.WriteFile(at("svg"), r.picture(), 0o644))
}

// load is how many wanted to run on the machine lately: of the cores that it has the benchmark wants two.
func load() string {
	b, _ := os.ReadFile("/proc/loadavg")
	f := strings.Fields(string(b))
	return strings.Join(f[:min(3, len(f))], ", ")
}

const (
	pictureWidth = 640
	barLeft      = 130
	barRight     = 560
	barStep      = 19
)

// picture is both curves: the work of a change by the cluster's size, and by the subscribers of what has changed.
func (r *results) picture() []byte {
	var body bytes.Buffer
	y := bars(&body, 10, "CPU of the control plane for a change, by the cluster's services (20 subscribers each)", r.Sizes)
	y = bars(&body, y, "CPU of the control plane for a change, by subscribers (1,000 services)", r.Subscribers)
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", pictureWidth, y, pictureWidth, y)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fff"/>`+"\n%s</svg>\n", pictureWidth, y, &body)
	return b.Bytes()
}

func bars(b *bytes.Buffer, y int, title string, points []point) int {
	if len(points) == 0 {
		return y
	}
	most := slices.MaxFunc(points, func(p, q point) int { return int(p.CPU - q.CPU) }).CPU
	y += 16
	fmt.Fprintf(b, `<text x="4" y="%d" font-weight="bold">%s</text>`+"\n", y, html.EscapeString(title))
	y += 8
	for i := range points {
		p := &points[i]
		length := float64(p.CPU) / float64(most) * (barRight - barLeft)
		fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="end">%d</text><rect x="%d" y="%d" width="%.1f" height="14" fill="#1f6feb"/><text x="%.1f" y="%d">%.2f ms</text>`+"\n",
			barLeft-6, y+11, p.Of, barLeft, y, length, barLeft+length+6, y+11, ms(p.CPU))
		y += barStep
	}
	return y + 10
}
