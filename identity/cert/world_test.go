package cert_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/url"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/identity/ca"
	"github.com/weft-mesh/weft/identity/cert"
)

var (
	noon    = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	reviews = identity.Of("cluster.local", "default", "reviews")
	ratings = identity.Of("cluster.local", "default", "ratings")
)

const alpn = "weft/1"

// clock is a time that tests move.
type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time    { return time.Unix(c.at.Load(), 0).UTC() }
func (c *clock) set(now time.Time) { c.at.Store(now.Unix()) }

// signer is an authority whose key the test has, to sign what the real one would not.
type signer struct {
	t    testing.TB
	cert *x509.Certificate
	key  crypto.Signer
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newSigner(t testing.TB, name string, parent *signer, change func(*x509.Certificate)) *signer {
	t.Helper()
	key := newKey(t)
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: noon.Add(-time.Hour),
		NotAfter: noon.Add(1000 * time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	if change != nil {
		change(c)
	}
	above, by := c, crypto.Signer(key)
	if parent != nil {
		above, by = parent.cert, parent.key
	}
	return &signer{t, certify(t, c, above, key.Public(), by), key}
}

func certify(t testing.TB, c, above *x509.Certificate, key crypto.PublicKey, by crypto.Signer) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, c, above, key, by)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// leaf is a good leaf, but for what change does to it.
func (s *signer) leaf(id identity.ID, change func(*x509.Certificate)) (*x509.Certificate, crypto.Signer) {
	s.t.Helper()
	uri, err := url.Parse(id.String())
	if err != nil {
		s.t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: noon.Add(-time.Minute), NotAfter: noon.Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true, URIs: []*url.URL{uri}, Subject: pkix.Name{CommonName: id.Namespace + "/" + id.ServiceAccount + "-1"}}
	if change != nil {
		change(c)
	}
	key := newKey(s.t)
	return certify(s.t, c, s.cert, key.Public(), s.key), key
}

func (s *signer) bundle(sequence uint64, more ...*signer) *cert.Bundle {
	s.t.Helper()
	raw := bytes.Clone(s.cert.Raw)
	for _, m := range more {
		raw = append(raw, m.cert.Raw...)
	}
	return bundle(s.t, "cluster.local", sequence, raw)
}

func bundle(t testing.TB, td string, sequence uint64, raw []byte) *cert.Bundle {
	t.Helper()
	b, err := cert.ParseBundle(td, sequence, raw)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func own(t testing.TB, key crypto.Signer, chain ...*x509.Certificate) *cert.Identity {
	t.Helper()
	var ders [][]byte
	for _, c := range chain {
		ders = append(ders, c.Raw)
	}
	i, err := cert.ParseIdentity(ders, key)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// store is one workload's, with a certificate by s.
func (s *signer) store(c *clock, id identity.ID) *cert.Store {
	s.t.Helper()
	leaf, key := s.leaf(id, nil)
	st := cert.NewStore(c.now)
	must(s.t, st.SetBundles(s.bundle(1)))
	must(s.t, st.SetIdentity(own(s.t, key, leaf)))
	return st
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// authority is a real one on a directory.
func authority(t testing.TB, c *clock) *ca.CA {
	t.Helper()
	a, err := ca.Open(ca.Dir(filepath.Join(t.TempDir(), "ca")), ca.Config{TrustDomain: "cluster.local"}, nil, c.now())
	must(t, err)
	return a
}

func distribute(t testing.TB, a *ca.CA, stores ...*cert.Store) {
	t.Helper()
	b := a.Bundle()
	for _, s := range stores {
		must(t, s.SetBundles(bundle(t, b.TrustDomain, b.Sequence, bytes.Join(b.Roots, nil))))
	}
}

func enrol(t testing.TB, a *ca.CA, c *clock, s *cert.Store, id identity.ID) {
	t.Helper()
	key, csr, err := cert.NewRequest(id)
	must(t, err)
	issued, err := a.Issue(csr, ca.Claim{ID: id, Workload: id.Namespace + "/" + id.ServiceAccount + "-1"}, c.now())
	must(t, err)
	i, err := cert.ParseIdentity(issued.Chain, key)
	must(t, err)
	must(t, s.SetIdentity(i))
}

// end is what one side saw of a connection.
type end struct {
	conn *cert.Conn
	peer cert.Peer
	err  error // of the handshake
	got  []byte
	read error // of reading
}

type shake func(context.Context, net.Conn) (*cert.Conn, cert.Peer, error)

func accept(s *cert.Store) shake {
	return func(ctx context.Context, c net.Conn) (*cert.Conn, cert.Peer, error) { return s.Server(ctx, c, alpn) }
}

func dial(s *cert.Store, expect identity.ID) shake {
	return func(ctx context.Context, c net.Conn) (*cert.Conn, cert.Peer, error) {
		return s.Client(ctx, c, expect, alpn)
	}
}

// plain is a peer that keeps none of the rules.
func plain(side func(net.Conn, *tls.Config) *tls.Conn, c *tls.Config) shake {
	return func(ctx context.Context, raw net.Conn) (*cert.Conn, cert.Peer, error) {
		conn := side(raw, c)
		return &cert.Conn{Conn: conn}, cert.Peer{}, conn.HandshakeContext(ctx)
	}
}

// meet connects two sides over loopback. Both say something as soon as they may, and read until the end.
func meet(t testing.TB, server, client shake) (srv, cli end) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	done := make(chan end, 1)
	go func() {
		raw, err := l.Accept()
		if err != nil {
			done <- end{err: err}
			return
		}
		done <- talk(ctx, raw, server, "from the server")
	}()
	raw, err := net.Dial("tcp", l.Addr().String())
	must(t, err)
	cli = talk(ctx, raw, client, "from the client")
	return <-done, cli
}

func talk(ctx context.Context, raw net.Conn, with shake, say string) (e end) {
	defer raw.Close()
	if e.conn, e.peer, e.err = with(ctx, raw); e.err != nil {
		return e
	}
	if _, e.read = io.WriteString(e.conn, say); e.read == nil {
		e.read = e.conn.CloseWrite()
	}
	got, err := io.ReadAll(e.conn)
	if e.got = got; err != nil {
		e.read = err
	}
	return e
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func atNoon() *clock {
	c := &clock{}
	c.set(noon)
	return c
}
