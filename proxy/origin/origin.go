// Package origin begins TLS as any client does, with servers that are not of the mesh, and checks them as a policy wants.
//
// It takes no server that the policy does not: what cannot be checked is an error, and no byte of a call is sent.
package origin

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/weft-mesh/weft/traffic"
)

// Client begins TLS with a server by a connection, which is closed where it cannot be. See Config.
func Client(ctx context.Context, nc net.Conn, s *traffic.Secure, name string, shown *tls.Certificate, protocols []string) (*tls.Conn, error) {
	c, err := Config(s, name, shown, protocols)
	if err != nil {
		nc.Close()
		return nil, err
	}
	tc := tls.Client(nc, c)
	if err := tc.HandshakeContext(ctx); err != nil {
		nc.Close()
		return nil, err
	}
	return tc, nil
}

// Config is that of a connection to a server by a name. shown is the certificate for servers that ask for one; nil: none. The protocols
// are those to offer.
func Config(s *traffic.Secure, name string, shown *tls.Certificate, protocols []string) (*tls.Config, error) {
	c := &tls.Config{ServerName: name, NextProtos: protocols, MinVersion: tls.VersionTLS12}
	if len(s.Roots) > 0 {
		c.RootCAs = x509.NewCertPool()
		for _, der := range s.Roots {
			root, err := x509.ParseCertificate(der)
			if err != nil {
				return nil, fmt.Errorf("an authority's certificate cannot be read: %w", err)
			}
			c.RootCAs.AddCert(root)
		}
	}
	if shown != nil { // whichever authorities the server names: that one is what its owner wants to be shown
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return shown, nil }
	}
	if len(s.Names) > 0 {
		c.InsecureSkipVerify = true //nolint:gosec // verify does the same, but for the names
		c.VerifyConnection = func(st tls.ConnectionState) error { return verify(&st, c.RootCAs, s.Names) }
	}
	return c, nil
}

// verify checks a server's certificate as crypto/tls does, and that it is for one of the names.
func verify(st *tls.ConnectionState, roots *x509.CertPool, names []string) error {
	if len(st.PeerCertificates) == 0 {
		return errors.New("the server shows no certificate")
	}
	leaf, between := st.PeerCertificates[0], x509.NewCertPool()
	for _, x := range st.PeerCertificates[1:] {
		between.AddCert(x)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between}); err != nil {
		return err
	}
	if slices.ContainsFunc(names, func(name string) bool { return Names(leaf, name) }) {
		return nil
	}
	return fmt.Errorf("the server's certificate is for none of %s", strings.Join(names, ", "))
}

// Names says whether a certificate is for a name: with a colon a URI, letter by letter; else a host, of which "*" stands for one label.
func Names(leaf *x509.Certificate, name string) bool {
	if strings.Contains(name, ":") {
		return slices.ContainsFunc(leaf.URIs, func(u *url.URL) bool { return u.String() == name })
	}
	suffix, wild := strings.CutPrefix(name, "*")
	if !wild {
		return leaf.VerifyHostname(name) == nil
	}
	return slices.ContainsFunc(leaf.DNSNames, func(d string) bool {
		head, ok := strings.CutSuffix(strings.ToLower(d), strings.ToLower(suffix))
		return ok && head != "" && !strings.Contains(head, ".")
	})
}
