package plane_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/identity/ca"
	"github.com/weft-mesh/weft/proxy/plane"
	"github.com/weft-mesh/weft/stream"
	"github.com/weft-mesh/weft/stream/server"
)

const name = "weft-control.weft-system.svc"

type certificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error)

func authority(t *testing.T, c ca.Config) *ca.CA {
	t.Helper()
	c.TrustDomain = "cluster.local"
	a, err := ca.Open(ca.Dir(filepath.Join(t.TempDir(), "ca")), c, nil, time.Now().Add(-48*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// serving is the authority's certificate for a server, made at a time.
func serving(t *testing.T, a *ca.CA, at time.Time, names ...string) certificate {
	t.Helper()
	s, err := a.Serving(names, func() time.Time { return at })
	if err != nil {
		t.Fatal(err)
	}
	return s.GetCertificate
}

// ofWorkload is a certificate of a workload.
func ofWorkload(t *testing.T, a *ca.CA) certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	got, err := a.Issue(csr, ca.Claim{ID: identity.Of("cluster.local", "weft-system", "weft-control"), Workload: "weft-system/" + name}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		return &tls.Certificate{Certificate: got.Chain, PrivateKey: key}, nil
	}
}

// serveTLS answers on loopback; its plane knows it by roots of an authority.
func serveTLS(t *testing.T, c certificate, a *ca.CA) plane.Plane {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { server.Serve(ctx, l, control{}, server.Options{Certificate: c}) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	p := plane.Plane{Address: l.Addr().String(), Name: name, Roots: filepath.Join(t.TempDir(), "root.pem"), TokenFile: filepath.Join(t.TempDir(), "token")}
	write(t, p.Roots, string(roots(a)))
	write(t, p.TokenFile, "good\n")
	return p
}

func roots(a *ca.CA) (out []byte) {
	for _, der := range a.Bundle().Roots {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return out
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// refused checks that neither a token nor a request is sent.
func refused(t *testing.T, p plane.Plane, says string) {
	t.Helper()
	_, certify := p.Certify(t.Context(), "a/b", []byte("csr"))
	_, dial := p.Dial(t.Context())
	for _, err := range []error{certify, dial} {
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want one that says %q", err, says)
		}
	}
}

func TestOverTLS(t *testing.T) {
	a := authority(t, ca.Config{})
	p := serveTLS(t, serving(t, a, time.Now(), "weft-control", name), a)
	chain, err := p.Certify(t.Context(), "a/b", []byte("csr"))
	if err != nil || len(chain) != 2 || string(chain[1]) != "a/b" {
		t.Errorf("%q, %v", chain, err)
	}
	got := make(chan stream.Update, 1)
	c := &stream.Client{Dial: p.Dial,
		Hello: func() (stream.Hello, error) {
			token, err := p.Proof()
			return stream.Hello{Workload: "a/b", Token: token}, err
		},
		Apply: func(u []stream.Update) map[string]error { got <- u[0]; return nil }}
	c.Want("service/one")
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { c.Run(ctx) })
	if u := <-got; u.Name != "service/one" || len(u.Body) != 200_000 {
		t.Errorf("got %s, %d bytes", u.Name, len(u.Body))
	}
	cancel()
	wg.Wait()
	if who, err := p.Standing(t.Context(), 1, []byte("root")); err != nil || len(who) != 1 || who[0] != "root" {
		t.Errorf("%q, %v", who, err)
	}
}

func TestWhoIsNotTheControlPlane(t *testing.T) {
	a, other := authority(t, ca.Config{}), authority(t, ca.Config{})
	now := time.Now()
	for _, x := range []struct {
		what string
		with certificate
		says string
	}{
		{"a certificate of another root", serving(t, other, now, name), "does not prove to be the control plane " + name},
		{"a certificate for another name", serving(t, a, now, "other.weft-system.svc"), "not " + name},
		{"a certificate that has expired", serving(t, a, now.Add(-25*time.Hour), name), "expired"},
		{"a certificate that is not valid yet", serving(t, a, now.Add(25*time.Hour), name), "not yet valid"},
		{"a workload's certificate", ofWorkload(t, a), "does not prove to be the control plane"},
	} {
		t.Run(x.what, func(t *testing.T) { refused(t, serveTLS(t, x.with, a), x.says) })
	}
	t.Run("no TLS", func(t *testing.T) { refused(t, serveTLS(t, nil, a), "") })
	t.Run("the address, where no name is given", func(t *testing.T) {
		p := serveTLS(t, serving(t, a, now, name), a)
		p.Name = ""
		refused(t, p, "127.0.0.1")
	})
	t.Run("another protocol", func(t *testing.T) {
		l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{MinVersion: tls.VersionTLS13, GetCertificate: serving(t, a, now, name)})
		if err != nil {
			t.Fatal(err)
		}
		var answering sync.WaitGroup
		answering.Go(func() {
			for {
				nc, err := l.Accept()
				if err != nil {
					return
				}
				_ = nc.(*tls.Conn).Handshake()
				nc.Close()
			}
		})
		defer answering.Wait()
		defer l.Close()
		p := serveTLS(t, nil, a)
		p.Address = l.Addr().String()
		refused(t, p, "not HTTP/2")
	})
}

// Roots and token are what the files hold at each attempt.
func TestFilesAreReadAnew(t *testing.T) {
	a, other := authority(t, ca.Config{}), authority(t, ca.Config{})
	p := serveTLS(t, serving(t, a, time.Now(), name), other)
	refused(t, p, p.Roots)
	write(t, p.Roots, string(roots(other))+string(roots(a)))
	if _, err := p.Certify(t.Context(), "a/b", nil); err != nil {
		t.Error(err)
	}
	write(t, p.TokenFile, "old")
	var status *plane.StatusError
	if _, err := p.Certify(t.Context(), "a/b", nil); !errors.As(err, &status) || status.Code != "7" {
		t.Errorf("%v", err)
	}
	write(t, p.Roots, "nothing")
	refused(t, p, "no certificate")
	for _, path := range []*string{&p.Roots, &p.TokenFile} {
		was := *path
		*path = filepath.Join(t.TempDir(), "none")
		if _, err := p.Certify(t.Context(), "a/b", nil); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%v", err)
		}
		*path = was
	}
	write(t, p.TokenFile, strings.Repeat("x", 2<<20))
	if _, err := p.Proof(); err == nil {
		t.Error("a token of 2 MB")
	}
	p.RootsPEM, p.Roots = func() []byte { return roots(a) }, ""
	write(t, p.TokenFile, "good")
	if _, err := p.Certify(t.Context(), "a/b", nil); err != nil {
		t.Error(err)
	}
}

// A control plane that says nothing while it shakes hands holds up nobody for ever.
func TestSilentHandshake(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a := authority(t, ca.Config{})
	p := serveTLS(t, nil, a)
	p.Address = l.Addr().String()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := p.Dial(ctx); err == nil {
		t.Error("connected")
	}
}

// A stream that the control plane ends in good order is one to open again.
func TestMoved(t *testing.T) {
	a := authority(t, ca.Config{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		server.Serve(ctx, l, control{}, server.Options{Certificate: serving(t, a, time.Now(), name), Leave: 10 * time.Second})
	})
	defer wg.Wait()
	defer cancel()
	p := plane.Plane{Address: l.Addr().String(), Name: name, RootsPEM: func() []byte { return roots(a) }}
	tr, err := p.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	if err := tr.Send(stream.Marshal(&stream.Up{Hello: &stream.Hello{Workload: "a/b", Token: "good"}})); err != nil {
		t.Fatal(err)
	}
	if _, err := tr.Recv(); err != nil { // the greeting
		t.Fatal(err)
	}
	cancel()
	if _, err := tr.Recv(); !errors.Is(err, stream.ErrMoved) {
		t.Errorf("%v, want %v", err, stream.ErrMoved)
	}
}
