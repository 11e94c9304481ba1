package h2

import (
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/weft-mesh/weft/traffic"
	"github.com/weft-mesh/weft/wire/http2"
)

// Client is the client's end of one connection.
type Client struct {
	conn
	o      ClientOptions
	ready  chan struct{} // closed when the server's settings have come
	closed chan struct{} // closed when everything has ended

	running sync.WaitGroup // uploads, and the call of Unusable
	final   uint32         // the number of the last stream that may be opened
	next    uint32         // stream; guarded by the lock, as are
	leaving bool           // no further call is taken
	told    bool           // Unusable was called
	givenUp bucket         // see gaveUp
}

// InitialStreams is how many streams a Client opens before it knows the server's limit (RFC 9113 section 6.5.2 recommends
// servers to allow no fewer).
const InitialStreams = 100

// NewClient makes a client of a connection and starts it. Calls may be sent at once.
func NewClient(nc net.Conn, o ClientOptions) *Client {
	cl := &Client{o: o, next: 1, ready: make(chan struct{}), closed: make(chan struct{})}
	cl.o.MaxStreams = or(o.MaxStreams, 1<<32-1)
	cl.o.ExpectTimeout = or(o.ExpectTimeout, time.Second)
	cl.final = http2.MaxStream // a client's numbers are odd, and cannot be used again (RFC 9113 section 5.1.1)
	if n := o.MaxCalls; n > 0 && n <= http2.MaxStream/2 {
		cl.final = 2*n - 1
	}
	cl.conn.init(nc, o.Options, cl)
	cl.peer.maxStreams = InitialStreams
	cl.conn.start(http2.Preface,
		http2.Setting{ID: http2.SettingEnablePush, Value: 0},
		http2.Setting{ID: http2.SettingInitialWindowSize, Value: firstWindow},
		http2.Setting{ID: http2.SettingMaxHeaderListSize, Value: cl.opts.MaxHeaderList},
		http2.Setting{ID: http2.SettingNoPriorities, Value: 1})
	cl.ended = func(error) { // its streams have been told why
		cl.running.Wait()
		close(cl.closed)
		if cl.o.Ended != nil {
			cl.o.Ended()
		}
	}
	go cl.run()
	return cl
}

// Done is closed when the connection has ended and nothing of it runs any more.
func (cl *Client) Done() <-chan struct{} { return cl.closed }

// Err says why the connection has ended; nil: it has not.
func (cl *Client) Err() error {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	return cl.err
}

// Streams returns how many calls are under way.
func (cl *Client) Streams() int {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	return len(cl.streams)
}

// Available returns how many more calls can be sent now; 0 for good once the connection is going away.
func (cl *Client) Available() int {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	return cl.available()
}

func (cl *Client) available() int {
	if cl.err != nil || cl.leaving {
		return 0
	}
	return max(int(min(cl.peer.maxStreams, cl.o.MaxStreams, 1<<31-1))-len(cl.streams), 0)
}

// Usable says whether the connection will take calls, now or when others have ended.
func (cl *Client) Usable() bool {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	return cl.err == nil && !cl.leaving
}

// Queued returns the bytes that wait to be written, and how many calls wait for their turn or for window.
func (cl *Client) Queued() (bytes, calls int) {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	return len(cl.out) + cl.waiting, cl.waiters
}

// Drain takes no more calls and lets those under way end; then the connection ends. It returns at once.
func (cl *Client) Drain() {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	cl.leave()
	if len(cl.streams) == 0 {
		cl.emptied()
	}
}

// Close ends the connection at once: calls under way fail with traffic.ErrReset. It returns at once, see Done.
func (cl *Client) Close() {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	cl.end(http2.NoError, ErrClosed)
}

// mostGivenUp is how many calls a second, and at once, are given up before a connection takes no more.
const mostGivenUp = 250

// gaveUp counts a call whose answer was not waited for. The server may be at it for a while yet, and servers end a connection on which too
// much piles up so (Go's at 1,000 calls that have not begun), with the calls of others that share it. These go by another one from then
// on. Called with the lock.
func (cl *Client) gaveUp() {
	if !cl.givenUp.take(time.Now(), mostGivenUp) {
		cl.leave()
	}
}

// leave takes no more calls. Called with the lock.
func (cl *Client) leave() {
	cl.leaving = true
	if !cl.told && cl.o.Unusable != nil {
		cl.told = true
		cl.running.Go(cl.o.Unusable) // without our lock: a pool calls us under its own
	}
}

func (cl *Client) hello() error { return nil }

func (cl *Client) last() uint32 { return 0 }

func (cl *Client) known(id uint32) bool { return id&1 == 1 && id < cl.next }

func (cl *Client) settled() {
	select {
	case <-cl.ready:
	default:
		close(cl.ready)
		if !cl.peer.limited {
			cl.peer.maxStreams = 1<<32 - 1
		}
	}
}

func (cl *Client) failed() { cl.leave() }

func (cl *Client) idled() { cl.end(http2.NoError, errIdle) }

func (cl *Client) emptied() {
	if cl.leaving {
		cl.end(http2.NoError, errDrained)
	}
}

// open takes a field section of a stream that is not there: of one that was reset, or an error.
func (cl *Client) open(id uint32, _ bool) error {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	if cl.known(id) {
		return cl.late(0, 1)
	}
	return &http2.Error{Code: http2.ProtocolError, Reason: "a server opens a stream"}
}

// goAway fails the calls that the server surely did not act on: "streams with identifiers greater than the last stream
// identifier" (RFC 9113 section 6.8). The others go on.
func (cl *Client) goAway(f http2.GoAway) {
	cl.leave()
	why := errUnsent
	if f.Code != http2.NoError {
		why = fmt.Errorf("%w (%v %.60q)", errUnsent, f.Code, f.Debug)
	}
	for id, s := range cl.streams {
		if id > f.Last {
			s.fail(why)
		}
	}
	if len(cl.streams) == 0 {
		cl.emptied()
	}
}

var _ role = (*Client)(nil)

// RoundTrip sends a call and returns at the head of its response, which then stands in c.Response; its Body, if not nil, may
// not be used after c.Finish (or Rewind), which end the call if Close has not. The request's body is read on a goroutine of
// RoundTrip's own, until it or the response has ended, or the response's body is closed, and never after an error was
// returned. Interim responses go to c.Inform, but for 100 (Continue), on which the body of a request that expects it is
// read. The call ends with its Deadline (traffic.ErrDeadline) and when its caller is Gone (traffic.ErrCanceled), its
// response's body too; an open tunnel has no deadline.
//
// A call with an Upgrade goes as an extended CONNECT (RFC 8441), and its response 200 becomes 101 unless its Method is
// CONNECT. Where the response opens a tunnel, the response's body may end before the request's: Close(nil) after io.EOF
// waits for the request's body to end by itself; Close with an error does not.
func (cl *Client) RoundTrip(c *traffic.Call) error { return cl.roundTrip(c, head{call: c}) }

// Connect is RoundTrip for a tunnel (RFC 9113 section 8.5): the call's bodies are its raw bytes, whatever the call is; h may
// be nil. The request's body is read once the tunnel is open, so that a call that was refused can be sent elsewhere. Statuses other than 2xx are left in c.Response for the caller to judge.
func (cl *Client) Connect(c *traffic.Call, authority string, h *traffic.Header) error {
	return cl.roundTrip(c, head{call: c, authority: authority, header: h, tunnel: true})
}
