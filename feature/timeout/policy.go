// Package timeout bounds a call, and each attempt of it, from its head to its end.
package timeout

import (
	"fmt"
	"strconv"
	"time"

	"github.com/weft-mesh/weft/decision"
)

// Policy bounds a whole call, retries included, or each attempt of it: a rule has one for each, since different objects may set them.
type Policy struct {
	Ref   decision.Ref  `pb:"1"`
	Limit time.Duration `pb:"2"` // 0: no bound, whatever else says one
}

// Validate refuses negative durations.
func (p *Policy) Validate() error {
	if p.Limit < 0 {
		return fmt.Errorf("timeout: %v: a duration can't be negative", p.Limit)
	}
	return nil
}

// ParseGRPC reads a grpc-timeout header: at most eight digits and a unit (gRPC over HTTP2, "Timeout").
func ParseGRPC(s string) (time.Duration, bool) {
	if len(s) < 2 || len(s) > 9 {
		return 0, false
	}
	unit := unitOf(s[len(s)-1])
	n, err := strconv.ParseUint(s[:len(s)-1], 10, 32)
	if unit == 0 || err != nil {
		return 0, false
	}
	return time.Duration(min(n, uint64(1<<63-1)/uint64(unit))) * unit, true
}

func unitOf(b byte) time.Duration {
	switch b {
	case 'H':
		return time.Hour
	case 'M':
		return time.Minute
	case 'S':
		return time.Second
	case 'm':
		return time.Millisecond
	case 'u':
		return time.Microsecond
	case 'n':
		return time.Nanosecond
	}
	return 0
}
