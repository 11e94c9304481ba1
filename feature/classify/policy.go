// Package classify says which answers are successes and which are failures, for metrics, retries and outlier ejection, where
// the mesh's own rule (a status from 500 on, a gRPC status that is the server's fault, no answer) does not fit.
package classify

import "github.com/weft-mesh/weft/decision"

// Policy's first class that matches decides; none: the mesh's own rule.
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
