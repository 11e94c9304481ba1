package meshtest

import (
	"strings"

	"github.com/weft-mesh/weft/cli/transcript"
	"github.com/weft-mesh/weft/explain"
)

// inOrder takes steps both ways, side by side. Each call that the proxies answer has to be one that the decision knows; how many there
// are of each, the transcript says of both.
func (m *Mesh) inOrder(steps []transcript.Step) {
	m.t.Helper()
	s := transcript.NewSession(m.View().Mesh)
	for i := range steps {
		x := &steps[i]
		ways, err := s.Do(x)
		if err != nil {
			m.t.Errorf("line %d: %v", x.Line, err)
			return
		}
		switch {
		case x.Call != nil:
			if !m.repeat(x.Call, ways) {
				return
			}
		case x.Workload != "":
			m.behave(x.Workload, x.App)
		default:
			m.Pass(x.After)
		}
	}
}

// repeat makes a call as often as it says, beside those that it says; false: what follows would not mean what it says.
func (m *Mesh) repeat(c *transcript.Call, ways []explain.Branch) bool {
	m.t.Helper()
	if x := c.Tally(ways); x != nil {
		m.t.Errorf("by decision: %s", x)
		return false
	}
	for range c.Beside {
		held := m.hold(c.Nth(1, nil))
		defer held.over()
	}
	var got []explain.Branch
	var jar transcript.Jar
	for n := range max(c.Times, 1) {
		nth := c.Nth(n+1, jar)
		a := m.call(nth)
		if !m.agrees(nth, ways, a) {
			return false
		}
		jar.Keep(&a.Branch)
		got = append(got, a.Branch)
	}
	if x := c.Tally(got); x != nil {
		m.t.Errorf("through proxies: %s", x)
		return false
	}
	return true
}

func (m *Mesh) agrees(c *transcript.Call, ways []explain.Branch, a *Answer) bool {
	m.t.Helper()
	var said []string
	for i := range ways {
		if same(c, &ways[i], a) {
			return true
		}
		said = append(said, transcript.Describe(&ways[i]))
	}
	m.t.Errorf("through proxies: line %d: %s\n  the decision is %s\n  and the proxies did %s\n  %s", c.Line, c.Text, strings.Join(said, " | "),
		transcript.Describe(&a.Branch), a.Body)
	return false
}
