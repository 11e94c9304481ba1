package ca

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"slices"
	"time"

	"github.com/weft-mesh/weft/identity"
)

// Root is a key that signs workloads' certificates, with the chain that leads from it to a trust anchor: one
// self-signed certificate, or a signing certificate, what is between, and the anchor. Immutable.
type Root struct {
	chain []*x509.Certificate // chain[0] belongs to key, the last is what bundles hold
	key   crypto.Signer
}

// Backdated is how much earlier than its making a root of Generate is valid, for clocks that lag.
const Backdated = time.Minute

// Generate makes a self-signed ECDSA P-256 root for a trust domain. It may sign leaves only (path length zero).
func Generate(trustDomain string, now time.Time, lifetime time.Duration) (*Root, error) {
	if err := identity.ValidTrustDomain(trustDomain); err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("ca: making a root key: %w", err)
	}
	serial := newSerial()
	template := &x509.Certificate{
		SerialNumber: serial,
		// The number tells apart the roots of one trust domain: chains are built by name first.
		Subject:               pkix.Name{Organization: []string{trustDomain}, CommonName: fmt.Sprintf("weft root %x", serial.Bytes()[:4])},
		NotBefore:             now.Add(-Backdated).UTC().Truncate(time.Second),
		NotAfter:              now.Add(lifetime).UTC().Truncate(time.Second),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		URIs:                  []*url.URL{{Scheme: "spiffe", Host: trustDomain}}, // X509-SVID section 3.2: no path
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("ca: signing a root: %w", err)
	}
	return newRoot([][]byte{der}, key)
}

// Import takes an authority from elsewhere, in PEM: a private key (PKCS #8, SEC 1 or PKCS #1), and its certificate
// followed by those above it, the trust anchor last. It is tried out before it is taken.
func Import(trustDomain string, keyPEM, chainPEM []byte, now time.Time) (*Root, error) {
	root, err := parseRoot(keyPEM, chainPEM)
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	if err := root.belongsTo(trustDomain); err != nil {
		return nil, err
	}
	if err := root.try(trustDomain, now); err != nil {
		return nil, fmt.Errorf("ca: certificates of %q do not verify; is the chain complete, may it sign for servers and clients?: %w",
			root.chain[0].Subject, err)
	}
	return root, nil
}

func parseRoot(keyPEM, chainPEM []byte) (*Root, error) {
	block, _ := pem.Decode(keyPEM)
	if block == nil {
		return nil, errors.New("there is no PEM block with the signing key")
	}
	key, err := parseKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	var chain [][]byte
	for block, rest := pem.Decode(chainPEM); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			chain = append(chain, block.Bytes)
		}
	}
	return newRoot(chain, key)
}

func parseKey(der []byte) (crypto.Signer, error) {
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		if ec, ecErr := x509.ParseECPrivateKey(der); ecErr == nil {
			return ec, nil
		}
		if rsa, rsaErr := x509.ParsePKCS1PrivateKey(der); rsaErr == nil {
			return rsa, nil
		}
		return nil, fmt.Errorf("the signing key: %w", err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("the signing key is a %T, which can't sign", key)
	}
	return signer, nil
}

// newRoot checks that chain and key belong together: each certificate may sign, and is signed by the next.
func newRoot(chain [][]byte, key crypto.Signer) (*Root, error) {
	r := &Root{key: key}
	for _, der := range chain {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("a certificate of the signing chain: %w", err)
		}
		if !c.IsCA || c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageCertSign == 0 {
			return nil, fmt.Errorf("certificate %q may not sign others (CA:%v)", c.Subject, c.IsCA)
		}
		r.chain = append(r.chain, c)
	}
	if len(r.chain) == 0 {
		return nil, errors.New("there is no certificate of the signing key")
	}
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(r.chain[0].PublicKey) {
		return nil, fmt.Errorf("the signing key is not the key of certificate %q", r.chain[0].Subject)
	}
	for i, c := range r.chain[1:] {
		if err := r.chain[i].CheckSignatureFrom(c); err != nil {
			return nil, fmt.Errorf("certificate %q is not signed by %q: %w", r.chain[i].Subject, c.Subject, err)
		}
	}
	return r, nil
}

// belongsTo refuses a chain that says it is of another trust domain (X509-SVID section 3.2).
func (r *Root) belongsTo(trustDomain string) error {
	for _, c := range r.chain {
		for _, u := range c.URIs {
			if u.Scheme == "spiffe" && u.Host != trustDomain {
				return fmt.Errorf("ca: certificate %q is of trust domain %q, not %q", c.Subject, u.Host, trustDomain)
			}
		}
	}
	return nil
}

// try issues a certificate and verifies it as both kinds of peer will.
func (r *Root) try(trustDomain string, now time.Time) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	config := Config{TrustDomain: trustDomain, Lifetime: time.Minute}
	issued, err := r.sign(key.Public(), config, Claim{ID: identity.Of(trustDomain, "weft", "trial")}, now)
	if err != nil {
		return err
	}
	leaf, err := x509.ParseCertificate(issued.Chain[0])
	if err != nil {
		return err
	}
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		opts := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: now,
			KeyUsages: []x509.ExtKeyUsage{usage}}
		opts.Roots.AddCert(r.anchor())
		for _, c := range r.chain[:len(r.chain)-1] {
			opts.Intermediates.AddCert(c)
		}
		if _, err := leaf.Verify(opts); err != nil {
			return err
		}
	}
	return nil
}

// Equal reports the same certificates, and with them the same key.
func (r *Root) Equal(o *Root) bool {
	if r == nil || o == nil {
		return r == o
	}
	return slices.EqualFunc(r.chain, o.chain, (*x509.Certificate).Equal)
}

func (r *Root) anchor() *x509.Certificate { return r.chain[len(r.chain)-1] }

// ID names the trust anchor.
func (r *Root) ID() identity.RootID {
	return identity.RootOf(r.anchor().RawSubject, r.anchor().RawSubjectPublicKeyInfo)
}

// Name is the trust anchor's subject, for people.
func (r *Root) Name() string { return r.anchor().Subject.String() }

// Validity is the time during which the whole chain is valid: both bounds are included.
func (r *Root) Validity() (from, until time.Time) {
	from, until = r.chain[0].NotBefore, r.chain[0].NotAfter
	for _, c := range r.chain[1:] {
		if c.NotBefore.After(from) {
			from = c.NotBefore
		}
		if c.NotAfter.Before(until) {
			until = c.NotAfter
		}
	}
	return from, until
}

// usable says why nothing can be signed at this time, or nil.
func (r *Root) usable(now time.Time) error {
	switch from, until := r.Validity(); {
	case now.Before(from):
		return fmt.Errorf("ca: root %s is valid from %s, and it is %s; has the clock gone back?: %w", r.ID(), stamp(from), stamp(now), ErrRootExpired)
	case until.Sub(now) < time.Second:
		return fmt.Errorf("ca: root %s expired at %s, and it is %s; rotate the root: %w", r.ID(), stamp(until), stamp(now), ErrRootExpired)
	}
	return nil
}

func (r *Root) same(o *Root) bool {
	return bytes.Equal(r.anchor().Raw, o.anchor().Raw) || r.ID() == o.ID()
}

// newSerial is 128 random bits (RFC 5280 section 4.1.2.2 wants a positive number of up to 20 octets). The top bit is
// set so that it always has 16 octets.
func newSerial() *big.Int {
	var b [16]byte
	rand.Read(b[:]) // never fails since Go 1.24
	return new(big.Int).SetBit(new(big.Int).SetBytes(b[:]), 127, 1)
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
