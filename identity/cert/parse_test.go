package cert_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/identity/cert"
)

func TestParseIdentity(t *testing.T) {
	s := newSigner(t, "root", nil, nil)
	leaf, key := s.leaf(reviews, nil)
	if i := own(t, key, leaf); i.ID != reviews || i.Workload != "default/reviews-1" || i.Serial != "2" || !i.NotAfter.Equal(leaf.NotAfter) || !i.NotBefore.Equal(leaf.NotBefore) {
		t.Errorf("%+v", i)
	}
}

func TestParseIdentityRefuses(t *testing.T) {
	s := newSigner(t, "root", nil, nil)
	leaf, key := s.leaf(reviews, nil)
	two, twoKey := s.leaf(reviews, func(c *x509.Certificate) { c.URIs = append(c.URIs, &url.URL{Scheme: "spiffe", Host: "a", Path: "/b"}) })
	for why, err := range map[string]error{
		"nothing":          parse(nil, key),
		"garbage":          parse([][]byte{{1, 2, 3}}, key),
		"garbage after it": parse([][]byte{leaf.Raw, {1, 2, 3}}, key),
		"another key":      parse([][]byte{leaf.Raw}, newKey(t)),
		"two names":        parse([][]byte{two.Raw}, twoKey),
		"the authority":    parse([][]byte{s.cert.Raw}, s.key),
		"too many":         parse(bytes.SplitN(bytes.Repeat([]byte("a,"), 9), []byte(","), 9), key),
	} {
		if !errors.Is(err, cert.ErrNotSVID) {
			t.Errorf("%s: %v", why, err)
		}
	}
}

func TestNewRequest(t *testing.T) {
	key, der, err := cert.NewRequest(reviews)
	must(t, err)
	csr, err := x509.ParseCertificateRequest(der)
	must(t, err)
	must(t, csr.CheckSignature())
	if len(csr.URIs) != 1 || csr.URIs[0].String() != reviews.String() {
		t.Errorf("asks for %v", csr.URIs)
	}
	if !csr.PublicKey.(*ecdsa.PublicKey).Equal(key.Public()) {
		t.Error("the request is for another key")
	}
}

func TestRenewAt(t *testing.T) {
	s := newSigner(t, "root", nil, nil)
	leaf, key := s.leaf(reviews, func(c *x509.Certificate) { c.NotBefore = noon; c.NotAfter = noon.Add(100 * time.Hour) })
	i := own(t, key, leaf)
	for _, x := range []struct {
		now    time.Duration
		jitter float64
		want   time.Duration
	}{
		{0, 0, 40 * time.Hour},
		{0, 0.5, 45 * time.Hour},
		{39 * time.Hour, 0.999, 49*time.Hour + 59*time.Minute + 24*time.Second},
		{45 * time.Hour, 0.1, 45 * time.Hour},                // its moment in the window has passed
		{60 * time.Hour, 0.5, 62 * time.Hour},                // began late: within a tenth of what is left
		{60 * time.Hour, 0, 60 * time.Hour},                  // at once
		{101 * time.Hour, 0.5, 101 * time.Hour},              // expired
		{-time.Hour, 0, 40 * time.Hour},                      // a clock that lags
		{50*time.Hour - time.Minute, 1, 50 * time.Hour},      // never after half
		{50 * time.Hour, 0.5, 52*time.Hour + 30*time.Minute}, // half is the end of the window
		{99*time.Hour + 50*time.Minute, 0, 99*time.Hour + 50*time.Minute},
	} {
		if got := i.RenewAt(noon.Add(x.now), x.jitter).Sub(noon); got != x.want {
			t.Errorf("RenewAt(%v, %v) = %v, want %v", x.now, x.jitter, got, x.want)
		}
	}
}

func TestBundleForms(t *testing.T) {
	a, b := newSigner(t, "a", nil, nil), newSigner(t, "b", nil, nil)
	der := append(bytes.Clone(a.cert.Raw), b.cert.Raw...)
	text := append(append([]byte("# the mesh's roots\n"), pemOf("CERTIFICATE", a.cert.Raw)...), pemOf("CERTIFICATE", b.cert.Raw)...)
	want := bundle(t, "cluster.local", 1, der)
	for name, raw := range map[string][]byte{"DER": der, "PEM": text, "twice": append(bytes.Clone(der), der...),
		"again": want.Append(nil), "again as PEM": want.AppendPEM(nil)} {
		got := bundle(t, "cluster.local", 1, raw)
		if !bytes.Equal(got.Append(nil), der) || len(got.Roots()) != 2 {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

func TestBundleRefuses(t *testing.T) {
	s := newSigner(t, "root", nil, nil)
	leaf, key := s.leaf(reviews, nil)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	text := pemOf("CERTIFICATE", s.cert.Raw)
	ofDomain := func(u string) []byte {
		return newSigner(t, "a", nil, func(c *x509.Certificate) {
			uri, err := url.Parse(u)
			must(t, err)
			c.URIs = []*url.URL{uri}
		}).cert.Raw
	}
	bundle(t, "cluster.local", 1, ofDomain("spiffe://cluster.local"))
	noSign := newSigner(t, "a", nil, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign })
	for _, x := range []struct {
		why string
		raw []byte
	}{
		{"nothing", nil},
		{"white space", []byte("\n")},
		{"garbage", []byte("garbage")},
		{"cut short", s.cert.Raw[:100]},
		{"bytes after it", append(bytes.Clone(s.cert.Raw), 1)},
		{"PEM cut short", append(bytes.Clone(text), text[:len(text)/2]...)},
		{"a damaged block between two", append(append(bytes.Clone(text), bytes.Replace(text, []byte("\nM"), []byte("\n*"), 1)...), text...)},
		{"a private key", append(bytes.Clone(text), pemOf("PRIVATE KEY", pkcs8)...)},
		{"a leaf", leaf.Raw},
		{"an authority that may not sign", noSign.cert.Raw},
		{"of another trust domain", ofDomain("spiffe://other")},
		{"of a workload", ofDomain("spiffe://cluster.local/ns/a/sa/b")},
		{"too long", append(bytes.Clone(s.cert.Raw), make([]byte, 1<<20)...)},
		{"too many", bytes.Repeat(s.cert.Raw, 65)},
	} {
		if b, err := cert.ParseBundle("cluster.local", 1, x.raw); err == nil || b != nil {
			t.Errorf("%s: %v", x.why, b)
		}
	}
	if _, err := cert.ParseBundle("Cluster.Local", 1, s.cert.Raw); !errors.Is(err, identity.ErrMalformed) {
		t.Errorf("trust domain: %v", err)
	}
}

func TestReason(t *testing.T) {
	for want, err := range map[string]error{"expired": cert.ErrExpired, "wrong_peer": &cert.WrongPeerError{}, "handshake": errors.New("EOF")} {
		if got := cert.Reason(err); got != want {
			t.Errorf("Reason(%v) = %q", err, got)
		}
	}
	if msg := (&cert.WrongPeerError{Got: reviews}).Error(); !strings.Contains(msg, "wanted no identity, got "+reviews.String()) {
		t.Error(msg)
	}
}

func FuzzParseBundle(f *testing.F) {
	s := newSigner(f, "root", nil, nil)
	f.Add(s.cert.Raw)
	f.Add(pemOf("CERTIFICATE", s.cert.Raw))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		b, err := cert.ParseBundle("cluster.local", 1, raw)
		if err != nil {
			return
		}
		again, err := cert.ParseBundle("cluster.local", 1, b.AppendPEM(nil))
		if err != nil || !bytes.Equal(again.Append(nil), b.Append(nil)) || len(b.Roots()) == 0 {
			t.Errorf("%v came back as %v, %v", b, again, err)
		}
	})
}

// A peer's certificate is parsed by crypto/tls with the same function.
func FuzzParseIdentity(f *testing.F) {
	s := newSigner(f, "root", nil, nil)
	leaf, key := s.leaf(reviews, nil)
	odd, _ := s.leaf(reviews, func(c *x509.Certificate) { c.URIs[0].RawQuery = "a"; c.Subject.CommonName = "a\x00b" })
	f.Add(leaf.Raw)
	f.Add(odd.Raw)
	f.Add(s.cert.Raw)
	f.Fuzz(func(t *testing.T, der []byte) {
		i, err := cert.ParseIdentity([][]byte{der}, key)
		if err != nil {
			if !errors.Is(err, cert.ErrNotSVID) {
				t.Error(err)
			}
			return
		}
		if i.ID.Validate() != nil || i.Workload != "" && identity.ValidWorkload(i.Workload, i.ID.Namespace) != nil {
			t.Errorf("%+v", i)
		}
	})
}

func parse(chain [][]byte, key crypto.Signer) error {
	_, err := cert.ParseIdentity(chain, key)
	return err
}
