package proxy

import (
	"errors"

	"github.com/weft-mesh/weft/chain"
	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/proxy/h1"
	"github.com/weft-mesh/weft/proxy/held"
	"github.com/weft-mesh/weft/proxy/stamp"
	"github.com/weft-mesh/weft/traffic"
	"github.com/weft-mesh/weft/wire/http1"
)

// answer completes the response: one that never came becomes a status, one that the mesh made says why in words.
func answer(c *traffic.Call, err error, outside bool) {
	if err != nil && c.Response.Status == 0 {
		status, v := verdict(c, err)
		c.Response.Err = err
		_ = c.Reply(status, v)
	}
	if c.Response.Status == 0 {
		_ = c.Reply(500, decision.Verdict{Outcome: decision.Deny})
	}
	if c.Response.Local {
		stamp.Explain(c, outside)
	}
}

// verdict says what a call without a response head is answered with.
func verdict(c *traffic.Call, err error) (int, decision.Verdict) {
	status, v := chain.Unanswered(c, err)
	var bad *http1.Error
	switch {
	case status == 499 && errors.Is(err, h1.ErrSlow): // the caller's body, that was on its way to another proxy
		status, v.Reason = 408, decision.Malformed
	case status == 499 && errors.As(err, &bad):
		status, v.Reason = bad.Status, decision.Malformed
	case v.Reason != decision.ResetByPeer:
	case errors.Is(err, held.ErrUnavailable):
		v.Reason = decision.NoService
	case errors.Is(err, h1.ErrRequest):
		status, v.Reason = 400, decision.Malformed
	case errors.Is(err, traffic.ErrReset):
		if errors.As(err, &bad) { // what answered speaks no HTTP
			status = 502
		}
	case errors.Is(err, h1.ErrSlow): // the caller's body
		status, v.Reason = 408, decision.Malformed
	case errors.As(err, &bad):
		status, v.Reason = bad.Status, decision.Malformed
	}
	return status, v
}
