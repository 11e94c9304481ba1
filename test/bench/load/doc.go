// Package load makes the requests of the benchmark and answers them: one thread and one epoll loop each, with system calls and
// little else, because net/http would cost more than the proxies that are measured.
//
// Run drives one Spec against an address; Serve answers on one listener a protocol. Both check what they get: a response that is
// not the expected one is an error in the Result, and a benchmark with errors has no figures.
package load

import "time"

// Protocol is what callers speak, and what a backend answers.
type Protocol string

const (
	HTTP1  Protocol = "http1"   // HTTP/1.1 requests
	HTTP2  Protocol = "http2"   // HTTP/2 with prior knowledge
	GRPC   Protocol = "grpc"    // unary calls
	Stream Protocol = "stream"  // one bidirectional gRPC stream a caller; a request is a message and its echo
	Echo   Protocol = "echo"    // TCP: bytes and their echo
	Source Protocol = "source"  // TCP: the server sends as fast as it can; a request is a megabyte received
	Sink   Protocol = "sink"    // TCP: the client sends as fast as it can; a request is a megabyte sent
	Fresh  Protocol = "connect" // HTTP/1.1, a new connection for each request
)

// Spec is one run.
type Spec struct {
	Addr     string        `json:"addr"`
	Protocol Protocol      `json:"protocol"`
	Callers  int           `json:"callers"`           // each has one request under way
	PerConn  int           `json:"perConn,omitempty"` // callers that share a connection, for HTTP/2 and gRPC [1]
	Rate     int           `json:"rate,omitempty"`    // requests a second, evenly spaced, whenever answers come [as fast as answers come]
	Idle     bool          `json:"idle,omitempty"`    // each caller makes one request before anything is counted, and none after it
	Warm     time.Duration `json:"warm"`              // not counted; it lasts until every caller has had an answer
	For      time.Duration `json:"for"`               // counted
	Host     string        `json:"host,omitempty"`
	Path     string        `json:"path,omitempty"`
	Headers  [][2]string   `json:"headers,omitempty"`
	Send     int           `json:"send,omitempty"` // bytes of a request's body, or of a message
	Get      int           `json:"get,omitempty"`  // bytes that each answer has to have [any number]
}

// Result is what a run has counted.
type Result struct {
	Requests int           `json:"requests"`
	Took     time.Duration `json:"took"`
	P50      time.Duration `json:"p50"`
	P90      time.Duration `json:"p90"`
	P99      time.Duration `json:"p99"`
	Max      time.Duration `json:"max"`
	Error    string        `json:"error,omitempty"` // the first one
	Errors   int           `json:"errors,omitempty"`
}
