package cert

import (
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/weft-mesh/weft/identity"
)

// proof is a chain that has been verified against one generation of bundles, and the time in which it holds.
type proof struct {
	id          identity.ID
	workload    string
	root        identity.RootID
	from, until time.Time
}

// maxProofs bounds what is remembered; only certificates that are good get there.
const maxProofs = 1024

// verify says whom a chain names and on which root that rests. Workloads call each other over and over with the same
// certificate: that its chain holds is remembered, until the bundles change. Possession of the key is proved by each
// handshake, and is none of this.
func (g *generation) verify(chain []*x509.Certificate, now time.Time) (proof, error) {
	if len(chain) == 0 || len(chain) > maxChain {
		return proof{}, fmt.Errorf("cert: the peer has sent %d certificates, 1 to %d are allowed: %w", len(chain), maxChain, ErrNotSVID)
	}
	key := sha256.Sum256(chain[0].Raw)
	g.mu.Lock()
	p, ok := g.proofs[key]
	g.mu.Unlock()
	if ok && !now.Before(p.from) && !now.After(p.until) {
		return p, nil
	}
	p, err := g.prove(chain, now)
	if err != nil {
		return proof{}, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.proofs) >= maxProofs {
		clear(g.proofs)
	}
	g.proofs[key] = p
	return p, nil
}

func (g *generation) prove(chain []*x509.Certificate, now time.Time) (proof, error) {
	leaf := chain[0]
	id, err := readSVID(leaf)
	if err != nil {
		return proof{}, err
	}
	if err := inTime(id.String(), leaf, now); err != nil {
		return proof{}, err
	}
	b := g.bundles[id.TrustDomain]
	if b == nil {
		return proof{}, fmt.Errorf("cert: certificate of %s: there is no bundle for its trust domain; has it arrived, is the domain federated?: %w",
			id, ErrUntrusted)
	}
	path, err := b.path(chain, now)
	if err != nil {
		return proof{}, b.explain(err, id, now)
	}
	p := proof{id: id, workload: workloadOf(leaf, id), root: rootOf(path[len(path)-1]), from: leaf.NotBefore, until: leaf.NotAfter}
	for _, c := range path[1:] {
		if c.NotBefore.After(p.from) {
			p.from = c.NotBefore
		}
		if c.NotAfter.Before(p.until) {
			p.until = c.NotAfter
		}
	}
	return p, nil
}

// path builds the chain from a leaf to one of the roots (X509-SVID section 5.1). Every certificate on it has to be good
// for clients and for servers: a workload is both.
func (b *Bundle) path(chain []*x509.Certificate, now time.Time) (path []*x509.Certificate, err error) {
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth} {
		paths, err := chain[0].Verify(x509.VerifyOptions{Roots: b.pool, Intermediates: between, CurrentTime: now,
			KeyUsages: []x509.ExtKeyUsage{usage}})
		if err != nil {
			return nil, err
		}
		path = paths[0]
	}
	return path, nil
}

// explain turns what crypto/x509 says of a path into one of this package's errors.
func (b *Bundle) explain(err error, id identity.ID, now time.Time) error {
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		if timed := inTime(fmt.Sprintf("authority %q of %s", invalid.Cert.Subject, id), invalid.Cert, now); timed != nil {
			return timed
		}
	}
	return fmt.Errorf("cert: certificate of %s: %w (%v): %w", id, ErrUntrusted, b, err)
}
