package h2

import (
	"time"

	"github.com/weft-mesh/weft/traffic"
	"github.com/weft-mesh/weft/wire/http2"
)

// head is what a call is sent as.
type head struct {
	call      *traffic.Call
	authority string
	header    *traffic.Header
	tunnel    bool
}

func (cl *Client) roundTrip(c *traffic.Call, h head) error {
	s := getCall()
	s.cl, s.call, s.body = cl, c, c.Body
	s.connect = h.tunnel || c.Method == "CONNECT" || c.Upgrade != ""
	s.upgrade = !h.tunnel && c.Method != "CONNECT" && c.Upgrade != ""
	s.isHead = c.Method == "HEAD" && !s.connect
	if err := s.await(c, h); err != nil {
		return c.Fail(err)
	}
	expect := c.Body != nil && !h.tunnel && expects(c)
	if err := s.start(c, h, expect); err != nil {
		s.discardCall()
		return c.Fail(err)
	}
	if err := s.head(c, expect); err != nil {
		s.stop()
		return c.Fail(err)
	}
	s.settle(c)
	return nil
}

func expects(c *traffic.Call) bool {
	v, ok := c.Header.Get("expect")
	return ok && lower(v) == "100-continue"
}

// await waits for the server's settings if the call depends on them.
func (s *call) await(c *traffic.Call, h head) error {
	if c.Upgrade == "" || h.tunnel {
		return nil
	}
	select { // HandshakeTimeout ends the connection
	case <-s.cl.ready:
	case <-s.cl.done:
		return ErrGoingAway
	case <-c.Gone:
		return traffic.ErrCanceled
	}
	s.cl.mu.Lock()
	defer s.cl.mu.Unlock()
	if !s.cl.peer.connect {
		return ErrNoUpgrade
	}
	return nil
}

// start opens the stream and sends the head.
func (s *call) start(c *traffic.Call, h head, expect bool) error {
	cl := s.cl
	var left time.Duration
	if !c.Deadline.At.IsZero() {
		if left = time.Until(c.Deadline.At); left <= 0 {
			return traffic.ErrDeadline
		}
	}
	cl.mu.Lock()
	defer cl.mu.Unlock()
	switch {
	case cl.err != nil || cl.leaving:
		return ErrGoingAway
	case cl.available() == 0 || len(cl.out) > backlog:
		return ErrFull
	}
	s.uploaded.L = &cl.mu
	s.begin(&cl.conn, s, cl.next)
	if cl.next += 2; cl.next > cl.final {
		cl.leave()
	}
	s.sendRequest(c, h)
	if s.body != nil && !expect && !s.connect {
		s.startUpload()
	}
	if left > 0 {
		s.arm(left)
	}
	return nil
}

// sendRequest writes the head. Called with the lock.
func (s *call) sendRequest(c *traffic.Call, h head) {
	at := s.c.beginBlock()
	s.addPseudo(c, h)
	if h.header != nil {
		s.c.addFields(h.header)
	} else if !h.tunnel {
		s.c.addFields(&c.Header)
	}
	end := c.Body == nil && !s.connect
	s.c.endBlock(at, s.id, end)
	s.tail, s.tailOf = at, s.c.taken
	if end {
		s.sendClosed = true
	}
}

func (s *call) addPseudo(c *traffic.Call, h head) {
	e, authority, method := s.c.enc, c.Authority, c.Method
	if h.tunnel {
		authority = h.authority
	}
	if s.connect {
		method = "CONNECT"
	}
	s.c.room(len(method) + len(c.Scheme) + len(c.Path) + len(c.Query) + len(authority) + len(c.Upgrade) + 8*perField)
	s.c.out = e.AppendField(s.c.out, ":method", method, false)
	if !s.connect || c.Upgrade != "" && !h.tunnel {
		scheme, path := c.Scheme, c.Path
		if scheme == "" {
			scheme = "http"
		}
		if path == "" {
			path = "/"
		}
		if c.Query != "" {
			s.c.path = append(append(append(s.c.path[:0], path...), '?'), c.Query...)
			path = text(s.c.path)
		}
		s.c.out = e.AppendField(s.c.out, ":scheme", scheme, false)
		s.c.out = e.AppendField(s.c.out, ":path", path, false)
	}
	if authority != "" {
		s.c.out = e.AppendField(s.c.out, ":authority", authority, false)
	}
	if c.Upgrade != "" && !h.tunnel {
		s.c.out = e.AppendField(s.c.out, ":protocol", c.Upgrade, false)
	}
}

// head waits for the response's head, and deals with what comes before it.
func (s *call) head(c *traffic.Call, expect bool) error {
	var patience <-chan time.Time
	if expect {
		t := time.NewTimer(s.cl.o.ExpectTimeout)
		defer t.Stop()
		patience = t.C
	}
	for {
		select {
		case <-s.event:
		case <-c.Gone:
			s.abort(http2.Cancel, traffic.ErrCanceled)
		case <-patience:
			patience = nil
			s.proceedNow()
		}
		done, err := s.look(c)
		if done || err != nil {
			return err
		}
	}
}

// look says whether the head is there, and passes on what came before.
func (s *call) look(c *traffic.Call) (bool, error) {
	s.c.mu.Lock()
	list := s.interim
	s.interim = nil
	done, err := s.headed, s.err
	if s.proceed && !s.headed && err == nil && !s.connect {
		s.startUpload()
	}
	s.proceed = false
	s.c.mu.Unlock()
	for i := range list {
		if c.Inform != nil && err == nil {
			c.Inform(list[i].status, &list[i].header)
		}
	}
	if done {
		return true, nil // a head that came is an answer, even if the body breaks off at once
	}
	return false, err
}

func (s *call) proceedNow() {
	s.c.mu.Lock()
	s.proceed = true
	s.c.mu.Unlock()
}

// settle gives the response its body, or ends a call whose response has none.
func (s *call) settle(c *traffic.Call) {
	s.c.mu.Lock()
	if s.raw = s.tunnel; s.tunnel && s.err == nil {
		s.startUpload()
		s.disarm() // a deadline is for an answer, and this was it
	}
	bare := s.recvClosed && len(s.in) == 0 && s.err == nil && !s.tunnel
	s.c.mu.Unlock()
	if bare {
		s.stop()
		return
	}
	c.Response.Body = (*responseBody)(s)
	c.AtEnd(s)
}
