package meshtest

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/weft-mesh/weft/cli/transcript"
	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/explain"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/observe"
	"github.com/weft-mesh/weft/traffic"
)

// Answer is what became of a call, as all who took part saw it.
type Answer struct {
	explain.Branch
	Body     string
	App      string          // key of the workload whose application answered; empty: none did
	AppProto string          // that it was spoken to in: HTTP/1.1 or HTTP/2.0
	Caller   *observe.Record // of the caller's proxy; nil: the caller is not of the mesh
	Callee   *observe.Record // of the callee's proxy; nil: the call did not get that far
}

// Get makes a GET from a workload, or from outside ("outside to WORKLOAD"). Headers are "name=value".
func (m *Mesh) Get(from, url string, headers ...string) *Answer {
	m.t.Helper()
	return m.Call("from " + from + " GET " + url + " " + strings.Join(headers, " "))
}

// Call makes a call, said as in a transcript's section calls, without outcome.
func (m *Mesh) Call(line string) *Answer {
	m.t.Helper()
	c, err := transcript.ParseCall(line + " => ok")
	if err != nil {
		m.t.Fatal(err)
	}
	return m.call(&c)
}

// nowhere is an address of the mesh's that no service has: what a name that does not exist leads to.
var nowhere = netip.MustParseAddr("240.255.255.254")

func (m *Mesh) call(c *transcript.Call) *Answer {
	m.t.Helper()
	q, err := c.Asked().Query(m.View().Mesh)
	if err != nil {
		m.t.Fatalf("%s: %v", c.Text, err)
	}
	m.refuse.Store(int32(c.Fail))
	ctx, cancel := context.WithTimeout(m.ctx, bound)
	defer cancel()
	x := m.exchange(c, &q, nil)
	if c.Proto == traffic.TCP {
		err = x.tcp(ctx)
	} else {
		err = x.http(ctx)
	}
	if err != nil {
		m.t.Errorf("%s: %v", c.Text, err)
	}
	x.conclude(ctx)
	return x.a
}

// exchange is one call and what is found out about it.
type exchange struct {
	m    *Mesh
	c    *transcript.Call
	q    *explain.Query
	dial func(context.Context) (net.Conn, error) // as the caller would
	from int                                     // number of the first record that may be the call's
	id   string                                  // empty: it is TCP
	a    *Answer

	copies int // that are expected
}

// exchange readies a call. hold, if it is not nil, keeps the application from answering until it is closed.
func (m *Mesh) exchange(c *transcript.Call, q *explain.Query, hold <-chan struct{}) *exchange {
	m.t.Helper()
	x := &exchange{m: m, c: c, q: q, dial: m.dialler(q), from: m.records.count(), a: &Answer{}}
	x.a.Share = 1
	for i := range c.Outcomes {
		x.copies = max(x.copies, len(c.Outcomes[i].Copies))
	}
	if c.Proto != traffic.TCP {
		x.id = m.calls.begin(order{cmp.Or(c.Status, http.StatusOK), c.Takes, hold})
	}
	return x
}

func (m *Mesh) dialler(q *explain.Query) func(context.Context) (net.Conn, error) {
	m.t.Helper()
	if q.From == "" {
		return m.fromOutside(q)
	}
	to := netip.AddrPortFrom(nowhere, q.Port)
	if svc := m.View().Mesh.Services.Get(q.Host); svc != nil && len(svc.IPs) > 0 {
		to = netip.AddrPortFrom(svc.IPs[0], q.Port)
	} else if q.Host == "" {
		to = q.Addr
	}
	door := m.workload(q.From).door
	return func(ctx context.Context) (net.Conn, error) { return door.dial(ctx, to) }
}

func (m *Mesh) fromOutside(q *explain.Query) func(context.Context) (net.Conn, error) {
	m.t.Helper()
	l := m.workload(q.To).at(q.Port)
	if l == nil {
		m.t.Fatalf("%s publishes no port %d", q.To, q.Port)
	}
	var d net.Dialer
	if q.Source.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(q.Source, 0))
	}
	begins := m.secure(q)
	return func(ctx context.Context) (net.Conn, error) {
		c, err := d.DialContext(ctx, "tcp", l.Addr().String())
		if err != nil || begins == nil {
			return c, err
		}
		tc := tls.Client(c, begins)
		if err := tc.HandshakeContext(ctx); err != nil {
			c.Close()
			return nil, errors.Join(errHandshake, err)
		}
		return tc, nil
	}
}

var errHandshake = errors.New("TLS is refused")

// secure is how a caller of a gateway begins TLS; nil: it does not. Whose certificate is shown, tests of the proxy look at.
func (m *Mesh) secure(q *explain.Query) *tls.Config {
	g := m.View().Mesh.Gateways.Get(q.Gateway)
	if g == nil || !slices.ContainsFunc(g.Listeners, func(l mesh.Listener) bool { return l.Port == q.Port && l.Entry.TLS() }) {
		return nil
	}
	c := &tls.Config{ServerName: q.SNI, InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}} //nolint:gosec // see above
	switch q.Proto {
	case traffic.TCP:
		c.NextProtos = nil
	case traffic.HTTP2, traffic.GRPC:
		c.NextProtos = []string{"h2"}
	}
	return c
}

func (x *exchange) http(ctx context.Context) error {
	r, err := x.request(ctx)
	if err != nil {
		return err
	}
	p := &http.Protocols{}
	p.SetHTTP1(x.c.Proto == traffic.HTTP1)
	p.SetUnencryptedHTTP2(x.c.Proto != traffic.HTTP1)
	t := &http.Transport{Protocols: p, DisableCompression: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return x.dial(ctx) }}
	defer t.CloseIdleConnections()
	resp, err := t.RoundTrip(r)
	switch {
	case errors.Is(err, errHandshake):
		x.id = "" // there is no request: what is recorded is a connection
		return nil
	case err != nil:
		return err
	}
	defer resp.Body.Close()
	return x.answered(resp)
}

func (x *exchange) request(ctx context.Context) (*http.Request, error) {
	c := x.c
	r, err := http.NewRequestWithContext(ctx, c.Method, "http://"+c.URL.Host+"/", http.NoBody)
	if err != nil {
		return nil, err
	}
	r.URL = &url.URL{Scheme: "http", Host: c.URL.Host, Path: cmp.Or(c.URL.Path, "/"), RawPath: c.URL.RawPath, RawQuery: c.URL.RawQuery}
	r.Header.Set("User-Agent", "")
	if c.Proto == traffic.GRPC {
		r.Header.Set("content-type", "application/grpc")
		r.Header.Set("te", "trailers")
		r.Body = io.NopCloser(bytes.NewReader(message("ping")))
	}
	for _, h := range c.Header {
		if h[0] == "host" {
			r.Host = h[1]
		} else {
			r.Header.Add(h[0], h[1])
		}
	}
	r.Header.Set("x-request-id", x.id)
	return r, nil
}

func (x *exchange) answered(resp *http.Response) error {
	b, err := io.ReadAll(resp.Body)
	x.a.Status, x.a.Body = resp.StatusCode, string(b)
	for name, values := range resp.Header {
		for _, v := range values {
			x.a.Returns = append(x.a.Returns, [2]string{strings.ToLower(name), v})
		}
	}
	x.a.GRPC = cmp.Or(resp.Header.Get("grpc-status"), resp.Trailer.Get("grpc-status"))
	return err
}

// tcp sends a line and reads the one that comes back. A connection that ends instead is an answer too.
func (x *exchange) tcp(ctx context.Context) error {
	x.m.calls.tcpCalls(1)
	defer x.m.calls.tcpCalls(-1)
	c, err := x.dial(ctx)
	switch {
	case errors.Is(err, errHandshake):
		return nil
	case err != nil:
		return err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	return x.talk(ctx, c)
}

func (x *exchange) talk(ctx context.Context, c net.Conn) error {
	_ = x.say(c) // a refusal is an answer too
	if ctx.Err() != nil {
		return fmt.Errorf("the connection neither answers nor ends: %w", ctx.Err())
	}
	if h, ok := c.(interface{ CloseWrite() error }); ok {
		_ = h.CloseWrite()
	}
	if rest, err := io.ReadAll(c); err == nil && len(rest) > 0 {
		return fmt.Errorf("there is more than the answer: %q", rest)
	}
	return nil
}

// say sends a line and reads one. A connection that ends instead was refused.
func (x *exchange) say(c net.Conn) error {
	if _, err := io.WriteString(c, "ping\n"); err != nil {
		return err
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	x.a.Body = line
	if who, ok := strings.CutSuffix(line, " ping\n"); err == nil && ok {
		x.a.App, x.a.Status = who, 200
	}
	return err
}

// conclude gathers what the records and the application tell.
func (x *exchange) conclude(ctx context.Context) {
	a := x.a
	if x.q.Caller() != "" {
		if a.Caller = x.m.records.await(ctx, x.from, x.mine(observe.Source, x.q.From, "")); a.Caller == nil {
			x.m.t.Errorf("meshtest: the caller's proxy made no record of the call")
			return
		}
	}
	to := x.callee()
	if w := x.m.workloads[to]; w != nil {
		if a.Callee = x.m.records.await(ctx, x.from, x.mine(observe.Destination, x.q.From, to)); a.Callee == nil {
			x.m.t.Errorf("meshtest: the proxy of %s made no record of the call", to)
		}
	}
	x.outcome()
	all, _ := x.m.calls.of(x.id)
	for _, s := range all {
		if s.app == to || to == "" && s.app == x.m.outside.name {
			a.App, a.AppProto, a.Header, a.Path = s.app, s.proto, s.header, s.path
		}
	}
	if x.copies > 0 {
		if err := x.copied(ctx, x.copies); err != nil {
			x.m.t.Error(err)
		}
	}
}

// callee is the workload whose proxy has to have made a record: the call's last endpoint, unless the caller's proxy answered
// itself.
func (x *exchange) callee() string {
	switch r := x.a.Caller; {
	case r == nil:
		return x.q.To
	case !r.Local && r.Err == nil:
		return r.To.Workload
	case x.id == "" && x.a.App != "":
		return x.a.App
	}
	return ""
}

// mine says which records are the call's.
func (x *exchange) mine(by observe.Reporter, from, to string) func(*observe.Record) bool {
	return func(r *observe.Record) bool {
		switch {
		case r.Reporter != by || from != "" && r.From.Workload != from && by == observe.Source || to != "" && r.To.Workload != to:
			return false
		case x.id == "": // a TCP call, of which there is one at a time
			return r.Proto == traffic.TCP
		}
		return r.RequestID == x.id && (by == observe.Source || r.Status == x.a.Status)
	}
}

// outcome makes of the records what explain would have said.
func (x *exchange) outcome() {
	a := x.a
	for _, r := range []*observe.Record{a.Caller, a.Callee} {
		if r == nil {
			continue
		}
		if a.Because = append(a.Because, r.Verdicts...); r.Reporter == observe.Source {
			a.Target, a.Attempt = traffic.Target{Service: r.Service, Port: r.Port, Subset: r.Subset}, int(r.Attempts)
			a.To = &traffic.Endpoint{Workload: r.To.Workload}
			a.Failure, a.Class = r.Failed, r.Class
		}
		if r.Err != nil {
			a.Failed = r.Err.Error()
		}
		if x.id == "" && a.App == "" {
			a.Status = max(a.Status, r.Status, 400)
		}
	}
	slices.SortStableFunc(a.Because, func(v, w decision.Verdict) int { return cmp.Compare(last(v), last(w)) })
	a.By = decision.Deciding(a.Because)
}

// last is 1 for what is found at a call's end, after all that either proxy decided.
func last(v decision.Verdict) int {
	if v.Reason == decision.Ejected {
		return 1
	}
	return 0
}

// copied waits until n copies of the call have reached applications beside the one that answered, and says which these were.
func (x *exchange) copied(ctx context.Context, n int) error {
	for {
		all, more := x.m.calls.of(x.id)
		x.a.Copies = nil
		for _, s := range all {
			if w := x.m.workloads[s.app]; w != nil && s.app != x.a.App {
				x.a.Copies = append(x.a.Copies, traffic.Target{Service: explain.HostName(w.Service, w.Namespace), Subset: w.Version})
			}
		}
		if len(x.a.Copies) >= n {
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return fmt.Errorf("%d copies of the call were expected, and %d arrived", n, len(x.a.Copies))
		}
	}
}
