// Package authz judges calls by each dialect's engine; all must let a call pass. An engine is data: dialects differ in
// the tiers they fill and in what happens when no tier decides.
package authz

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/traffic"
)

// Effect is what a rule that matches does.
type Effect uint8

const (
	Allow Effect = iota
	Deny
	DenyLast // what no Allow has let pass
)

// Rule matches if one of From, one of To, one of Dest and all of When do; an empty list matches all.
type Rule struct {
	Ref  decision.Ref      `pb:"1"`
	From []match.Source    `pb:"2"` // the caller
	To   []match.Request   `pb:"3"`
	Dest []match.Source    `pb:"4"` // the endpoint, of an outbound rule
	When []match.Condition `pb:"5"`
}

// Tier is a set of rules with one effect.
type Tier struct {
	Effect Effect `pb:"1"`
	Rules  []Rule `pb:"2"`
	ready  bool
	index  *match.Index // nil: they are asked in order
}

// Engine is one dialect's judgement of the calls into a workload, or out of it.
type Engine struct {
	Dialect decision.Dialect `pb:"1"`
	Ports   []match.Range    `pb:"2"` // of the callee, where it judges [all]
	Tiers   []Tier           `pb:"3"`
	Closed  *decision.Ref    `pb:"4"` // what denies when no tier decides; nil: pass
}

// Judge goes through the tiers; peer is the endpoint of a call out of the workload, nil of one into it.
func (e *Engine) Judge(a *traffic.Attrs, peer *traffic.Peer) decision.Verdict {
	if a.Proto != traffic.TCP && a.Method == "CONNECT" && a.Upgrade == "" {
		a = tunnel(a)
	}
	for t := range e.Tiers {
		tier := &e.Tiers[t]
		if i := tier.first(a, peer); i >= 0 {
			return decision.Verdict{Ref: &tier.Rules[i].Ref, Outcome: outcomes[tier.Effect], Reason: decision.Matched}
		}
	}
	if e.Closed != nil {
		return decision.Verdict{Ref: e.Closed, Outcome: decision.Deny, Reason: decision.NoRuleAllows}
	}
	return decision.Verdict{}
}

// first returns the first rule that matches, or -1. A trail is to have those that were passed over, so then each is asked.
func (t *Tier) first(a *traffic.Attrs, peer *traffic.Peer) int {
	if t.index == nil || a.Trail != nil || a.Source.Unclear() {
		return t.linear(a, peer)
	}
	return t.index.First(a, peer, func(i int) bool { return t.Rules[i].match(a, peer, t.Effect) })
}

// linear is first, asking one after another.
func (t *Tier) linear(a *traffic.Attrs, peer *traffic.Peer) int {
	for i := range t.Rules {
		if t.Rules[i].match(a, peer, t.Effect) {
			return i
		}
	}
	return -1
}

// tunnel is what a tunnel by CONNECT is judged as: TCP, since in its bytes there may be requests that nobody judges.
func tunnel(a *traffic.Attrs) *traffic.Attrs {
	t := *a
	t.Proto = traffic.TCP
	return &t
}

var outcomes = [...]decision.Outcome{Allow: decision.Pass, Deny: decision.Deny, DenyLast: decision.Deny}

func (e Effect) wide() bool { return e == Deny || e == DenyLast }

// match: what needs a head counts as matching a call without one where the effect is to deny.
func (r *Rule) match(a *traffic.Attrs, peer *traffic.Peer, e Effect) bool {
	wide := e.wide()
	switch {
	case !r.from(&a.Source, wide):
		a.Trail.Passed("authz", &r.Ref, "another source")
	case !r.dest(peer, wide):
		a.Trail.Passed("authz", &r.Ref, "another destination")
	case !r.to(a, wide):
		if a.Trail != nil {
			a.Trail.Passed("authz", &r.Ref, r.To[0].Miss(a))
		}
	case !r.when(a, wide):
		if a.Trail != nil {
			a.Trail.Passed("authz", &r.Ref, r.unmet(a))
		}
	default:
		return true
	}
	return false
}

func (r *Rule) from(p *traffic.Peer, wide bool) bool {
	for i := range r.From {
		if r.From[i].Match(p, wide) {
			return true
		}
	}
	return len(r.From) == 0
}

func (r *Rule) dest(p *traffic.Peer, wide bool) bool {
	for i := range r.Dest {
		if p != nil && r.Dest[i].Match(p, wide) {
			return true
		}
	}
	return len(r.Dest) == 0
}

func (r *Rule) to(a *traffic.Attrs, wide bool) bool {
	for i := range r.To {
		if r.To[i].Match(a, wide) {
			return true
		}
	}
	return len(r.To) == 0
}

func (r *Rule) when(a *traffic.Attrs, wide bool) bool {
	for i := range r.When {
		if !r.When[i].Match(a, wide) {
			return false
		}
	}
	return true
}

// unmet says in words why the conditions do not hold.
func (r *Rule) unmet(a *traffic.Attrs) string {
	for i := range r.When {
		if c := &r.When[i]; c.Key == match.Transport && !c.Match(a, false) {
			return "the rule is for another transport"
		}
	}
	return "a condition does not hold"
}

// On says whether the engine judges calls to a port.
func (e *Engine) On(port uint16) bool {
	return len(e.Ports) == 0 || match.InRanges(e.Ports, port)
}

// Networks are those by which rules tell callers apart, some several times.
func (e *Engine) Networks() (all []netip.Prefix) {
	for t := range e.Tiers {
		for i := range e.Tiers[t].Rules {
			r := &e.Tiers[t].Rules[i]
			for j := range r.From {
				all = append(append(all, r.From[j].Networks...), r.From[j].NotNetworks...)
			}
			for j := range r.When {
				if k := r.When[j].Key; k == match.SourceIP || k == match.RemoteIP {
					all = append(append(all, r.When[j].Networks...), r.When[j].NotNetworks...)
				}
			}
		}
	}
	return all
}

// Labelled says whether any rule reads labels of callers.
func (e *Engine) Labelled() bool {
	return e.reads(func(r *Rule) []match.Source { return r.From })
}

// ByAddress says whether any rule means callers by the pod that has their address.
func (e *Engine) ByAddress() bool { return len(e.Pods(nil)) > 0 }

// Pods adds to all what means callers by the pod that has their address.
func (e *Engine) Pods(all []*match.Source) []*match.Source {
	for t := range e.Tiers {
		for i := range e.Tiers[t].Rules {
			for j := range e.Tiers[t].Rules[i].From {
				if s := &e.Tiers[t].Rules[i].From[j]; s.ByAddress {
					all = append(all, s)
				}
			}
		}
	}
	return all
}

// LabelledDest says whether any rule reads labels of endpoints.
func (e *Engine) LabelledDest() bool {
	return e.reads(func(r *Rule) []match.Source { return r.Dest })
}

func (e *Engine) reads(of func(*Rule) []match.Source) bool {
	return slices.ContainsFunc(e.Tiers, func(t Tier) bool {
		return slices.ContainsFunc(t.Rules, func(r Rule) bool {
			return slices.ContainsFunc(of(&r), func(s match.Source) bool { return s.Labelled() })
		})
	})
}

// Compile readies the matchers, and refuses an effect that it does not know. What is ready it leaves as it is: calls may be judged by
// it.
func (e *Engine) Compile() error {
	for t := range e.Tiers {
		if err := e.Tiers[t].compile(); err != nil {
			return err
		}
	}
	return nil
}

func (t *Tier) compile() error {
	if t.Effect > DenyLast {
		return fmt.Errorf("authz: effect %d is not known; the proxy may be older than the control plane", t.Effect)
	}
	if t.ready {
		return nil
	}
	for i := range t.Rules {
		if err := t.Rules[i].compile(); err != nil {
			return fmt.Errorf("%v: %w", &t.Rules[i].Ref, err)
		}
	}
	t.ready, t.index = true, match.NewIndex(len(t.Rules), t.Effect.wide(), func(i int) match.Need { return t.Rules[i].need() })
	return nil
}

// need is what a call has to have for the rule to match.
func (r *Rule) need() match.Need {
	var from, to, dest []match.Need
	for i := range r.From {
		from = append(from, r.From[i].Need(false))
	}
	for i := range r.To {
		to = append(to, r.To[i].Need())
	}
	for i := range r.Dest {
		dest = append(dest, r.Dest[i].Need(true))
	}
	all := []match.Need{match.Any(from...), match.Any(to...), match.Any(dest...)}
	for i := range r.When {
		all = append(all, r.When[i].Need())
	}
	return match.All(all...)
}

func (r *Rule) compile() error {
	for i := range r.From {
		if err := r.From[i].Compile(); err != nil {
			return err
		}
	}
	for i := range r.Dest {
		if err := r.Dest[i].Compile(); err != nil {
			return err
		}
	}
	for i := range r.To {
		if err := r.To[i].Compile(); err != nil {
			return err
		}
	}
	for i := range r.When {
		if err := r.When[i].Compile(); err != nil {
			return err
		}
	}
	return nil
}

// OverTCP are the rules that calls over TCP can match, without the condition that they go over it: what is asked where there is nothing
// else, at no cost.
func OverTCP(rules []Rule) []Rule {
	speaks := func(c match.Condition) bool { return c.Key == match.Transport }
	if !slices.ContainsFunc(rules, func(r Rule) bool { return slices.ContainsFunc(r.When, speaks) }) {
		return rules
	}
	tcp := traffic.Attrs{Conn: &traffic.Conn{}}
	var out []Rule
	for _, r := range rules {
		never := func(c match.Condition) bool { return speaks(c) && !c.Match(&tcp, false) }
		if !slices.ContainsFunc(r.When, never) {
			r.When = slices.DeleteFunc(slices.Clone(r.When), speaks)
			out = append(out, r)
		}
	}
	return out
}

// Order compares tiers by when they are asked: those that deny, those that allow, those that deny the rest.
func Order(a, b Tier) int { return cmp.Compare(stage[a.Effect], stage[b.Effect]) }

var stage = [...]int{Deny: 0, Allow: 1, DenyLast: 2}
