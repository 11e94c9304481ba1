// Package retry serves a failed call again, when its policy says so and the budget allows.
package retry

import (
	"time"

	"github.com/weft-mesh/weft/decision"
)

// Policy says when and how often. Zero fields take the value in brackets.
type Policy struct {
	Ref        decision.Ref  `pb:"1"`
	Attempts   int           `pb:"2"`  // beside the first [0: never]
	Connect    bool          `pb:"3"`  // when the endpoint could not be reached
	Refused    bool          `pb:"4"`  // when the stream was refused before it was processed
	Reset      bool          `pb:"5"`  // when the endpoint broke off before the response's head
	TimedOut   bool          `pb:"6"`  // when the attempt's own deadline passed
	ServerErr  bool          `pb:"7"`  // any status from 500 on
	Codes      []int         `pb:"8"`  // these statuses
	GRPC       []int         `pb:"9"`  // these gRPC codes, in a response without a body
	Failed     bool          `pb:"10"` // whatever classify calls a failure
	Methods    []string      `pb:"11"` // only these [all]
	Backoff    time.Duration `pb:"12"` // before the first retry, doubling, with full jitter [25 ms]
	MaxBackoff time.Duration `pb:"13"` // [10 times Backoff]
	MaxBody    int           `pb:"14"` // bytes of request body kept for a replay [64 KiB]
	ResetSafe  bool          `pb:"15"` // as Reset, for methods that are idempotent (RFC 9110 section 9.2.2) alone
}

// Budget bounds retries as a share of calls; shared by all calls from one proxy to one service. It is always there.
type Budget struct {
	Ref          decision.Ref  `pb:"1"`
	Percent      uint32        `pb:"2"` // retries per 100 calls [20]
	MinPerSecond uint32        `pb:"3"` // retries a second that are allowed in any case [10]
	Window       time.Duration `pb:"4"` // in which calls count [10 s]
}
