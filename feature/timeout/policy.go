// Package timeout bounds a call, and each attempt of it, from its head to its end.
package timeout

import (
	"fmt"
	"strconv"
	"time"

	"github.com/weft-mesh/weft/decision"
)

// Policy bounds times; zero durations mean no bound.
type Policy struct {
	Ref     decision.Ref  `pb:"1"`
	Request time.Duration `pb:"2"` // the whole call, retries included
	Attempt time.Duration `pb:"3"` // each attempt
}

// Validate refuses negative durations.
func (p *Policy) Validate() error {
	if p.Request < 0 || p.Attempt < 0 {
		return fmt.Errorf("timeout: %v of the request and %v of an attempt: a duration can't be negative", p.Request, p.Attempt)
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
