package main

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// check is one line of the table.
type check struct {
	name, figures string
	broken        string // empty: it holds
}

// checks judges the run.
func (s *soak) checks() (out []check) {
	for _, k := range s.kinds {
		c := check{name: k.name, figures: fmt.Sprintf("%d calls, %d failed", k.calls, k.failed)}
		switch {
		case k.failed > 0:
			c.broken = "the first: " + k.first.Error()
		case k.calls == 0:
			c.broken = "nobody called"
		}
		out = append(out, c)
	}
	spent := s.span.Seconds()
	changes := check{name: "changes of configuration", figures: fmt.Sprintf("%d, %.1f a second; the last that an answer has shown is number %d", s.applied.Load(), float64(s.applied.Load())/spent, s.seen.Load())}
	if n := float64(s.applied.Load()); n < 9*spent || float64(s.seen.Load()) < n-50 {
		changes.broken = "want ten a second, and the last of them in force within five seconds"
	}
	ends := check{name: "workloads and upgrades", figures: fmt.Sprintf("%d started, %d ended, all proxies upgraded %d times", s.started, s.ended, s.renewed)}
	if s.broken != nil {
		ends.broken = s.broken.Error()
	} else if s.ended == 0 || s.renewed < upgrades {
		ends.broken = "none ended, or none was upgraded; take longer"
	}
	out = append(out, changes, ends, s.renewals())
	upgraded := s.settled.Sub(s.began)
	out = append(out, s.grown("memory of front's proxy", "MiB", func(x sample) float64 { return x.front }, upgraded, growthMiB))
	out = append(out, s.grown("descriptors of it", "open", func(x sample) float64 { return x.files }, upgraded, moreFiles))
	return append(out, s.grown("memory of the control plane", "MiB", func(x sample) float64 { return x.up }, upgraded, growthMiB))
}

// renewals: one for each time that a certificate may stay at most. While an old process lets its connections end, it has one too.
func (s *soak) renewals() check {
	n, failed := s.certs["renewed"], s.certs["failed"]
	c := check{name: "certificates of front's proxy", figures: fmt.Sprintf("%.0f renewed, %.0f attempts failed; one every %.1f s", n, failed, s.span.Seconds()/n)}
	if least := math.Floor(s.span.Seconds() / latest.Seconds()); n < least || failed > 0 {
		c.broken = fmt.Sprintf("at least %.0f are wanted, and none failed", least)
	}
	return c
}

func (s *soak) grown(name, unit string, of func(sample) float64, from time.Duration, slack float64) check {
	first, last := s.flat(of, from)
	c := check{name: name, figures: fmt.Sprintf("%.1f %s, and %.1f at the end", first, unit, last)}
	if limit := max(first*(1+growth), first+slack); first == 0 || last > limit {
		c.broken = fmt.Sprintf("at most %.1f are wanted", limit)
	}
	return c
}

// write leaves the table and the picture in a directory.
func (s *soak) write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "# %v of everything at once\n\n![Memory over time.](soak.svg)\n\n| what | figures | holds |\n|---|---|---|\n", s.span)
	for _, c := range s.checks() {
		holds := "yes"
		if c.broken != "" {
			holds = "no: " + strings.ReplaceAll(c.broken, "\n", " ")
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", c.name, c.figures, holds)
	}
	if err := os.WriteFile(filepath.Join(dir, "soak.md"), b.Bytes(), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "soak.svg"), s.picture(), 0o644)
}

const (
	width, height     = 760, 320
	left, top, bottom = 50, 24, 284
)

// picture is the memory of front's proxies and of the control plane over time, and the calls that failed.
func (s *soak) picture() []byte {
	most := 1.0
	for _, x := range s.samples {
		most = max(most, x.front, x.up)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" font-family="sans-serif" font-size="12">`+"\n", width, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fff"/><path d="M%d %dV%dH%d" fill="none" stroke="#24292f"/>`+"\n", width, height, left, top, bottom, width-10)
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%.0f MiB</text><text x="%d" y="%d" text-anchor="end">0</text><text x="%d" y="%d" text-anchor="end">%v</text>`+"\n",
		left-4, top+8, most, left-4, bottom, width-10, bottom+16, s.span)
	s.line(&b, "#1f6feb", most, func(x sample) float64 { return x.front })
	s.line(&b, "#9a6700", most, func(x sample) float64 { return x.up })
	calls, failed := 0, 0
	if n := len(s.samples); n > 0 {
		calls, failed = s.samples[n-1].calls, s.samples[n-1].failed
	}
	fmt.Fprintf(&b, `<text x="%d" y="16" fill="#1f6feb">front's proxies</text><text x="%d" y="16" fill="#9a6700">control plane</text><text x="%d" y="16" text-anchor="end">%d calls, %d failed</text>`+"\n",
		left+10, left+130, width-10, calls, failed)
	b.WriteString("</svg>\n")
	return b.Bytes()
}

func (s *soak) line(b *bytes.Buffer, color string, most float64, of func(sample) float64) {
	fmt.Fprintf(b, `<polyline fill="none" stroke="%s" points="`, color)
	for _, x := range s.samples {
		fmt.Fprintf(b, "%.1f,%.1f ", left+float64(width-10-left)*x.at.Seconds()/s.span.Seconds(), bottom-float64(bottom-top)*of(x)/most)
	}
	b.WriteString(`"/>` + "\n")
}
