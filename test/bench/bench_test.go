package main

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/weft-mesh/weft/test/bench/load"
)

// A target of a group that is never measured would never be missed.
func TestTargetsAreMeasured(t *testing.T) {
	have := map[string]bool{}
	for _, c := range cases {
		for _, v := range c.variants {
			for _, n := range c.callers {
				g := group{Case: c.name, Variant: v.name, Callers: n, Memory: v.fresh}
				have[g.name()] = true
			}
		}
	}
	for _, name := range pictured {
		if !have[name] {
			t.Errorf("the picture has %q, which no case measures", name)
		}
	}
	for _, x := range targets {
		if !have[x.group] {
			t.Errorf("target %q is of the group %q, which no case measures", x.text, x.group)
		}
	}
}

// plans are those of all cases and kinds, as far as they do not depend on the machine.
func plans() (out []*plan) {
	for _, c := range cases {
		for _, v := range c.variants {
			for _, k := range append([]kind{{}}, v.kinds...) {
				x := v
				if k.change != nil {
					k.change(&x)
				}
				p := x.plan
				p.Next, p.Dir, p.Cert, p.Key, p.CA, p.Both = []string{"127.0.0.1:1"}, "/d", "/d/c", "/d/k", "/d/a", "/d/b"
				p.Ports = map[load.Protocol]uint16{p.app(): 1}
				if p.Routes == nil {
					p.Routes = routesOf()
				}
				if p.Rules == nil {
					p.Rules = rulesOf(&p)
				}
				out = append(out, &p)
			}
		}
	}
	return out
}

func TestConfigurationsAreYAML(t *testing.T) {
	for _, p := range plans() {
		sides, err := p.sides(true)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range sides {
			wellFormed(t, "envoy.yaml.tmpl", s)
		}
		wellFormed(t, "weft.yaml.tmpl", p)
	}
}

func wellFormed(t *testing.T, name string, data any) {
	var b bytes.Buffer
	if err := templates.ExecuteTemplate(&b, name, data); err != nil {
		t.Fatal(err)
	}
	for _, doc := range strings.Split(b.String(), "\n---\n") {
		var v map[string]any
		if err := yaml.Unmarshal([]byte(doc), &v); err != nil || len(v) == 0 {
			t.Fatalf("%s: %v\n%s", name, err, doc)
		}
	}
}

func TestFigures(t *testing.T) {
	g := group{Samples: map[string][]sample{}}
	for _, x := range []float64{3, 1, 2, 10} {
		g.Samples[weft] = append(g.Samples[weft], sample{CPU: []float64{x, x}, P50: x})
		g.Samples[direct] = append(g.Samples[direct], sample{CPU: []float64{2 * x}, P50: 1})
	}
	if x, ok := g.of(weft, cpu); !ok || x != (spread{5, 2, 20}) {
		t.Errorf("%+v", x)
	}
	if x, ok := g.ratio(weft, direct, cpu); !ok || x != (spread{1, 1, 1}) {
		t.Errorf("ratio %+v", x)
	}
	if x, ok := g.added(weft, p50); !ok || x != (spread{1.5, 0, 9}) {
		t.Errorf("added %+v", x)
	}
	if _, ok := g.ratio(weft, "nginx", cpu); ok {
		t.Error("a ratio to a peer without figures")
	}
}

func TestLastEntryIsHit(t *testing.T) {
	for _, m := range matchers {
		if list := m.routes(3); !strings.Contains(list[2].Weft, "hit") || strings.Contains(list[1].Weft+list[0].Weft, "hit") {
			t.Errorf("%s: %q", m.name, list)
		}
	}
}

func TestUsage(t *testing.T) {
	w := watched{Proxies: []int{os.Getpid()}}
	before, err := w.now()
	if err != nil {
		t.Fatal(err)
	}
	for at := time.Now(); time.Since(at) < 50*time.Millisecond; { // on whatever the machine gives
	}
	after, err := w.now()
	if err != nil || after.proxies[0] <= before.proxies[0] || after.busy < before.busy {
		t.Errorf("%v then %v, %v", before, after, err)
	}
	if rss, anonymous := memory(os.Getpid()); rss < 1<<20 || anonymous < 1<<18 || anonymous > rss {
		t.Errorf("%d bytes, %d anonymous", rss, anonymous)
	}
	if !slices.Contains(family(os.Getpid()), os.Getpid()) {
		t.Error("a process is not of its own family")
	}
}
