// Package h2 speaks HTTP/2 (RFC 9113) over connections that it is given, in both roles, in the terms of package traffic.
//
// A Server makes each stream of its connection a *traffic.Call, served on a goroutine of its own. A Client sends calls
// over its connection. In both, a body is a traffic.Body whose bytes are lent out of a buffer that flow control bounds:
// the peer may send more only when bytes have been consumed. Plain CONNECT and extended CONNECT (RFC 8441) are calls whose
// bodies are raw bytes and which end one direction at a time.
//
// # Goroutines
//
// A connection has two: one reads, one writes. Whoever has something to say appends frames to the connection's buffer under
// a short lock; the writer yields once, so that all who are ready add theirs, and writes everything at once. Bytes of bodies
// enter the buffer as both windows and its size allow; streams that wait take turns, a frame each. A Server adds one for
// each stream, a Client one for each request body that it sends. All are gone when Serve or Client.Done says so.
//
// # Errors
//
// What a stream fails with wraps an error of package traffic: ErrRefused if the peer surely did not act on it, ErrReset,
// ErrDeadline, ErrCanceled if our own caller went away; a *ResetError inside tells the code. Peers that abuse the protocol
// lose their connection, or the stream, and the Reason is reported.
package h2
