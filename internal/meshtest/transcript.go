package meshtest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/cli/transcript"
	"github.com/weft-mesh/weft/explain"
	"github.com/weft-mesh/weft/traffic"
)

// RunTranscripts runs all that a pattern finds, each as a test of its own.
func RunTranscripts(t *testing.T, pattern string) {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		t.Fatalf("no transcript is found by %s: %v", pattern, err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) { RunTranscript(t, path) })
	}
}

// RunTranscript has every call of a transcript judged by decision alone, and made through real proxies. Outcome and because of
// what must be as expected, and the same both ways.
func RunTranscript(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := transcript.Parse(path, data)
	if err != nil {
		t.Fatal(err)
	}
	_, failed, err := f.Run()
	if err != nil {
		t.Fatal(err)
	}
	for i := range failed {
		t.Errorf("by decision: %s: %s", path, &failed[i])
	}
	if len(f.Calls) > 0 {
		m := runFile(t, f)
		for i := range f.Calls {
			m.expect(&f.Calls[i])
		}
	}
	for i := range f.Orders {
		t.Run(fmt.Sprint("in order ", i+1), func(t *testing.T) {
			m := runFile(t, f)
			m.inOrder(f.Orders[i])
		})
	}
}

// runFile starts a mesh for a transcript.
func runFile(t *testing.T, f *transcript.File) *Mesh {
	t.Helper()
	objects, found := f.Objects()
	m := start(t, newGiven(), objects, found)
	var all []*workload
	for _, w := range f.Running() {
		all = append(all, m.run(w))
	}
	m.serving(all)
	if f.Checked {
		for _, x := range f.CheckFindings(m.View().Findings) {
			t.Errorf("in the running mesh: %s", &x)
		}
	}
	return m
}

// Expect checks lines of a transcript's section calls in the mesh as it is now, both ways.
func (m *Mesh) Expect(lines ...string) {
	m.t.Helper()
	for _, line := range lines {
		c, err := transcript.ParseCall(line)
		if err != nil {
			m.t.Fatal(err)
		}
		m.expect(&c)
	}
}

// draws is how many calls are made at random where chance decides.
const draws = 100

// expect makes the call once for each way that it can go, by a lot that leads there, and, where there are several, some more times at
// random.
func (m *Mesh) expect(c *transcript.Call) {
	m.t.Helper()
	if c.Repeated() {
		m.inOrder([]transcript.Step{{Line: c.Line, Call: c}})
		return
	}
	ways, err := transcript.Judge(m.View().Mesh, c)
	if err != nil {
		m.t.Errorf("%s: %v", c.Text, err)
		return
	}
	if x := transcript.Compare(c, ways); x != nil {
		m.t.Errorf("by decision: %s", x)
	}
	for i := range ways {
		if len(ways) > 1 {
			m.lot.wanted.Store(&ways[i].Draw)
		}
		_, err := m.once(c, ways[i:i+1])
		m.lot.wanted.Store(nil)
		if err != nil {
			m.t.Errorf("through proxies: line %d: %s\n  %v", c.Line, c.Text, err)
			return
		}
	}
	if len(ways) > 1 {
		m.atRandom(c, ways)
	}
}

func (m *Mesh) atRandom(c *transcript.Call, ways []explain.Branch) {
	m.t.Helper()
	hits := make([]int, len(c.Outcomes))
	for range draws {
		at, err := m.once(c, ways)
		if err != nil {
			m.t.Errorf("through proxies: line %d: %s\n  %v", c.Line, c.Text, err)
			return
		}
		hits[at]++
	}
	for i := range c.Outcomes {
		if o := &c.Outcomes[i]; !o.Had(hits[i], draws) {
			m.t.Errorf("through proxies: line %d: %s\n  %d of %d calls had the outcome %s", c.Line, c.Text, hits[i], draws, o)
		}
	}
}

// once makes a call, and returns which outcome it had.
func (m *Mesh) once(c *transcript.Call, ways []explain.Branch) (int, error) {
	m.t.Helper()
	a := m.call(c)
	agrees := false
	for i := range ways {
		agrees = agrees || same(c, &ways[i], a)
	}
	if !agrees {
		var said []string
		for i := range ways {
			said = append(said, transcript.Describe(&ways[i]))
		}
		return 0, fmt.Errorf("the decision is %s\n  and the proxies did %s\n  %s", strings.Join(said, " | "), transcript.Describe(&a.Branch), a.Body)
	}
	for i := range c.Outcomes {
		if c.Outcomes[i].Fits(&a.Branch) {
			return i, nil
		}
	}
	return 0, errors.Join(fmt.Errorf("want %s", &c.Outcomes[0]), fmt.Errorf("  got  %s", transcript.Describe(&a.Branch)))
}

// same says whether the decision and the proxies agree about a call: what became of it, who got it, and because of what.
func same(c *transcript.Call, d *explain.Branch, p *Answer) bool {
	became := d.Status == p.Status && d.GRPC == p.GRPC
	if c.Proto == traffic.TCP { // the caller sees no status
		became = d.Status < 400 == (p.Status < 400)
	}
	straight := c.From == transcript.Outside && c.Via == "" // no proxy records it as its own call
	return became && (straight || d.Failure == p.Failure && d.Class.String() == p.Class.String()) && (straight || d.Target == p.Target) && transcript.Words(d.By) == transcript.Words(p.By) &&
		max(d.Attempt, 1) == max(p.Attempt, 1) && (p.App == "" || d.Path == p.Path)
}
