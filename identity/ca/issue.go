package ca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net/url"
	"time"

	"github.com/weft-mesh/weft/identity"
)

// Claim is what the asker has proved. The certificate says this and nothing else: of the request, only the public key
// is used. Names in a request's subject are ignored; URI names must be the claimed ID (Istio's agents send it), and any
// other subject alternative name is refused rather than dropped in silence.
type Claim struct {
	ID       identity.ID
	Workload string        // "NAMESPACE/INSTANCE", in the ID's namespace; empty: the certificate is the account's only
	Lifetime time.Duration // wanted; zero: the authority's; never longer than the authority's
}

// Issued is a certificate: the leaf and what is between it and the root, each in DER.
type Issued struct {
	Chain               [][]byte
	NotBefore, NotAfter time.Time
	Serial              string          // hex
	Root                identity.RootID // on which it rests
}

// maxCSR is many times what a request with one key and one name needs.
const maxCSR = 16 << 10

func issue(root *Root, config Config, csr []byte, claim Claim, now time.Time) (Issued, error) {
	if err := claim.validate(config.TrustDomain); err != nil {
		return Issued{}, err
	}
	key, err := parseCSR(csr, claim.ID)
	if err != nil {
		return Issued{}, fmt.Errorf("ca: request for %s: %w: %w", claim.ID, ErrRefused, err)
	}
	got, err := root.sign(key, config, claim, now)
	if err != nil {
		return Issued{}, fmt.Errorf("certificate of %s: %w", claim.ID, err)
	}
	return got, nil
}

func (c Claim) validate(trustDomain string) error {
	err := c.ID.Validate()
	if err == nil && c.Workload != "" {
		err = identity.ValidWorkload(c.Workload, c.ID.Namespace)
	}
	if err == nil && c.ID.TrustDomain != trustDomain {
		err = fmt.Errorf("the authority is of trust domain %q", trustDomain)
	}
	if err == nil && c.Lifetime != 0 && c.Lifetime < minLifetime {
		err = fmt.Errorf("lifetime %v is under %v", c.Lifetime, minLifetime)
	}
	if err != nil {
		return fmt.Errorf("ca: claim %q: %w: %w", c.ID, ErrRefused, err)
	}
	return nil
}

// parseCSR returns the key of a request that proves possession of it.
func parseCSR(der []byte, id identity.ID) (crypto.PublicKey, error) {
	if len(der) > maxCSR {
		return nil, fmt.Errorf("it has %d bytes, at most %d are read", len(der), maxCSR)
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, err
	}
	if err := checkKey(csr); err != nil {
		return nil, err
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, fmt.Errorf("its signature is not by its key: %w", err)
	}
	if n := len(csr.DNSNames) + len(csr.EmailAddresses) + len(csr.IPAddresses); n > 0 {
		return nil, fmt.Errorf("it asks for %d DNS names, addresses or mailboxes, and certificates carry the SPIFFE ID only", n)
	}
	for _, u := range csr.URIs {
		if u.String() != id.String() {
			return nil, fmt.Errorf("it asks for %.200q", u)
		}
	}
	return csr.PublicKey, nil
}

// checkKey holds requests to two kinds of key; the signature algorithms of both are safe against SHA-1.
func checkKey(csr *x509.CertificateRequest) error {
	switch k := csr.PublicKey.(type) {
	case ed25519.PublicKey:
		return nil
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() && csr.SignatureAlgorithm != x509.ECDSAWithSHA1 {
			return nil
		}
	}
	return fmt.Errorf("key %s with signature %s is not ECDSA P-256 or Ed25519", csr.PublicKeyAlgorithm, csr.SignatureAlgorithm)
}

// sign makes the certificate of a claim that has been validated.
func (r *Root) sign(key crypto.PublicKey, config Config, claim Claim, now time.Time) (Issued, error) {
	uri, err := url.Parse(claim.ID.String())
	if err != nil {
		return Issued{}, fmt.Errorf("ca: %w", err)
	}
	return r.complete(key, config, claim.Lifetime, now, &x509.Certificate{
		// RFC 5280 bounds a common name at 64; Kubernetes' names are longer, and no verifier in use minds.
		Subject:     pkix.Name{CommonName: claim.Workload},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		URIs:        []*url.URL{uri},
	})
}

// complete adds to a template what every leaf has, and signs it. Lifetime is what is wanted; zero: config's.
func (r *Root) complete(key crypto.PublicKey, config Config, lifetime time.Duration, now time.Time, template *x509.Certificate) (Issued, error) {
	if err := r.usable(now); err != nil {
		return Issued{}, err
	}
	from, until := r.span(config, lifetime, now)
	template.SerialNumber, template.NotBefore, template.NotAfter = newSerial(), from, until
	template.KeyUsage, template.BasicConstraintsValid = x509.KeyUsageDigitalSignature, true
	leaf, err := x509.CreateCertificate(rand.Reader, template, r.chain[0], key, r.key)
	if err != nil {
		return Issued{}, fmt.Errorf("ca: signing for %q: %w", template.Subject.CommonName, err)
	}
	chain := [][]byte{leaf}
	for _, c := range r.chain[:len(r.chain)-1] {
		chain = append(chain, c.Raw)
	}
	return Issued{chain, from, until, template.SerialNumber.Text(16), r.ID()}, nil
}

// span is the validity of a certificate made now, inside of its authority's. It is backdated for clocks that lag, but
// by no more than half its life: otherwise half of its validity, when it is to be renewed, would be over from the start.
func (r *Root) span(config Config, wanted time.Duration, now time.Time) (from, until time.Time) {
	life := config.Lifetime
	if wanted > 0 && wanted < life {
		life = wanted
	}
	from = now.Add(-min(config.Skew, life/2)).UTC().Truncate(time.Second)
	until = now.Add(life).UTC().Truncate(time.Second)
	first, last := r.Validity()
	if from.Before(first) {
		from = first
	}
	if until.After(last) {
		until = last
	}
	return from, until
}
