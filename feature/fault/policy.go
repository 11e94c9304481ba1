// Package fault delays or aborts a share of calls.
package fault

import (
	"fmt"
	"time"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/traffic"
)

// Policy says what is injected. Shares are in millionths of calls.
type Policy struct {
	Ref        decision.Ref  `pb:"1"`
	Delay      time.Duration `pb:"2"`
	DelayShare uint32        `pb:"3"`
	Status     int           `pb:"4"` // HTTP status to abort with
	GRPC       *int          `pb:"5"` // gRPC code to abort with, instead of Status
	AbortShare uint32        `pb:"6"`
}

// All is the share of all calls.
const All = 1_000_000

// Validate says what can't be.
func (p *Policy) Validate() error {
	switch {
	case p.DelayShare > All || p.AbortShare > All:
		return fmt.Errorf("fault: shares of %d and %d millionths are more than all calls", p.DelayShare, p.AbortShare)
	case p.Delay < 0:
		return fmt.Errorf("fault: a delay of %v can't be", p.Delay)
	case p.GRPC != nil && (*p.GRPC < 0 || *p.GRPC > 16):
		return fmt.Errorf("fault: %d is no gRPC code", *p.GRPC)
	case p.AbortShare > 0 && p.GRPC == nil && (p.Status < 200 || p.Status > 599):
		return fmt.Errorf("fault: can't abort with status %d", p.Status)
	}
	return nil
}

const (
	saltDelay = 0x64656c6179 // "delay"
	saltAbort = 0x61626f7274 // "abort"
)

// Decide says whether to delay a call, and whether to abort it then; the two are drawn apart.
func (p *Policy) Decide(a *traffic.Attrs) (delay, abort bool) {
	return p.Delay > 0 && a.Chance(saltDelay, All) < uint64(p.DelayShare),
		a.Chance(saltAbort, All) < uint64(p.AbortShare)
}

// Ways lists how often calls are aborted and how often not, where both happen.
func (p *Policy) Ways() []decision.Option {
	return ways(saltAbort, p.AbortShare, "abort", "go on")
}

func ways(salt uint64, share uint32, yes, no string) []decision.Option {
	if share == 0 || share >= All {
		return nil
	}
	s := uint64(share)
	return []decision.Option{
		{Name: yes, Share: float64(s) / All, Draw: traffic.DrawFor(salt, 0)},
		{Name: no, Share: float64(All-s) / All, Draw: traffic.DrawFor(salt, s)},
	}
}
