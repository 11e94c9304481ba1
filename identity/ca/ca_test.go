package ca

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/weft-mesh/weft/identity"
)

var (
	noon    = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	reviews = Claim{ID: identity.Of("cluster.local", "default", "bookinfo-reviews"), Workload: "default/reviews-v1-abc"}
)

// memory is a State that fails when told to.
type memory struct {
	data   []byte
	broken error
}

func (m *memory) String() string { return "memory" }

func (m *memory) Load() ([]byte, error) {
	if m.data == nil {
		return nil, fs.ErrNotExist
	}
	return m.data, nil
}

func (m *memory) Create(data []byte) error {
	if m.data != nil {
		return fs.ErrExist
	}
	return m.Replace(data)
}

func (m *memory) Replace(data []byte) error {
	if m.broken != nil {
		return m.broken
	}
	m.data = bytes.Clone(data)
	return nil
}

func open(t testing.TB, state State, config Config, now time.Time) *CA {
	t.Helper()
	config.TrustDomain = "cluster.local"
	c, err := Open(state, config, nil, now)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func p256(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func csr(t testing.TB, key crypto.Signer, template x509.CertificateRequest) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &template, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func uri(t testing.TB, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func leafOf(t testing.TB, i Issued) *x509.Certificate {
	t.Helper()
	leaf, err := x509.ParseCertificate(i.Chain[0])
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}

func verify(leaf *x509.Certificate, b Bundle, at time.Time) error {
	pool := x509.NewCertPool()
	for _, der := range b.Roots {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		pool.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	return err
}

func TestIssue(t *testing.T) {
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := open(t, &memory{}, Config{}, noon)
	for name, key := range map[string]crypto.Signer{"P-256": p256(t), "Ed25519": edwards} {
		t.Run(name, func(t *testing.T) {
			issued, err := c.Issue(csr(t, key, x509.CertificateRequest{URIs: []*url.URL{uri(t, reviews.ID.String())}}), reviews, noon)
			if err != nil {
				t.Fatal(err)
			}
			leaf := leafOf(t, issued)
			if err := verify(leaf, c.Bundle(), noon); err != nil {
				t.Error(err)
			}
			if len(issued.Chain) != 1 || issued.Root != c.Roots().Active.ID() {
				t.Errorf("%d certificates on root %s", len(issued.Chain), issued.Root)
			}
			if got, want := leaf.NotBefore, noon.Add(-30*time.Second); !got.Equal(want) {
				t.Errorf("NotBefore %v, want %v", got, want)
			}
			if got, want := leaf.NotAfter, noon.Add(24*time.Hour); !got.Equal(want) || !issued.NotAfter.Equal(want) {
				t.Errorf("NotAfter %v, want %v", got, want)
			}
			checkSVID(t, leaf)
		})
	}
}

// checkSVID checks the fields of X509-SVID's appendix A, and that the names are those of the claim.
func checkSVID(t *testing.T, leaf *x509.Certificate) {
	t.Helper()
	if len(leaf.URIs) != 1 || leaf.URIs[0].String() != reviews.ID.String() {
		t.Errorf("SAN: exactly one URI, the SPIFFE ID: %v", leaf.URIs)
	}
	if len(leaf.DNSNames)+len(leaf.IPAddresses)+len(leaf.EmailAddresses) != 0 || leaf.Subject.String() != "CN="+reviews.Workload {
		t.Errorf("names of somebody else: %v %v", leaf.DNSNames, leaf.Subject)
	}
	if leaf.IsCA || !leaf.BasicConstraintsValid {
		t.Error("Basic Constraints: CA is for signing certificates")
	}
	if leaf.KeyUsage != x509.KeyUsageDigitalSignature {
		t.Errorf("Key Usage: %b", leaf.KeyUsage)
	}
	if len(leaf.ExtKeyUsage) != 2 {
		t.Errorf("Extended Key Usage: serverAuth and clientAuth are both set: %v", leaf.ExtKeyUsage)
	}
	if leaf.SerialNumber.BitLen() != 128 {
		t.Errorf("serial number has %d bits", leaf.SerialNumber.BitLen())
	}
}

func TestIssueWithoutWorkloadMarksNameCritical(t *testing.T) {
	// X509-SVID section 3.1: if Subject is omitted, the URI SAN must be marked as critical.
	issued, err := open(t, &memory{}, Config{}, noon).Issue(csr(t, p256(t), x509.CertificateRequest{}), Claim{ID: reviews.ID}, noon)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range leafOf(t, issued).Extensions {
		if e.Id.String() == "2.5.29.17" && !e.Critical {
			t.Error("the subject alternative name is not critical")
		}
	}
}

func TestIssueTakesNamesFromTheClaimOnly(t *testing.T) {
	c := open(t, &memory{}, Config{}, noon)
	isCA, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject:         pkix.Name{CommonName: "kube-system/admin", Organization: []string{"system:masters"}},
		ExtraExtensions: []pkix.Extension{{Id: []int{2, 5, 29, 19}, Critical: true, Value: []byte{0x30, 3, 1, 1, 0xff}}},
	}, p256(t))
	if err != nil {
		t.Fatal(err)
	}
	issued, err := c.Issue(isCA, reviews, noon)
	if err != nil {
		t.Fatal(err)
	}
	checkSVID(t, leafOf(t, issued))
}

func TestIssueRefuses(t *testing.T) {
	c := open(t, &memory{}, Config{}, noon)
	good := csr(t, p256(t), x509.CertificateRequest{})
	forged := bytes.Clone(good)
	forged[len(forged)-1] ^= 1
	weak, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other := uri(t, "spiffe://cluster.local/ns/default/sa/admin")
	own := uri(t, reviews.ID.String())
	ask := func(template x509.CertificateRequest) []byte { return csr(t, p256(t), template) }
	with := func(change func(*Claim)) Claim { c := reviews; change(&c); return c }
	for _, x := range []struct {
		why   string
		csr   []byte
		claim Claim
		says  string
	}{
		{"nothing", nil, reviews, "asn1"},
		{"not a request", []byte("hello"), reviews, "asn1"},
		{"trailing bytes", append(bytes.Clone(good), 0), reviews, "trailing"},
		{"too long", append(bytes.Clone(good), make([]byte, maxCSR)...), reviews, "at most"},
		{"no proof of the key", forged, reviews, "signature"},
		{"SHA-1", ask(x509.CertificateRequest{SignatureAlgorithm: x509.ECDSAWithSHA1}), reviews, "SHA1"},
		{"RSA", csr(t, weak, x509.CertificateRequest{}), reviews, "not ECDSA P-256"},
		{"P-384", csr(t, p384, x509.CertificateRequest{}), reviews, "not ECDSA P-256"},
		{"another account", ask(x509.CertificateRequest{URIs: []*url.URL{other}}), reviews, "admin"},
		{"own and another account", ask(x509.CertificateRequest{URIs: []*url.URL{own, other}}), reviews, "admin"},
		{"a host name", ask(x509.CertificateRequest{DNSNames: []string{"ratings"}}), reviews, "DNS names"},
		{"an address", ask(x509.CertificateRequest{IPAddresses: []net.IP{{127, 0, 0, 1}}}), reviews, "addresses"},
		{"a mailbox", ask(x509.CertificateRequest{EmailAddresses: []string{"a@b"}}), reviews, "mailboxes"},
		{"no ID", good, Claim{}, "claim"},
		{"an ID that was put together", good, with(func(c *Claim) { c.ID = identity.Of("cluster.local", "default", "a/sa/b") }), "malformed"},
		{"another trust domain", good, with(func(c *Claim) { c.ID = identity.Of("other", "default", "a") }), "trust domain"},
		{"a workload of another namespace", good, with(func(c *Claim) { c.Workload = "kube-system/dns" }), "namespace"},
		{"a workload without namespace", good, with(func(c *Claim) { c.Workload = "reviews" }), "NAMESPACE/INSTANCE"},
		{"negative lifetime", good, with(func(c *Claim) { c.Lifetime = -time.Hour }), "under"},
		{"no lifetime to speak of", good, with(func(c *Claim) { c.Lifetime = time.Second }), "under"},
	} {
		t.Run(x.why, func(t *testing.T) {
			issued, err := c.Issue(x.csr, x.claim, noon)
			if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), x.says) || issued.Chain != nil {
				t.Errorf("got %v, want a refusal that says %q", err, x.says)
			}
		})
	}
}

func TestIssueNeverOutlivesRoot(t *testing.T) {
	c := open(t, &memory{}, Config{RootLifetime: 48 * time.Hour}, noon)
	request := csr(t, p256(t), x509.CertificateRequest{})
	_, end := c.Roots().Active.Validity()
	for _, x := range []struct {
		at   time.Duration
		want time.Time
	}{{0, noon.Add(24 * time.Hour)}, {30 * time.Hour, end}, {48*time.Hour - 2*time.Second, end}} {
		issued, err := c.Issue(request, reviews, noon.Add(x.at))
		if err != nil || !issued.NotAfter.Equal(x.want) {
			t.Errorf("after %v: until %v, %v; want %v", x.at, issued.NotAfter, err, x.want)
		}
	}
	for _, at := range []time.Duration{48 * time.Hour, 1000 * time.Hour, -time.Hour} {
		if _, err := c.Issue(request, reviews, noon.Add(at)); !errors.Is(err, ErrRootExpired) {
			t.Errorf("after %v: %v", at, err)
		}
	}
}

func TestSpan(t *testing.T) {
	c := open(t, &memory{}, Config{}, noon)
	// A minute before now is when this root begins to be valid.
	for _, x := range []struct {
		config     Config
		wanted     time.Duration
		back, life time.Duration
	}{
		{Config{Lifetime: 24 * time.Hour, Skew: 30 * time.Second}, 0, 30 * time.Second, 24 * time.Hour},
		{Config{Lifetime: 24 * time.Hour, Skew: 30 * time.Second}, time.Hour, 30 * time.Second, time.Hour},
		{Config{Lifetime: 24 * time.Hour, Skew: 30 * time.Second}, 48 * time.Hour, 30 * time.Second, 24 * time.Hour},
		{Config{Lifetime: 24 * time.Hour, Skew: time.Hour}, 0, time.Minute, 24 * time.Hour}, // not before the root
		{Config{Lifetime: 4 * time.Second, Skew: 30 * time.Second}, 0, 2 * time.Second, 4 * time.Second},
	} {
		from, until := c.Roots().Active.span(x.config, x.wanted, noon)
		if back, life := noon.Sub(from), until.Sub(noon); back != x.back || life != x.life {
			t.Errorf("%+v: %v back and %v on, want %v and %v", x, back, life, x.back, x.life)
		}
		if half := from.Add(until.Sub(from) * 2 / 5); !half.After(noon) {
			t.Errorf("%+v: is to be renewed before it is issued", x)
		}
	}
}

func TestConfigRefuses(t *testing.T) {
	for _, c := range []Config{{}, {TrustDomain: "Cluster.Local"}, {TrustDomain: "a", Lifetime: time.Second},
		{TrustDomain: "a", Lifetime: -1}, {TrustDomain: "a", Skew: -1}, {TrustDomain: "a", RootLifetime: time.Hour}} {
		m := &memory{}
		if _, err := Open(m, c, nil, noon); err == nil || m.data != nil {
			t.Errorf("%+v was accepted", c)
		}
	}
}

// authority makes a signing certificate; without a parent it signs itself.
func authority(t *testing.T, name string, parent *Root, change func(*x509.Certificate)) *Root {
	t.Helper()
	key := p256(t)
	c := &x509.Certificate{SerialNumber: big.NewInt(noon.Unix()), Subject: pkix.Name{CommonName: name}, NotBefore: noon.Add(-time.Hour),
		NotAfter: noon.Add(1000 * time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	if change != nil {
		change(c)
	}
	signer, above := crypto.Signer(key), c
	var chain []*x509.Certificate
	if parent != nil {
		signer, above, chain = parent.key, parent.chain[0], parent.chain
	}
	der, err := x509.CreateCertificate(rand.Reader, c, above, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &Root{chain: append([]*x509.Certificate{cert}, chain...), key: key}
}

func pems(t *testing.T, r *Root) (key, chain []byte) {
	t.Helper()
	s, err := r.encode()
	if err != nil {
		t.Fatal(err)
	}
	return []byte(s.Key), []byte(s.Chain)
}

func TestImport(t *testing.T) {
	root := authority(t, "company", nil, nil)
	mesh := authority(t, "mesh", root, func(c *x509.Certificate) { c.MaxPathLenZero = true; c.NotAfter = noon.Add(10 * time.Hour) })
	key, chain := pems(t, mesh)
	imported, err := Import("cluster.local", key, chain, noon)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Create(&memory{}, Config{TrustDomain: "cluster.local"}, imported, noon)
	if err != nil {
		t.Fatal(err)
	}
	issued, err := c.Issue(csr(t, p256(t), x509.CertificateRequest{}), reviews, noon)
	if err != nil {
		t.Fatal(err)
	}
	if len(issued.Chain) != 2 || !bytes.Equal(issued.Chain[1], mesh.chain[0].Raw) {
		t.Errorf("the chain has %d certificates, want the leaf and the one that signed it", len(issued.Chain))
	}
	if want := noon.Add(10 * time.Hour); !issued.NotAfter.Equal(want) {
		t.Errorf("until %v: it outlives the intermediate", issued.NotAfter)
	}
	if b := c.Bundle(); len(b.Roots) != 1 || !bytes.Equal(b.Roots[0], root.chain[0].Raw) {
		t.Error("the bundle is not the trust anchor alone")
	}
}

func TestImportKeyForms(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	root := authority(t, "company", nil, nil)
	ec, err := x509.MarshalECPrivateKey(root.key.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	_, chain := pems(t, root)
	if _, err := Import("a", pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: ec}), chain, noon); err != nil {
		t.Error(err)
	}
	if k, err := parseKey(x509.MarshalPKCS1PrivateKey(rsaKey)); err != nil || !rsaKey.Equal(k) {
		t.Error(err)
	}
}

func TestImportRefuses(t *testing.T) {
	root := authority(t, "company", nil, nil)
	short := authority(t, "short", nil, func(c *x509.Certificate) { c.MaxPathLenZero = true })
	for _, x := range []struct {
		why  string
		root *Root
		says string
	}{
		{"a key of somebody else", &Root{chain: root.chain, key: p256(t)}, "not the key"},
		{"no certificate", &Root{key: root.key}, "no certificate"},
		{"a leaf", authority(t, "leaf", root, func(c *x509.Certificate) { c.IsCA = false }), "may not sign"},
		{"a certificate that may not sign", authority(t, "a", root, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign }), "may not sign"},
		{"path length", authority(t, "a", short, nil), "too many intermediates"},
		{"signed by somebody else", &Root{chain: []*x509.Certificate{root.chain[0], short.chain[0]}, key: root.key}, "is not signed by"},
		{"expired", authority(t, "a", nil, func(c *x509.Certificate) { c.NotAfter = noon.Add(-time.Minute) }), "expired"},
		{"not yet valid", authority(t, "a", nil, func(c *x509.Certificate) { c.NotBefore = noon.Add(time.Minute) }), "clock"},
		{"of another trust domain", authority(t, "a", nil, func(c *x509.Certificate) { c.URIs = []*url.URL{uri(t, "spiffe://other")} }), "trust domain"},
		{"for servers only", authority(t, "a", root, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }), "usage"},
		{"for other names", authority(t, "a", root, func(c *x509.Certificate) { c.PermittedURIDomains = []string{"other"} }), "not permitted"},
	} {
		t.Run(x.why, func(t *testing.T) {
			key, chain := pems(t, x.root)
			if _, err := Import("cluster.local", key, chain, noon); err == nil || !strings.Contains(err.Error(), x.says) {
				t.Errorf("got %v, want an error that says %q", err, x.says)
			}
		})
	}
	if _, err := Import("cluster.local", nil, nil, noon); err == nil {
		t.Error("nothing was imported")
	}
}

func FuzzIssue(f *testing.F) {
	c := open(f, &memory{}, Config{}, noon)
	f.Add(csr(f, p256(f), x509.CertificateRequest{}))
	f.Add(csr(f, p256(f), x509.CertificateRequest{DNSNames: []string{"a"}, URIs: []*url.URL{uri(f, reviews.ID.String())}}))
	f.Add([]byte{0x30, 0x80})
	f.Fuzz(func(t *testing.T, der []byte) {
		issued, err := c.Issue(der, reviews, noon)
		if err != nil {
			if !errors.Is(err, ErrRefused) {
				t.Error(err)
			}
			return
		}
		checkSVID(t, leafOf(t, issued))
	})
}

func BenchmarkIssue(b *testing.B) {
	c := open(b, &memory{}, Config{}, noon)
	request := csr(b, p256(b), x509.CertificateRequest{})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Issue(request, reviews, noon); err != nil {
			b.Fatal(err)
		}
	}
}
