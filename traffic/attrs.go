// Package traffic is the contract of the data path: a Call, what decisions read of it, and the Handlers it goes through.
// It opens no socket, reads no clock and draws no lot: a Host does. One contract serves HTTP/1.1, HTTP/2, gRPC, upgrades
// and opaque TCP. It imports decision and identity.
package traffic

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/identity"
)

// Proto is what the call speaks.
type Proto uint8

const (
	TCP Proto = iota // no head: Method, Path and Header are empty
	HTTP1
	HTTP2
	GRPC
	Detect // of a port: not declared, the first bytes decide; never of a call
	UDP    // of a port and of a record; a call that datagrams make is TCP's here, and Conn.Datagrams tells them apart
)

func (p Proto) String() string {
	return [...]string{"tcp", "http/1.1", "http/2", "grpc", "detect", "udp"}[p]
}

// Peer is who is at one end of a connection.
type Peer struct {
	Addr     netip.AddrPort
	ID       identity.ID // zero: not authenticated
	Workload string      // namespace/name, vouched for by the certificate
	Labels   []string    // "key=value", sorted; of the workload that the certificate names, as the control plane knows it
	Pod      *Pod        // that has the address of a caller who is not authenticated, where policies ask for it; nil: none has, or none asks
}

// Pod is what has an address, as the control plane knows it. It is no identity: whoever sends from the address is taken for it.
type Pod struct {
	Namespace string   `pb:"1"`
	Account   string   `pb:"2"`
	Labels    []string `pb:"3"` // "key=value", sorted
	Unclear   bool     `pb:"4"` // nobody can say which pod it is, if it is any
}

// Unclear says whether nobody can say which pod has the address of the peer.
func (p *Peer) Unclear() bool { return p.Pod != nil && p.Pod.Unclear }

// Conn is what all calls of one connection share. Immutable once the handshake is done.
type Conn struct {
	Source   Peer
	Original netip.AddrPort // where the caller thought it was going
	Secure   bool           // the bytes came by mutual TLS
	SNI      string         // the name that the caller began TLS with, in lower case, at a gateway; empty: none, or no TLS

	Datagrams bool // there is no connection: it is what one address and port sends to another one, by UDP. Its one call has no head, as TCP's
}

// Attrs is all that a decision may read. The engine fills it from bytes on a wire, explain from flags, tests from a line of
// text, what-if from a record. Strings are lent until the call ends: clone what outlives it.
type Attrs struct {
	*Conn
	Proto     Proto
	Method    string
	Scheme    string
	Authority string
	Path      string // without the query
	Query     string // without the question mark
	Upgrade   string // lower-case protocol of an HTTP/1.1 Upgrade or of an extended CONNECT (RFC 8441)
	Header    Header
	Now       time.Time       // of the latest event that the call knows of
	Draw      uint64          // the call's lot; each feature mixes in its own salt
	Trail     *decision.Trail // nil: nobody is asking
}

// Chance returns a number in [0, n) that is the same for the same call and salt. A feature's salt is its name in ASCII, so
// that two never share one.
func (a *Attrs) Chance(salt, n uint64) uint64 {
	x := a.Draw + salt*0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return (x ^ x>>31) % n
}

// DrawFor returns the Draw that makes Chance(salt, n) be x for every n above x: what explain shows of a way that chance can go. It
// goes the steps of Chance back, which can all be undone; trying draws instead takes seconds where a weight is one of billions.
func DrawFor(salt, x uint64) uint64 {
	x = (x ^ x>>31 ^ x>>62) * 0x319642b2d24d8ec3
	x = (x ^ x>>27 ^ x>>54) * 0x96de1b173f119089
	x ^= x>>30 ^ x>>60
	return x - salt*0x9e3779b97f4a7c15
}

// Target names what is called: a service's port, or a subset of its endpoints.
type Target struct {
	Service string `pb:"1" json:"service"` // full host name
	Port    uint16 `pb:"2" json:"port"`
	Subset  string `pb:"3" json:"subset,omitempty"`

	Datagrams bool `pb:"4" json:"datagrams,omitempty"` // the service's port for UDP, which is another one than that of its number for TCP
}

// Endpoint is one address that can be called, and who must answer there.
type Endpoint struct {
	Addr     netip.AddrPort `pb:"1" json:"addr"`             // of the application
	ID       identity.ID    `pb:"2" json:"id"`               // zero: it has no identity; nothing proves it where there is no Tunnel
	Workload string         `pb:"3" json:"workload"`         // namespace/name
	Tunnel   netip.AddrPort `pb:"4" json:"tunnel"`           // of its proxy's mutual TLS listener; zero: it has none
	Labels   []string       `pb:"5" json:"labels,omitempty"` // "key=value", sorted; only for callers whose egress policy reads them
	Weight   uint32         `pb:"6" json:"weight,omitempty"` // [1]
	Zone     string         `pb:"7" json:"zone,omitempty"`
	Draining bool           `pb:"8" json:"draining,omitempty"` // takes no new calls
}

// Security is how a connection to an endpoint is secured.
type Security uint8

const (
	Mutual   Security = iota // mutual TLS with endpoints that have a proxy for it, in the clear with others
	Clear                    // in the clear, because a policy says so
	Simple                   // TLS started by the proxy, the server alone authenticated
	Required                 // mutual TLS or nothing, because a policy says so
	Barred                   // not at all: what a policy wants cannot be had
)

// Connect bounds the connections to an endpoint. Zero fields take the value in brackets.
type Connect struct {
	Ref         decision.Ref  `pb:"1"`
	Timeout     time.Duration `pb:"2"` // of the handshakes [10 s]
	Idle        time.Duration `pb:"3"` // a pooled connection without calls is closed after this [1 h]
	MaxRequests uint32        `pb:"4"` // per connection [no limit]
	Upgrade     bool          `pb:"5"` // speak HTTP/2 to the application although the call came as HTTP/1.1
}

// Secure is how a connection to an endpoint is secured, and because of what.
type Secure struct {
	Ref  decision.Ref `pb:"1"`
	Mode Security     `pb:"2"`
	SNI  string       `pb:"3"` // of Simple

	Roots [][]byte `pb:"4"` // of Simple: authorities that vouch for the server, in DER; none: those that the system trusts
	Names []string `pb:"5"` // of Simple: the server's certificate is for one of these, hosts or, with a colon, URIs; none: for SNI
	Why   string   `pb:"6"` // of Barred: what is missing, in words

	Key string // of Simple, beside SNI: what tells connections made by it from others; empty: nothing does
}

// Upstream is how to call a target's endpoints.
type Upstream struct {
	Connect Connect `pb:"1"`
	Secure  Secure  `pb:"2"`
	Proto   Proto   `pb:"3"` // what the application speaks; Detect: what the call speaks
}

// Mutual says whether whoever answers at the endpoint can prove by mutual TLS who it is.
func (e *Endpoint) Mutual() bool { return !e.ID.IsZero() && e.Tunnel.IsValid() }

func (t Target) String() string {
	s := t.Service + ":" + strconv.Itoa(int(t.Port))
	if t.Datagrams {
		s += "/udp"
	}
	if t.Subset != "" {
		s += " subset " + t.Subset
	}
	return s
}

// Port is the port that the caller wants to reach.
func (a *Attrs) Port() uint16 { return a.Original.Port() }

// Target is the path with its query, as on the wire. It allocates where there is a query.
func (a *Attrs) Target() string {
	if a.Query == "" {
		return a.Path
	}
	return a.Path + "?" + a.Query
}

// Remote is the address that the nearest trusted hop says the call came from: the last of x-forwarded-for, set by the
// caller's own proxy; else the connection's other end.
func (a *Attrs) Remote() netip.Addr {
	if v, ok := a.Header.Joined("x-forwarded-for"); ok && a.Conn.Secure {
		if ip, err := netip.ParseAddr(strings.TrimSpace(v[strings.LastIndexByte(v, ',')+1:])); err == nil {
			return ip
		}
	}
	return a.Source.Addr.Addr()
}

// Param returns the first query parameter of a name, decoded. It allocates only where there is something to decode.
func (a *Attrs) Param(name string) (string, bool) {
	for k, v := range a.Params {
		if k == name {
			return Unescape(v), true
		}
	}
	return "", false
}

// Params yields the query parameters in order: the name, and the value as it is on the wire, for Unescape. It allocates only where
// there is something to decode.
func (a *Attrs) Params(yield func(name, value string) bool) {
	for rest := a.Query; rest != ""; {
		var pair string
		pair, rest, _ = strings.Cut(rest, "&")
		k, v, _ := strings.Cut(pair, "=")
		if !yield(Unescape(k), v) {
			return
		}
	}
}

// Unescape decodes a part of a query; what is not well escaped it leaves as it is.
func Unescape(s string) string {
	if u, err := url.QueryUnescape(s); err == nil {
		return u
	}
	return s
}
