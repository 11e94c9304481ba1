package gateway

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/proxy/origin"
)

// ask has a listener ask its callers for certificates. Where one is let in whose certificate does not hold, whoever is behind has to judge.
func ask(c *tls.Config, x *mesh.Callers) error {
	if x == nil {
		return nil
	}
	c.ClientCAs = x509.NewCertPool()
	for _, der := range x.Roots {
		root, err := x509.ParseCertificate(der)
		if err != nil {
			return fmt.Errorf("%v: the certificate of an authority for callers cannot be read: %w", &x.Ref, err)
		}
		c.ClientCAs.AddCert(root)
	}
	switch {
	case x.Ask == mesh.AskAndIgnore:
		c.ClientAuth = tls.RequestClientCert
		return nil
	case len(x.Roots) == 0:
		return fmt.Errorf("%v: there is no authority to vouch for callers", &x.Ref)
	case x.Ask == mesh.AskValid:
		c.ClientAuth = tls.RequireAndVerifyClientCert
	case x.Ask == mesh.AskIfShown:
		c.ClientAuth = tls.VerifyClientCertIfGiven
	default:
		return errors.New("what is asked of callers is not known; the proxy may be older than the control plane")
	}
	if len(x.Names) > 0 {
		c.VerifyConnection = func(st tls.ConnectionState) error {
			if len(st.PeerCertificates) == 0 || slices.ContainsFunc(x.Names, func(n string) bool { return origin.Names(st.PeerCertificates[0], n) }) {
				return nil
			}
			return fmt.Errorf("the caller's certificate is for none of %s", strings.Join(x.Names, ", "))
		}
	}
	return nil
}

// Lets says whether a caller who has shaken hands at a port, by an earlier configuration maybe, would be let in now. Where no listener ends TLS for
// him, his calls find none.
func (g *Gateway) Lets(port uint16, st tls.ConnectionState, now time.Time) bool {
	l := g.Listener(port, st.ServerName)
	if l == nil || g.tls[l.Listener] == nil {
		return true
	}
	c := g.tls[l.Listener]
	switch {
	case st.Version < c.MinVersion || c.MaxVersion > 0 && st.Version > c.MaxVersion:
		return false
	case c.ClientAuth < tls.VerifyClientCertIfGiven:
		return true
	case len(st.PeerCertificates) == 0:
		return c.ClientAuth == tls.VerifyClientCertIfGiven
	}
	o := x509.VerifyOptions{Roots: c.ClientCAs, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, Intermediates: x509.NewCertPool()}
	for _, x := range st.PeerCertificates[1:] {
		o.Intermediates.AddCert(x)
	}
	_, err := st.PeerCertificates[0].Verify(o)
	return err == nil && (c.VerifyConnection == nil || c.VerifyConnection(st) == nil)
}
