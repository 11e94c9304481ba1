package stamp

import (
	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/traffic"
)

// ErrorHeader says in an answer that the mesh made it, and why: one of decision's reasons, then the rule if there is one.
const ErrorHeader = "weft-error"

// Explain says in an answer of the mesh's own why it was given. Callers from outside learn the reason and no object's name.
func Explain(c *traffic.Call, outside bool) {
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
		r.Header.Set(ErrorHeader, text)
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
