// Package plane is a proxy's side of its connection to the control plane: gRPC over weft's own HTTP/2, on a Unix socket. A gRPC
// library would more than double the memory of a proxy at rest.
package plane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/weft-mesh/weft/proxy/h2"
	"github.com/weft-mesh/weft/stream"
	"github.com/weft-mesh/weft/traffic"
	"github.com/weft-mesh/weft/wire/grpc"
)

// Plane is a control plane at a Unix socket.
type Plane struct {
	Socket string // its path
}

const (
	dialTime   = 5 * time.Second
	maxMessage = 64 << 20 // of configuration, in one message
	ping       = 10 * time.Second
)

func (p Plane) open(ctx context.Context) (*h2.Client, error) {
	d := net.Dialer{Timeout: dialTime}
	nc, err := d.DialContext(ctx, "unix", p.Socket)
	if err != nil {
		return nil, err
	}
	return h2.NewClient(nc, h2.ClientOptions{Options: h2.Options{PingInterval: ping, PingTimeout: ping}}), nil
}

func newCall(method string, body traffic.Body) *traffic.Call {
	c := &traffic.Call{}
	c.Begin(nil, &traffic.Conn{})
	c.Proto, c.Method, c.Scheme, c.Authority, c.Path, c.Body = traffic.GRPC, "POST", "http", "weft", method, body
	c.Header.Add("content-type", "application/grpc")
	c.Header.Add("te", "trailers")
	return c
}

// StatusError is the answer of a control plane that refused a call.
type StatusError struct{ Code, Message string }

func (e *StatusError) Error() string {
	return fmt.Sprintf("the control plane answers with gRPC status %s: %s", e.Code, e.Message)
}

// status is the error of a call whose response has ended; nil: none.
func status(c *traffic.Call) error {
	code, ok := c.GRPCStatus()
	switch {
	case c.Response.Status != 200:
		return fmt.Errorf("the control plane answers with HTTP status %d: is it another program?", c.Response.Status)
	case !ok:
		return errors.New("the control plane's answer has no gRPC status")
	case code == "0":
		return nil
	}
	message, ok := c.Response.Header.Get("grpc-message")
	if !ok {
		message, _ = c.Response.Trailer.Get("grpc-message")
	}
	return &StatusError{code, string(grpc.AppendDecodedMessage(nil, message))}
}

// Certify asks for a certificate: it is proxy.Options.Certify for a workload and its token.
func (p Plane) Certify(ctx context.Context, workload, token string, csr []byte) ([][]byte, error) {
	req := stream.Marshal(&stream.CertifyRequest{Workload: workload, Token: token, CSR: csr})
	b, err := p.unary(ctx, stream.MethodCertify, req)
	if err != nil {
		return nil, err
	}
	var out stream.CertifyResponse
	if err := stream.Unmarshal(b, &out); err != nil {
		return nil, err
	}
	return out.Chain, nil
}

func (p Plane) unary(ctx context.Context, method string, message []byte) ([]byte, error) {
	cl, err := p.open(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { cl.Close(); <-cl.Done() }()
	c := newCall(method, &traffic.Bytes{B: grpc.AppendMessage(nil, false, message)})
	c.Gone = ctx.Done()
	if at, ok := ctx.Deadline(); ok {
		c.Deadline.At = at
	}
	defer func() { c.Finish(time.Now()) }()
	if err := cl.RoundTrip(c); err != nil {
		return nil, err
	}
	var in inbox
	answer, err := in.next(c)
	if err != nil {
		return nil, err
	}
	answer = append([]byte(nil), answer...)
	if _, err := in.next(c); err != io.EOF {
		return nil, errors.Join(errors.New("a second answer to one question"), err)
	}
	return answer, nil
}

// Dial opens the stream: it is stream.Client's.
func (p Plane) Dial(ctx context.Context) (stream.Transport, error) {
	cl, err := p.open(ctx)
	if err != nil {
		return nil, err
	}
	t := &transport{cl: cl, out: newOutbox(), headed: make(chan struct{})}
	t.call = newCall(stream.MethodStream, t.out)
	go t.begin()
	return t, nil
}

// transport is one stream.
type transport struct {
	cl     *h2.Client
	call   *traffic.Call
	out    *outbox
	in     inbox
	headed chan struct{} // closed when the response's head has come, or never will
	err    error         // why
	close  sync.Once

	reads sync.Mutex // held by who takes the response's body, or gives it up
	over  bool       // it was given up
}

// begin waits for the head, which a server sends with its first message.
func (t *transport) begin() {
	t.err = t.cl.RoundTrip(t.call)
	close(t.headed)
}

// Send puts a message into the queue; what goes wrong with it shows in Recv.
func (t *transport) Send(b []byte) error { return t.out.put(grpc.AppendMessage(nil, false, b)) }

// Recv returns the next message, lent until it is called again.
func (t *transport) Recv() ([]byte, error) {
	<-t.headed
	t.reads.Lock()
	defer t.reads.Unlock()
	switch {
	case t.err != nil:
		return nil, t.err
	case t.over:
		return nil, errEnded
	}
	return t.in.next(t.call)
}

// Close ends the stream, and with it Recv. It gives back what the call holds, which nobody may do who still reads: a message that Recv
// has lent is none of that.
func (t *transport) Close() error {
	t.close.Do(func() {
		t.out.end()
		t.cl.Close()
		<-t.cl.Done()
		<-t.headed
		t.reads.Lock()
		defer t.reads.Unlock()
		t.over = true
		t.call.Finish(time.Now())
	})
	return nil
}

// inbox takes messages out of a response's body.
type inbox struct{ grpc.Reader }

var errCompressed = errors.New("the control plane sends a compressed message, and no compression was offered")

func (i *inbox) next(c *traffic.Call) ([]byte, error) {
	i.Limit = maxMessage
	for {
		m, compressed, ok, err := i.Next()
		switch {
		case err != nil:
			return nil, err
		case compressed:
			return nil, errCompressed
		case ok:
			return m, nil
		case c.Response.Body == nil:
			return nil, ended(c)
		}
		more, err := c.Response.Body.Next()
		i.Feed(more)
		if err == io.EOF && i.Rest() == 0 {
			err = ended(c)
		} else if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil && len(more) == 0 {
			return nil, err
		}
	}
}

func ended(c *traffic.Call) error {
	if err := status(c); err != nil {
		return err
	}
	return io.EOF
}

// outbox is a request's body that grows while it is sent.
type outbox struct {
	mu      sync.Mutex
	cond    sync.Cond
	queue   [][]byte
	over    bool
	stopped bool
}

func newOutbox() *outbox {
	o := &outbox{}
	o.cond.L = &o.mu
	return o
}

var errEnded = errors.New("the stream to the control plane has ended")

func (o *outbox) put(b []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.over {
		return errEnded
	}
	o.queue = append(o.queue, b)
	o.cond.Signal()
	return nil
}

func (o *outbox) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.over = true
	o.cond.Broadcast()
}

// Next is traffic.Body's.
func (o *outbox) Next() ([]byte, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.queue) == 0 && !o.over && !o.stopped {
		o.cond.Wait()
	}
	switch {
	case o.stopped:
		return nil, traffic.ErrInterrupted
	case len(o.queue) == 0:
		return nil, io.EOF
	}
	b := o.queue[0]
	o.queue = o.queue[1:]
	return b, nil
}

// Interrupt is traffic.Body's.
func (o *outbox) Interrupt(on bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.stopped = on
	o.cond.Broadcast()
}

// Close is traffic.Body's.
func (o *outbox) Close(error) { o.end() }
