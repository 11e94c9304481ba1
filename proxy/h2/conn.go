package h2

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/weft-mesh/weft/proxy/buffer"
	"github.com/weft-mesh/weft/wire/http2"
)

// role is what a Server and a Client do differently. The reader calls it.
type role interface {
	// hello reads what comes before the first frame.
	hello() error
	// open takes the field section of a stream that is not there. Called without the lock.
	open(id uint32, end bool) error
	// known says whether the stream was ever opened. Called with the lock.
	known(id uint32) bool
	// settled is called, with the lock, when the peer's settings have been applied.
	settled()
	// goAway takes a GOAWAY. Called with the lock.
	goAway(f http2.GoAway)
	// last is the last stream of the peer's for a GOAWAY. Called with the lock.
	last() uint32
	// emptied is called, with the lock, when the last stream has ended.
	emptied()
	// idled is called, with the lock, after IdleTimeout.
	idled()
	// failed is called once, with the lock, when the connection has ended.
	failed()
}

// conn is what both roles share.
type conn struct {
	nc   net.Conn
	tls  sealed // nc, if it is one
	opts Options
	role role

	done   chan struct{} // closed when err is set
	wake   chan struct{} // of the writer
	gone   chan struct{} // closed when the writer has ended for good
	ticker *time.Timer

	mu      sync.Mutex
	err     error
	grace   time.Duration // for the writer's last words
	linger  bool          // read on for a moment, so that the last bytes are not lost to a TCP reset
	cut     bool          // streams were open when it ended
	streams map[uint32]*stream

	writer
	peer     peer
	recvWin  int64 // what the peer may send
	unacked  int64 // consumed, and not yet given back
	promised int64 // the windows of all streams
	resets   recent
	floods   floods
	watch    watch
	draining bool
	unpark   func()      // the reader rests, see Options.Rest; ends that
	ended    func(error) // told why the connection ended, once nothing reads nor writes any more

	reader // of the reading goroutine alone
}

// sealed is a connection of records, below.
type sealed interface {
	Rest()         // lets go of what can be made anew
	Partial() bool // a record has begun and not ended
}

// peer is what the other side has told.
type peer struct {
	settled    bool // its first SETTINGS have come
	maxStreams uint32
	limited    bool // it set maxStreams
	window     int64
	maxFrame   int
	connect    bool // extended CONNECT
}

// floods count what moves nothing, against what does: gRPC's clients and servers send a PING for each round trip in which data
// moves, to measure the path.
type floods struct {
	control, reset   bucket
	priority, window int // frames, set against streams opened and DATA sent
	opened, sent     int

	lateBytes    int64 // of streams that are over
	lateSections int
}

func (c *conn) init(nc net.Conn, o Options, r role) {
	c.nc, c.opts, c.role = nc, o.resolve(), r
	c.tls, _ = nc.(sealed)
	c.done, c.gone, c.wake = make(chan struct{}), make(chan struct{}), make(chan struct{}, 1)
	c.streams = map[uint32]*stream{}
	c.peer = peer{window: http2.DefaultWindow, maxFrame: http2.DefaultFrameSize, maxStreams: 1<<32 - 1}
	c.sendWin = http2.DefaultWindow
	c.recvWin = int64(c.opts.ConnWindow)
	c.enc = http2.NewEncoder(tableSize)
	c.enc.Huffman = c.opts.Huffman
	c.manned = true // before it is started what is written waits
	c.reader.init(c.opts.MaxHeaderList)
}

// start says hello and starts the writer.
func (c *conn) start(hello string, settings ...http2.Setting) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.out // a Drain or Close that was earlier than Serve
	c.out = append(buffer.Get(0), hello...)
	c.out = http2.AppendSettings(c.out, settings...)
	if n := c.opts.ConnWindow - http2.DefaultWindow; n > 0 {
		c.out = http2.WindowUpdate{Increment: n}.Append(c.out)
	}
	c.out = append(c.out, before...)
	buffer.Put(before)
	c.kicked = false
	c.kick()
	if c.err == nil {
		c.watch.begin(time.Now())
		c.ticker = time.AfterFunc(c.pace(true), c.tick)
	}
	go c.writeLoop()
}

// fail ends the connection: its streams fail with why, and the writer may take grace to write what is in the buffer.
// Called with the lock.
func (c *conn) fail(err, why error, grace time.Duration) {
	if c.err != nil {
		return
	}
	c.err, c.grace, c.cut = err, grace, len(c.streams) > 0
	if c.ticker != nil {
		c.ticker.Stop()
	}
	for _, s := range c.streams {
		s.fail(why)
	}
	clear(c.streams)
	c.ring = ring{}
	c.role.failed()
	close(c.done)
	c.man()
	c.nc.SetReadDeadline(past) // wakes the reader
	c.nc.SetWriteDeadline(time.Now().Add(grace))
	if c.unpark != nil {
		c.unpark()
	}
}

var past = time.Unix(1, 0)

// lastWords is how long the writer may take to say why the connection ends.
const lastWords = time.Second

// end sends a GOAWAY and fails. Called with the lock.
func (c *conn) end(code http2.ErrCode, err error) {
	if c.err != nil {
		return
	}
	f := http2.GoAway{Last: c.role.last(), Code: code}
	if e := (*http2.Error)(nil); errors.As(err, &e) {
		f.Debug = []byte(e.Reason)
	}
	c.out = f.Append(c.out)
	c.linger = code != http2.NoError || !c.isClient() && err != ErrClosed
	c.fail(err, lost(err), lastWords)
}

// abuse ends the connection because of what the peer does. Called with the lock.
func (c *conn) abuse(r Reason) error {
	c.opts.Report(r)
	c.opts.Abused()
	return &http2.Error{Code: http2.EnhanceYourCalm, Reason: string(r)}
}

// run reads until the connection ends or rests. It calls ended once the writer has ended and the socket is closed.
func (c *conn) run() {
	err := error(nil)
	if !c.greeted {
		c.greeted = true
		err = c.role.hello()
	}
	if err == nil {
		err = c.readLoop()
	}
	if err == errResting {
		return // nothing of the reader is this goroutine's any more
	}
	c.mu.Lock()
	if e := (*http2.Error)(nil); errors.As(err, &e) {
		if e.Code != http2.EnhanceYourCalm && c.err == nil {
			c.opts.Report(ProtocolError)
		}
		c.end(e.Code, e)
	} else {
		c.fail(err, lost(err), 0)
	}
	err = c.err
	c.mu.Unlock()
	<-c.gone
	if c.linger {
		c.discard()
	}
	c.nc.Close()
	c.reader.release()
	c.ended(err)
}

// resume goes on to read after a rest, on a goroutine of its own.
func (c *conn) resume() {
	c.mu.Lock()
	c.unpark = nil
	if c.err == nil {
		c.ticker.Reset(c.pace(true))
	}
	c.mu.Unlock()
	c.reader.begin()
	c.run()
}

// discard half-closes and reads what the peer still sends, until it closes too: closing a socket with unread bytes makes TCP
// throw away what the peer has not read yet.
func (c *conn) discard() {
	w, ok := c.nc.(interface{ CloseWrite() error })
	if !ok || w.CloseWrite() != nil {
		return
	}
	c.nc.SetReadDeadline(time.Now().Add(lingering))
	_, _ = io.Copy(io.Discard, io.LimitReader(c.nc, 16<<20)) // whatever comes, the connection ends
}

// lingering bounds discard in time.
const lingering = 3 * time.Second

// useful lets the peer send one more frame that moves nothing. Called with the lock.
func (c *conn) useful() { c.floods.control.give(c.opts.MaxControl) }

// remove forgets a stream. Called with the lock.
func (c *conn) remove(s *stream) {
	if s.err == nil {
		c.floods.reset.give(c.opts.MaxControl)
	}
	delete(c.streams, s.id)
	c.promised, s.window = c.promised-s.window, 0
	c.ring.remove(s)
	if len(c.streams) == 0 && c.err == nil {
		c.role.emptied()
	}
}

// recent remembers the last streams that we have reset: what the peer had sent before it knew is no error
// (RFC 9113 section 5.4.2).
type recent struct {
	ids  []uint32
	next int
	all  int // that there ever were
}

const maxRecent = 256

func (r *recent) add(id uint32) {
	r.all++
	if len(r.ids) < maxRecent {
		r.ids = append(r.ids, id)
		return
	}
	r.ids[r.next%maxRecent] = id
	r.next++
}

func (r *recent) has(id uint32) bool {
	for _, v := range r.ids {
		if v == id {
			return true
		}
	}
	return false
}
