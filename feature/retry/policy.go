// Package retry serves a failed call again, when its policy says so and the budget allows.
package retry

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/traffic"
)

// Policy says when and how often. Zero fields take the value in brackets.
type Policy struct {
	Ref       decision.Ref  `pb:"1"`
	Attempts  int           `pb:"2"`  // beside the first [0: never]
	Connect   bool          `pb:"3"`  // when the endpoint could not be reached
	Refused   bool          `pb:"4"`  // when the stream was refused before it was processed
	Reset     bool          `pb:"5"`  // when the endpoint broke off before the response's head
	TimedOut  bool          `pb:"6"`  // when the attempt's own deadline passed
	ServerErr bool          `pb:"7"`  // any status from 500 on
	Codes     []int         `pb:"8"`  // these statuses
	GRPC      []int         `pb:"9"`  // these gRPC codes, in a response without a body
	Failed    bool          `pb:"10"` // whatever classify calls a failure
	Backoff   time.Duration `pb:"11"` // before the first retry, doubling up to ten times itself, with full jitter [25 ms]
	ResetSafe bool          `pb:"12"` // as Reset, for methods that are idempotent (RFC 9110 section 9.2.2) alone
}

// Budget bounds retries as a share of calls; shared by all calls from one proxy to one service. It is always there. Nil and zero
// fields take the value in brackets; a pointer to 0 allows none.
type Budget struct {
	Ref          decision.Ref  `pb:"1"`
	Percent      *uint32       `pb:"2"` // retries per 100 calls [20]
	MinPerSecond *uint32       `pb:"3"` // retries a second that are allowed in any case [10]
	Window       time.Duration `pb:"4"` // in which calls count [10 s]
}

const (
	longest = 24 * time.Hour // of a Backoff
	maxBody = 64 << 10       // bytes of request body that are kept for a replay
)

// Validate says what can't be.
func (p *Policy) Validate() error {
	switch {
	case p.Attempts < 0:
		return fmt.Errorf("retry: %d attempts can't be", p.Attempts)
	case p.Backoff < 0:
		return fmt.Errorf("retry: a back-off of %v can't be", p.Backoff)
	}
	return nil
}

// Wants says whether the policy would have what c has become be made again, if it may. late: the attempt's own deadline
// passed, and not the call's. What a handler answered in the callee's place is never made again: asking again would not
// change its mind. Failed speaks of answers; no answer is for the other fields to name (Linkerd's isRetryable).
func (p *Policy) Wants(c *traffic.Call, late bool) bool {
	switch err := c.Response.Err; {
	case err == nil:
		return !c.Response.Local && p.wantsAnswer(c)
	case errors.Is(err, traffic.ErrConnect), errors.Is(err, traffic.ErrWrongPeer): // neither got a byte of the call
		return p.Connect
	case errors.Is(err, traffic.ErrRefused):
		return p.Refused
	case errors.Is(err, traffic.ErrReset):
		return p.Reset || p.ResetSafe && idempotent(c.Method)
	case errors.Is(err, traffic.ErrDeadline):
		return p.TimedOut && late
	}
	return false
}

func (p *Policy) wantsAnswer(c *traffic.Call) bool {
	status := c.Response.Status
	if p.ServerErr && status >= 500 || slices.Contains(p.Codes, status) {
		return true
	}
	if c.Proto == traffic.GRPC && len(p.GRPC) > 0 {
		s, ok := c.Response.Header.Get("grpc-status") // in the head: no message came before it
		if n, err := strconv.Atoi(s); ok && err == nil && slices.Contains(p.GRPC, n) {
			return true
		}
	}
	return p.Failed && c.Failed()
}

// idempotent methods may be made again without the caller's word (RFC 9110 section 9.2.2).
func idempotent(method string) bool {
	switch method {
	case "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE":
		return true
	}
	return false
}

const salt = 0x7265747279 // "retry"

// Wait is the pause before retry n (1: the first), with full jitter: from nothing to the back-off, so that callers who failed
// together do not come back together.
func (p *Policy) Wait(n int, a *traffic.Attrs) time.Duration {
	base := min(cmp.Or(p.Backoff, 25*time.Millisecond), longest)
	most := 10 * base
	for ; n > 1 && base < most; n-- {
		base *= 2
	}
	return time.Duration(a.Chance(salt+uint64(n), uint64(min(base, most))+1))
}

// grpcNames are the words of grpc/grpc doc/statuscodes.md, by code.
var grpcNames = [...]string{"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
	"RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"}

// String is what explain shows.
func (p *Policy) String() string {
	var on []string
	for _, x := range []struct {
		set  bool
		name string
	}{{p.Connect, "no connection"}, {p.Refused, "refused streams"}, {p.Reset, "resets"}, {p.ResetSafe && !p.Reset, "resets of idempotent calls"},
		{p.TimedOut, "late attempts"}, {p.ServerErr, "5xx"}, {p.Failed, "failures"}} {
		if x.set {
			on = append(on, x.name)
		}
	}
	for _, code := range p.Codes {
		on = append(on, fmt.Sprint("status ", code))
	}
	for _, code := range p.GRPC {
		name := strconv.Itoa(code)
		if code >= 0 && code < len(grpcNames) {
			name = grpcNames[code]
		}
		on = append(on, "gRPC "+name)
	}
	return fmt.Sprintf("up to %d more attempts on %s", p.Attempts, strings.Join(on, ", "))
}
