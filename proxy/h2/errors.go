package h2

import (
	"errors"
	"fmt"

	"github.com/weft-mesh/weft/traffic"
	"github.com/weft-mesh/weft/wire/http2"
)

// ResetError says why a stream ended early. It wraps traffic.ErrRefused or traffic.ErrReset.
type ResetError struct {
	Code   http2.ErrCode
	Remote bool // the peer sent it
	Reason string
}

func (e *ResetError) Error() string {
	who := "we"
	if e.Remote {
		who = "the peer"
	}
	s := fmt.Sprintf("%s reset the stream: %v", who, e.Code)
	if e.Reason != "" {
		s += ", " + e.Reason
	}
	return s
}

// Unwrap tells the two kinds apart that matter to whoever thinks of sending the call again.
func (e *ResetError) Unwrap() error {
	if e.Code == http2.RefusedStream {
		return traffic.ErrRefused
	}
	return traffic.ErrReset
}

var (
	// ErrFull is returned by a Client that has as many streams as it may have. Nothing was sent.
	ErrFull = fmt.Errorf("the connection is full: %w", traffic.ErrRefused)
	// ErrGoingAway is returned by a Client whose connection takes no more calls. Nothing was sent.
	ErrGoingAway = fmt.Errorf("the connection is going away: %w", traffic.ErrRefused)
	// ErrNoUpgrade is returned by a Client whose server does not offer extended CONNECT.
	ErrNoUpgrade = fmt.Errorf("the server does not offer extended CONNECT (RFC 8441): %w", traffic.ErrConnect)
	// ErrClosed is how a connection ends that was told to.
	ErrClosed = errors.New("the connection was closed")

	errUnsent   = fmt.Errorf("the server went away before it took the call: %w", traffic.ErrRefused)
	errIdle     = errors.New("the connection was idle")
	errDrained  = errors.New("the connection was drained")
	errStopped  = errors.New("the response has ended")
	errResponse = errors.New("no response was made")
)

// lost is what the streams of a connection fail with that broke.
func lost(why error) error { return fmt.Errorf("connection lost (%v): %w", why, traffic.ErrReset) }

// codeOf chooses what to reset a stream with because of err.
func codeOf(err error) http2.ErrCode {
	var r *ResetError
	var p *http2.Error
	switch {
	case err == nil:
		return http2.NoError
	case errors.As(err, &r):
		return r.Code
	case errors.As(err, &p):
		return p.Code
	case errors.Is(err, traffic.ErrRefused):
		return http2.RefusedStream
	case errors.Is(err, traffic.ErrCanceled), errors.Is(err, traffic.ErrDeadline), errors.Is(err, traffic.ErrReset), errors.Is(err, traffic.ErrInterrupted):
		return http2.Cancel
	}
	return http2.InternalError
}
