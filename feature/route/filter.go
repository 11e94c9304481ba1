package route

import (
	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/traffic"
)

// Table is a Handler: the first rule that matches serves the call. None: 404.
type Table struct {
	ref   *decision.Ref
	rules *Rules
	next  []traffic.Handler
}

// NewTable makes a table; next[i] serves rule i. ref is the object that the rules belong to: what a call that none matches is told.
func NewTable(ref *decision.Ref, rules *Rules, next []traffic.Handler) *Table {
	return &Table{ref, rules, next}
}

// Serve notes the rule that the call follows.
func (t *Table) Serve(c *traffic.Call) error {
	i, v := t.rules.Find(&c.Attrs)
	if i < 0 {
		v.Ref = t.ref
		c.Trail.Took("route", v, "no rule matches")
		return c.Reply(404, v)
	}
	c.Trail.Took("route", v, "")
	c.Because(v)
	return t.next[i].Serve(c)
}

// Splitter is a Handler: a backend by weight serves the call. There is none, or it does not exist: 500.
type Splitter struct {
	ref      *decision.Ref
	backends []Weighted
	next     []traffic.Handler
}

// NewSplitter makes the end of a rule; next[i] serves backend i. ref is the rule.
func NewSplitter(ref *decision.Ref, backends []Weighted, next []traffic.Handler) *Splitter {
	return &Splitter{ref, backends, next}
}

// Serve sets the call's target.
func (s *Splitter) Serve(c *traffic.Call) error {
	i := Split(s.backends, &c.Attrs)
	v := decision.Verdict{Ref: s.ref, Reason: decision.Matched}
	switch {
	case i < 0:
		v.Outcome, v.Reason = decision.Deny, decision.NoBackend
		c.Trail.Took("split", v, "the rule has no backend with a weight")
		return c.Reply(500, v)
	case s.backends[i].Missing != "":
		v.Outcome, v.Reason = decision.Deny, decision.NoBackend
		s.explain(c, v, s.backends[i].Missing)
		return c.Reply(500, v)
	}
	c.Target = s.backends[i].Target
	s.explain(c, v, "")
	return s.next[i].Serve(c)
}

func (s *Splitter) explain(c *traffic.Call, v decision.Verdict, missing string) {
	if c.Trail == nil {
		return
	}
	step := decision.Step{Side: c.Trail.Side, Stage: "split", Verdict: v, Took: true, Note: missing}
	if missing == "" {
		step.Note = c.Target.String()
	}
	if len(s.backends) > 1 {
		step.Options = Ways(s.backends)
	}
	c.Trail.Steps = append(c.Trail.Steps, step)
}
