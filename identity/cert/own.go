package cert

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/url"
	"time"

	"github.com/weft-mesh/weft/identity"
)

// Identity is a workload's own certificate with its key. Immutable.
type Identity struct {
	ID                  identity.ID
	Workload            string // "NAMESPACE/INSTANCE"; empty if the certificate names the account only
	NotBefore, NotAfter time.Time
	Serial              string // hex

	pair  tls.Certificate
	chain []*x509.Certificate
}

// ParseIdentity takes a chain in DER, the leaf first, and the leaf's key. Signatures and time are checked when it is
// used, not here. Errors wrap ErrNotSVID.
func ParseIdentity(chain [][]byte, key crypto.Signer) (*Identity, error) {
	certs, err := parseChain(chain)
	if err != nil {
		return nil, err
	}
	leaf := certs[0]
	id, err := readSVID(leaf)
	if err != nil {
		return nil, err
	}
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(leaf.PublicKey) {
		return nil, fmt.Errorf("cert: the key is not the key of the certificate of %s: %w", id, ErrNotSVID)
	}
	return &Identity{
		ID: id, Workload: workloadOf(leaf, id), NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter, Serial: leaf.SerialNumber.Text(16),
		pair: tls.Certificate{Certificate: chain, PrivateKey: key, Leaf: leaf}, chain: certs,
	}, nil
}

// NewRequest makes a key (ECDSA P-256) and a PKCS #10 request for an identity, in DER. The key stays where it was made.
func NewRequest(id identity.ID) (key crypto.Signer, csr []byte, err error) {
	uri, err := url.Parse(id.String())
	if err != nil {
		return nil, nil, fmt.Errorf("cert: %w", err)
	}
	if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, nil, fmt.Errorf("cert: making a key: %w", err)
	}
	csr, err = x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{URIs: []*url.URL{uri}}, key)
	if err != nil {
		return nil, nil, fmt.Errorf("cert: making a request for %s: %w", id, err)
	}
	return key, csr, nil
}

// RenewAt says when to ask for the next certificate. Jitter, in [0, 1), spreads workloads over the tenth of the
// validity that ends at its half: the control plane may be away for half a lifetime from any moment on. If that is over,
// it spreads them over a tenth of what is left; after the end it is now. The result is never before now: ask once for each
// certificate, and keep to the answer.
func (i *Identity) RenewAt(now time.Time, jitter float64) time.Time {
	life, left := i.NotAfter.Sub(i.NotBefore), i.NotAfter.Sub(now)
	at := i.NotBefore.Add(life*4/10 + time.Duration(float64(life/10)*jitter))
	if at.After(now) {
		return at
	}
	if half := i.NotBefore.Add(life / 2); left <= 0 || now.Before(half) {
		return now
	}
	return now.Add(time.Duration(float64(left/10) * jitter))
}

func (i *Identity) inTime(now time.Time) error {
	return inTime("our own identity "+i.ID.String(), i.chain[0], now)
}
