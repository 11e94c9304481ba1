package cert

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/weft-mesh/weft/identity"
)

// Peer is who is at the other end of a connection, and on which roots that knowledge rests.
type Peer struct {
	ID       identity.ID
	Workload string          // "NAMESPACE/INSTANCE", vouched for by our own trust domain's authority; empty: not known
	Root     identity.RootID // of the peer's certificate
	OwnRoot  identity.RootID // of the certificate that we have shown
	NotAfter time.Time       // when the peer's certificate expires
}

type configKey struct {
	server bool
	expect identity.ID
	alpn   string
}

// maxConfigs bounds the accounts called and protocols spoken for which a generation keeps a configuration.
const maxConfigs = 4096

// Server makes the handshake of a connection that was accepted. Context bounds it. On an error raw is closed, and the
// peer has received nothing but an alert. The peer may be any account whose trust domain is believed; what it may do is
// for policies to say.
func (s *Store) Server(ctx context.Context, raw net.Conn, alpn ...string) (*Conn, Peer, error) {
	return s.handshake(ctx, raw, configKey{server: true, alpn: strings.Join(alpn, ",")})
}

// Client makes the handshake of a connection that was dialled, and insists on one account and one of the protocols. On an
// error raw is closed, and the peer has received neither a byte of the application nor our certificate.
//
// A server checks its client last: that it has refused us shows with the first read.
func (s *Store) Client(ctx context.Context, raw net.Conn, expect identity.ID, alpn ...string) (*Conn, Peer, error) {
	return s.handshake(ctx, raw, configKey{expect: expect, alpn: strings.Join(alpn, ",")})
}

func (s *Store) handshake(ctx context.Context, raw net.Conn, key configKey) (*Conn, Peer, error) {
	conn, peer, err := s.tryHandshake(ctx, raw, key)
	if err != nil {
		_ = raw.Close() // what matters is why
		return nil, Peer{}, fmt.Errorf("TLS with %s: %w", raw.RemoteAddr(), err)
	}
	return conn, peer, nil
}

func (s *Store) tryHandshake(ctx context.Context, raw net.Conn, key configKey) (*Conn, Peer, error) {
	g := s.current.Load()
	if err := g.ready(s.now()); err != nil {
		return nil, Peer{}, err
	}
	side := tls.Client
	if key.server {
		side = tls.Server
	}
	t := &tap{Conn: raw, client: !key.server}
	c := s.config(g, key).Clone() // half a kilobyte that goes with the handshake
	c.KeyLogWriter = &t.secrets
	conn := &Conn{side(t, c), t}
	if err := conn.HandshakeContext(ctx); err != nil {
		t.secrets.forget()
		return nil, Peer{}, err
	}
	state := conn.ConnectionState()
	if !key.server && key.alpn != "" && state.NegotiatedProtocol == "" {
		return nil, Peer{}, fmt.Errorf("the peer speaks none of the protocols %s", key.alpn)
	}
	peer, err := s.PeerOf(state)
	if err != nil {
		return nil, Peer{}, err
	}
	if peer.OwnRoot = g.ownRoot; !s.Trusts(peer) {
		return nil, Peer{}, fmt.Errorf("the root of one of the two certificates was retired meanwhile: %w", ErrUntrusted)
	}
	return conn, peer, nil
}

// PeerOf says who is at the other end of a connection that was made with one of this store's configurations. Its OwnRoot
// is that of the certificate in use now: Server and Client know the one that was shown.
func (s *Store) PeerOf(state tls.ConnectionState) (Peer, error) {
	g := s.current.Load()
	p, err := g.verify(state.PeerCertificates, s.now())
	if err != nil {
		return Peer{}, err
	}
	peer := Peer{ID: p.id, Root: p.root, OwnRoot: g.ownRoot, NotAfter: state.PeerCertificates[0].NotAfter}
	// Another trust domain's authority must not vouch for instances of ours: their names look the same.
	if g.own != nil && g.own.ID.TrustDomain == p.id.TrustDomain {
		peer.Workload = p.workload
	}
	return peer, nil
}

// ServerConfig is for servers that make their own handshakes (gRPC). It follows every update, and PeerOf names the
// peer. Protocols have to be named here: those that are added to the result later have no effect.
func (s *Store) ServerConfig(alpn ...string) *tls.Config {
	key := configKey{server: true, alpn: strings.Join(alpn, ",")}
	c := s.base(key)
	c.ClientAuth = tls.RequireAnyClientCert
	c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		g := s.current.Load()
		if err := g.ready(s.now()); err != nil {
			return nil, err
		}
		return s.config(g, key), nil
	}
	return c
}

// ClientConfig is for clients that make their own handshakes, with exactly one account. It follows every update.
func (s *Store) ClientConfig(expect identity.ID, alpn ...string) *tls.Config {
	return s.clientConfig(s.current.Load, configKey{expect: expect, alpn: strings.Join(alpn, ",")})
}

// config is the configuration that shows a generation's own certificate, of all its connections of one kind.
func (s *Store) config(g *generation, key configKey) *tls.Config {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.configs[key]
	if c != nil {
		return c
	}
	if key.server {
		c = s.base(key)
		c.ClientAuth = tls.RequireAnyClientCert // its chain is checked by VerifyConnection
		c.Certificates = []tls.Certificate{g.own.pair}
	} else {
		c = s.clientConfig(func() *generation { return g }, key)
	}
	if len(g.configs) >= maxConfigs {
		clear(g.configs)
	}
	g.configs[key] = c
	return c
}

func (s *Store) clientConfig(current func() *generation, key configKey) *tls.Config {
	c := s.base(key)
	// Not a shortcut: crypto/tls would look for a host name, and among roots that are fixed when the configuration is
	// made. VerifyConnection looks for a SPIFFE ID, among those that are in force. No server name is sent either: it
	// would travel in the clear.
	c.InsecureSkipVerify = true
	// Whatever authorities the server asks for: there is one certificate, and it judges that.
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		g := current()
		if err := g.ready(s.now()); err != nil {
			return nil, err
		}
		return &g.own.pair, nil
	}
	return c
}

// base is what both sides have in common.
func (s *Store) base(key configKey) *tls.Config {
	c := &tls.Config{
		MinVersion: tls.VersionTLS13,
		// Against those who record today to decrypt with a quantum computer.
		CurvePreferences: []tls.CurveID{tls.X25519MLKEM768, tls.X25519, tls.CurveP256},
		// A resumed session rests on a chain that was checked when it began, perhaps against a root that is gone by
		// now. Connections are few and long, so nothing is gained by it either. Clients have no session cache.
		SessionTicketsDisabled: true,
		// Small first records help browsers; here they are system calls for nothing.
		DynamicRecordSizingDisabled: true,
		Time:                        s.now,
		VerifyConnection:            func(state tls.ConnectionState) error { return s.verify(state, key) },
	}
	if key.alpn != "" {
		c.NextProtos = strings.Split(key.alpn, ",")
	}
	return c
}

// verify is asked in every handshake, by crypto/tls, before anything else is read from the peer or written to it.
func (s *Store) verify(state tls.ConnectionState, key configKey) error {
	if state.DidResume {
		return errors.New("cert: the peer resumed a session, and none are given out")
	}
	p, err := s.current.Load().verify(state.PeerCertificates, s.now())
	if err == nil && !key.server && p.id != key.expect {
		err = &WrongPeerError{Want: key.expect, Got: p.id}
	}
	return err
}
