package cert

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/weft-mesh/weft/identity"
)

// Bundle is the roots that are believed for one trust domain. Immutable.
type Bundle struct {
	TrustDomain string
	Sequence    uint64 // a later bundle has a higher one

	roots []*x509.Certificate
	ids   []identity.RootID // of roots
	pool  *x509.CertPool
}

const (
	maxRoots  = 64
	maxBundle = 1 << 20
)

var beginPEM = []byte("-----BEGIN ")

// ParseBundle reads certificates of authorities, as PEM or as DER one after another (the form of the SPIFFE Workload
// API). A bundle without a root is an error: whoever means to believe nobody says so by leaving the bundle out.
func ParseBundle(trustDomain string, sequence uint64, raw []byte) (*Bundle, error) {
	b := &Bundle{TrustDomain: trustDomain, Sequence: sequence, pool: x509.NewCertPool()}
	if err := identity.ValidTrustDomain(trustDomain); err != nil {
		return nil, fmt.Errorf("cert: bundle: %w", err)
	}
	certs, err := parseAuthorities(raw)
	if err != nil {
		return nil, fmt.Errorf("cert: bundle of %s: %w", trustDomain, err)
	}
	for _, c := range certs {
		if err := checkAuthority(c, trustDomain); err != nil {
			return nil, fmt.Errorf("cert: bundle of %s: %w", trustDomain, err)
		}
		if !slices.ContainsFunc(b.roots, c.Equal) {
			b.roots = append(b.roots, c)
			b.ids = append(b.ids, rootOf(c))
			b.pool.AddCert(c)
		}
	}
	return b, nil
}

func parseAuthorities(raw []byte) ([]*x509.Certificate, error) {
	if len(raw) > maxBundle {
		return nil, fmt.Errorf("it has %d bytes, at most %d are read", len(raw), maxBundle)
	}
	if bytes.Contains(raw, beginPEM) {
		var err error
		if raw, err = unwrap(raw); err != nil {
			return nil, err
		}
	}
	certs, err := x509.ParseCertificates(raw)
	switch {
	case err != nil:
		return nil, err
	case len(certs) == 0 || len(certs) > maxRoots:
		return nil, fmt.Errorf("it has %d certificates, 1 to %d are allowed", len(certs), maxRoots)
	}
	return certs, nil
}

// unwrap turns PEM into DER. pem.Decode passes over blocks that it can't read; a root must not get lost that way.
func unwrap(raw []byte) (der []byte, err error) {
	begun := bytes.Count(raw, beginPEM)
	for block, rest := pem.Decode(raw); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("it holds a %q", block.Type)
		}
		der = append(der, block.Bytes...)
		begun--
	}
	if begun != 0 {
		return nil, errors.New("a PEM block is cut short or damaged")
	}
	return der, nil
}

// checkAuthority refuses what must not sign (X509-SVID sections 3.2 and 4.3) and what says to be of another trust domain.
func checkAuthority(c *x509.Certificate, trustDomain string) error {
	if !c.IsCA || c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageCertSign == 0 {
		return fmt.Errorf("certificate %q is not of an authority", c.Subject)
	}
	for _, u := range c.URIs {
		if u.Scheme == "spiffe" && (u.Host != trustDomain || u.Path != "") {
			return fmt.Errorf("certificate %q is of %q", c.Subject, u)
		}
	}
	return nil
}

// Append adds the roots to b in DER, one after another.
func (b *Bundle) Append(dst []byte) []byte {
	for _, c := range b.roots {
		dst = append(dst, c.Raw...)
	}
	return dst
}

// AppendPEM adds the roots to dst in PEM.
func (b *Bundle) AppendPEM(dst []byte) []byte {
	for _, c := range b.roots {
		dst = append(dst, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return dst
}

// Roots names the roots.
func (b *Bundle) Roots() []identity.RootID { return slices.Clone(b.ids) }

func rootOf(c *x509.Certificate) identity.RootID {
	return identity.RootOf(c.RawSubject, c.RawSubjectPublicKeyInfo)
}

// holds reports whether a root is among these and has not expired.
func (b *Bundle) holds(id identity.RootID, now time.Time) bool {
	if b == nil {
		return false
	}
	for i, c := range b.roots {
		if b.ids[i] == id && !now.After(c.NotAfter) {
			return true
		}
	}
	return false
}

// equal reports the same roots, in whatever order.
func (b *Bundle) equal(o *Bundle) bool {
	return len(b.roots) == len(o.roots) &&
		!slices.ContainsFunc(b.roots, func(c *x509.Certificate) bool { return !slices.ContainsFunc(o.roots, c.Equal) })
}

func (b *Bundle) String() string {
	return fmt.Sprintf("bundle %d of %s with roots %v", b.Sequence, b.TrustDomain, b.ids)
}
