package cert_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/identity/cert"
)

func TestStoreRefusesAndKeepsTheLast(t *testing.T) {
	c := atNoon()
	s, other := newSigner(t, "root", nil, nil), newSigner(t, "other", nil, nil)
	store := s.store(c, reviews)
	must(t, store.SetBundles(s.bundle(5)))
	first := store.Identity()
	leaf, key := other.leaf(reviews, nil)
	for _, x := range []struct {
		why string
		err error
		is  error
	}{
		{"an identity of another root", store.SetIdentity(own(t, key, leaf)), cert.ErrUntrusted},
		{"an older bundle", store.SetBundles(s.bundle(4)), cert.ErrStale},
		{"another bundle of the same number", store.SetBundles(other.bundle(5)), cert.ErrStale},
		{"two bundles of one domain", store.SetBundles(s.bundle(6), s.bundle(7)), nil},
		{"none of our own domain", store.SetBundles(bundle(t, "other", 9, other.cert.Raw)), nil},
		{"none at all", store.SetBundles(), nil},
	} {
		if x.err == nil || x.is != nil && !errors.Is(x.err, x.is) {
			t.Errorf("%s: %v", x.why, x.err)
		}
	}
	if store.Identity() != first || store.Bundle("cluster.local").Sequence != 5 || store.Bundle("other") != nil || store.Ready() != nil {
		t.Error("what was refused has changed something")
	}
	must(t, store.SetBundles(s.bundle(5)))
}

func TestStoreTakesIdentityBeforeBundle(t *testing.T) {
	c := atNoon()
	s := newSigner(t, "root", nil, nil)
	leaf, key := s.leaf(reviews, nil)
	store := cert.NewStore(c.now)
	must(t, store.SetIdentity(own(t, key, leaf)))
	if err := store.Ready(); !errors.Is(err, cert.ErrUntrusted) || !strings.Contains(err.Error(), "has not arrived") {
		t.Errorf("Ready without a bundle: %v", err)
	}
	must(t, store.SetBundles(s.bundle(1)))
	must(t, store.Ready())
}

func TestStoreTellsOfEachUpdate(t *testing.T) {
	s := newSigner(t, "root", nil, nil)
	store := s.store(atNoon(), reviews)
	var calls int
	stop := store.OnChange(func() {
		calls++
		_ = store.OnChange(func() {}) // hooks may use the store
	})
	must(t, store.SetBundles(s.bundle(2)))
	if err := store.SetBundles(s.bundle(1)); err == nil || calls != 1 {
		t.Errorf("%d calls after one update and one refusal", calls)
	}
	stop()
	if must(t, store.SetBundles(s.bundle(3))); calls != 1 {
		t.Error("called after stop")
	}
}

func TestTrusts(t *testing.T) {
	c := atNoon()
	s, next := newSigner(t, "root", nil, nil), newSigner(t, "next", nil, nil)
	old, young := s.bundle(1).Roots()[0], next.bundle(1).Roots()[0]
	store := s.store(c, reviews)
	must(t, store.SetBundles(s.bundle(2, next)))
	peer := func(theirs, ours identity.RootID) cert.Peer {
		return cert.Peer{ID: ratings, Root: theirs, OwnRoot: ours}
	}
	for _, p := range []cert.Peer{peer(old, old), peer(old, young), peer(young, young)} {
		if !store.Trusts(p) {
			t.Errorf("both roots are in the bundle, and %+v is not trusted", p)
		}
	}
	for _, p := range []cert.Peer{{}, peer(identity.RootID{}, old), peer(old, identity.RootID{}), {ID: identity.Of("other", "a", "b"), Root: old, OwnRoot: old}} {
		if store.Trusts(p) {
			t.Errorf("%+v is trusted", p)
		}
	}
	must(t, store.SetBundles(next.bundle(3)))
	if store.Trusts(peer(old, young)) {
		t.Error("the peer's root is retired")
	}
	if store.Trusts(peer(young, old)) {
		t.Error("our own root is retired")
	}
	if !store.Trusts(peer(young, young)) {
		t.Error("neither root is retired")
	}
	if err := store.Ready(); !errors.Is(err, cert.ErrUntrusted) || !store.OwnRoot().IsZero() {
		t.Errorf("our certificate rests on the retired root: %v, %v", err, store.OwnRoot())
	}
	c.set(noon.Add(1001 * time.Hour))
	if store.Trusts(peer(young, young)) {
		t.Error("the root has expired")
	}
}

// A root issued again with the same name and key is the same trust anchor (RFC 5280 section 6.1.1 d).
func TestRootIssuedAgain(t *testing.T) {
	c := atNoon()
	s := newSigner(t, "root", nil, nil)
	store := s.store(c, reviews)
	root := store.OwnRoot()
	longer := *s.cert
	longer.NotAfter = noon.Add(5000 * time.Hour)
	again := certify(t, &longer, &longer, s.key.Public(), s.key)
	must(t, store.SetBundles(bundle(t, "cluster.local", 2, again.Raw)))
	if bytes.Equal(again.Raw, s.cert.Raw) || store.OwnRoot() != root || !store.Trusts(cert.Peer{ID: ratings, Root: root, OwnRoot: root}) {
		t.Errorf("root %v became %v", root, store.OwnRoot())
	}
}

// What was verified before an update must not be believed after it.
func TestVerifiedIsForgottenWithItsBundle(t *testing.T) {
	c := atNoon()
	s, next := newSigner(t, "root", nil, nil), newSigner(t, "next", nil, nil)
	server, client := s.store(c, reviews), s.store(c, ratings)
	for range 2 {
		srv, cli := meet(t, accept(server), dial(client, reviews))
		must(t, errors.Join(srv.err, cli.err))
	}
	leaf, key := next.leaf(ratings, nil)
	must(t, client.SetBundles(s.bundle(2, next)))
	must(t, client.SetIdentity(own(t, key, leaf)))
	must(t, client.SetBundles(next.bundle(3)))
	if srv, cli := meet(t, accept(server), dial(client, reviews)); !errors.Is(cli.err, cert.ErrUntrusted) || len(srv.got) != 0 {
		t.Errorf("a certificate of the retired root: %v", cli.err)
	}
}

// during has something happen when the first answer of the peer is about to be read.
type during struct {
	net.Conn
	once *sync.Once
	do   func()
}

func (d during) Read(b []byte) (int, error) {
	d.once.Do(d.do)
	return d.Conn.Read(b)
}

func TestUpdateDuringHandshake(t *testing.T) {
	c := atNoon()
	s, next := newSigner(t, "root", nil, nil), newSigner(t, "next", nil, nil)
	old := s.bundle(1).Roots()[0]
	server := cert.NewStore(c.now)
	leaf, key := next.leaf(reviews, nil)
	must(t, server.SetBundles(s.bundle(2, next)))
	must(t, server.SetIdentity(own(t, key, leaf)))
	for _, x := range []struct {
		why    string
		update func(client *cert.Store)
		is     error
	}{
		{"a new certificate: the connection rests on the one that was shown", func(client *cert.Store) {
			leaf, key := next.leaf(ratings, nil)
			must(t, client.SetIdentity(own(t, key, leaf)))
		}, nil},
		{"our root is retired", func(client *cert.Store) { must(t, client.SetBundles(next.bundle(3))) }, cert.ErrUntrusted},
		{"the peer's root is retired", func(client *cert.Store) { must(t, client.SetBundles(s.bundle(3))) }, cert.ErrUntrusted},
	} {
		t.Run(x.why, func(t *testing.T) {
			client := s.store(c, ratings)
			must(t, client.SetBundles(s.bundle(2, next)))
			srv, cli := meet(t, accept(server), func(ctx context.Context, raw net.Conn) (*cert.Conn, cert.Peer, error) {
				return client.Client(ctx, during{raw, new(sync.Once), func() { x.update(client) }}, reviews, alpn)
			})
			if !errors.Is(cli.err, x.is) {
				t.Fatal(cli.err)
			}
			if x.is != nil && len(srv.got) != 0 {
				t.Errorf("the server got %q", srv.got)
			}
			if x.is == nil && (cli.peer.OwnRoot != old || srv.peer.Root != old) {
				t.Errorf("client %+v, server %+v", cli.peer, srv.peer)
			}
		})
	}
}

// Nor after the certificate's end, or before its beginning.
func TestVerifiedIsForgottenInTime(t *testing.T) {
	c := atNoon()
	s := newSigner(t, "root", nil, nil)
	client, server := s.store(c, ratings), s.store(c, reviews)
	srv, cli := meet(t, accept(server), dial(client, reviews))
	must(t, errors.Join(srv.err, cli.err))
	state := cli.conn.ConnectionState()
	between := newSigner(t, "between", s, func(x *x509.Certificate) { x.NotAfter = noon.Add(time.Hour) })
	leaf, key := between.leaf(ratings, nil)
	short := cert.NewStore(c.now)
	must(t, short.SetBundles(s.bundle(1)))
	must(t, short.SetIdentity(own(t, key, leaf, between.cert)))
	shortSrv, shortCli := meet(t, accept(server), dial(short, reviews))
	must(t, errors.Join(shortSrv.err, shortCli.err))
	c.set(noon.Add(2 * time.Hour))
	if _, err := server.PeerOf(shortSrv.conn.ConnectionState()); !errors.Is(err, cert.ErrExpired) {
		t.Errorf("the intermediate has expired: %v", err)
	}
	for at, want := range map[time.Duration]error{24*time.Hour + time.Second: cert.ErrExpired, -time.Hour: cert.ErrNotYetValid} {
		c.set(noon.Add(at))
		if _, err := client.PeerOf(state); !errors.Is(err, want) {
			t.Errorf("after %v: %v", at, err)
		}
	}
}

// DESIGN section 10: "after its retirement no open connection rests on the old root", and no handshake fails meanwhile.
func TestRotationUnderLoad(t *testing.T) {
	c := atNoon()
	a := authority(t, c)
	server, client := cert.NewStore(c.now), cert.NewStore(c.now)
	distribute(t, a, server, client)
	enrol(t, a, c, server, reviews)
	enrol(t, a, c, client, ratings)
	old := server.OwnRoot()

	var (
		wg      sync.WaitGroup
		stop    atomic.Bool
		mu      sync.Mutex
		ended   = sync.NewCond(&mu)
		rounds  [3]int
		servers []cert.Peer
		clients []cert.Peer
	)
	for i := range rounds {
		wg.Go(func() {
			for !stop.Load() {
				srv, cli := meet(t, accept(server), dial(client, reviews))
				if err := errors.Join(srv.err, cli.err, srv.read, cli.read); err != nil {
					t.Error(err)
				}
				mu.Lock()
				servers, clients = append(servers, srv.peer), append(clients, cli.peer)
				rounds[i]++
				mu.Unlock()
				ended.Broadcast()
			}
		})
	}
	// everyone lets each caller begin and end a handshake: the time that a mesh leaves between two steps.
	everyone := func() {
		mu.Lock()
		defer mu.Unlock()
		for i := range rounds {
			for at := rounds[i] + 2; rounds[i] < at; {
				ended.Wait()
			}
		}
	}
	for range 2 {
		everyone()
		must(t, a.Begin(nil, c.now()))
		distribute(t, a, client)
		everyone()
		if err := a.Switch(client.Bundle("cluster.local").Sequence-1, false, c.now()); err == nil {
			t.Error("switched before the server had the bundle")
		}
		distribute(t, a, server)
		must(t, a.Switch(server.Bundle("cluster.local").Sequence, false, c.now()))
		enrol(t, a, c, client, ratings)
		everyone()
		enrol(t, a, c, server, reviews)
		everyone()
		must(t, a.Retire(true, c.now()))
		distribute(t, a, server)
		everyone()
		distribute(t, a, client)
	}
	everyone()
	stop.Store(true)
	wg.Wait()

	root := a.Roots().Active.ID()
	var rest int
	for i := range servers {
		rests := servers[i].Root == root && servers[i].OwnRoot == root
		if server.Trusts(servers[i]) != rests || client.Trusts(clients[i]) != rests {
			t.Errorf("connection %d: server %+v, client %+v", i, servers[i], clients[i])
		}
		if servers[i].Root != clients[i].OwnRoot || servers[i].OwnRoot != clients[i].Root {
			t.Errorf("connection %d: the two sides disagree on its roots: %+v, %+v", i, servers[i], clients[i])
		}
		if rests {
			rest++
		}
	}
	if rest == 0 || rest == len(servers) || root == old {
		t.Errorf("%d of %d connections rest on the last root", rest, len(servers))
	}
}
