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
// The writer of a connection without streams ends when there has been nothing to write for a while, and there is another one as soon as there
// is. The reader does so if something else can wait (Options.Rest), after half a second of silence; what it leaves are the state of
// the protocol and a timer.
//
// # Errors
//
// What a stream fails with wraps an error of package traffic: ErrRefused if the peer surely did not act on it, ErrReset,
// ErrDeadline, ErrCanceled if our own caller went away; a *ResetError inside tells the code. Peers that abuse the protocol
// lose their connection, or the stream, and the Reason is reported.
//
// # Bounds
//
// What a peer can make an end of a connection hold: bodies, ConnWindow; a field section that is coming, 4 MaxHeaderList; the requests
// that a Server serves, 2 MaxStreams (a client's reset frees its place before serve returns), and their field sections, 8 MiB as
// RFC 9113 section 6.5.2 counts; frames to be written, 1 MiB, and then a field section more for each stream that is open; interim
// responses to a Client, MaxHeaderList a call; HPACK's tables, 4 KiB each.
//
// What it can make an end do: MaxControl frames a second, and as many at once, of those that move nothing (PING, SETTINGS, GOAWAY,
// acknowledgements of them, DATA without bytes), one more for each DATA frame that does; MaxControl streams a second that are reset,
// by either side, within 100 ms, or refused, or answered with 431, one more for each stream that ends well, and of these as many as KiB by
// which HPACK's tables have made field sections larger, beyond 6 KiB each; WINDOW_UPDATE, MaxControl
// and 10 for each stream and DATA frame; PRIORITY and unknown frames, MaxControl and 10 for each stream; for streams that are over,
// what can have been under way; a field section, 64 frames and one FrameTimeout. Whoever goes beyond gets GOAWAY with
// ENHANCE_YOUR_CALM. A SETTINGS frame costs one look at the streams.
package h2
