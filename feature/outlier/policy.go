// Package outlier decides when an endpoint that fails is left out, and for how long. balance acts on it.
package outlier

import (
	"time"

	"github.com/weft-mesh/weft/decision"
)

// Policy says which endpoints are ejected. Zero counts mean never; other zero fields take the value in brackets.
type Policy struct {
	Ref         decision.Ref  `pb:"1"`
	Consecutive uint32        `pb:"2"`  // failures in a row: 5xx, gRPC server errors, no answer
	Gateway     uint32        `pb:"3"`  // failures in a row of 502, 503, 504 or no answer
	Local       uint32        `pb:"4"`  // failures in a row without an answer; set: those count in no other
	Base        time.Duration `pb:"5"`  // left out for this long, times the number of ejections so far [30 s]
	MaxPercent  uint32        `pb:"6"`  // of the endpoints may be out at once; one always may while another is well [10]
	MinHealth   uint32        `pb:"7"`  // percent that must be well, or nothing is left out [0]
	Interval    time.Duration `pb:"8"`  // in which an endpoint that behaves has one ejection forgiven [10 s]
	Max         time.Duration `pb:"9"`  // the longest that it is left out, though never less than Base [300 s]
	Doubles     bool          `pb:"10"` // each ejection is twice as long as the one before, in place of Base longer
	Wary        bool          `pb:"11"` // who comes back is left out anew by one failure, until it has had a success
}
