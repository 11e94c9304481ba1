// Package explain runs a call that is not made through the chains that would serve it, and returns everything that was
// decided. It is a traffic.Host without a network or a clock: order and rules cannot differ from the proxy's.
//
// Call takes one call, in every way that chance may have it go. A Proxy takes calls that know of each other: each goes one way, and what
// is learnt of it counts for the next.
package explain

import (
	"net/netip"
	"time"

	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/traffic"
)

// Query is a call to be explained.
type Query struct {
	From      string         `json:"from"` // the calling workload, namespace/name; empty: from outside of the mesh, in the clear, to To
	To        string         `json:"to,omitempty"`
	Gateway   string         `json:"gateway,omitempty"`   // namespace/name of the gateway that the call from outside comes to, of which To is a proxy
	Scheme    string         `json:"scheme,omitempty"`    // [http]
	SNI       string         `json:"sni,omitempty"`       // the name that the caller of a gateway begins TLS with
	Datagrams bool           `json:"datagrams,omitempty"` // what comes to the gateway comes by UDP
	Proto     traffic.Proto  `json:"proto"`
	Host      string         `json:"host,omitempty"` // full name of the service that is called; empty: Addr is
	Port      uint16         `json:"port,omitempty"`
	Addr      netip.AddrPort `json:"addr,omitzero"` // an address that is no service's
	Method    string         `json:"method,omitempty"`
	Authority string         `json:"authority,omitempty"` // as the call says it
	Path      string         `json:"path,omitempty"`
	Query     string         `json:"query,omitempty"`
	Header    [][2]string    `json:"header,omitempty"`
	Now       time.Time      `json:"now,omitzero"`
	Source    netip.Addr     `json:"source,omitzero"`  // of a call from outside; not valid: unknown, and ErrNoAddress where it counts
	Fail      int            `json:"fail,omitempty"`   // so many attempts fail to connect: what if
	Status    int            `json:"status,omitempty"` // what the application answers [200]; below 100: a gRPC status
	Takes     time.Duration  `json:"takes,omitempty"`  // how long the application takes to answer
	Apps      map[string]App `json:"apps,omitempty"`   // applications that answer otherwise, by workload
}

// Caller is the workload whose proxy sends the call to a service; empty: none does.
func (q *Query) Caller() string {
	if q.Gateway != "" {
		return q.To
	}
	return q.From
}

// App is how one workload's application answers, whatever a call asks for. Zero: as the call asks.
type App struct {
	Status  int           `json:"status,omitempty"`
	Takes   time.Duration `json:"takes,omitempty"`
	Refuses bool          `json:"refuses,omitempty"` // nobody is there to connect to
}

// Branch is one way that the call can go.
type Branch struct {
	Share   float64            `json:"share"`            // of calls, in (0, 1]
	Draw    uint64             `json:"draw,omitempty"`   // a lot by which calls go this way
	Status  int                `json:"status,omitempty"` // of TCP: as if it were HTTP
	GRPC    string             `json:"grpcStatus,omitempty"`
	Failed  string             `json:"failed,omitempty"` // why no callee answered; Status is what the proxy makes of it
	Target  traffic.Target     `json:"target,omitzero"`
	To      *traffic.Endpoint  `json:"to,omitempty"`
	Attempt int                `json:"attempts,omitempty"`
	Copies  []traffic.Target   `json:"copies,omitempty"`  // where mirrors send the call too
	Path    string             `json:"path,omitempty"`    // as the application gets it
	Header  [][2]string        `json:"header,omitempty"`  // as the application gets them
	Returns [][2]string        `json:"returns,omitempty"` // headers of the answer
	Failure bool               `json:"failure,omitempty"` // what the call counts as
	Class   *decision.Ref      `json:"class,omitempty"`   // the rule that says so; nil: the mesh's own
	By      decision.Verdict   `json:"by"`                // what answered, or what let the call pass last
	Because []decision.Verdict `json:"because,omitempty"`
	Steps   []decision.Step    `json:"steps"`
}

// Call explains q. cfg holds what the caller's and the callees' proxies have: what compile.All made for q.Caller(). Its proxy
// has learnt nothing of endpoints.
func Call(cfg *config.Set, q Query) ([]Branch, error) {
	if err := addressed(cfg, &q); err != nil {
		return nil, err
	}
	first, err := once(cfg, &q, 0)
	if err != nil {
		return nil, err
	}
	for _, s := range first.Steps {
		if len(s.Options) < 2 {
			continue
		}
		var all []Branch
		for _, o := range s.Options {
			b, err := once(cfg, &q, o.Draw)
			if err != nil {
				return nil, err
			}
			b.Share = o.Share
			all = append(all, b)
		}
		return all, nil
	}
	return []Branch{first}, nil
}

func once(cfg *config.Set, q *Query, draw uint64) (Branch, error) {
	o, err := NewProxy(cfg).begin(q, draw)
	if err != nil {
		return Branch{}, err
	}
	return o.End(), nil
}
