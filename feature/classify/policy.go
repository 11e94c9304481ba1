// Package classify says which answers are successes and which are failures, for metrics, retries and outlier ejection, where
// the mesh's own rule (a status from 500 on, a gRPC status that is the server's fault, no answer) does not fit.
package classify

import (
	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/traffic"
)

// Policy is classes in order: the first that matches decides; none: the mesh's own rule.
type Policy struct {
	Ref     decision.Ref `pb:"1"`
	Classes []Class      `pb:"2"`
}

// Class is answers of one meaning.
type Class struct {
	Ref     decision.Ref `pb:"1"`
	Match   Condition    `pb:"2"`
	Success bool         `pb:"3"`
}

// Condition is a predicate on an answer: one of Status, All, Any, Not (Linkerd's ResponseMatch).
type Condition struct {
	Status *Statuses   `pb:"1"`
	All    []Condition `pb:"2"`
	Any    []Condition `pb:"3"`
	Not    []Condition `pb:"4"` // of one element
}

// Statuses is a range, both ends included.
type Statuses struct {
	Min int `pb:"1"`
	Max int `pb:"2"`
}

// Judge returns whether the answer is a failure, and the class that says so: the first that matches (traffic.Judge).
func (p *Policy) Judge(c *traffic.Call) (failed bool, ref *decision.Ref, ok bool) {
	for i := range p.Classes {
		if x := &p.Classes[i]; x.Match.holds(c.Response.Status) {
			return !x.Success, &x.Ref, true
		}
	}
	return false, nil, false
}

// holds: a condition without any of its fields holds for every answer.
func (x *Condition) holds(status int) bool {
	if x.Status != nil && (status < x.Status.Min || status > x.Status.Max) {
		return false
	}
	for i := range x.All {
		if !x.All[i].holds(status) {
			return false
		}
	}
	for i := range x.Not {
		if x.Not[i].holds(status) {
			return false
		}
	}
	for i := range x.Any {
		if x.Any[i].holds(status) {
			return true
		}
	}
	return len(x.Any) == 0
}
