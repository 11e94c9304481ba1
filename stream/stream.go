// Package stream carries configuration from the control plane to proxies, as deltas: a proxy names the resources that it wants
// and the versions that it has, and gets those that differ, now and whenever they change. It acknowledges what it has taken
// into use, or says why it could not; the last good version stays in force then.
//
// A version is a hash of the resource's bytes: a proxy that reconnects, to whichever replica, gets only what is new to it.
package stream

import (
	"hash/fnv"

	"github.com/weft-mesh/weft/config"
)

// Names of the gRPC methods, whose messages are config's encoding of the types below.
const (
	Service        = "weft.v1.Mesh"
	MethodStream   = "/" + Service + "/Stream"   // Up in, Down out
	MethodCertify  = "/" + Service + "/Certify"  // CertifyRequest in, CertifyResponse out
	MethodStanding = "/" + Service + "/Standing" // StandingRequest in, StandingResponse out; between replicas of a control plane
)

// Up is what a proxy sends. The first one carries Hello.
type Up struct {
	Hello       *Hello   `pb:"1"`
	Subscribe   []Want   `pb:"2"`
	Unsubscribe []string `pb:"3"` // resource names
	Ack         uint64   `pb:"4"` // nonce of the Down that was taken in
	Refused     []Nack   `pb:"5"` // of that Down
	Root        []byte   `pb:"6"` // identity.RootID on which the certificate rests that is in use from now on
}

// Hello says for which workload the proxy speaks. Token is the proof: what it got when the workload was registered, or the
// service-account token of its pod.
type Hello struct {
	Workload string `pb:"1"` // namespace/name
	Token    string `pb:"2"`
	Version  string `pb:"3"` // of weft
	Root     []byte `pb:"4"` // identity.RootID on which its certificate rests; empty: it has none
}

// Want is a resource that is wanted; Version is what the proxy has of it, 0: nothing.
type Want struct {
	Name    string `pb:"1"`
	Version uint64 `pb:"2"`
}

// Nack says why a resource was not taken into use.
type Nack struct {
	Name  string `pb:"1"`
	Error string `pb:"2"`
}

// Down is what the control plane sends. The first one greets a proxy that was let in: it has no nonce, and asks for no answer.
type Down struct {
	Nonce     uint64     `pb:"1"`
	Resources []Resource `pb:"2"`
}

// Resource is one that differs from what the proxy has. Gone: it does not exist, or no longer.
type Resource struct {
	Name    string `pb:"1"`
	Version uint64 `pb:"2"`
	Body    []byte `pb:"3"`
	Gone    bool   `pb:"4"`
}

// CertifyRequest asks for a certificate for the workload's own identity.
type CertifyRequest struct {
	Workload string `pb:"1"`
	Token    string `pb:"2"`
	CSR      []byte `pb:"3"` // DER (RFC 2986)
}

// CertifyResponse is the chain, leaf first, DER.
type CertifyResponse struct {
	Chain [][]byte `pb:"1"`
}

// StandingRequest asks another replica which of the proxies that are connected to it have come as far as a rotation needs.
type StandingRequest struct {
	Token string `pb:"1"` // of the replica that asks
	Trust uint64 `pb:"2"` // version of the roots that is to be in use; 0: any
	Root  []byte `pb:"3"` // identity.RootID on which the certificate is to rest; empty: any
}

// StandingResponse names the workloads that have.
type StandingResponse struct {
	Workloads []string `pb:"1"`
}

// VersionOf is the hash of a resource's bytes; never 0.
func VersionOf(body []byte) uint64 {
	h := fnv.New64a()
	h.Write(body)
	return max(h.Sum64(), 1)
}

// Marshal encodes one of the messages above.
func Marshal(m any) []byte { return config.Append(nil, m) }

// Unmarshal decodes into the zero message that m points to.
func Unmarshal(b []byte, m any) error { return config.Parse(b, m) }

// Body is a resource's bytes and their version; the zero Body: it does not exist.
type Body struct {
	Version uint64
	Bytes   []byte
}
