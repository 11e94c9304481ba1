// Package observe makes one Record of every call and connection that has ended. Metrics, log lines, spans, taps and flows are
// made of Records: one package each below observe, with the libraries that they need.
package observe

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
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
	Authority string // without a user's name and password
	Path      string // without the query: it may hold secrets
	RequestID string
	Status    int           // 0: no answer
	GRPC      string        // grpc-status of a gRPC call, if there was one
	Local     bool          // the answer is this proxy's own
	Remote    string        // of an answer that the callee's proxy made: "REASON; RULE", as it says at the source
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
	r := Record{Reporter: by, Start: start, Took: max(now.Sub(start), 0), Proto: c.Proto, From: party(&c.Source), Service: c.Target.Service,
		Port: c.Target.Port, Subset: c.Target.Subset, Method: c.Method, Authority: c.Authority[strings.LastIndexByte(c.Authority, '@')+1:],
		Path: c.Path, Status: c.Response.Status, Local: c.Response.Local, Attempts: c.Attempts, Sent: c.Sent, Received: c.Received,
		Secure: c.Secure, Verdicts: c.Verdicts(), Err: c.Response.Err}
	if !head.IsZero() {
		r.Head = max(head.Sub(start), 0)
	}
	if c.Datagrams {
		r.Proto = traffic.UDP
	}
	r.RequestID, _ = c.Header.Get("x-request-id")
	if c.Proto == traffic.GRPC {
		r.GRPC, _ = c.GRPCStatus()
	}
	r.Failed, r.Class = c.FailedBy()
	if c.To != nil {
		r.To = Party{c.To.ID, c.To.Workload, c.To.Addr}
		if by == Source {
			r.Secure = c.Mutual(c.To)
		}
	}
	if by == Destination && r.Port == 0 {
		r.Port = c.Port()
	}
	if by == Source && r.Secure && !r.Local { // nobody but a proxy can have said it
		r.Remote, _ = c.Response.Header.Get(remoteHeader)
		r.Remote = r.Remote[:min(len(r.Remote), maxRemote)]
	}
	r.Deciding = decision.Deciding(r.Verdicts)
	return r
}

const (
	remoteHeader = "weft-error" // in which a proxy says why it answered itself
	maxRemote    = 512          // longer is no name of an object
)

// Clone returns a copy that may be kept.
func (r *Record) Clone() Record {
	c := *r
	for _, s := range []*string{&c.Service, &c.Subset, &c.Method, &c.Authority, &c.Path, &c.RequestID, &c.GRPC, &c.Remote, &c.From.Workload,
		&c.To.Workload} {
		*s = strings.Clone(*s)
	}
	c.Verdicts = slices.Clone(r.Verdicts)
	return c
}

func party(p *traffic.Peer) Party { return Party{p.ID, p.Workload, p.Addr} }

// Denied says whether a policy refused the call: here, or at the callee's proxy.
func (r *Record) Denied() bool {
	if r.Deciding.Outcome == decision.Deny {
		return refuses(r.Deciding.Reason)
	}
	why, _ := r.remote()
	return refuses(why)
}

func refuses(why decision.Reason) bool {
	return why == decision.Matched || why == decision.NoRuleAllows || why == decision.Unauthenticated
}

// Reason is why the mesh answered in the application's place, or broke the call off; Default: it did not.
func (r *Record) Reason() decision.Reason {
	if r.Local || r.Err != nil || r.Deciding.Outcome == decision.Deny {
		return r.Deciding.Reason
	}
	why, _ := r.remote()
	return why
}

// remote reads what the callee's proxy says.
func (r *Record) remote() (why decision.Reason, rule string) {
	if r.Remote == "" {
		return decision.Default, ""
	}
	word, rule, _ := strings.Cut(r.Remote, "; ")
	for x := decision.Default; x <= decision.Assumed; x++ {
		if x.String() == word {
			return x, rule
		}
	}
	return decision.Default, rule
}

// Why says in words what decided, "AuthorizationPolicy default/x rules[0] (istio)", or else which answer it was, and what went
// wrong. It allocates.
func (r *Record) Why() string {
	s, v := "", r.Deciding
	switch {
	case r.Remote != "":
		why, rule := r.remote()
		s = because(why, rule)
	case v.Outcome == decision.Deny || v.Reason != decision.Matched && v.Reason != decision.Default || !r.Failed:
		s = because(v.Reason, v.Ref.String())
	case r.Err != nil:
		return strings.Clone(r.Err.Error())
	default:
		s = r.answer()
	}
	if r.Class != nil && r.Failed {
		s += ", a failure by " + r.Class.String()
	}
	if r.Err != nil {
		s += " (" + r.Err.Error() + ")"
	}
	return s
}

// because names the rule alone where the rule says it all.
func because(why decision.Reason, rule string) string {
	if rule == "" {
		rule = (*decision.Ref)(nil).String()
	}
	if why == decision.Matched || why == decision.Default {
		return strings.Clone(rule)
	}
	return why.String() + ": " + rule
}

func (r *Record) answer() string {
	if r.GRPC != "" && r.GRPC != "0" {
		return "gRPC status " + r.GRPC
	}
	return "status " + strconv.Itoa(r.Status)
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
