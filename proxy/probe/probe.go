// Package probe asks an application how it is, as a kubelet would, which cannot ask itself: where mutual TLS is strict, what comes from
// a node in the clear is refused. The kubelet asks the proxy instead, by the name of the probe.
//
// Only what was configured is asked, at the pod's own address, within a time and with so many bytes; whoever asks at the same time gets the
// same answer, so that a crowd costs the application one question. Its errors say why the application is not well.
package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// Probe is the part of a Kubernetes Probe (core/v1) that says what to ask: one of the three. Ports are numbers.
type Probe struct {
	HTTPGet        *HTTPGet   `json:"httpGet,omitempty"`
	TCPSocket      *TCPSocket `json:"tcpSocket,omitempty"`
	GRPC           *GRPC      `json:"grpc,omitempty"`
	TimeoutSeconds int32      `json:"timeoutSeconds,omitempty"` // [1]
}

// HTTPGet is well if it answers with 200 to 399.
type HTTPGet struct {
	Path        string   `json:"path,omitempty"` // with its query, if it has one [/]
	Port        uint16   `json:"port"`
	Scheme      string   `json:"scheme,omitempty"` // HTTP or HTTPS, whose certificate is not looked at [HTTP]
	HTTPHeaders []Header `json:"httpHeaders,omitempty"`
}

// Header is one of a request's. Host is what it says it is for.
type Header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// TCPSocket is well if it takes connections.
type TCPSocket struct {
	Port uint16 `json:"port"`
}

// GRPC is well if its health service says SERVING (grpc.health.v1).
type GRPC struct {
	Port    uint16 `json:"port"`
	Service string `json:"service,omitempty"`
}

// Prober asks.
type Prober struct {
	probes map[string]Probe
	app    netip.Addr
	dial   func(ctx context.Context, to netip.AddrPort) (net.Conn, error)

	mu    sync.Mutex
	asked map[string]*asked // under way
}

// asked is a question under way.
type asked struct {
	done chan struct{}
	err  error
}

// New returns a prober of the application at an address. Probes are by name: CONTAINER/KIND. The error names one that asks nothing, or
// several things.
func New(probes map[string]Probe, app netip.Addr, dial func(context.Context, netip.AddrPort) (net.Conn, error)) (*Prober, error) {
	for name, p := range probes {
		if err := p.check(); err != nil {
			return nil, fmt.Errorf("probe %s: %w", name, err)
		}
	}
	return &Prober{probes: probes, app: app, dial: dial, asked: map[string]*asked{}}, nil
}

func (p *Probe) check() error {
	n := 0
	for _, x := range []struct {
		there bool
		port  func() uint16
	}{
		{p.HTTPGet != nil, func() uint16 { return p.HTTPGet.Port }},
		{p.TCPSocket != nil, func() uint16 { return p.TCPSocket.Port }},
		{p.GRPC != nil, func() uint16 { return p.GRPC.Port }},
	} {
		if x.there {
			if n++; x.port() == 0 {
				return errors.New("port: required, as a number")
			}
		}
	}
	if n != 1 {
		return errors.New("want one of httpGet, tcpSocket and grpc")
	}
	if g := p.HTTPGet; g != nil && g.Scheme != "" && !strings.EqualFold(g.Scheme, "HTTP") && !strings.EqualFold(g.Scheme, "HTTPS") {
		return fmt.Errorf("httpGet.scheme: %q is neither HTTP nor HTTPS", g.Scheme)
	}
	return nil
}

// timeout is how long the answer may take.
func (p *Probe) timeout() time.Duration {
	if p.TimeoutSeconds <= 0 {
		return time.Second
	}
	return time.Duration(p.TimeoutSeconds) * time.Second
}

// ErrUnknown is a probe that was not configured.
var ErrUnknown = errors.New("there is no such probe")

// Status is what HTTP says of an answer of Ask's: what the application itself answered, where it did.
func Status(err error) int {
	var answered StatusError
	switch {
	case err == nil:
		return 200
	case errors.Is(err, ErrUnknown):
		return 404
	case errors.As(err, &answered) && answered >= 400 && answered < 600:
		return int(answered)
	}
	return 503
}

// kubelet begins what a kubelet calls itself; some applications know their probes by that.
const kubelet = "kube-probe/"

// Ask asks what the probe of a name asks. agent is what the caller calls itself; only a kubelet's word is passed on. nil: the application
// is well.
func (x *Prober) Ask(name, agent string) error {
	p, ok := x.probes[name]
	if !ok {
		return ErrUnknown
	}
	if !strings.HasPrefix(agent, kubelet) || len(agent) > 64 {
		agent = kubelet + "weft"
	}
	x.mu.Lock()
	a, under := x.asked[name]
	if !under {
		a = &asked{done: make(chan struct{})}
		x.asked[name] = a
	}
	x.mu.Unlock()
	if under {
		<-a.done
		return a.err
	}
	ctx, cancel := context.WithTimeout(context.Background(), p.timeout())
	defer cancel()
	a.err = x.ask(ctx, &p, agent)
	x.mu.Lock()
	delete(x.asked, name)
	x.mu.Unlock()
	close(a.done)
	return a.err
}

func (x *Prober) ask(ctx context.Context, p *Probe, agent string) error {
	switch {
	case p.HTTPGet != nil:
		return x.get(ctx, p.HTTPGet, agent)
	case p.GRPC != nil:
		return x.health(ctx, p.GRPC, agent)
	}
	c, err := x.dial(ctx, netip.AddrPortFrom(x.app, p.TCPSocket.Port))
	if err != nil {
		return fmt.Errorf("connect to the application: %w", err)
	}
	c.Close()
	return nil
}
