package proxy

import (
	"errors"

	"github.com/weft-mesh/weft/chain"
	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/proxy/h1"
	"github.com/weft-mesh/weft/proxy/held"
	"github.com/weft-mesh/weft/traffic"
	"github.com/weft-mesh/weft/wire/http1"
)

// errorHeader says in an answer that the mesh made it, and why: one of decision's reasons, then the rule if there is one.
const errorHeader = "weft-error"

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
		explain(c, outside)
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

// explain says in an answer of the mesh's own why it was given. Callers from outside learn the reason and no object's name.
func explain(c *traffic.Call, outside bool) {
	r := &c.Response
	if r.Status < 400 && c.Proto != traffic.GRPC || c.Proto == traffic.TCP {
		return
	}
	v := decision.Deciding(c.Verdicts())
	why := v.Reason.String()
	if !outside {
		text := why
		if v.Ref != nil {
			text += "; " + v.Ref.String()
		}
		r.Header.Set(errorHeader, text)
	}
	if c.Proto == traffic.GRPC || r.Body != nil {
		return
	}
	r.Header.Set("content-type", "text/plain; charset=utf-8")
	r.Body = &traffic.Bytes{B: []byte(words(c, v, why, outside))}
}

func words(c *traffic.Call, v decision.Verdict, why string, outside bool) string {
	if outside {
		return "weft: " + why + "\n"
	}
	s := "weft: " + why
	switch {
	case v.Ref == nil || *v.Ref == decision.Ref{}:
	case v.Reason == decision.Matched && v.Outcome == decision.Deny:
		s = "weft: denied by " + v.Ref.String()
	case v.Reason == decision.NoRuleAllows || v.Reason == decision.Unauthenticated:
		s += ": denied by " + v.Ref.String()
	default:
		s += ": because of " + v.Ref.String()
	}
	if (v.Reason == decision.NoEndpoint || v.Reason == decision.NoBackend) && c.Target.Service != "" {
		s += " (" + c.Target.String() + ")"
	}
	if err := c.Response.Err; err != nil {
		s += " (" + err.Error() + ")"
	}
	return s + "\n"
}
