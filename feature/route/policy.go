// Package route picks the rule that a call follows, and one of the rule's weighted backends.
package route

import (
	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/traffic"
)

// Rule is whom a rule is for; what happens then is in mesh.Rule, around it.
type Rule struct {
	Ref     decision.Ref    `pb:"1"`
	Matches []match.Request `pb:"2"` // any of; none: all
}

// Match says whether the rule is for a, noting in the trail why not.
func (r *Rule) Match(a *traffic.Attrs) bool {
	for i := range r.Matches {
		if r.Matches[i].Match(a, false) {
			return true
		}
		if a.Trail != nil {
			a.Trail.Passed("route", &r.Ref, r.Matches[i].Miss(a))
		}
	}
	return len(r.Matches) == 0
}

// Compile readies the matchers.
func (r *Rule) Compile() error {
	for i := range r.Matches {
		if err := r.Matches[i].Compile(); err != nil {
			return err
		}
	}
	return nil
}

// Rules is an ordered list of rules, of which the first that matches counts. It is not changed once it is made.
type Rules struct {
	list  []Rule
	index *match.Index // nil: they are asked in order
}

// NewRules takes rules that are compiled.
func NewRules(list []Rule) *Rules {
	return &Rules{list, match.NewIndex(len(list), false, func(i int) match.Need { return list[i].need() })}
}

// Find returns the index of the first rule for a, or -1: what the package's Find says, in a time that does not grow with the number
// of rules. A trail is to have those that were passed over, so then each is asked.
func (r *Rules) Find(a *traffic.Attrs) (int, decision.Verdict) {
	if r.index == nil || a.Trail != nil {
		return Find(r.list, a)
	}
	return found(r.list, r.index.First(a, nil, func(i int) bool { return r.list[i].Match(a) }))
}

// need is what a call has to have for the rule to match.
func (r *Rule) need() match.Need {
	var of []match.Need
	for i := range r.Matches {
		of = append(of, r.Matches[i].Need())
	}
	return match.Any(of...)
}

// Find returns the index of the first rule for a, or -1. It asks one after another.
func Find(rules []Rule, a *traffic.Attrs) (int, decision.Verdict) {
	for i := range rules {
		if rules[i].Match(a) {
			return found(rules, i)
		}
	}
	return found(rules, -1)
}

func found(rules []Rule, i int) (int, decision.Verdict) {
	if i < 0 {
		return -1, decision.Verdict{Outcome: decision.Deny, Reason: decision.NoRoute}
	}
	return i, decision.Verdict{Ref: &rules[i].Ref, Reason: decision.Matched}
}

// Weighted is a backend's share. A backend that does not exist keeps its share of the calls, which fail.
type Weighted struct {
	Target  traffic.Target `pb:"1"`
	Weight  uint32         `pb:"2"`
	Missing string         `pb:"3"` // why it does not exist; empty: it does
}

const salt = 0x726f757465 // "route"

// Split picks a backend by weight; -1: there is none, or all weights are zero. The trail lists every way it can go.
func Split(backends []Weighted, a *traffic.Attrs) int {
	total := sum(backends)
	if total == 0 {
		return -1
	}
	n, at := uint64(0), uint64(0)
	if len(backends) > 1 {
		n = a.Chance(salt, total)
	}
	for i := range backends {
		if at += uint64(backends[i].Weight); n < at {
			return i
		}
	}
	return -1
}

func sum(backends []Weighted) (total uint64) {
	for i := range backends {
		total += uint64(backends[i].Weight)
	}
	return total
}

// Ways lists the backends that Split can pick, with the share of calls that each gets.
func Ways(backends []Weighted) (ways []decision.Option) {
	total, at := sum(backends), uint64(0)
	for i := range backends {
		w := uint64(backends[i].Weight)
		if w > 0 {
			ways = append(ways, decision.Option{Name: backends[i].Target.String(), Share: float64(w) / float64(total),
				Draw: traffic.DrawFor(salt, at)})
		}
		at += w
	}
	return ways
}
