package transcript

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/explain"
)

// Words say because of what: "AuthorizationPolicy default/x rules[0] (istio)", or "AuthorizationPolicy default/x, no rule allows
// (istio)".
func Words(v decision.Verdict) string {
	ref := v.Ref.String()
	if v.Outcome != decision.Deny || v.Reason == decision.Matched {
		return ref
	}
	if at := strings.LastIndex(ref, " ("); at > 0 {
		return ref[:at] + ", " + v.Reason.String() + ref[at:]
	}
	return ref + ", " + v.Reason.String()
}

// Describe writes a branch as a transcript would.
func Describe(b *explain.Branch) string { return core(b) + heads(b) }

// core is what became of the call, and because of what.
func core(b *explain.Branch) string {
	s := ""
	if b.Share < 1 {
		s = fmt.Sprintf("%.0f%% ", b.Share*100)
	}
	s += strconv.Itoa(b.Status)
	if b.Failed != "" {
		s += " (" + b.Failed + ")"
	}
	if b.GRPC != "" {
		s += " grpc " + b.GRPC
	}
	if b.Target.Service != "" {
		name, _, _ := strings.Cut(b.Target.Service, ".")
		s += " " + name
	}
	if b.Target.Subset != "" {
		s += " subset " + b.Target.Subset
	}
	if b.Attempt > 1 {
		s += " attempts " + strconv.Itoa(b.Attempt)
	}
	for _, c := range b.Copies {
		s += " copied to " + c.String()
	}
	s += " because " + Words(b.By)
	if b.Class != nil {
		s += " counts " + counts[b.Failure] + " by " + b.Class.String()
	}
	return s
}

var counts = map[bool]string{false: "success", true: "failure"}

// heads is what the two ends see of headers.
func heads(b *explain.Branch) (s string) {
	if b.Path != "" {
		s += " sees path=" + b.Path
	}
	for _, h := range b.Header {
		s += " " + h[0] + "=" + strconv.Quote(h[1])
	}
	for i, h := range b.Returns {
		if i == 0 {
			s += " returns"
		}
		s += " " + h[0] + "=" + strconv.Quote(h[1])
	}
	return s
}
