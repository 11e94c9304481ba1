// Package mirror sends a copy of a share of calls somewhere else, after the call has ended, and drops the answer.
package mirror

import (
	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/traffic"
)

// Policy's share is in millionths of calls.
type Policy struct {
	Ref    decision.Ref   `pb:"1"`
	Target traffic.Target `pb:"2"`
	Share  uint32         `pb:"3"`
	Shadow bool           `pb:"4"` // "-shadow" is added to the authority's host (Istio)
}
