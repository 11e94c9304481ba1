package proxy_test

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/traffic"
)

// tells answers with the protocol that it was spoken to in, what it was sent, and a trailer.
var tells = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Trailer", "X-End")
	w.Header().Set("X-Cookie", strings.Join(r.Header["Cookie"], "|"))
	b, _ := io.ReadAll(r.Body)
	_, _ = io.WriteString(w, r.Proto+" "+r.Method+" "+string(b))
	w.Header().Set("X-End", "yes")
})

// app is an application that speaks HTTP/1.1, and HTTP/2 in the clear where it is said to.
func app(t *testing.T, h2c bool) netip.AddrPort {
	s := httptest.NewUnstartedServer(tells)
	s.Config.Protocols = &http.Protocols{}
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetUnencryptedHTTP2(h2c)
	s.Start()
	t.Cleanup(s.Close)
	return netip.MustParseAddrPort(s.Listener.Addr().String())
}

// browser is a client that speaks HTTP/2 over TLS, and takes any certificate for the name.
func browser(t *testing.T, at net.Addr, name string) *http.Client {
	tr := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{ServerName: name, InsecureSkipVerify: true}} //nolint:gosec // it is not about the certificate
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: rewired{tr, at.String()}}
}

// rewired sends requests to an address, whatever their host is.
type rewired struct {
	tr *http.Transport
	to string
}

func (r rewired) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Host, req.URL.Host = req.URL.Host, r.to
	return r.tr.RoundTrip(req)
}

// TestBackendsOfBrowsers: browsers speak HTTP/2 to a gateway, and its backends are spoken to in what they declare, HTTP/1.1 unless it is more;
// but for gRPC, which has nothing else.
func TestBackendsOfBrowsers(t *testing.T) {
	w := newWorld(t)
	plain, both := app(t, false), app(t, true)
	meshed := w.start("meshed-1", map[uint16]string{80: plain.String()}, nil)
	w.serve("plain", "240.0.0.1", 80, traffic.HTTP1, traffic.Endpoint{Addr: plain})
	w.serve("unsaid", "240.0.0.2", 80, traffic.Detect, traffic.Endpoint{Addr: plain})
	w.serve("meshed", "240.0.0.3", 80, traffic.Detect, meshed.endpoint(80))
	w.serve("two", "240.0.0.4", 80, traffic.HTTP2, traffic.Endpoint{Addr: both})
	w.serve("unsaidtwo", "240.0.0.5", 80, traffic.Detect, traffic.Endpoint{Addr: both})
	cfg := &config.Gateway{Ref: ref("Gateway", "edge")}
	for _, name := range []string{"plain", "unsaid", "meshed", "two", "unsaidtwo"} {
		cfg.Listeners = append(cfg.Listeners, ends(443, name+".example", mesh.EntryHTTPS, host(name), shown(t, name, name+".example")))
	}
	at := (<-w.edge(cfg).open).Addr()
	for _, x := range []struct{ to, kind, want string }{
		{"plain", "text/plain", "HTTP/1.1 POST hello"}, {"unsaid", "text/plain", "HTTP/1.1 POST hello"}, {"meshed", "text/plain", "HTTP/1.1 POST hello"},
		{"two", "text/plain", "HTTP/2.0 POST hello"}, {"unsaidtwo", "text/plain", "HTTP/1.1 POST hello"}, {"unsaidtwo", "application/grpc", "HTTP/2.0 POST hello"},
	} {
		req, err := http.NewRequest("POST", "https://"+x.to+".example/a?b", io.NopCloser(strings.NewReader("hello"))) // of no length that is known
		must(t, err)
		req.Header.Set("Content-Type", x.kind)
		req.AddCookie(&http.Cookie{Name: "a", Value: "1"})
		req.AddCookie(&http.Cookie{Name: "b", Value: "2"})
		resp, err := browser(t, at, x.to+".example").Do(req)
		if err != nil {
			t.Errorf("%s: %v", x.to, err)
			continue
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.ProtoMajor != 2 || string(b) != x.want || resp.Trailer.Get("X-End") != "yes" || resp.Header.Get("X-Cookie") != "a=1; b=2" {
			t.Errorf("%s: %s %q %v %v %v", x.to, resp.Proto, b, resp.Trailer, resp.Header, err)
		}
	}
}
