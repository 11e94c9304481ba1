// Package h1 speaks HTTP/1.1 on connections: a Server answers callers, a Client calls. Between them stands the contract of
// package traffic: a Call's bodies pull from one connection and are pushed into another, so back-pressure is not reading.
//
// It promises that one message ends where the next begins: what the codec in wire/http1 refuses closes the connection, and a
// connection is used again only when both sides have finished cleanly. It promises bounded memory: a connection holds a
// buffer while bytes are in flight, and one that idles need not hold anything (Server.Parks). It starts one goroutine only: the
// pump of a Client that has a request body to send which is not there yet; it ends before the call does. A caller that leaves is
// noticed within two seconds.
//
// The errors of RoundTrip wrap those of package traffic. ErrRefused: the request never reached the callee. ErrReset: it may
// have. ErrIdleClosed: the callee closed a kept-alive connection as the request was sent.
package h1

import (
	"errors"
	"fmt"
	"os"

	"github.com/weft-mesh/weft/traffic"
)

var (
	// ErrIdleClosed is an ErrReset: the callee closed a connection that it had kept open, with no byte of a response. A
	// request that may be sent twice can be sent again at once.
	ErrIdleClosed = fmt.Errorf("%w: the callee closed an idle connection as the request was sent", traffic.ErrReset)

	// ErrStale is an ErrRefused: the callee had closed the connection before anything was sent.
	ErrStale = fmt.Errorf("%w: the callee had closed the connection; nothing was sent", traffic.ErrRefused)

	// ErrRequest is a call that cannot be written as HTTP/1.1: a line break in a field, a space in the path, a body that is
	// not as long as its Content-Length says. It is the caller's fault, and no other endpoint will do better.
	ErrRequest = errors.New("the call cannot be written as HTTP/1.1")

	// ErrSlow is a peer that stopped in the middle of a message for longer than the time limit.
	ErrSlow = errors.New("the peer sends or takes nothing")

	// ErrCrowded is a head that did not come at once while too many others are waited for.
	ErrCrowded = errors.New("too many heads are waited for")

	// ErrLeft is a caller whose connection ended in the middle of a request or a response.
	ErrLeft = errors.New("the caller closed the connection")

	// ErrIdle is no error: a connection has been silent for a moment, see Server.Parks.
	ErrIdle = errors.New("the connection idles")

	errClosed = errors.New("the body was closed")
)

func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
