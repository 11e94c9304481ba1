package cert_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/identity/cert"
)

func TestHandshake(t *testing.T) {
	c := atNoon()
	a := authority(t, c)
	server, client := cert.NewStore(c.now), cert.NewStore(c.now)
	distribute(t, a, server, client)
	enrol(t, a, c, server, reviews)
	enrol(t, a, c, client, ratings)
	srv, cli := meet(t, accept(server), dial(client, reviews))
	must(t, errors.Join(srv.err, cli.err, srv.read, cli.read))
	if string(srv.got) != "from the client" || string(cli.got) != "from the server" {
		t.Errorf("server got %q, client got %q", srv.got, cli.got)
	}
	root := a.Roots().Active.ID()
	if want := (cert.Peer{ID: ratings, Workload: "default/ratings-1", Root: root, OwnRoot: root, NotAfter: noon.Add(24 * time.Hour)}); srv.peer != want {
		t.Errorf("the server's peer is %+v, want %+v", srv.peer, want)
	}
	if cli.peer.ID != reviews || cli.peer.Workload != "default/reviews-1" || cli.peer.Root != root {
		t.Errorf("the client's peer is %+v", cli.peer)
	}
	if !server.Trusts(srv.peer) || !client.Trusts(cli.peer) {
		t.Error("a connection that was just made is not trusted")
	}
	state := cli.conn.ConnectionState()
	if state.Version != tls.VersionTLS13 || state.CurveID != tls.X25519MLKEM768 || state.NegotiatedProtocol != alpn || state.DidResume {
		t.Errorf("version %x, key exchange %v, protocol %q, resumed %v", state.Version, state.CurveID, state.NegotiatedProtocol, state.DidResume)
	}
}

// recorder keeps what is sent through it.
type recorder struct {
	net.Conn
	sent *bytes.Buffer
}

func (r recorder) Write(b []byte) (int, error) {
	r.sent.Write(b)
	return r.Conn.Write(b)
}

func TestNothingReadableOnTheWire(t *testing.T) {
	c := atNoon()
	s := newSigner(t, "root", nil, nil)
	var hello tls.ClientHelloInfo
	var sent bytes.Buffer
	look := s.store(c, reviews).ServerConfig(alpn)
	inner := look.GetConfigForClient
	look.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) { hello = *h; return inner(h) }
	client := s.store(c, ratings)
	srv, cli := meet(t, plain(tls.Server, look), func(ctx context.Context, raw net.Conn) (*cert.Conn, cert.Peer, error) {
		return client.Client(ctx, recorder{raw, &sent}, reviews, alpn)
	})
	must(t, errors.Join(srv.err, cli.err, srv.read, cli.read))
	for _, secret := range []string{"cluster.local", "ratings", "reviews", "from the client"} {
		if bytes.Contains(sent.Bytes(), []byte(secret)) {
			t.Errorf("the client sent %q in the clear", secret)
		}
	}
	if hello.ServerName != "" || len(hello.SupportedVersions) != 1 || hello.SupportedVersions[0] != tls.VersionTLS13 {
		t.Errorf("server name %q, versions %x", hello.ServerName, hello.SupportedVersions)
	}
	if hello.SupportedCurves[0] != tls.X25519MLKEM768 {
		t.Errorf("first key exchange is %v", hello.SupportedCurves[0])
	}
}

func TestWrongAccountGetsNoByte(t *testing.T) {
	c := atNoon()
	s := newSigner(t, "root", nil, nil)
	srv, cli := meet(t, accept(s.store(c, ratings)), dial(s.store(c, ratings), reviews))
	wrong, ok := errors.AsType[*cert.WrongPeerError](cli.err)
	if !ok || wrong.Want != reviews || wrong.Got != ratings || !errors.Is(cli.err, cert.ErrWrongPeer) {
		t.Errorf("the client's error is %v", cli.err)
	}
	if srv.err == nil || len(srv.got) != 0 {
		t.Errorf("the wrong server got %q, %v", srv.got, srv.err)
	}
	if got := cert.Reason(srv.err); got != "refused_by_peer" {
		t.Errorf("the server counts it as %q: %v", got, srv.err)
	}
}

func TestWrongAccountDoesNotLearnWhoCalls(t *testing.T) {
	c := atNoon()
	s := newSigner(t, "root", nil, nil)
	leaf, key := s.leaf(ratings, nil)
	var shown int
	nosy := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{leaf.Raw}, PrivateKey: key}}, ClientAuth: tls.RequestClientCert,
		VerifyPeerCertificate: func(raw [][]byte, _ [][]*x509.Certificate) error { shown += len(raw); return nil }, Time: c.now, NextProtos: []string{alpn}}
	_, cli := meet(t, plain(tls.Server, nosy), dial(s.store(c, ratings), reviews))
	if !errors.Is(cli.err, cert.ErrWrongPeer) || shown != 0 {
		t.Errorf("%v, and %d certificates were shown", cli.err, shown)
	}
}

func TestClientWithoutExpectationCallsNobody(t *testing.T) {
	c := atNoon()
	s := newSigner(t, "root", nil, nil)
	srv, cli := meet(t, accept(s.store(c, reviews)), dial(s.store(c, ratings), identity.ID{}))
	if !errors.Is(cli.err, cert.ErrWrongPeer) || len(srv.got) != 0 {
		t.Errorf("%v, and the server got %q", cli.err, srv.got)
	}
}

// bad is a peer's chain that must not be accepted, by either side.
type bad struct {
	why   string
	is    error
	chain []*x509.Certificate
	key   crypto.Signer
}

func badPeers(t *testing.T, s *signer) (all []bad) {
	add := func(why string, is error, by *signer, id identity.ID, change func(*x509.Certificate), between ...*x509.Certificate) {
		leaf, key := by.leaf(id, change)
		all = append(all, bad{why, is, append([]*x509.Certificate{leaf}, between...), key})
	}
	intermediate := newSigner(t, "intermediate", s, func(c *x509.Certificate) { c.MaxPathLenZero = true })
	deeper := newSigner(t, "deeper", intermediate, nil)
	late := newSigner(t, "late", s, func(c *x509.Certificate) { c.NotAfter = noon.Add(-time.Minute) })
	early := newSigner(t, "early", s, func(c *x509.Certificate) { c.NotBefore = noon.Add(time.Minute) })
	servers := newSigner(t, "servers", s, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })
	elsewhere := newSigner(t, "elsewhere", s, func(c *x509.Certificate) { c.PermittedURIDomains = []string{"other"} })
	noCA, noCAKey := s.leaf(reviews, nil)
	fake := &signer{t, noCA, noCAKey}

	add("expired", cert.ErrExpired, s, reviews, func(c *x509.Certificate) { c.NotAfter = noon.Add(-time.Second) })
	add("not yet valid", cert.ErrNotYetValid, s, reviews, func(c *x509.Certificate) { c.NotBefore = noon.Add(time.Second) })
	add("another root", cert.ErrUntrusted, newSigner(t, "root", nil, nil), reviews, nil)
	add("another trust domain, by our root", cert.ErrUntrusted, s, identity.Of("other", "default", "reviews"), nil)
	add("two URI names", cert.ErrNotSVID, s, reviews, func(c *x509.Certificate) {
		c.URIs = append(c.URIs, &url.URL{Scheme: "spiffe", Host: "cluster.local", Path: "/ns/default/sa/ratings"})
	})
	add("a URI name of another scheme besides", cert.ErrNotSVID, s, reviews, func(c *x509.Certificate) {
		c.URIs = append(c.URIs, &url.URL{Scheme: "https", Host: "a"})
	})
	add("no URI name", cert.ErrNotSVID, s, reviews, func(c *x509.Certificate) { c.URIs = nil; c.DNSNames = []string{"reviews"} })
	add("no account", cert.ErrNotSVID, s, reviews, func(c *x509.Certificate) { c.URIs[0].Path = "" })
	add("another kind of URI", cert.ErrNotSVID, s, reviews, func(c *x509.Certificate) { c.URIs[0].Scheme = "https" })
	add("an authority", cert.ErrNotSVID, s, reviews, func(c *x509.Certificate) { c.IsCA = true })
	add("may sign certificates", cert.ErrNotSVID, s, reviews, func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCertSign; c.IsCA = true })
	add("may sign CRLs", cert.ErrNotSVID, s, reviews, func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCRLSign })
	add("not for signatures", cert.ErrNotSVID, s, reviews, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyAgreement })
	add("for servers only", cert.ErrNotSVID, s, reviews, func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[:1] })
	add("for clients only", cert.ErrNotSVID, s, reviews, func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[1:] })
	add("for code", cert.ErrNotSVID, s, reviews, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning} })
	add("path length", cert.ErrUntrusted, deeper, reviews, nil, deeper.cert, intermediate.cert)
	add("an intermediate that was left out", cert.ErrUntrusted, intermediate, reviews, nil)
	add("signed by a leaf", cert.ErrUntrusted, fake, reviews, nil, noCA)
	add("an expired intermediate", cert.ErrExpired, late, reviews, nil, late.cert)
	add("an intermediate not yet valid", cert.ErrNotYetValid, early, reviews, nil, early.cert)
	add("an intermediate for servers", cert.ErrUntrusted, servers, reviews, nil, servers.cert)
	add("an intermediate for other names", cert.ErrUntrusted, elsewhere, reviews, nil, elsewhere.cert)
	add("an unknown critical extension", cert.ErrUntrusted, s, reviews, func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{Id: []int{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}}
	})
	add("too many certificates", cert.ErrNotSVID, s, reviews, nil, s.cert, s.cert, s.cert, s.cert, s.cert, s.cert, s.cert, s.cert)
	all = append(all, bad{"the root itself", cert.ErrNotSVID, []*x509.Certificate{s.cert}, s.key})
	return all
}

func TestBadServersGetNoByte(t *testing.T) {
	c := atNoon()
	s := newSigner(t, "root", nil, nil)
	client := s.store(c, ratings)
	for _, b := range badPeers(t, s) {
		t.Run(b.why, func(t *testing.T) {
			t.Parallel()
			srv, cli := meet(t, plain(tls.Server, badConfig(b, c)), dial(client, reviews))
			if !errors.Is(cli.err, b.is) || srv.err == nil || len(srv.got) != 0 {
				t.Errorf("the client says %v; the server got %q, %v", cli.err, srv.got, srv.err)
			}
		})
	}
}

func TestBadClientsGetNoByte(t *testing.T) {
	c := atNoon()
	s := newSigner(t, "root", nil, nil)
	server := s.store(c, reviews)
	for _, b := range badPeers(t, s) {
		t.Run(b.why, func(t *testing.T) {
			t.Parallel()
			srv, cli := meet(t, accept(server), plain(tls.Client, badConfig(b, c)))
			if !errors.Is(srv.err, b.is) || len(cli.got) != 0 {
				t.Errorf("the server says %v; the client got %q", srv.err, cli.got)
			}
			if cli.err == nil && cli.read == nil { // TLS 1.3: a client learns of it with the first read
				t.Error("the client was not told")
			}
		})
	}
}

func badConfig(b bad, c *clock) *tls.Config {
	var raw [][]byte
	for _, x := range b.chain {
		raw = append(raw, x.Raw)
	}
	pair := tls.Certificate{Certificate: raw, PrivateKey: b.key}
	return &tls.Config{Certificates: []tls.Certificate{pair}, InsecureSkipVerify: true, Time: c.now, NextProtos: []string{alpn}}
}

func TestPeersOutsideOfTheRules(t *testing.T) {
	c := atNoon()
	s := newSigner(t, "root", nil, nil)
	leaf, key := s.leaf(ratings, nil)
	pair := []tls.Certificate{{Certificate: [][]byte{leaf.Raw}, PrivateKey: key}}
	stolen := []tls.Certificate{{Certificate: [][]byte{leaf.Raw}, PrivateKey: borrowed{newKey(t), key.Public()}}}
	for _, x := range []struct {
		why    string
		config *tls.Config
	}{
		{"no certificate", &tls.Config{}},
		{"TLS 1.2", &tls.Config{Certificates: pair, MaxVersion: tls.VersionTLS12}},
		{"a certificate without its key", &tls.Config{Certificates: stolen}},
		{"another protocol", &tls.Config{Certificates: pair, NextProtos: []string{"other"}}},
	} {
		t.Run(x.why, func(t *testing.T) {
			x.config.InsecureSkipVerify, x.config.Time = true, c.now
			srv, cli := meet(t, accept(s.store(c, reviews)), plain(tls.Client, x.config))
			if srv.err == nil || len(cli.got) != 0 {
				t.Errorf("the server says %v; the client got %q", srv.err, cli.got)
			}
		})
	}
}

// borrowed signs with one key and claims another.
type borrowed struct {
	crypto.Signer
	public crypto.PublicKey
}

func (b borrowed) Public() crypto.PublicKey { return b.public }

func TestClientInsistsOnAProtocol(t *testing.T) {
	c := atNoon()
	s := newSigner(t, "root", nil, nil)
	server := s.store(c, reviews)
	srv, cli := meet(t, plain(tls.Server, server.ServerConfig()), dial(s.store(c, ratings), reviews))
	if cli.err == nil || !strings.Contains(cli.err.Error(), alpn) || len(srv.got) != 0 {
		t.Errorf("%v, and the server got %q", cli.err, srv.got)
	}
}

func TestIntermediatesAreSent(t *testing.T) {
	c := atNoon()
	s := newSigner(t, "root", nil, nil)
	between := newSigner(t, "between", s, nil)
	leaf, key := between.leaf(reviews, nil)
	server := cert.NewStore(c.now)
	must(t, server.SetBundles(s.bundle(1)))
	must(t, server.SetIdentity(own(t, key, leaf, between.cert)))
	srv, cli := meet(t, accept(server), dial(s.store(c, ratings), reviews))
	must(t, errors.Join(srv.err, cli.err, srv.read, cli.read))
	if want := s.bundle(1).Roots()[0]; cli.peer.Root != want || srv.peer.OwnRoot != want {
		t.Errorf("rests on %v and %v, want the anchor %v and not the intermediate", cli.peer.Root, srv.peer.OwnRoot, want)
	}
}

func TestOwnIdentityFailsFirst(t *testing.T) {
	s := newSigner(t, "root", nil, nil)
	for _, x := range []struct {
		why  string
		at   time.Time
		is   error
		says string
	}{
		{"expired", noon.Add(25 * time.Hour), cert.ErrExpired, "is the control plane running?"},
		{"not yet valid", noon.Add(-time.Hour), cert.ErrNotYetValid, "is the clock right?"},
	} {
		t.Run(x.why, func(t *testing.T) {
			c := atNoon()
			store := s.store(c, reviews)
			c.set(x.at)
			srv, cli := meet(t, accept(store), dial(store, reviews))
			for _, err := range []error{srv.err, cli.err, store.Ready()} {
				if !errors.Is(err, x.is) || !strings.Contains(err.Error(), x.says) || !strings.Contains(err.Error(), reviews.String()) {
					t.Errorf("got %v, want %q", err, x.says)
				}
			}
		})
	}
	empty := cert.NewStore(atNoon().now)
	srv, cli := meet(t, accept(empty), dial(empty, reviews))
	if !errors.Is(srv.err, cert.ErrNoIdentity) || !errors.Is(cli.err, cert.ErrNoIdentity) {
		t.Errorf("without identity: %v, %v", srv.err, cli.err)
	}
}

// gRPC and the like make their own handshakes.
func TestConfigsFollowUpdates(t *testing.T) {
	c := atNoon()
	old, next := newSigner(t, "old", nil, nil), newSigner(t, "new", nil, nil)
	server, client := old.store(c, reviews), old.store(c, ratings)
	serverConfig, clientConfig := server.ServerConfig(alpn), client.ClientConfig(reviews, alpn)
	once := func() cert.Peer {
		t.Helper()
		srv, cli := meet(t, plain(tls.Server, serverConfig), plain(tls.Client, clientConfig))
		must(t, errors.Join(srv.err, cli.err, srv.read, cli.read))
		peer, err := server.PeerOf(srv.conn.ConnectionState())
		must(t, err)
		return peer
	}
	if p := once(); p.ID != ratings || p.Root != server.OwnRoot() || p.OwnRoot != server.OwnRoot() {
		t.Errorf("%+v", p)
	}
	for id, s := range map[identity.ID]*cert.Store{reviews: server, ratings: client} {
		leaf, key := next.leaf(id, nil)
		must(t, s.SetBundles(old.bundle(2, next)))
		must(t, s.SetIdentity(own(t, key, leaf)))
		must(t, s.SetBundles(next.bundle(3)))
	}
	if p := once(); p.Root != next.bundle(1).Roots()[0] {
		t.Errorf("%+v rests on the old root", p)
	}
	if _, cli := meet(t, plain(tls.Server, serverConfig), plain(tls.Client, client.ClientConfig(ratings, alpn))); !errors.Is(cli.err, cert.ErrWrongPeer) {
		t.Errorf("another account: %v", cli.err)
	}
	c.set(noon.Add(25 * time.Hour))
	if srv, _ := meet(t, plain(tls.Server, serverConfig), plain(tls.Client, clientConfig)); !errors.Is(srv.err, cert.ErrExpired) {
		t.Errorf("expired: %v", srv.err)
	}
	if err := serverConfig.VerifyConnection(tls.ConnectionState{DidResume: true}); err == nil {
		t.Error("a resumed session was let in")
	}
	if _, err := server.PeerOf(tls.ConnectionState{}); err == nil {
		t.Error("a connection without certificate has a peer")
	}
}

func TestNoTicketsAreGivenOut(t *testing.T) {
	c := atNoon()
	s := newSigner(t, "root", nil, nil)
	leaf, key := s.leaf(ratings, nil)
	cache := &countingCache{ClientSessionCache: tls.NewLRUClientSessionCache(8)}
	config := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{leaf.Raw}, PrivateKey: key}}, InsecureSkipVerify: true,
		ServerName: "a", ClientSessionCache: cache, Time: c.now, NextProtos: []string{alpn}}
	srv, cli := meet(t, accept(s.store(c, reviews)), plain(tls.Client, config))
	must(t, errors.Join(srv.err, cli.err, srv.read, cli.read))
	if cache.put != 0 {
		t.Errorf("%d tickets", cache.put)
	}
}

type countingCache struct {
	tls.ClientSessionCache
	put int
}

func (c *countingCache) Put(key string, s *tls.ClientSessionState) {
	if s != nil {
		c.put++
	}
	c.ClientSessionCache.Put(key, s)
}

func TestHandshakeIsBounded(t *testing.T) {
	s := newSigner(t, "root", nil, nil)
	store := s.store(atNoon(), reviews)
	ctx, cancel := context.WithCancel(t.Context())
	silent, raw := net.Pipe()
	defer silent.Close()
	cancel()
	if _, _, err := store.Server(ctx, raw); !errors.Is(err, context.Canceled) {
		t.Errorf("a silent client: %v", err)
	}
	if _, err := silent.Write([]byte{1}); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("the connection is still open: %v", err)
	}
}

func TestFailureClosesTheConnection(t *testing.T) {
	other, raw := net.Pipe()
	defer other.Close()
	if _, _, err := cert.NewStore(atNoon().now).Server(t.Context(), raw); !errors.Is(err, cert.ErrNoIdentity) {
		t.Error(err)
	}
	if _, err := other.Write([]byte{1}); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("the connection is still open: %v", err)
	}
}

func TestWorkloadNames(t *testing.T) {
	c := atNoon()
	s := newSigner(t, "root", nil, nil)
	other := newSigner(t, "other", nil, nil)
	foreign := identity.Of("other", "default", "ratings")
	server := s.store(c, reviews)
	must(t, server.SetBundles(s.bundle(2), bundle(t, "other", 1, other.cert.Raw)))
	for _, x := range []struct {
		why  string
		by   *signer
		id   identity.ID
		cn   string
		want string
	}{
		{"ours", s, ratings, "default/ratings-7", "default/ratings-7"},
		{"long as Kubernetes allows", s, ratings, "default/" + strings.Repeat("r", 253), "default/" + strings.Repeat("r", 253)},
		{"none", s, ratings, "", ""},
		{"another authority's common name", s, ratings, "ratings.default.svc", ""},
		{"of another namespace than the account", s, ratings, "kube-system/dns", ""},
		{"of another trust domain", other, foreign, "default/ratings-7", ""},
	} {
		t.Run(x.why, func(t *testing.T) {
			leaf, key := x.by.leaf(x.id, func(c *x509.Certificate) { c.Subject.CommonName = x.cn })
			client := cert.NewStore(c.now)
			must(t, client.SetBundles(s.bundle(2), bundle(t, "other", 1, other.cert.Raw)))
			must(t, client.SetIdentity(own(t, key, leaf)))
			srv, cli := meet(t, accept(server), dial(client, reviews))
			must(t, errors.Join(srv.err, cli.err))
			if srv.peer.ID != x.id || srv.peer.Workload != x.want {
				t.Errorf("%+v, want workload %q", srv.peer, x.want)
			}
		})
	}
}

func BenchmarkHandshake(b *testing.B) {
	c := atNoon()
	s := newSigner(b, "root", nil, nil)
	server, client := s.store(c, reviews), s.store(c, ratings)
	b.ReportAllocs()
	for b.Loop() {
		a, z := net.Pipe()
		done := make(chan error, 1)
		go func() { _, _, err := server.Server(b.Context(), a, alpn); done <- err }()
		if _, _, err := client.Client(b.Context(), z, reviews, alpn); err != nil {
			b.Fatal(err)
		}
		must(b, <-done)
		a.Close()
	}
}
