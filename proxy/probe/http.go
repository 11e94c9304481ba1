package probe

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/weft-mesh/weft/proxy/h1"
	"github.com/weft-mesh/weft/traffic"
)

// As the kubelet has it (pkg/probe/http in the kubernetes repository).
const (
	maxBody      = 10 << 10 // bytes of an answer that are read
	maxRedirects = 10
)

// StatusError is an answer of HTTP that says that the application is not well.
type StatusError int

func (e StatusError) Error() string {
	return "the application answers with status " + strconv.Itoa(int(e))
}

// get asks by HTTP/1.1. Redirects to the same host name are followed, as the kubelet does, but at the pod's own address whatever they say:
// that is what the host name of a probe stands for. One to another host is an answer like any other below 400.
func (x *Prober) get(ctx context.Context, g *HTTPGet, agent string) error {
	at := &url.URL{Scheme: strings.ToLower(cmp.Or(g.Scheme, "http")), Host: netip.AddrPortFrom(x.app, g.Port).String()}
	to, err := at.Parse(cmp.Or(g.Path, "/"))
	if err != nil {
		return fmt.Errorf("path %q: %w", g.Path, err)
	}
	to.Scheme, to.Host = at.Scheme, at.Host // the path is no URL of its own
	for range maxRedirects {
		status, location, err := x.once(ctx, to, g.HTTPHeaders, agent)
		switch {
		case err != nil:
			return err
		case status < 200 || status >= 400:
			return StatusError(status)
		case status < 300 || location == "":
			return nil
		}
		next, err := to.Parse(location)
		if err != nil || next.Hostname() != to.Hostname() {
			return nil
		}
		to = next
	}
	return fmt.Errorf("the application redirects more than %d times", maxRedirects)
}

// once makes one request.
func (x *Prober) once(ctx context.Context, to *url.URL, headers []Header, agent string) (status int, location string, err error) {
	nc, err := x.open(ctx, to)
	if err != nil {
		return 0, "", err
	}
	cl := h1.NewClient(nc, &h1.Options{})
	defer cl.Close()
	c := newCall(ctx, "GET", to.EscapedPath(), traffic.HTTP1)
	c.Query, c.Scheme, c.Authority = to.RawQuery, to.Scheme, to.Host
	dress(c, headers, agent)
	defer func() { c.Finish(time.Now()) }()
	if err := cl.RoundTrip(c); err != nil {
		return 0, "", fmt.Errorf("ask the application: %w", late(ctx, err))
	}
	location, _ = c.Response.Header.Get("location")
	return c.Response.Status, strings.Clone(location), skim(c)
}

// open connects, with TLS where that is asked for.
func (x *Prober) open(ctx context.Context, to *url.URL) (net.Conn, error) {
	port := uint64(80)
	if to.Scheme == "https" {
		port = 443
	}
	if p := to.Port(); p != "" {
		var err error
		if port, err = strconv.ParseUint(p, 10, 16); err != nil {
			return nil, fmt.Errorf("redirected to port %q", p)
		}
	}
	nc, err := x.dial(ctx, netip.AddrPortFrom(x.app, uint16(port)))
	if err != nil {
		return nil, fmt.Errorf("connect to the application: %w", late(ctx, err))
	}
	if to.Scheme != "https" {
		return nc, nil
	}
	tc := tls.Client(nc, &tls.Config{InsecureSkipVerify: true}) // "the certificate verification is skipped" (core/v1 HTTPGetAction.scheme, kubelet)
	if err := tc.HandshakeContext(ctx); err != nil {
		nc.Close()
		return nil, fmt.Errorf("TLS with the application: %w", late(ctx, err))
	}
	return tc, nil
}

func newCall(ctx context.Context, method, path string, proto traffic.Proto) *traffic.Call {
	c := &traffic.Call{}
	c.Begin(nil, &traffic.Conn{})
	c.Method, c.Path, c.Proto, c.Now, c.Gone = method, cmp.Or(path, "/"), proto, time.Now(), ctx.Done()
	c.Deadline.At, _ = ctx.Deadline()
	return c
}

// dress gives a request its headers, and those that the kubelet adds. One that is there without a value stands for none.
func dress(c *traffic.Call, headers []Header, agent string) {
	said := map[string]bool{}
	for _, h := range headers {
		name := strings.ToLower(h.Name)
		said[name] = true
		switch {
		case name == "host":
			c.Authority = h.Value
		case h.Value != "" || name != "user-agent" && name != "accept":
			c.Header.Add(name, h.Value)
		}
	}
	if !said["user-agent"] {
		c.Header.Add("user-agent", agent)
	}
	if !said["accept"] {
		c.Header.Add("accept", "*/*")
	}
}

// skim reads an answer's body as far as the kubelet would: one that breaks off before is no answer.
func skim(c *traffic.Call) error {
	b := c.Response.Body
	if b == nil {
		return nil
	}
	for n := 0; n < maxBody; {
		p, err := b.Next()
		if n += len(p); err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the application's answer: %w", err)
		}
	}
	b.Close(errEnough)
	return nil
}

var (
	errEnough  = errors.New("no more of the answer is wanted")
	errTooLate = errors.New("it took too long")
)

// late says so where the time is up, whatever went wrong because of that.
func late(ctx context.Context, err error) error {
	if ctx.Err() != nil || errors.Is(err, traffic.ErrDeadline) {
		return errTooLate
	}
	return err
}
