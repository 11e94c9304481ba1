// Package breaker bounds the calls in flight from one proxy to a service or subset (Envoy's circuit breaking).
package breaker

import "github.com/weft-mesh/weft/decision"

// Policy is limits; zero ones mean none. HTTP/1.1 calls and TCP connections are bounded by MaxConnections + MaxPending, since each
// takes a connection of the application's while it lasts; all HTTP calls by MaxRequests.
type Policy struct {
	Ref            decision.Ref `pb:"1"`
	MaxConnections uint32       `pb:"2"`
	MaxPending     uint32       `pb:"3"` // counts only beside MaxConnections
	MaxRequests    uint32       `pb:"4"`
	MaxRetries     uint32       `pb:"5"` // retries in flight
}
