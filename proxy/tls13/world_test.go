package tls13

import (
	"bytes"
	"context"
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
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/identity/cert"
	"github.com/weft-mesh/weft/internal/leaktest"
	"github.com/weft-mesh/weft/wire/record"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

const alpn = "h2"

var peerID = identity.Of("cluster.local", "default", "peer")

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// world is an account with a certificate, which speaks with itself.
type world struct {
	store *cert.Store
	pair  tls.Certificate
	files string // cert.pem and key.pem
}

func newWorld(t testing.TB) *world {
	t.Helper()
	now := time.Now()
	make := func(template, above *x509.Certificate, by *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(t, err)
		template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(now.UnixNano()), now.Add(-time.Hour), now.Add(time.Hour)
		if above == nil {
			above, by = template, key
		}
		der, err := x509.CreateCertificate(rand.Reader, template, above, &key.PublicKey, by)
		must(t, err)
		c, err := x509.ParseCertificate(der)
		must(t, err)
		return c, key
	}
	domain, err := url.Parse("spiffe://cluster.local")
	must(t, err)
	id, err := url.Parse(peerID.String())
	must(t, err)
	root, rootKey := make(&x509.Certificate{Subject: pkix.Name{CommonName: "root"}, URIs: []*url.URL{domain}, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil, nil)
	leaf, key := make(&x509.Certificate{URIs: []*url.URL{id}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}}, root, rootKey)
	w := &world{store: cert.NewStore(time.Now), files: t.TempDir(), pair: tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key}}
	b, err := cert.ParseBundle("cluster.local", 1, root.Raw)
	must(t, err)
	must(t, w.store.SetBundles(b))
	own, err := cert.ParseIdentity([][]byte{leaf.Raw}, key)
	must(t, err)
	must(t, w.store.SetIdentity(own))
	der, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: leaf.Raw}, "key.pem": {Type: "PRIVATE KEY", Bytes: der}} {
		must(t, os.WriteFile(filepath.Join(w.files, name), pem.EncodeToMemory(block), 0o600))
	}
	return w
}

// sockets are the two ends of a TCP connection.
func sockets(t testing.TB) (a, b net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	a, err = net.Dial("tcp", l.Addr().String())
	must(t, err)
	b, err = l.Accept()
	must(t, err)
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

// take shakes hands, and carries on.
func (w *world) take(t testing.TB, raw net.Conn, client bool) *Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var c *cert.Conn
	var err error
	if client {
		c, _, err = w.store.Client(ctx, raw, peerID, alpn)
	} else {
		c, _, err = w.store.Server(ctx, raw, alpn)
	}
	if err != nil {
		t.Error(err)
		return nil
	}
	nc, err := Take(c)
	if err != nil {
		t.Error(err)
		return nil
	}
	return nc.(*Conn)
}

// goTLS is a peer of crypto/tls.
func (w *world) goTLS(raw net.Conn, client bool) *tls.Conn {
	c := &tls.Config{Certificates: []tls.Certificate{w.pair}, NextProtos: []string{alpn}, InsecureSkipVerify: true, ClientAuth: tls.RequireAnyClientCert,
		ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	if client {
		return tls.Client(raw, c)
	}
	return tls.Server(raw, c)
}

// both returns ours and crypto/tls' end of one connection.
func both(t testing.TB, client bool) (ours *Conn, theirs *tls.Conn) {
	t.Helper()
	w := newWorld(t)
	a, b := sockets(t)
	theirs = w.goTLS(b, !client)
	var done sync.WaitGroup
	done.Go(func() {
		if err := theirs.HandshakeContext(t.Context()); err != nil {
			t.Error(err)
		}
	})
	ours = w.take(t, a, client)
	done.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return ours, theirs
}

// end is the other end of a Conn, of which a test says each record.
type end struct {
	t       testing.TB
	raw     net.Conn
	in, out record.Key
}

// suites are all there are, with the sizes of their secrets.
var suites = map[uint16]int{0x1301: 32, 0x1302: 48, 0x1303: 32}

// set makes the keys of a direction each.
func set(t testing.TB, suite uint16, a, b *record.Key) {
	t.Helper()
	must(t, a.Init(suite, bytes.Repeat([]byte{1}, suites[suite])))
	must(t, b.Init(suite, bytes.Repeat([]byte{2}, suites[suite])))
}

// against returns a Conn and its other end.
func against(t testing.TB, suite uint16, client bool) (*Conn, *end) {
	t.Helper()
	raw, far := sockets(t)
	for _, nc := range []net.Conn{raw, far} { // a test that fails does not hang
		must(t, nc.SetReadDeadline(time.Now().Add(30*time.Second)))
	}
	c, e := &Conn{Conn: raw}, &end{t: t, raw: far}
	c.in.client = client
	set(t, suite, &c.in.key, &c.out.key)
	set(t, suite, &e.out, &e.in)
	return c, e
}

// conn is a Conn as the other end.
func (e *end) conn(suite uint16, client bool) *Conn {
	c := &Conn{Conn: e.raw}
	c.in.client = client
	set(e.t, suite, &c.out.key, &c.in.key)
	return c
}

// seal makes a record.
func (e *end) seal(typ byte, content []byte) []byte {
	e.t.Helper()
	b, err := e.out.Seal(nil, typ, content)
	must(e.t, err)
	return b
}

func (e *end) send(b ...[]byte) {
	e.t.Helper()
	_, err := e.raw.Write(bytes.Join(b, nil))
	must(e.t, err)
}

// receive reads a record.
func (e *end) receive() (typ byte, content []byte) {
	e.t.Helper()
	head := make([]byte, record.HeaderLen)
	_, err := io.ReadFull(e.raw, head)
	must(e.t, err)
	n, err := record.Size(head)
	must(e.t, err)
	b := append(head, make([]byte, n-len(head))...)
	_, err = io.ReadFull(e.raw, b[len(head):])
	must(e.t, err)
	typ, content, err = e.in.Open(b)
	must(e.t, err)
	return typ, content
}

// lent counts the buffers that are lent from now on.
func lent() func() int {
	before := leaktest.Lent()
	return func() int { return leaktest.Lent() - before }
}
