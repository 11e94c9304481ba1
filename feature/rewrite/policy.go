// Package rewrite changes path and authority of a request on its way.
package rewrite

import "github.com/weft-mesh/weft/decision"

// Policy says what changes; what is unset stays.
type Policy struct {
	Ref       decision.Ref `pb:"1"`
	Authority string       `pb:"2"`
	Path      *string      `pb:"3"` // the whole path
	Prefix    *string      `pb:"4"` // what takes the place of Strip, the prefix that the rule matched
	Strip     string       `pb:"5"`
	Segment   bool         `pb:"6"` // Strip ends at a path segment (Gateway API); else it is text (Istio)
	Regex     string       `pb:"7"` // RE2: each match in the path becomes Substitution, which may use \1
	Subst     string       `pb:"8"`
}
