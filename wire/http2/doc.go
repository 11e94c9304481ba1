// Package http2 holds the codecs of HTTP/2 (RFC 9113) and of its header compression HPACK (RFC 7541): one type per frame,
// an Encoder, a Decoder, and the rules that a decoded section of fields must keep (RFC 9113 sections 8.2 and 8.3).
//
// It is pure: no I/O, no clock, no goroutine. Append methods write to the end of a slice, Parse functions lend parts of
// the slice that they are given. In the steady state nothing allocates but errors. Every error is an *Error, which says
// whether the stream or the whole connection ends, and with which code.
package http2
