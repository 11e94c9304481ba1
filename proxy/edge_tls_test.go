package proxy_test

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/proxy"
	"github.com/weft-mesh/weft/traffic"
	"github.com/weft-mesh/weft/wire/http2"
)

// issuer vouches for servers and callers outside of the mesh.
type issuer struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newIssuer(t *testing.T) *issuer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	x := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "issuer"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, x, x, key.Public(), key)
	must(t, err)
	cert, err := x509.ParseCertificate(der)
	must(t, err)
	return &issuer{t, cert, key}
}

func (i *issuer) roots() [][]byte { return [][]byte{i.cert.Raw} }

func (i *issuer) issue(host string) *tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(i.t, err)
	x := &x509.Certificate{SerialNumber: big.NewInt(2), DNSNames: []string{host}, NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, x, i.cert, key.Public(), i.key)
	must(i.t, err)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// calls makes a call with a certificate, or without; an error is of TLS.
func calls(at net.Addr, name string, mine *tls.Certificate) (int, error) {
	c := &tls.Config{ServerName: name, InsecureSkipVerify: true} //nolint:gosec // it is about the caller's certificate
	if mine != nil {
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return mine, nil }
	}
	tr := &http.Transport{TLSClientConfig: c, DisableKeepAlives: true, ForceAttemptHTTP2: true}
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: rewired{tr, at.String()}, Timeout: bound}).Get("https://" + name + "/")
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	return resp.StatusCode, nil
}

// TestCallersWithCertificates: who has to show one that an authority vouches for is let in by that alone, at the listeners that ask for it;
// another authority's word is gone with the configuration that names it.
func TestCallersWithCertificates(t *testing.T) {
	w := newWorld(t)
	backend := w.start("backend-1", map[uint16]string{80: says(t)}, nil)
	w.serve("backend", "240.0.0.1", 80, traffic.HTTP1, backend.endpoint(80))
	ca, other := newIssuer(t), newIssuer(t)
	asks := func(port uint16, name string, x *mesh.Callers) config.Listener {
		l := ends(port, name+".example", mesh.EntryHTTPS, host("backend"), shown(t, name, name+".example"))
		l.Callers = x
		return l
	}
	cfg := &config.Gateway{Ref: ref("Gateway", "edge"), Listeners: []config.Listener{
		asks(443, "valid", &mesh.Callers{Roots: ca.roots()}),
		asks(443, "named", &mesh.Callers{Roots: ca.roots(), Names: []string{"other.client", "the.client"}}),
		asks(443, "shown", &mesh.Callers{Roots: ca.roots(), Ask: mesh.AskIfShown}),
		asks(443, "ignored", &mesh.Callers{Roots: ca.roots(), Ask: mesh.AskAndIgnore}),
		asks(443, "open", nil),
	}}
	at := (<-w.edge(cfg).open).Addr()
	certs := map[string]*tls.Certificate{"none": nil, "good": ca.issue("the.client"), "unnamed": ca.issue("a.client"), "foreign": other.issue("the.client")}
	for listener, in := range map[string]map[string]bool{
		"valid":   {"good": true, "unnamed": true},
		"named":   {"good": true},
		"shown":   {"none": true, "good": true, "unnamed": true},
		"ignored": {"none": true, "good": true, "unnamed": true, "foreign": true},
		"open":    {"none": true, "good": true, "unnamed": true, "foreign": true},
	} {
		for cert, x := range certs {
			if status, err := calls(at, listener+".example", x); (err == nil) != in[cert] || err == nil && status != 200 {
				t.Errorf("%s by the listener %s: %d %v", cert, listener, status, err)
			}
		}
	}
	cfg.Listeners[0].Callers = &mesh.Callers{Roots: other.roots()}
	w.set(config.KindGateway, "default/edge", cfg)
	eventually(t, "the other authority", func() bool { s, err := calls(at, "valid.example", certs["foreign"]); return err == nil && s == 200 })
	if s, err := calls(at, "valid.example", certs["good"]); err == nil {
		t.Errorf("the old authority's word counts: %d", s)
	}
}

// TestMoreIsAskedOfCallers: a connection ends once its caller would not be let in any more, whatever it speaks; others go on.
func TestMoreIsAskedOfCallers(t *testing.T) {
	w := newWorld(t)
	backend := w.start("backend-1", map[uint16]string{80: says(t)}, nil)
	w.serve("backend", "240.0.0.1", 80, traffic.HTTP1, backend.endpoint(80))
	ca, other := newIssuer(t), newIssuer(t)
	l := ends(443, "a.example", mesh.EntryHTTPS, host("backend"), shown(t, "a", "a.example"))
	l.Callers = &mesh.Callers{Roots: append(ca.roots(), other.roots()...), Ask: mesh.AskIfShown}
	cfg := &config.Gateway{Ref: ref("Gateway", "edge"), Listeners: []config.Listener{l}}
	at := (<-w.edge(cfg).open).Addr().String()
	connect := func(proto string, mine *tls.Certificate) *tls.Conn {
		c, err := tls.Dial("tcp", at, &tls.Config{ServerName: "a.example", InsecureSkipVerify: true, NextProtos: []string{proto}, //nolint:gosec // as in calls
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return mine, nil }})
		must(t, err)
		t.Cleanup(func() { c.Close() })
		must(t, c.SetDeadline(time.Now().Add(bound)))
		return c
	}
	asks := func(c *tls.Conn) {
		t.Helper()
		_, err := io.WriteString(c, "GET / HTTP/1.1\r\nhost: a.example\r\n\r\n")
		must(t, err)
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		must(t, err)
		_, err = io.Copy(io.Discard, resp.Body)
		must(t, err)
	}
	none, bad, good := &tls.Certificate{}, other.issue("the.client"), ca.issue("the.client")
	stays := connect("http/1.1", good)
	asks(stays)
	var leave []*tls.Conn
	for _, mine := range []*tls.Certificate{none, bad} {
		one, two := connect("http/1.1", mine), connect("h2", mine)
		asks(one)
		_, err := two.Write(http2.AppendSettings([]byte(http2.Preface)))
		must(t, err)
		leave = append(leave, one, two)
	}
	older, err := tls.Dial("tcp", at, &tls.Config{ServerName: "a.example", InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*good}}) //nolint:gosec // as in calls
	must(t, err)
	defer older.Close()
	must(t, older.SetDeadline(time.Now().Add(bound)))
	asks(older)
	leave = append(leave, older)
	cfg.Listeners[0].Callers = &mesh.Callers{Roots: ca.roots()}
	cfg.Listeners[0].TLS.Min = tls.VersionTLS13
	w.set(config.KindGateway, "default/edge", cfg)
	for i, c := range leave {
		if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) { // one that does not answer is reset
			t.Errorf("connection %d: %v, want its end", i, err)
		}
	}
	asks(stays)
}

// TestPlainBecomesTLS: who came to a port in the clear that wants TLS now does not go on so: what idles is closed, an answer under way is the
// last one, and HTTP/2 has GOAWAY. Other ports' connections go on.
func TestPlainBecomesTLS(t *testing.T) {
	w := newWorld(t)
	asked, answer := make(chan bool), make(chan bool)
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			asked <- true
			<-answer
		}
	}))
	defer slow.Close()
	backend := w.start("backend-1", map[uint16]string{80: strings.TrimPrefix(slow.URL, "http://")}, nil)
	w.serve("backend", "240.0.0.1", 80, traffic.HTTP1, backend.endpoint(80))
	cfg := &config.Gateway{Ref: ref("Gateway", "edge"), Listeners: []config.Listener{
		ends(80, "", mesh.EntryHTTP, host("backend")), ends(81, "", mesh.EntryHTTP, host("backend")),
	}}
	e := w.edge(cfg, func(o *proxy.Options) { o.Grace = time.Hour }) // each ends by itself
	var at []string
	for range cfg.Listeners {
		at = append(at, (<-e.open).Addr().String())
	}
	dial := func(at string) (net.Conn, *bufio.Reader) {
		c, err := net.Dial("tcp", at)
		must(t, err)
		t.Cleanup(func() { c.Close() })
		must(t, c.SetDeadline(time.Now().Add(bound)))
		return c, bufio.NewReader(c)
	}
	says := func(c net.Conn, what string) { _, err := io.WriteString(c, what); must(t, err) }
	hears := func(r *bufio.Reader) *http.Response {
		t.Helper()
		resp, err := http.ReadResponse(r, nil)
		must(t, err)
		_, err = io.Copy(io.Discard, resp.Body)
		must(t, err)
		return resp
	}
	const get = "GET / HTTP/1.1\r\nhost: a.example\r\n\r\n"
	other, others := dial(at[1])
	says(other, get)
	hears(others)
	goroutines := runtime.NumGoroutine()
	silent, _ := dial(at[0])
	idle, idles := dial(at[0])
	says(idle, get)
	hears(idles)
	eventually(t, "at rest", func() bool { return runtime.NumGoroutine() <= goroutines })
	busy, busies := dial(at[0])
	says(busy, strings.Replace(get, "/", "/slow", 1))
	<-asked
	two, twos := dial(at[0])
	says(two, string(http2.AppendSettings([]byte(http2.Preface))))
	_, err := twos.Peek(1)
	must(t, err)
	goAway := []byte{byte(http2.TypeGoAway), 0, 0, 0, 0, 0}
	cfg.Listeners[0] = ends(80, "a.example", mesh.EntryHTTPS, host("backend"), shown(t, "a", "a.example"))
	w.set(config.KindGateway, "default/edge", cfg)
	for name, c := range map[string]net.Conn{"silent": silent, "idle": idle} {
		if _, err := c.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the connection that is %s: %v, want its end", name, err)
		}
	}
	close(answer)
	if !hears(busies).Close {
		t.Error("an answer under way does not say that it is the last one")
	}
	if _, err := busies.ReadByte(); err != io.EOF {
		t.Errorf("after the last answer: %v", err)
	}
	if frames, err := io.ReadAll(twos); errors.Is(err, os.ErrDeadlineExceeded) || !bytes.Contains(frames, goAway) {
		t.Errorf("HTTP/2: %v, %q", err, frames)
	}
	says(other, get)
	hears(others)
}

// TestTunnelBecomesTLS: what has no end of its own is cut, as soon as calls are.
func TestTunnelBecomesTLS(t *testing.T) {
	w := newWorld(t)
	backend := w.start("backend-1", map[uint16]string{80: accept(t, listen(t), func(c net.Conn) { _, _ = io.Copy(c, c) })}, nil)
	w.serve("echo", "240.0.0.1", 80, traffic.TCP, backend.endpoint(80))
	cfg := &config.Gateway{Ref: ref("Gateway", "edge"), Listeners: []config.Listener{ends(90, "", mesh.EntryTCP, host("echo"))}}
	c, err := net.Dial("tcp", (<-w.edge(cfg).open).Addr().String())
	must(t, err)
	defer c.Close()
	must(t, c.SetDeadline(time.Now().Add(bound)))
	_, err = io.WriteString(c, "x")
	must(t, err)
	_, err = c.Read(make([]byte, 1))
	must(t, err)
	cfg.Listeners[0] = ends(90, "a.example", mesh.EntryTLS, host("echo"), shown(t, "a", "a.example"))
	w.set(config.KindGateway, "default/edge", cfg)
	if _, err := c.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("it goes on in the clear")
	}
}

// TestBrokenAnswerByTLS: what breaks off on its way does not end as if it were whole, for a caller who knows the end of an answer by that of the
// connection alone.
func TestBrokenAnswerByTLS(t *testing.T) {
	w := newWorld(t)
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "a part")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}))
	defer broken.Close()
	backend := w.start("backend-1", map[uint16]string{80: strings.TrimPrefix(broken.URL, "http://")}, nil)
	w.serve("backend", "240.0.0.1", 80, traffic.HTTP1, backend.endpoint(80))
	e := w.edge(&config.Gateway{Ref: ref("Gateway", "edge"), Listeners: []config.Listener{ends(443, "a.example", mesh.EntryHTTPS, host("backend"), shown(t, "a", "a.example"))}})
	c, err := handshake((<-e.open).Addr(), "a.example", "http/1.1")
	must(t, err)
	defer c.Close()
	must(t, c.SetDeadline(time.Now().Add(bound)))
	_, err = io.WriteString(c, "GET / HTTP/1.0\r\nhost: a.example\r\n\r\n")
	must(t, err)
	if b, err := io.ReadAll(c); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v: %q", err, b)
	}
}

// TestCallerByTLSLeaves: a call whose caller has left is over, however he has.
func TestCallerByTLSLeaves(t *testing.T) {
	w := newWorld(t)
	asked, over, end := make(chan bool), make(chan bool), make(chan bool)
	waits := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- true
		select {
		case <-r.Context().Done():
			over <- true
		case <-end:
		}
	}))
	defer waits.Close()
	defer close(end)
	backend := w.start("backend-1", map[uint16]string{80: strings.TrimPrefix(waits.URL, "http://")}, nil)
	w.serve("backend", "240.0.0.1", 80, traffic.HTTP1, backend.endpoint(80))
	e := w.edge(&config.Gateway{Ref: ref("Gateway", "edge"), Listeners: []config.Listener{ends(443, "a.example", mesh.EntryHTTPS, host("backend"), shown(t, "a", "a.example"))}})
	at := (<-e.open).Addr()
	for name, leaves := range map[string]func(*tls.Conn){
		"in good order":  func(c *tls.Conn) { c.Close() },
		"without a word": func(c *tls.Conn) { c.NetConn().Close() },
		"by a reset":     func(c *tls.Conn) { must(t, c.NetConn().(*net.TCPConn).SetLinger(0)); c.NetConn().Close() },
	} {
		c, err := handshake(at, "a.example", "http/1.1")
		must(t, err)
		_, err = io.WriteString(c, "GET / HTTP/1.1\r\nhost: a.example\r\n\r\n")
		must(t, err)
		<-asked
		leaves(c)
		select {
		case <-over:
		case <-time.After(bound):
			t.Fatalf("%s: the call goes on", name)
		}
	}
}

// secured is a server that ends TLS with a certificate, and tells what it was asked by.
func secured(t *testing.T, cert *tls.Certificate) traffic.Endpoint {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mine := "none"
		if len(r.TLS.PeerCertificates) > 0 {
			mine = r.TLS.PeerCertificates[0].DNSNames[0]
		}
		fmt.Fprint(w, r.Proto, " ", r.TLS.ServerName, " ", mine)
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{*cert}, ClientAuth: tls.RequestClientCert}
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	return traffic.Endpoint{Addr: netip.MustParseAddrPort(s.Listener.Addr().String())}
}

// TestOriginations: a gateway begins TLS with backends as it is told, shows its certificate, and sends nothing to a server that does not
// prove to be the one that is meant. Services that are called without a gateway know nothing of it.
func TestOriginations(t *testing.T) {
	w := newWorld(t)
	ca, other := newIssuer(t), newIssuer(t)
	server := secured(t, ca.issue("server.example"))
	simple := func(s traffic.Secure) traffic.Secure {
		s.Ref, s.Mode = ref("BackendTLSPolicy", "p"), traffic.Simple
		return s
	}
	mine := shown(t, "gateway", "gateway.example")
	cfg := &config.Gateway{Ref: ref("Gateway", "edge"), Cert: &mine}
	for i, x := range []struct {
		name   string
		secure traffic.Secure
	}{
		{"good", simple(traffic.Secure{SNI: "server.example", Roots: ca.roots()})},
		{"alternative", simple(traffic.Secure{SNI: "sni.example", Roots: ca.roots(), Names: []string{"server.example"}})},
		{"wronghost", simple(traffic.Secure{SNI: "else.example", Roots: ca.roots()})},
		{"wrongname", simple(traffic.Secure{SNI: "server.example", Roots: ca.roots(), Names: []string{"else.example"}})},
		{"wrongroot", simple(traffic.Secure{SNI: "server.example", Roots: other.roots()})},
		{"system", simple(traffic.Secure{SNI: "server.example"})},
		{"barred", traffic.Secure{Ref: ref("BackendTLSPolicy", "p"), Mode: traffic.Barred, Why: "nothing vouches"}},
	} {
		w.serve(x.name, fmt.Sprintf("240.0.0.%d", i+1), 80, traffic.Detect, server)
		cfg.Listeners = append(cfg.Listeners, ends(80, x.name+".example", mesh.EntryHTTP, host(x.name)))
		cfg.Origins = append(cfg.Origins, config.Origin{Target: traffic.Target{Service: host(x.name), Port: 80}, Secure: x.secure})
	}
	e := w.edge(cfg)
	at := (<-e.open).Addr().String()
	get := func(name, kind string) (int, string) {
		t.Helper()
		tr := &http.Transport{DisableKeepAlives: true}
		tr.Protocols = &http.Protocols{}
		tr.Protocols.SetHTTP1(kind != "application/grpc")
		tr.Protocols.SetUnencryptedHTTP2(kind == "application/grpc")
		defer tr.CloseIdleConnections()
		req, err := http.NewRequest("GET", "http://"+name+".example/", nil)
		must(t, err)
		req.Header.Set("Content-Type", kind)
		resp, err := (&http.Client{Transport: rewired{tr, at}, Timeout: bound}).Do(req)
		must(t, err)
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		must(t, err)
		return resp.StatusCode, string(b)
	}
	for name, want := range map[string]string{"good": "HTTP/1.1 server.example gateway.example", "alternative": "HTTP/1.1 sni.example gateway.example"} {
		if status, text := get(name, "text/plain"); status != 200 || text != want {
			t.Errorf("%s: %d %q", name, status, text)
		}
	}
	if status, text := get("good", "application/grpc"); status != 200 || text != "HTTP/2.0 server.example gateway.example" {
		t.Errorf("%d %q", status, text)
	}
	for _, name := range []string{"wronghost", "wrongname", "wrongroot", "system", "barred"} {
		if status, text := get(name, "text/plain"); status < 500 || status > 503 {
			t.Errorf("%s: %d %q", name, status, text)
		}
	}
	// What is proved is a part of what connections are kept by: good's are not wrongroot's, though the name is the same.
	cfg.Origins[0].Secure.Roots = other.roots()
	w.set(config.KindGateway, "default/edge", cfg)
	eventually(t, "another authority", func() bool { status, _ := get("good", "text/plain"); return status == 503 })
	cfg.Origins[0].Secure.Roots, cfg.Cert = ca.roots(), nil
	w.set(config.KindGateway, "default/edge", cfg)
	eventually(t, "without a certificate", func() bool { _, text := get("good", "text/plain"); return text == "HTTP/1.1 server.example none" })
}

// TestSlowRecord: a caller of a gateway that leaves off in the middle of a record does not hold its connection for as long as one that is
// silent, whatever it speaks.
func TestSlowRecord(t *testing.T) {
	w := newWorld(t)
	app := accept(t, listen(t), func(c net.Conn) { _, _ = io.Copy(c, c) })
	backend := w.start("backend-1", map[uint16]string{80: app}, nil)
	w.serve("backend", "240.0.0.1", 80, traffic.TCP, backend.endpoint(80))
	cfg := &config.Gateway{Ref: ref("Gateway", "edge"), Listeners: []config.Listener{
		ends(443, "http.example", mesh.EntryHTTPS, host("backend"), shown(t, "http", "http.example")),
		ends(443, "tcp.example", mesh.EntryTLS, host("backend"), shown(t, "tcp", "tcp.example")),
	}}
	e := w.edge(cfg, func(o *proxy.Options) { o.Record = 50 * time.Millisecond })
	at := (<-e.open).Addr()
	for _, x := range []struct{ host, proto, says string }{
		{"http.example", "http/1.1", ""},
		{"http.example", "h2", string(http2.AppendSettings([]byte(http2.Preface)))},
		{"tcp.example", "", "to be said again"},
	} {
		c, err := handshake(at, x.host, slices.DeleteFunc([]string{x.proto}, func(p string) bool { return p == "" })...)
		must(t, err)
		must(t, c.SetDeadline(time.Now().Add(bound)))
		_, err = io.WriteString(c, x.says)
		must(t, err)
		if len(x.says) > 0 {
			_, err = c.Read(make([]byte, 1))
			must(t, err)
		}
		_, err = c.NetConn().Write([]byte{23, 3, 3, 1, 0, 42})
		must(t, err)
		if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s %s: it goes on", x.host, x.proto)
		}
		c.Close()
	}
	eventually(t, "counted", func() bool { e.mu.Lock(); defer e.mu.Unlock(); return e.refused["slow-record"] == 3 })
}
