package chain

import (
	"errors"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/traffic"
)

// Unanswered says what a call is answered with that ended in an error, without a response head from anybody: the status, and
// because of what.
func Unanswered(c *traffic.Call, err error) (int, decision.Verdict) {
	status, why := 503, decision.ResetByPeer
	var ref *decision.Ref
	switch {
	case errors.Is(err, traffic.ErrCanceled):
		status, why = 499, decision.Default // nginx's status for a caller that has gone: nobody reads it
	case errors.Is(err, traffic.ErrDeadline):
		status, why, ref = 504, decision.TimedOut, c.Deadline.Ref
	case errors.Is(err, traffic.ErrWrongPeer):
		status, why = 502, decision.WrongPeer
	case errors.Is(err, traffic.ErrNoIdentity):
		why = decision.NoIdentity
	case errors.Is(err, traffic.ErrConnect), errors.Is(err, traffic.ErrRefused):
		why = decision.ConnectFailed
	}
	return status, decision.Verdict{Ref: ref, Outcome: decision.Deny, Reason: why}
}
