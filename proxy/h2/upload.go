package h2

import (
	"errors"
	"fmt"
	"io"

	"github.com/weft-mesh/weft/traffic"
	"github.com/weft-mesh/weft/wire/http2"
)

// startUpload begins to send the request's body. Called with the lock.
func (s *call) startUpload() {
	if s.started || s.sendClosed {
		return
	}
	s.started, s.uploading = true, true
	s.cl.running.Add(1)
	go s.runs()
}

// upload sends the request's body and trailers.
func (s *call) upload() {
	cl := s.cl
	defer cl.running.Done()
	err := s.copy()
	cl.mu.Lock()
	defer cl.mu.Unlock()
	if err != nil && !errors.Is(err, errStopped) && !errors.Is(err, traffic.ErrInterrupted) && s.err == nil {
		s.reset(http2.Cancel, fmt.Errorf("the request's body broke off (%w): %w", err, traffic.ErrCanceled))
	}
	s.uploading = false
	s.uploaded.Broadcast()
}

func (s *call) copy() error {
	c := s.call
	if s.body == nil { // of a tunnel
		return s.send(nil, true)
	}
	for {
		b, err := s.body.Next()
		if len(b) > 0 {
			if err := s.send(b, false); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return s.finish(&c.Trailer)
		}
		if err != nil {
			return err
		}
	}
}

// stopUpload returns when nobody reads the request's body any more.
func (s *call) stopUpload() {
	s.c.mu.Lock()
	if !s.uploading {
		s.c.mu.Unlock()
		return
	}
	s.stopSend = true
	s.writable.Signal()
	s.c.mu.Unlock()
	if s.body != nil {
		s.body.Interrupt(true)
		defer s.body.Interrupt(false)
	}
	s.waitUpload()
}

func (s *call) waitUpload() {
	s.c.mu.Lock()
	for s.uploading {
		s.uploaded.Wait()
	}
	s.c.mu.Unlock()
}
