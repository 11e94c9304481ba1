package ca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/weft-mesh/weft/identity"
)

// Server keeps the certificate by which what the control plane serves proves to be it: for DNS names, for servers alone,
// without an ID. So it passes for no workload, and no workload's certificate, which has no DNS name, passes for it. It is
// renewed at half of its life, and when another root is to vouch for it.
//
// During a rotation it rests on the oldest root of the bundle: those who check it know the roots from files, which change
// later than what the stream brings. The key is this process's and is never saved. A Server is safe for concurrent use.
type Server struct {
	ca    *CA
	names []string
	clock func() time.Time

	mu   sync.Mutex
	pair *tls.Certificate
	on   identity.RootID // the root that it rests on
	half time.Time       // of its life
}

// Serving makes a Server for DNS names, and its first certificate.
func (c *CA) Serving(names []string, clock func() time.Time) (*Server, error) {
	if len(names) == 0 {
		return nil, errors.New("ca: a server's certificate needs a name")
	}
	s := &Server{ca: c, names: names, clock: clock}
	_, err := s.Certificate()
	return s, err
}

// Certificate is the one to use now. It is renewed here: a handshake in a day takes a tenth of a millisecond longer. Where
// that fails, the last one serves as long as it is valid and its root is trusted.
func (s *Server) Certificate() (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, roots := s.clock(), s.ca.Roots()
	root := roots.oldest(now)
	if s.pair != nil && s.on == root.ID() && now.Before(s.half) {
		return s.pair, nil
	}
	if err := s.renew(root, now); err != nil && !s.lasts(roots, now) {
		return nil, err
	}
	return s.pair, nil
}

// lasts says whether the certificate in use is good as yet.
func (s *Server) lasts(roots Roots, now time.Time) bool {
	trusted := s.on == roots.Active.ID() || roots.Retiring != nil && s.on == roots.Retiring.ID()
	return s.pair != nil && trusted && !now.After(s.pair.Leaf.NotAfter)
}

func (s *Server) renew(root *Root, now time.Time) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("ca: making a server's key: %w", err)
	}
	got, err := root.complete(key.Public(), s.ca.config, 0, now, &x509.Certificate{
		Subject: pkix.Name{CommonName: s.names[0]}, DNSNames: s.names, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	if err != nil {
		return err
	}
	leaf, err := x509.ParseCertificate(got.Chain[0])
	if err != nil {
		return fmt.Errorf("ca: a server's certificate: %w", err)
	}
	s.pair, s.on = &tls.Certificate{Certificate: got.Chain, PrivateKey: key, Leaf: leaf}, got.Root
	s.half = got.NotBefore.Add(got.NotAfter.Sub(got.NotBefore) / 2)
	return nil
}

// GetCertificate is tls.Config's.
func (s *Server) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return s.Certificate()
}

// Until is when the certificate in use expires.
func (s *Server) Until() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pair == nil {
		return time.Time{}
	}
	return s.pair.Leaf.NotAfter
}
