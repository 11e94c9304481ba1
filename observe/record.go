// Package observe makes one Record of every call and connection that has ended. Metrics, log lines, spans, taps and flows are
// made of Records: one package each below observe, with the libraries that they need.
package observe

import (
	"net/netip"
	"time"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/traffic"
)

// Reporter is the side that made a record: each call between two proxies has two.
type Reporter uint8

const (
	Source Reporter = iota
	Destination
)

func (r Reporter) String() string { return [...]string{"source", "destination"}[r] }

// Party is who is at one end.
type Party struct {
	ID       identity.ID
	Workload string // namespace/name; empty: not of the mesh
	Addr     netip.AddrPort
}

// Record is who, to whom, what became of it, and because of what. It lends strings and lists from the call: sinks copy what
// they keep.
type Record struct {
	Reporter  Reporter
	Start     time.Time
	Took      time.Duration // to the end of both bodies
	Head      time.Duration // to the response's head; 0: there was none
	Proto     traffic.Proto
	From, To  Party
	Service   string // host that was called; empty: none of the mesh's
	Port      uint16 // of the service; of the workload, at the destination
	Subset    string
	Method    string
	Authority string
	Path      string // without the query: it may hold secrets
	RequestID string
	Status    int           // 0: no answer
	GRPC      string        // grpc-status, if there was one
	Local     bool          // the answer is the mesh's own
	Failed    bool          // as classified
	Class     *decision.Ref // the rule that says so; nil: the mesh's own
	Attempts  uint8
	Sent      int64 // bytes of the request's body
	Received  int64 // bytes of the response's body
	Secure    bool  // by mutual TLS: with the caller at the destination, with the endpoint at the source
	Deciding  decision.Verdict
	Verdicts  []decision.Verdict
	Err       error
}

// Of makes the record of a call that began at start and whose head came at head.
func Of(c *traffic.Call, by Reporter, start, head, now time.Time) Record {
	r := Record{Reporter: by, Start: start, Took: now.Sub(start), Proto: c.Proto, From: party(&c.Source), Service: c.Target.Service,
		Port: c.Target.Port, Subset: c.Target.Subset, Method: c.Method, Authority: c.Authority, Path: c.Path, Status: c.Response.Status,
		Local: c.Response.Local, Attempts: c.Attempts, Sent: c.Sent, Received: c.Received, Secure: c.Secure, Verdicts: c.Verdicts(),
		Err: c.Response.Err}
	if !head.IsZero() {
		r.Head = head.Sub(start)
	}
	r.RequestID, _ = c.Header.Get("x-request-id")
	r.GRPC, _ = c.GRPCStatus()
	r.Failed, r.Class = c.FailedBy()
	if c.To != nil {
		r.To = Party{c.To.ID, c.To.Workload, c.To.Addr}
		if by == Source {
			r.Secure = !c.To.ID.IsZero() && (c.Upstream == nil || c.Upstream.Secure.Mode == traffic.Mutual)
		}
	}
	if by == Destination && r.Port == 0 {
		r.Port = c.Port()
	}
	r.Deciding = deciding(r.Verdicts)
	return r
}

func party(p *traffic.Peer) Party { return Party{p.ID, p.Workload, p.Addr} }

// deciding is the last verdict that denied, else the last that matched: what to name as the cause of the outcome.
func deciding(all []decision.Verdict) (v decision.Verdict) {
	for _, x := range all {
		if x.Outcome == decision.Deny || v.Outcome != decision.Deny {
			v = x
		}
	}
	return v
}

// Denied says whether a policy refused the call.
func (r *Record) Denied() bool {
	if !r.Local || r.Deciding.Outcome != decision.Deny {
		return false
	}
	switch r.Deciding.Reason {
	case decision.Matched, decision.NoRuleAllows, decision.Unauthenticated:
		return true
	}
	return false
}

// Why says in words what decided, "AuthorizationPolicy default/x rules[0] (istio)", and what went wrong. It allocates.
func (r *Record) Why() string {
	v := r.Deciding
	s := v.Ref.String()
	if v.Reason != decision.Matched && v.Reason != decision.Default {
		s = v.Reason.String() + ": " + s
	}
	if r.Err != nil {
		s += " (" + r.Err.Error() + ")"
	}
	return s
}

// Sink takes records; it never blocks, and counts what it loses.
type Sink interface{ Take(*Record) }

// Sinks hands a record to several.
type Sinks []Sink

// Take gives r to each.
func (s Sinks) Take(r *Record) {
	for _, x := range s {
		x.Take(r)
	}
}
