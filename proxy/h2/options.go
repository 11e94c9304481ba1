package h2

import (
	"time"

	"github.com/weft-mesh/weft/traffic"
	"github.com/weft-mesh/weft/wire/http2"
)

// Options are what both roles have in common. The zero value of each field means what stands in brackets; a negative
// duration: never.
type Options struct {
	StreamWindow     uint32        // bytes that a peer may send on a stream before any is consumed, once some were: 64 KiB at first [256 KiB]; at least 64 KiB
	ConnWindow       uint32        // the same for all streams together [16 MiB]; at least StreamWindow
	MaxHeaderList    uint32        // size of a field section as RFC 9113 section 6.5.2 counts [64 KiB]
	Huffman          bool          // compress header strings: fewer bytes for more CPU
	HandshakeTimeout time.Duration // until the peer's preface and SETTINGS have come [10 s]
	FrameTimeout     time.Duration // for a frame, or a field section, once begun [30 s]
	WriteTimeout     time.Duration // for a write that makes no progress [30 s]
	StallTimeout     time.Duration // for bytes that wait for the peer's window [5 min]
	IdleTimeout      time.Duration // without streams [never]
	PingInterval     time.Duration // of silence, after which the peer is asked for a sign of life [never]
	WaitInterval     time.Duration // the same while a stream is open: somebody waits [PingInterval]
	PingTimeout      time.Duration // for its answer [20 s]
	MaxControl       int           // frames a second that move nothing, beyond those that do: PING, SETTINGS, empty DATA, early resets [1000]

	// Rest waits until there is something to read from the connection, or it has ended, without a goroutine of the connection's, and
	// then calls wake, once and on a goroutine of its own; seldom without cause. unpark ends the wait, and is called before the
	// connection is closed. Neither may wait for the connection. nil: the reader of a connection that idles waits in Read.
	// A connection with the methods Rest() and Partial() bool is told so too, and is not at rest in the middle of a record.
	Rest func(wake func()) (unpark func(), err error)

	// Report is told of each breach by the peer, and of each timeout. It must not block nor call the connection. nil: nobody
	// wants to know.
	Report func(Reason)

	// Abused is told that the peer loses its connection because of what it did, unlike for being slow. It must not block nor call the
	// connection. nil: nobody wants to know.
	Abused func()
}

// ServerOptions configure a Server.
type ServerOptions struct {
	Options
	MaxStreams uint32                  // that a client may have open [250]
	NoConnect  bool                    // do not offer extended CONNECT (RFC 8441)
	Trailer    func(h *traffic.Header) // takes from a request's trailers what may not come from its sender [all come through]
	Host       traffic.Host            // of the calls
	Conn       *traffic.Conn           // of the calls

	// Admit says whether one more stream is served; else it is refused as one that was not acted on (REFUSED_STREAM). It must not
	// block nor call the connection, as is the next. nil: each is.
	Admit func() bool
	// Closing is told that no further stream will be admitted. nil: nobody wants to know.
	Closing func()
}

// ClientOptions configure a Client.
type ClientOptions struct {
	Options
	MaxStreams    uint32        // to open, if the server allows more [no limit of our own]
	MaxCalls      uint32        // that the connection carries before it ends [as many as it has stream numbers for]
	ExpectTimeout time.Duration // wait for 100 (Continue) before a body is sent anyway [1 s] (RFC 9110 section 10.1.1)

	// Unusable is called once, on a goroutine of its own, when no further call can be sent: the server goes away, or the
	// connection has failed. Done waits for it.
	Unusable func()

	// Ended is called once, when Done has just been closed. nil: nobody wants to know.
	Ended func()
}

// Reason names what a peer did wrong, or what took too long. The list is closed: it serves as a metric label.
type Reason string

const (
	ProtocolError     Reason = "protocol-error"      // a connection error by RFC 9113
	MalformedMessage  Reason = "malformed-message"   // a message that breaks RFC 9113 section 8
	StreamError       Reason = "stream-error"        // another error of one stream
	HeaderTooLarge    Reason = "header-too-large"    // a field section above MaxHeaderList
	ContinuationFlood Reason = "continuation-flood"  // a field section in too many frames, or far too large
	RapidReset        Reason = "rapid-reset"         // streams opened and reset at once
	PingFlood         Reason = "ping-flood"          //
	SettingsFlood     Reason = "settings-flood"      //
	EmptyFrameFlood   Reason = "empty-frame-flood"   // frames that carry nothing
	PriorityFlood     Reason = "priority-flood"      // PRIORITY and unknown frames
	WindowFlood       Reason = "window-update-flood" // WINDOW_UPDATE far beyond what was sent
	GoAwayFlood       Reason = "goaway-flood"        //
	LateFlood         Reason = "closed-stream-flood" // frames for streams that are over
	WriteBacklog      Reason = "write-backlog"       // answers pile up because the peer does not read
	StreamsRefused    Reason = "streams-refused"     // more streams than MaxStreams
	WindowStall       Reason = "window-stall"        // StallTimeout
	WriteStall        Reason = "write-stall"         // WriteTimeout
	SlowFrame         Reason = "slow-frame"          // FrameTimeout
	HandshakeStall    Reason = "handshake-timeout"   // HandshakeTimeout
	PingLost          Reason = "ping-timeout"        // PingTimeout
)

const (
	frameSize     = http2.DefaultFrameSize // that we send and take: larger ones would make neighbours wait
	firstWindow   = 64 << 10               // of a stream
	connWindow    = 16 << 20               // of all streams together
	creditShare   = 16                     // a connection's window is given back when a 16th was consumed
	highWater     = 64 << 10               // bytes of DATA that wait in the buffer for the next write
	backlog       = 1 << 20                // bytes of anything that may wait there before the connection is given up
	restAfter     = 500 * time.Millisecond // without a stream or a byte a connection rests
	tableSize     = http2.DefaultTableSize
	continuations = 64      // frames of one field section
	inflation     = 6 << 10 // by which HPACK's tables may make a field section larger: ours has 4 KiB, so that more is the same field again and again
	interims      = 32      // 1xx responses to one request; all together of MaxHeaderList
	maxSettings   = 100     // in one frame
	maxHeld       = 8 << 20 // size of the field sections of all requests that a Server serves: HPACK makes a few bytes thousands
)

// UnreadStreams is how many streams, of each of which nobody reads what has come, leave a 16th of a connection's window for others.
// With 1,000, TestHeldStreams of package proxy waits for ever.
const UnreadStreams = connWindow / firstWindow * 15 / 16

func or[T comparable](v, zero T) T {
	var none T
	if v == none {
		return zero
	}
	return v
}

// resolve fills in what is not set.
func (o Options) resolve() Options {
	o.StreamWindow = min(max(or(o.StreamWindow, 256<<10), 64<<10), http2.MaxWindow)
	o.ConnWindow = min(max(or(o.ConnWindow, connWindow), o.StreamWindow), http2.MaxWindow)
	o.MaxHeaderList = or(o.MaxHeaderList, 64<<10)
	o.HandshakeTimeout = or(o.HandshakeTimeout, 10*time.Second)
	o.FrameTimeout = or(o.FrameTimeout, 30*time.Second)
	o.WriteTimeout = or(o.WriteTimeout, 30*time.Second)
	o.StallTimeout = or(o.StallTimeout, 5*time.Minute)
	o.WaitInterval = or(o.WaitInterval, o.PingInterval)
	o.PingTimeout = or(o.PingTimeout, 20*time.Second)
	o.MaxControl = or(o.MaxControl, 1000)
	if o.Report == nil {
		o.Report = func(Reason) {}
	}
	if o.Abused == nil {
		o.Abused = func() {}
	}
	return o
}

// period is how often a connection looks at its clocks: a quarter of the shortest timeout.
func (o *Options) period() time.Duration {
	p := o.slowly()
	for _, d := range []time.Duration{o.HandshakeTimeout, o.FrameTimeout, o.WriteTimeout, o.StallTimeout} {
		p = quarter(p, d)
	}
	if o.PingInterval > 0 {
		p = quarter(quarter(p, o.PingTimeout), o.WaitInterval)
	}
	return max(p, time.Millisecond)
}

// slowly is how often it does while it rests: then it can be idle, and silent.
func (o *Options) slowly() time.Duration {
	return max(quarter(quarter(15*time.Second, o.IdleTimeout), o.PingInterval), time.Millisecond)
}

func quarter(p, timeout time.Duration) time.Duration {
	if timeout <= 0 {
		return p
	}
	return min(p, timeout/4)
}
