// Package headers edits request and response headers.
package headers

import "github.com/weft-mesh/weft/decision"

// Pair is a header and its value; names are lower case.
type Pair struct {
	Name  string `pb:"1"`
	Value string `pb:"2"`
}

// Edit is done in this order: remove, set, add.
type Edit struct {
	Set    []Pair   `pb:"1"`
	Add    []Pair   `pb:"2"`
	Remove []string `pb:"3"`
}

// Policy edits both ways. To set "host" changes the authority.
type Policy struct {
	Ref      decision.Ref `pb:"1"`
	Request  Edit         `pb:"2"`
	Response Edit         `pb:"3"`
}
