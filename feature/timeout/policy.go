// Package timeout bounds a call, and each attempt of it, from its head to its end.
package timeout

import (
	"time"

	"github.com/weft-mesh/weft/decision"
)

// Policy's zero durations mean no bound.
type Policy struct {
	Ref     decision.Ref  `pb:"1"`
	Request time.Duration `pb:"2"` // the whole call, retries included
	Attempt time.Duration `pb:"3"` // each attempt
}
