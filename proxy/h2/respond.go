package h2

import (
	"errors"
	"fmt"
	"io"

	"github.com/weft-mesh/weft/traffic"
)

// wake stops a Respond that waits for the response's next bytes.
func (st *Stream) wake() {
	defer st.srv.wg.Done()
	st.pumping.Lock()
	defer st.pumping.Unlock()
	if st.from != nil {
		st.from.Interrupt(true)
	}
}

// sendInterim is the call's Inform.
func (st *Stream) sendInterim(status int, h *traffic.Header) {
	st.c.mu.Lock()
	defer st.c.mu.Unlock()
	if st.headSent || st.unsendable() != nil || status < 100 || status > 199 || status == 101 || len(st.c.out) > backlog {
		return
	}
	if status == 100 {
		st.expect = false
	}
	st.sendStatus(status, h, false)
}

// Respond sends the call's Response: head, body and trailers, and returns when the last byte is in the connection's buffer,
// and nobody reads the request's body any more. It closes the body. After an error, which then stands in Response.Err too,
// the stream is reset. Status 101 goes as the 200 that answers an extended CONNECT (RFC 8441 section 5).
func (st *Stream) Respond() error {
	r := &st.call.Response
	if st.responded {
		return errors.New("the stream was responded to twice")
	}
	st.responded = true
	err := st.respond(r)
	if err != nil {
		r.Err = err
	}
	return err
}

func (st *Stream) respond(r *traffic.Response) error {
	if r.Status < 200 && r.Status != 101 || r.Status > 999 {
		return st.breakOff(r.Body, fmt.Errorf("a response with status %d: %w", r.Status, errResponse))
	}
	status, body := r.Status, r.Body
	if status == 101 {
		status = 200
	}
	bodyless := st.call.Method == "HEAD" || status == 204 || status == 304
	end := bodyless || body == nil && isEmpty(&r.Trailer) && !st.tunnels(status)
	if err := st.sendHead(status, &r.Header, end); err != nil {
		return st.breakOff(body, err)
	}
	if body == nil {
		if end {
			return nil
		}
		return st.finish(&r.Trailer)
	}
	if end {
		body.Close(nil)
		return nil
	}
	return st.pump(body, &r.Trailer)
}

// isEmpty says whether a header has no field.
func isEmpty(h *traffic.Header) bool {
	for range h.Fields {
		return false
	}
	return true
}

func (st *Stream) tunnels(status int) bool { return st.connect && status/100 == 2 }

func (st *Stream) sendHead(status int, h *traffic.Header, end bool) error {
	st.c.mu.Lock()
	defer st.c.mu.Unlock()
	if err := st.unsendable(); err != nil {
		return err
	}
	st.headSent, st.raw = true, st.tunnels(status)
	st.sendStatus(status, h, end)
	return nil
}

// pump copies the response's body.
func (st *Stream) pump(body traffic.Body, trailer *traffic.Header) error {
	st.reads(body)
	err := st.copy(body)
	if err == nil {
		err = st.finish(trailer)
	}
	st.reads(nil)
	if err != nil {
		return st.breakOff(body, err)
	}
	body.Close(nil)
	return nil
}

// reads notes what Respond waits for.
func (st *Stream) reads(body traffic.Body) {
	st.pumping.Lock()
	st.from = body
	st.pumping.Unlock()
}

func (st *Stream) copy(body traffic.Body) error {
	if st.lost() {
		return traffic.ErrCanceled
	}
	for {
		b, err := body.Next()
		if len(b) > 0 {
			if err := st.send(b, false); err != nil {
				return err
			}
			st.call.Received += int64(len(b))
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// lost says whether the stream has failed.
func (st *Stream) lost() bool {
	st.c.mu.Lock()
	defer st.c.mu.Unlock()
	return st.err != nil
}

// breakOff resets the stream because of err, or passes on that the client did.
func (st *Stream) breakOff(body traffic.Body, err error) error {
	st.c.mu.Lock()
	if st.err != nil {
		err = fmt.Errorf("%w: %w", traffic.ErrCanceled, st.err)
	} else {
		st.reset(codeOf(err), err)
	}
	st.c.mu.Unlock()
	if body != nil {
		body.Close(err)
	}
	return err
}
