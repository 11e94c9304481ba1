package proxy_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/feature/route"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/proxy"
	"github.com/weft-mesh/weft/traffic"
)

// shown is a certificate for names, whose subject tells it from others.
func shown(t *testing.T, subject string, names ...string) mesh.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	x := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: subject}, DNSNames: names, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, x, x, key.Public(), key)
	must(t, err)
	text, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	return mesh.Certificate{Chain: [][]byte{der}, Key: text}
}

// ends is a listener that leads everything to a service.
func ends(port uint16, host string, entry mesh.Entry, to string, certs ...mesh.Certificate) config.Listener {
	l := config.Listener{Listener: mesh.Listener{Ref: ref("Gateway", "edge"), Name: host, Port: port, Host: host, Entry: entry, Certs: certs}}
	r := mesh.Rule{Rule: route.Rule{Ref: ref("HTTPRoute", "edge")}, Backends: []mesh.Backend{{Weighted: route.Weighted{Target: traffic.Target{Service: to, Port: 80}, Weight: 1}}}}
	l.Hosts = []mesh.Hosted{{Host: host, Rules: []mesh.Rule{r}}}
	return l
}

// edge is a gateway's proxy, and where its ports are.
type edge struct {
	*node
	open chan net.Listener // those that it opened, one after another
}

func (w *world) edge(cfg *config.Gateway, change ...func(*proxy.Options)) *edge {
	w.t.Helper()
	e := &edge{open: make(chan net.Listener, 100)}
	w.set(config.KindGateway, "default/edge", cfg)
	e.node = w.start("edge-1", nil, func(_ *node, o *proxy.Options) {
		o.Gateway = "default/edge"
		o.Listen = func(uint16) (net.Listener, error) {
			l := listen(w.t)
			e.open <- l
			return l, nil
		}
		for _, f := range change {
			f(o)
		}
	})
	return e
}

func handshake(at net.Addr, name string, protocols ...string) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	c, err := (&tls.Dialer{Config: &tls.Config{ServerName: name, InsecureSkipVerify: true, NextProtos: protocols}}).DialContext(ctx, "tcp", at.String()) //nolint:gosec // the test looks at the certificate
	if err != nil {
		return nil, err
	}
	return c.(*tls.Conn), nil
}

func subject(t *testing.T, at net.Addr, name string) string {
	t.Helper()
	c, err := handshake(at, name)
	must(t, err)
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].Subject.CommonName
}

// TestCertificates: each name gets its listener's, of several the one that is for it; a new one is shown to new connections, and the others
// go on.
func TestCertificates(t *testing.T) {
	w := newWorld(t)
	backend := w.start("backend-1", map[uint16]string{80: says(t)}, nil)
	w.serve("backend", "240.0.0.1", 80, traffic.HTTP1, backend.endpoint(80))
	to := host("backend")
	cfg := &config.Gateway{Ref: ref("Gateway", "edge"), Listeners: []config.Listener{
		ends(443, "a.example", mesh.EntryHTTPS, to, shown(t, "a", "a.example")),
		ends(443, "*.b.example", mesh.EntryHTTPS, to, shown(t, "b", "*.b.example"), shown(t, "c", "c.b.example")),
	}}
	e := w.edge(cfg)
	at := (<-e.open).Addr()
	for name, want := range map[string]string{"a.example": "a", "A.example": "a", "x.b.example": "b"} {
		if got := subject(t, at, name); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
	for _, name := range []string{"other.example", ""} {
		if c, err := handshake(at, name); err == nil {
			c.Close()
			t.Errorf("%q is let in", name)
		} else if !strings.Contains(err.Error(), "unrecognized name") {
			t.Errorf("%q: %v", name, err)
		}
	}
	old, err := handshake(at, "a.example", "http/1.1")
	must(t, err)
	defer old.Close()
	ask := func() {
		t.Helper()
		_, err := io.WriteString(old, "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
		must(t, err)
		b := make([]byte, 4096)
		n, err := old.Read(b)
		if err != nil || !strings.HasPrefix(string(b[:n]), "HTTP/1.1 200") {
			t.Fatalf("%v: %q", err, b[:n])
		}
	}
	ask()
	cfg.Listeners[0].Certs = []mesh.Certificate{shown(t, "renewed", "a.example")}
	w.set(config.KindGateway, "default/edge", cfg)
	eventually(t, "renewed", func() bool { return subject(t, at, "a.example") == "renewed" })
	ask()
	if c, err := handshake(at, "a.example", "h2", "http/1.1"); err != nil || c.ConnectionState().NegotiatedProtocol != "h2" {
		t.Errorf("%v: HTTP/2 is not taken", err)
	} else {
		c.Close()
	}
}

// TestWhatIsNoTLS is turned away without an answer.
func TestWhatIsNoTLS(t *testing.T) {
	w := newWorld(t)
	e := w.edge(&config.Gateway{Listeners: []config.Listener{ends(443, "", mesh.EntryHTTPS, "x", shown(t, "a", "a.example"))}})
	w.publish(&config.Service{Host: "x"})
	at := (<-e.open).Addr()
	c, err := net.Dial("tcp", at.String())
	must(t, err)
	defer c.Close()
	_, err = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
	must(t, err)
	if b, _ := io.ReadAll(c); len(b) > 0 {
		t.Errorf("%q", b)
	}
	eventually(t, "counted", func() bool { e.mu.Lock(); defer e.mu.Unlock(); return e.refused["tls-handshake"] == 1 })
}

// TestListenersComeAndGo: a port is opened and closed as the configuration says, and a connection that was let in goes on.
func TestListenersComeAndGo(t *testing.T) {
	w := newWorld(t)
	backend := w.start("backend-1", map[uint16]string{80: says(t)}, nil)
	w.serve("backend", "240.0.0.1", 80, traffic.HTTP1, backend.endpoint(80))
	one, two := ends(80, "", mesh.EntryHTTP, host("backend")), ends(81, "", mesh.EntryHTTP, host("backend"))
	e := w.edge(&config.Gateway{Listeners: []config.Listener{one}})
	first := (<-e.open).Addr()
	get := func(at net.Addr) int {
		t.Helper()
		tr := &http.Transport{DisableKeepAlives: true}
		defer tr.CloseIdleConnections()
		r, err := http.NewRequest("GET", "http://"+at.String()+"/", nil)
		must(t, err)
		resp, err := tr.RoundTrip(r)
		if err != nil {
			return 0
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if s := get(first); s != 200 {
		t.Errorf("%d", s)
	}
	w.set(config.KindGateway, "default/edge", &config.Gateway{Listeners: []config.Listener{one, two}})
	second := (<-e.open).Addr()
	if get(first) != 200 || get(second) != 200 {
		t.Errorf("%d, %d", get(first), get(second))
	}
	w.set(config.KindGateway, "default/edge", &config.Gateway{Listeners: []config.Listener{two}})
	eventually(t, "closed", func() bool { return get(first) == 0 })
	if s := get(second); s != 200 {
		t.Errorf("%d", s)
	}
	w.set(config.KindGateway, "default/edge", nil)
	eventually(t, "closed", func() bool { return get(second) == 0 })
	if r := e.records.wait(t, 1)[0]; r.To.Workload != backend.name || r.Status != 200 {
		t.Errorf("%+v", r)
	}
	if r := backend.records.wait(t, 1)[0]; r.From.Workload != "default/edge-1" {
		t.Errorf("the backend was called by %+v", r.From)
	}
}

// says is an application that answers 200.
func says(t *testing.T) string {
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}
