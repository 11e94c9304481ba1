// Package plane is a proxy's side of its connection to the control plane: gRPC over weft's own HTTP/2, on a Unix socket, or over TLS
// where the control plane is on another machine. A gRPC library would more than double the memory of a proxy at rest.
//
// Over TLS nothing is said before the other side has proved, by a certificate for Name that rests on one of Roots, to be the control
// plane: a token that reached anybody else would make him the workload. Roots and token are read anew each time that they are needed.
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

// Plane is a control plane, and how to prove to it whom this proxy serves.
type Plane struct {
	Socket    string        // path of its Unix socket; empty: Address
	Address   string        // host:port, reached over TLS
	Name      string        // DNS name that the certificate there has to be for; empty: the host of Address
	Roots     string        // file of the roots that may vouch for it, PEM
	RootsPEM  func() []byte // returns them where no file is named
	Token     string        // proof of whom this proxy serves
	TokenFile string        // file that holds the proof; empty: Token
}

const (
	dialTime   = 5 * time.Second
	maxMessage = 64 << 20 // of configuration, in one message
	ping       = 10 * time.Second
)

func (p Plane) open(ctx context.Context) (*h2.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	nc, err := p.connect(ctx)
	if err != nil {
		return nil, err
	}
	return h2.NewClient(nc, h2.ClientOptions{Options: h2.Options{PingInterval: ping, PingTimeout: ping}}), nil
}

func (p Plane) connect(ctx context.Context) (net.Conn, error) {
	if p.Socket == "" {
		return p.secure(ctx)
	}
	var d net.Dialer
	return d.DialContext(ctx, "unix", p.Socket)
}

func (p Plane) newCall(method string, body traffic.Body) *traffic.Call {
	c := &traffic.Call{}
	c.Begin(nil, &traffic.Conn{})
	c.Proto, c.Method, c.Scheme, c.Authority, c.Path, c.Body = traffic.GRPC, "POST", "http", "weft", method, body
	if p.Socket == "" {
		c.Scheme = "https"
	}
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

// Certify asks for a certificate: it is proxy.Options.Certify for a workload.
func (p Plane) Certify(ctx context.Context, workload string, csr []byte) ([][]byte, error) {
	token, err := p.Proof()
	if err != nil {
		return nil, err
	}
	var out stream.CertifyResponse
	if err := p.ask(ctx, stream.MethodCertify, &stream.CertifyRequest{Workload: workload, Token: token, CSR: csr}, &out); err != nil {
		return nil, err
	}
	return out.Chain, nil
}

// Standing asks a replica of the control plane, as another one of them, which of its proxies have come how far.
func (p Plane) Standing(ctx context.Context, trust uint64, root []byte) ([]string, error) {
	token, err := p.Proof()
	if err != nil {
		return nil, err
	}
	var out stream.StandingResponse
	if err := p.ask(ctx, stream.MethodStanding, &stream.StandingRequest{Token: token, Trust: trust, Root: root}, &out); err != nil {
		return nil, err
	}
	return out.Workloads, nil
}

// ask sends one message and takes the one that answers it.
func (p Plane) ask(ctx context.Context, method string, in, out any) error {
	b, err := p.unary(ctx, method, stream.Marshal(in))
	if err != nil {
		return err
	}
	return stream.Unmarshal(b, out)
}

func (p Plane) unary(ctx context.Context, method string, message []byte) ([]byte, error) {
	cl, err := p.open(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { cl.Close(); <-cl.Done() }()
	c := p.newCall(method, &traffic.Bytes{B: grpc.AppendMessage(nil, false, message)})
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
	t.call = p.newCall(stream.MethodStream, t.out)
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
	b, err := t.in.next(t.call)
	if err == io.EOF { // the status was OK
		err = stream.ErrMoved
	}
	return b, err
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
