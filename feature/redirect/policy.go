// Package redirect answers a call with the address where it should go instead.
package redirect

import "github.com/weft-mesh/weft/decision"

// Policy says what of the request's URL changes; what is unset stays.
type Policy struct {
	Ref    decision.Ref `pb:"1"`
	Scheme string       `pb:"2"`
	Host   string       `pb:"3"`
	Port   uint16       `pb:"4"` // 0: the scheme's own if Scheme is set, else the request's
	Path   *string      `pb:"5"` // the whole path
	Prefix *string      `pb:"6"` // what takes the place of the prefix that the rule matched
	Strip  string       `pb:"7"` // the prefix that the rule matched
	Status int          `pb:"8"` // 301, 302, 303, 307, 308
}
