// Package balance picks the endpoint of a call, leaving out what outlier ejected, what is draining, and, on a retry, what was
// tried.
package balance

import (
	"time"

	"github.com/weft-mesh/weft/decision"
)

// Algorithm is how an endpoint is chosen.
type Algorithm uint8

const (
	PeakEWMA     Algorithm = iota // the cheaper of two: latency, peaks at once and decays, times calls waiting
	LeastRequest                  // the one of two with fewer calls waiting
	RoundRobin
	Random
	RingHash // the same key goes to the same endpoint
)

func (a Algorithm) String() string {
	return [...]string{"peak-ewma", "least-request", "round-robin", "random", "ring-hash"}[a]
}

// Policy says how an endpoint is chosen. Zero fields take the value in brackets.
type Policy struct {
	Ref       decision.Ref  `pb:"1"`
	Algorithm Algorithm     `pb:"2"`
	Hash      Hash          `pb:"3"` // of RingHash
	SlowStart time.Duration `pb:"4"` // in which a new endpoint's share grows to its full one [none]
}

// Hash is what a key is made of, one of them; a call without it goes anywhere.
type Hash struct {
	Header   string        `pb:"1"`
	Cookie   string        `pb:"2"`
	TTL      time.Duration `pb:"3"` // of the cookie; weft sets one where the call has none, unless TTL is unset
	SetTTL   bool          `pb:"4"`
	Path     string        `pb:"5"` // of the cookie
	SourceIP bool          `pb:"6"`
	Param    string        `pb:"7"` // query parameter
	MinRing  uint32        `pb:"8"` // points on the ring [1024]; 131,072 at most
}
