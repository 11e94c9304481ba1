package h2

import (
	"strings"
	"sync"

	"github.com/weft-mesh/weft/traffic"
	"github.com/weft-mesh/weft/wire/http2"
)

// Stream is one request to a Server, and the answer to it.
type Stream struct {
	stream
	srv    *Server
	call   traffic.Call
	gone   chan struct{} // closed when the stream has failed: such a stream is not used again
	inform func(int, *traffic.Header)

	connect   bool // CONNECT: once it is accepted both bodies are raw bytes
	expect    bool // the client waits for 100 (Continue)
	headSent  bool
	responded bool
	served    bool // serve has returned
	held      int  // the size of its field section

	pumping sync.Mutex   // guards from, so that a lost client interrupts only the body that is being read for it
	from    traffic.Body // what Respond reads
}

// Call is the request. Its Gone is closed when the client resets the stream or leaves.
func (st *Stream) Call() *traffic.Call { return &st.call }

// run serves the stream and gives it back.
func (st *Stream) run() {
	s := st.srv
	s.serve(st)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serving--
	s.held -= st.held
	st.served = true
	st.consumed()
	if st.err == nil && !st.sendClosed {
		st.reset(http2.InternalError, errResponse)
	}
	if st.err != nil {
		return // whoever interrupts it may still hold it
	}
	if !st.recvClosed {
		// "A server MAY request that the client abort transmission of a request without error" (RFC 9113 section 8.1).
		st.reset(http2.NoError, errStopped)
		return
	}
	st.recycle()
}

// recycle puts a stream that has ended well back into the pool. Called with the lock.
func (st *Stream) recycle() {
	st.drop()
	st.responded, st.headSent, st.served = false, false, false
	streamPool.Put(st)
}

// fields takes trailers.
func (st *Stream) fields(end bool) error {
	sec := &st.c.section
	if !end {
		return &http2.Error{Code: http2.ProtocolError, Reason: "trailers without END_STREAM"} // section 8.1
	}
	if err := sec.Trailers(); err != nil {
		return err
	}
	if st.length > 0 {
		return &http2.Error{Code: http2.ProtocolError, Reason: "the body is shorter than its content-length"}
	}
	receive(&st.call.Trailer, sec.Fields)
	if trailer := st.srv.o.Trailer; trailer != nil {
		trailer(&st.call.Trailer)
	}
	st.received()
	return nil
}

func (st *Stream) data() error { return nil }

func (st *Stream) ended() {}

func (st *Stream) aborted() {
	close(st.gone)
	if !st.served {
		st.srv.wg.Add(1) // its worker still runs, so that Serve still waits
		go st.wake()
	}
}

func cutQuery(target string) (path, query string) {
	path, query, _ = strings.Cut(target, "?")
	return path, query
}

// lower allocates only for what is not lower case already.
func lower(s string) string { return strings.ToLower(s) }
