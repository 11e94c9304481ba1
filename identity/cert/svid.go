package cert

import (
	"crypto/x509"
	"fmt"
	"slices"

	"github.com/weft-mesh/weft/identity"
)

// maxChain bounds the certificates of one peer: a leaf and a few signing certificates.
const maxChain = 8

// readSVID checks what the X509-SVID standard asks of a leaf by itself, and returns whom it names.
func readSVID(c *x509.Certificate) (identity.ID, error) {
	const authority = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	usages := len(c.ExtKeyUsage) + len(c.UnknownExtKeyUsage)
	switch {
	case len(c.URIs) != 1: // section 2
		return identity.ID{}, fmt.Errorf("cert: certificate %q has %d URI names, an X.509-SVID has one: %w", c.Subject, len(c.URIs), ErrNotSVID)
	case c.IsCA || c.KeyUsage&authority != 0: // section 5.2
		return identity.ID{}, fmt.Errorf("cert: certificate %q is of an authority, and must not authenticate a peer: %w", c.Subject, ErrNotSVID)
	case c.KeyUsage&x509.KeyUsageDigitalSignature == 0: // section 4.3
		return identity.ID{}, fmt.Errorf("cert: certificate %q is not for signatures: %w", c.Subject, ErrNotSVID)
	case usages > 0 && !allows(c, x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth): // section 4.4
		return identity.ID{}, fmt.Errorf("cert: certificate %q is not for both clients and servers: %w", c.Subject, ErrNotSVID)
	}
	id, err := identity.Parse(c.URIs[0].String())
	if err != nil {
		return identity.ID{}, fmt.Errorf("cert: certificate %q: %w: %w", c.Subject, ErrNotSVID, err)
	}
	return id, nil
}

func allows(c *x509.Certificate, usages ...x509.ExtKeyUsage) bool {
	return !slices.ContainsFunc(usages, func(u x509.ExtKeyUsage) bool { return !slices.Contains(c.ExtKeyUsage, u) })
}

// workloadOf is the instance that a certificate names besides its account. What doesn't have that shape, or is of
// another namespace, is some other authority's common name and names nothing.
func workloadOf(c *x509.Certificate, id identity.ID) string {
	if identity.ValidWorkload(c.Subject.CommonName, id.Namespace) != nil {
		return ""
	}
	return c.Subject.CommonName
}

func parseChain(chain [][]byte) ([]*x509.Certificate, error) {
	if len(chain) == 0 || len(chain) > maxChain {
		return nil, fmt.Errorf("cert: a chain of %d certificates, 1 to %d are allowed: %w", len(chain), maxChain, ErrNotSVID)
	}
	certs := make([]*x509.Certificate, len(chain))
	for i, der := range chain {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("cert: certificate %d of a chain: %w: %w", i, ErrNotSVID, err)
		}
		certs[i] = c
	}
	return certs, nil
}
