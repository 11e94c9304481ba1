// Package gateway is what a gateway's proxy has beside any other's: configuration of listeners made ready, with TLS, the first bytes
// of connections that begin with TLS, and the listeners that come and go with it. Calls are the engine's.
//
// Its errors name the object that cannot be taken into use. Private keys are in the configurations of TLS alone.
package gateway

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/weft-mesh/weft/chain"
	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/proxy/origin"
)

// Gateway is one version of a gateway's configuration, ready for calls.
type Gateway struct {
	*chain.Gateway
	ports, datagrams []uint16
	tls              map[*config.Listener]*tls.Config
	shown            *tls.Certificate
}

// New readies a configuration.
func New(cfg *config.Gateway, st *chain.State, find chain.Finder) (*Gateway, error) {
	way, err := chain.NewGateway(cfg, st, find)
	if err != nil {
		return nil, err
	}
	g := &Gateway{Gateway: way, tls: map[*config.Listener]*tls.Config{}}
	for i := range cfg.Listeners {
		l := &cfg.Listeners[i]
		list := &g.ports
		if l.Entry.Datagrams() {
			list = &g.datagrams
		}
		if !slices.Contains(*list, l.Port) {
			*list = append(*list, l.Port)
		}
		if l.Entry.Ends() {
			if g.tls[l], err = secure(l); err != nil {
				return nil, fmt.Errorf("gateway: %v: %w", &l.Ref, err)
			}
		}
	}
	for i := range cfg.Origins {
		s := &cfg.Origins[i].Secure
		if _, err := origin.Config(s, s.SNI, nil, nil); err != nil {
			return nil, fmt.Errorf("gateway: %v: %w", &s.Ref, err)
		}
	}
	if cfg.Cert != nil {
		shown, err := certificate(cfg.Cert)
		if err != nil {
			return nil, fmt.Errorf("gateway: %w", err)
		}
		g.shown = &shown
	}
	return g, nil
}

// Shown is the certificate for backends that ask for one; nil: there is none, as where there is no gateway.
func (g *Gateway) Shown() *tls.Certificate {
	if g == nil {
		return nil
	}
	return g.shown
}

// Ports are those to listen on, of TCP and of UDP.
func (g *Gateway) Ports() (connections, datagrams []uint16) { return g.ports, g.datagrams }

// End ends TLS with a caller of a listener. Deadlines that the connection had for the handshake are gone then. From then on late hears when
// the rest of a record has been waited for that long; it has to close the connection, and may be called at any time until that is read from no
// more.
func (g *Gateway) End(ctx context.Context, c net.Conn, l *chain.Listener, most time.Duration, late func()) (*Conn, error) {
	r := &records{Conn: c, most: most}
	tc := tls.Server(r, g.tls[l.Listener])
	if err := tc.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	r.late, r.barren = late, 0
	return &Conn{tc, r}, tc.SetDeadline(time.Time{})
}

// protocols are those of HTTPS, as ALPN names. A caller that offers none of them speaks HTTP/1.1, or is told that there is none.
var protocols = []string{"h2", "http/1.1"}

// secure makes the configuration of TLS of a listener. Of several certificates, crypto/tls takes the first that is for the name asked for,
// else the first.
func secure(l *config.Listener) (*tls.Config, error) {
	c := &tls.Config{MinVersion: max(l.TLS.Min, tls.VersionTLS12), MaxVersion: l.TLS.Max}
	if l.Entry == mesh.EntryHTTPS {
		c.NextProtos = protocols
	}
	for i := range l.Certs {
		x, err := certificate(&l.Certs[i])
		if err != nil {
			return nil, err
		}
		c.Certificates = append(c.Certificates, x)
	}
	if len(c.Certificates) == 0 {
		return nil, errors.New("there is no certificate")
	}
	return c, ask(c, l.Callers)
}

func certificate(x *mesh.Certificate) (tls.Certificate, error) {
	key, err := x509.ParsePKCS8PrivateKey(x.Key)
	signer, ok := key.(crypto.Signer)
	if err != nil || !ok || len(x.Chain) == 0 {
		return tls.Certificate{}, fmt.Errorf("%v: its certificate or key cannot be read", &x.Ref) // the error could say what is in the key
	}
	return tls.Certificate{Certificate: x.Chain, PrivateKey: signer}, nil
}
