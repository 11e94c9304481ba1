package ca

import (
	"cmp"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"

	"github.com/weft-mesh/weft/identity"
)

// Said is one place that says of which trust domain an authority is; an empty Domain: it says nothing.
type Said struct{ Where, Domain string }

// OneDomain is the trust domain that all places say which say any, or otherwise where none does. Its error names two places that differ, or the one
// that says what is no trust domain.
func OneDomain(otherwise string, all ...Said) (string, error) {
	var first Said
	for _, s := range all {
		if s.Domain == "" {
			continue
		}
		if err := identity.ValidTrustDomain(s.Domain); err != nil {
			return "", fmt.Errorf("%s: %w", s.Where, err)
		}
		if first.Domain == "" {
			first = s
		}
		if s.Domain != first.Domain {
			return "", fmt.Errorf("%s says trust domain %q, and %s says %q", first.Where, first.Domain, s.Where, s.Domain)
		}
	}
	return cmp.Or(first.Domain, otherwise), nil
}

// DomainOfState is the trust domain of the authority that a State's bytes hold. Empty: they hold none, or cannot be read, which Open has an error for.
func DomainOfState(data []byte) string {
	var s savedRoots
	if json.Unmarshal(data, &s) != nil {
		return ""
	}
	return s.TrustDomain
}

// DomainOfChain is the trust domain that an authority's certificates, in PEM, name as their own (X509-SVID section 3.2); empty: none does.
func DomainOfChain(chainPEM []byte) string {
	for block, rest := pem.Decode(chainPEM); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			continue // Import says what is wrong with it
		}
		for _, u := range c.URIs {
			if u.Scheme == "spiffe" {
				return u.Host
			}
		}
	}
	return ""
}
