// Package fault delays or aborts a share of calls.
package fault

import (
	"time"

	"github.com/weft-mesh/weft/decision"
)

// Policy's shares are in millionths of calls.
type Policy struct {
	Ref        decision.Ref  `pb:"1"`
	Delay      time.Duration `pb:"2"`
	DelayShare uint32        `pb:"3"`
	Status     int           `pb:"4"` // HTTP status to abort with
	GRPC       *int          `pb:"5"` // gRPC code to abort with, instead of Status
	AbortShare uint32        `pb:"6"`
}
