// Package mirror sends a copy of a share of calls somewhere else, after the call has ended, and drops the answer.
package mirror

import (
	"fmt"
	"strings"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/traffic"
)

// Policy says where copies go. Its share is in millionths of calls.
type Policy struct {
	Ref    decision.Ref   `pb:"1"`
	Target traffic.Target `pb:"2"`
	Share  uint32         `pb:"3"`
	Shadow bool           `pb:"4"` // "-shadow" is added to the authority's host (Istio)
}

// All is the share of all calls.
const All = 1_000_000

// Validate refuses a share of more than all calls.
func (p *Policy) Validate() error {
	if p.Share > All {
		return fmt.Errorf("mirror: a share of %d millionths is more than all calls", p.Share)
	}
	return nil
}

const salt = 0x6d6972726f72 // "mirror"

// Wants says whether a call is copied; the policies of one rule, told apart by index, are drawn apart. A connection and an
// upgrade are not: what follows their head has no end that a copy could wait for.
func (p *Policy) Wants(a *traffic.Attrs, index int) bool {
	if a.Proto == traffic.TCP || a.Upgrade != "" || a.Method == "CONNECT" {
		return false
	}
	return a.Chance(salt+uint64(index), All) < uint64(p.Share)
}

// authority of the copy.
func (p *Policy) authority(authority string) string {
	if !p.Shadow {
		return authority
	}
	host, port := authority, ""
	if i := strings.LastIndexByte(authority, ':'); i > strings.LastIndexByte(authority, ']') {
		host, port = authority[:i], authority[i:]
	}
	return host + "-shadow" + port
}
