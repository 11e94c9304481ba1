package control

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/identity/ca"
	"github.com/weft-mesh/weft/identity/cert"
	"github.com/weft-mesh/weft/source"
	"github.com/weft-mesh/weft/stream"
	"github.com/weft-mesh/weft/stream/server"
)

// secret is a state that replicas share: each has its own view of it, and overwrites nothing that it has not seen.
type secret struct {
	mu      sync.Mutex
	data    []byte
	version int
}

type view struct {
	of   *secret
	seen int
}

func (v *view) String() string { return "Secret weft-system/weft-ca" }

func (v *view) Load() ([]byte, error) {
	v.of.mu.Lock()
	defer v.of.mu.Unlock()
	if v.of.data == nil {
		return nil, fs.ErrNotExist
	}
	v.seen = v.of.version
	return v.of.data, nil
}

func (v *view) Create(data []byte) error {
	v.of.mu.Lock()
	defer v.of.mu.Unlock()
	if v.of.data != nil {
		return fs.ErrExist
	}
	return v.save(data)
}

func (v *view) Replace(data []byte) error {
	v.of.mu.Lock()
	defer v.of.mu.Unlock()
	if v.seen != v.of.version {
		return ca.ErrChanged
	}
	return v.save(data)
}

func (v *view) save(data []byte) error {
	v.of.version++
	v.of.data, v.seen = bytes.Clone(data), v.of.version
	return nil
}

// city is what a cluster's API server says: the pods whose tokens it knows.
type city struct {
	secret  secret
	drawers drawers
	tokens  map[string]Proof
	away    bool // it answers nobody
	brought atomic.Pointer[ca.Root]
	expired atomic.Pointer[time.Time]

	replicas map[netip.Addr]*plane
}

func newCity() *city {
	c := &city{tokens: map[string]Proof{}, replicas: map[netip.Addr]*plane{}}
	c.expired.Store(&time.Time{})
	for _, p := range []Proof{{"shop", "reviews", "reviews-1", "u1"}, {"shop", "ratings", "ratings-1", "u2"}, {"shop", "default", "batch", "u3"},
		{"weft-system", "weft-control", "weft-control-0", "c0"}, {"weft-system", "weft-control", "weft-control-1", "c1"}} {
		c.tokens["token of "+p.Pod] = p
	}
	return c
}

func (c *city) attest(_ context.Context, token string) (Proof, error) {
	if c.away {
		return Proof{}, errors.New("connection refused")
	}
	p, ok := c.tokens[token]
	if !ok {
		return p, fmt.Errorf("%w: it is of nobody", ErrToken)
	}
	return p, nil
}

// options of the replica with a number.
func (c *city) options(t testing.TB, n int, sources ...source.Source) Options {
	o := options(t, "", sources...)
	o.Allow = nil
	pod := fmt.Sprint("weft-control-", n)
	o.Cluster = &Cluster{Attest: c.attest, CA: &view{of: &c.secret}, Brought: func() (*ca.Root, error) { return c.brought.Load(), nil },
		Expired:   func() (time.Time, error) { return *c.expired.Load(), nil },
		Good:      &c.drawers,
		Namespace: "weft-system", Account: "weft-control", Pod: pod,
		Ask: func(ctx context.Context, at netip.Addr, q *stream.StandingRequest) ([]string, error) {
			p := c.replicas[at]
			if p == nil {
				return nil, errors.New("no route to host")
			}
			q = &stream.StandingRequest{Token: "token of " + pod, Trust: q.Trust, Root: q.Root}
			got, err := p.Standing(ctx, q)
			if err != nil {
				return nil, err
			}
			return got.Workloads, nil
		}}
	return o
}

func podOf(namespace, name, uid, account, ip string) string {
	return fmt.Sprintf(`
---
apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: %s, uid: %s, annotations: {weft.dev/tunnel: "%s:15008"}}
spec: {serviceAccountName: %s, containers: [{name: app}]}
status: {podIP: %s, phase: Running, conditions: [{type: Ready, status: "True"}]}
`, name, namespace, uid, ip, account, ip)
}

var (
	reviewsPod = podOf("shop", "reviews-1", "u1", "reviews", "10.0.0.1")
	ratingsPod = podOf("shop", "ratings-1", "u2", "ratings", "10.0.0.2")
	// controlPods have no proxy.
	controlPods = strings.ReplaceAll(podOf("weft-system", "weft-control-0", "c0", "weft-control", "10.0.1.0")+
		podOf("weft-system", "weft-control-1", "c1", "weft-control", "10.0.1.1"), "weft.dev/tunnel", "other/annotation")
)

func (p *plane) open(pod string) (*session, error) {
	s, err := p.Open(p.t.Context(), &stream.Hello{Workload: "shop/" + pod, Token: "token of " + pod})
	if err != nil {
		return nil, err
	}
	p.t.Cleanup(s.Close)
	return s.(*session), nil
}

func TestPodsProveThemselves(t *testing.T) {
	c := newCity()
	c.tokens["unbound"] = Proof{Namespace: "shop", Account: "reviews"}
	c.tokens["without uid"] = Proof{Namespace: "shop", Account: "reviews", Pod: "reviews-1"}
	c.tokens["other account"] = Proof{"shop", "admin", "reviews-1", "u1"}
	objects := parse(t, reviewsPod+ratingsPod)
	for i, o := range objects {
		objects[i] = o.Pack() // as a cluster's source gives them
	}
	p := run(t, c.options(t, 0, newFeed(synced(objects))))
	_, csr, err := cert.NewRequest(identity.Of(domain, "shop", "reviews"))
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct{ workload, token, says string }{
		{"shop/reviews-1", "token of reviews-1", ""},
		{"shop/reviews-1", "nonsense", "token refused"},
		{"shop/reviews-1", "", "token refused"},
		{"shop/reviews-1", "token of ratings-1", "its token is of pod shop/ratings-1"},
		{"other/reviews-1", "token of reviews-1", "its token is of pod shop/reviews-1"},
		{"", "token of reviews-1", "its token is of pod"},
		{"shop/reviews-1", "unbound", "bound to no pod"},
		{"shop/reviews-1", "without uid", "bound to no pod"},
		{"shop/reviews-1", "other account", "runs as account reviews, and its token is of account admin"},
	} {
		s, open := p.Open(t.Context(), &stream.Hello{Workload: x.workload, Token: x.token})
		got, certify := p.Certify(t.Context(), &stream.CertifyRequest{Workload: x.workload, Token: x.token, CSR: csr})
		for what, err := range map[string]error{"stream": open, "certificate": certify} {
			if x.says == "" && err != nil || x.says != "" && (!errors.Is(err, server.ErrRefused) || !strings.Contains(err.Error(), x.says)) {
				t.Errorf("%s of %q for %q: %v, want %q", what, x.token, x.workload, err, x.says)
			}
		}
		if x.says == "" {
			s.Close()
			if len(got.Chain) == 0 {
				t.Error("no certificate")
			}
		}
	}
	c.away = true
	if _, err := p.open("reviews-1"); err == nil || errors.Is(err, server.ErrRefused) || !strings.Contains(err.Error(), "cannot be checked now: connection refused") {
		t.Errorf("with the API server away: %v, want an error after which the proxy tries again", err)
	}
}

// A certificate is of the pod's account, whatever the request says.
func TestCertificateOfAPod(t *testing.T) {
	c := newCity()
	p := run(t, c.options(t, 0, newFeed(synced(parse(t, strings.ReplaceAll(podOf("shop", "batch", "u3", "x", "10.0.0.3"), "serviceAccountName: x, ", ""))))))
	key, csr, err := cert.NewRequest(identity.Of(domain, "shop", "default"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := p.Certify(t.Context(), &stream.CertifyRequest{Workload: "shop/batch", Token: "token of batch", CSR: csr})
	if err != nil {
		t.Fatal(err)
	}
	is, err := cert.ParseIdentity(got.Chain, key)
	if err != nil || is.ID != identity.Of(domain, "shop", "default") || is.Workload != "shop/batch" {
		t.Errorf("%+v, %v", is, err)
	}
	_, csr, err = cert.NewRequest(identity.Of(domain, "shop", "admin"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Certify(t.Context(), &stream.CertifyRequest{Workload: "shop/batch", Token: "token of batch", CSR: csr}); !errors.Is(err, server.ErrRefused) {
		t.Errorf("%v", err)
	}
}

// A replica that is behind waits before it answers.
func TestPodIsWaitedFor(t *testing.T) {
	for what, before := range map[string]string{"not heard of": "", "another pod of that name": podOf("shop", "reviews-1", "u0", "reviews", "10.0.0.9")} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFeed(synced(parse(t, before)))
				p := run(t, newCity().options(t, 0, f))
				var opening sync.WaitGroup
				for range 3 {
					opening.Go(func() {
						if _, err := p.open("reviews-1"); err != nil {
							t.Error(err)
						}
					})
				}
				time.Sleep(podWait - time.Second)
				f.emit(t, source.Event{Put: parse(t, ratingsPod)})
				synctest.Wait()
				f.emit(t, source.Event{Put: parse(t, reviewsPod)})
				opening.Wait()
				_ = p.do(func() {
					if len(p.hearing) > 0 || len(p.publisher.sessions["shop/reviews-1"]) != 3 {
						t.Errorf("%v wait, sessions %v", p.hearing, p.publisher.sessions)
					}
				})
				p.stop()
			})
		})
	}
}

func TestPodThatDoesNotCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := run(t, newCity().options(t, 0, newFeed(synced(nil))))
		begun := time.Now()
		_, err := p.open("reviews-1")
		if took := time.Since(begun); took != podWait || err == nil || errors.Is(err, server.ErrRefused) || !strings.Contains(err.Error(), "shop/reviews-1 with uid u1") {
			t.Errorf("after %v: %v, want one that says that the pod was not heard of within %v", took, err, podWait)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := p.Open(ctx, &stream.Hello{Workload: "shop/reviews-1", Token: "token of reviews-1"}); err == nil {
			t.Error("a proxy that has gone is let in")
		}
		_ = p.do(func() {
			if len(p.hearing) > 0 {
				t.Errorf("%v wait", p.hearing)
			}
		})
		p.stop()
	})
}

// A token may outlive its pod by an hour: neither streams nor certificates do.
func TestPodThatGoes(t *testing.T) {
	for what, then := range map[string]func(*testing.T) source.Event{
		"deleted": func(t *testing.T) source.Event { return source.Event{Delete: parseKeys(t, reviewsPod)} },
		"replaced": func(t *testing.T) source.Event {
			return source.Event{Put: parse(t, podOf("shop", "reviews-1", "u9", "reviews", "10.0.0.1"))}
		},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFeed(synced(parse(t, reviewsPod)))
				p := run(t, newCity().options(t, 0, f))
				s, err := p.open("reviews-1")
				if err != nil {
					t.Fatal(err)
				}
				f.emit(t, source.Event{Put: parse(t, strings.ReplaceAll(reviewsPod, "Running", "Pending"))}) // a change of no matter
				if err := s.Take(&stream.Up{Subscribe: []stream.Want{{Name: config.Name(config.KindWorkload, "shop/reviews-1")}}}); err != nil {
					t.Fatal(err)
				}
				f.emit(t, then(t))
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				for {
					if _, err = s.Next(ctx); err != nil {
						break
					}
				}
				if !errors.Is(err, errGone) {
					t.Errorf("%v", err)
				}
				if _, err := p.open("reviews-1"); err == nil {
					t.Error("its token opens a stream")
				}
				p.stop()
			})
		})
	}
}

func TestStreamsOfOneWorkloadAreBounded(t *testing.T) {
	p := run(t, newCity().options(t, 0, newFeed(synced(parse(t, reviewsPod)))))
	var all []*session
	for range mostSessions + 2 {
		s, err := p.open("reviews-1")
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	for i, s := range all {
		if err := s.ended(); (err != nil) != (i < 2) {
			t.Errorf("stream %d: %v; want the oldest to end", i, err)
		}
	}
}

// A cluster's services have the addresses that the cluster gave them.
func TestNoAddressIsInvented(t *testing.T) {
	p := run(t, newCity().options(t, 0, newFeed(synced(parse(t, twoServices)))))
	for host, s := range p.View().Mesh.Services.All() {
		if len(s.IPs) > 0 {
			t.Errorf("%s has %v", host, s.IPs)
		}
	}
}

// What is kept for the next start is what a bad version could replace.
func TestOnlyConfigurationIsKept(t *testing.T) {
	p := run(t, newCity().options(t, 0, newFeed(synced(parse(t, twoServices+"---"+virtualService+reviewsPod)))))
	var kinds []string
	_ = p.do(func() {
		for _, v := range p.versions() {
			kinds = append(kinds, v.Kind)
		}
	})
	if !slices.Equal(kinds, []string{"VirtualService"}) {
		t.Errorf("kept: %v", kinds)
	}
	for k, want := range map[dialect.Key]bool{{Kind: "Pod"}: false, {Group: "discovery.k8s.io", Kind: "EndpointSlice"}: false,
		{Group: "gateway.networking.k8s.io", Kind: "HTTPRoute"}: true, {Group: "networking.k8s.io", Kind: "NetworkPolicy"}: true, {Group: "cilium.io"}: true} {
		if p.kept(k) != want {
			t.Errorf("%v: %v", k, !want)
		}
	}
}

// member opens a stream for a pod whose proxy answers all.
func (p *plane) pod(name string, renews bool) *session {
	p.t.Helper()
	s, err := p.open(name)
	if err != nil {
		p.t.Fatal(err)
	}
	x := &proxy{t: p.t, s: s}
	root := p.ca.Roots().Active.ID()
	x.take(stream.Up{Subscribe: []stream.Want{{Name: trustName()}}, Root: root[:]})
	x.serve(renews)
	return s
}

// two are two replicas of one control plane.
func (c *city) two(t *testing.T) (leader, other *plane) {
	for n := range 2 {
		p := run(t, c.options(t, n, newFeed(synced(parse(t, reviewsPod+ratingsPod+controlPods)))))
		c.replicas[netip.MustParseAddr(fmt.Sprint("10.0.1.", n))] = p
		p.reach = 2 * time.Minute
	}
	return c.replicas[addr("10.0.1.0")], c.replicas[addr("10.0.1.1")]
}

func (p *plane) publishedRoots() []byte {
	roots, err := p.RootsPEM()
	if err != nil {
		p.t.Error(err)
	}
	return roots
}

func (p *plane) rotates(most time.Duration) (said []string, err error) {
	ctx, cancel := context.WithTimeout(p.t.Context(), most)
	defer cancel()
	err = p.Rotate(ctx, func(s string) { said = append(said, s) })
	return said, err
}

// The leader rotates; the proxies of the other replica have to come as far as its own.
func TestReplicasRotate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leader, other := newCity().two(t)
		if a, b := leader.ca.Roots().Active.ID(), other.ca.Roots().Active.ID(); a != b {
			t.Fatalf("roots %v and %v", a, b)
		}
		old := leader.ca.Roots().Active.ID()
		leader.pod("reviews-1", true)
		s := other.pod("ratings-1", true)
		serves := func(p *plane) *ca.Server {
			server, err := p.ca.Serving([]string{"weft-control"}, time.Now)
			if err != nil {
				t.Fatal(err)
			}
			return server
		}
		servers := []*ca.Server{serves(leader), serves(other)}
		over := make(chan struct{})
		go func() { // whatever news the leader has meanwhile, what it writes of the roots vouches for each replica
			for {
				roots := x509.NewCertPool()
				roots.AppendCertsFromPEM(leader.publishedRoots())
				for i, s := range servers {
					pair, err := s.Certificate()
					if err == nil {
						_, err = pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: time.Now()})
					}
					if err != nil {
						t.Errorf("replica %d is not believed: %v", i, err)
					}
				}
				select {
				case <-over:
					return
				case <-time.After(100 * time.Millisecond):
				}
			}
		}()
		said, err := leader.rotates(10 * time.Minute)
		if err != nil || !slices.Equal(first(said), []string{"distributing", "issuing", "retired"}) {
			t.Fatalf("%q, %v", said, err)
		}
		close(over)
		time.Sleep(2 * followEvery)
		for _, p := range []*plane{leader, other} {
			if r := p.ca.Roots(); r.Phase() != ca.Steady || r.Active.ID() == old || len(r.Bundle().Roots) != 1 || p.rooted.of(s.workload) == old {
				t.Errorf("%v, root %v, was %v", r.Phase(), r.Active.ID(), old)
			}
		}
		leader.stop()
		other.stop()
	})
}

func TestRotationWaitsForProxiesOfOtherReplicas(t *testing.T) {
	for _, x := range []struct {
		what  string
		pod   func(other *plane, c *city)
		phase ca.Phase
		says  string
	}{
		{"one that is nowhere", func(*plane, *city) {}, ca.Begun, "shop/ratings-1 has not taken in the roots"},
		{"one that does not answer", func(p *plane, _ *city) {
			s, err := p.open("ratings-1")
			if err != nil {
				p.t.Fatal(err)
			}
			(&proxy{t: p.t, s: s}).want(trustName())
		}, ca.Begun, "shop/ratings-1 has not taken in the roots"},
		{"one that does not renew", func(p *plane, _ *city) { p.pod("ratings-1", false) }, ca.Switched, "shop/ratings-1 has not renewed"},
		{"one of a replica that does not answer", func(p *plane, c *city) {
			p.pod("ratings-1", true)
			delete(c.replicas, addr("10.0.1.1"))
		}, ca.Begun, "shop/ratings-1 has not taken in the roots"},
	} {
		t.Run(x.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCity()
				leader, other := c.two(t)
				leader.pod("reviews-1", true)
				x.pod(other, c)
				_, err := leader.rotates(30 * time.Second)
				if err == nil || !strings.Contains(err.Error(), x.says) || strings.Contains(err.Error(), "reviews") {
					t.Errorf("%v, want one that says %q", err, x.says)
				}
				if is := leader.ca.Roots().Phase(); is != x.phase {
					t.Errorf("%v, want %v", is, x.phase)
				}
				leader.stop()
				other.stop()
			})
		})
	}
}

// Anybody may have a Pod whose proxy never comes, or write of a workload elsewhere. That holds a rotation up for as long as certificates
// live, and not for ever.
func TestRotationDoesNotWaitForEver(t *testing.T) {
	const entry = `
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: vm, namespace: shop, labels: {networking.istio.io/tunnel: http}}
spec: {address: 10.0.0.9, serviceAccount: vm}
`
	synctest.Test(t, func(t *testing.T) {
		o := newCity().options(t, 0, newFeed(synced(parse(t, reviewsPod+ratingsPod+entry))))
		o.CertLifetime = time.Hour
		p := run(t, o)
		old := p.ca.Roots().Active.ID()
		p.pod("reviews-1", true)
		var err error
		begun := time.Now()
		for p.ca.Roots().Active.ID() == old || p.ca.Roots().Phase() != ca.Steady {
			if _, err = p.rotates(5 * time.Minute); err != nil && (!errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "vm")) {
				t.Fatal(err)
			}
			if time.Since(begun) > 5*time.Hour {
				t.Fatalf("%v, and no end: %v", time.Since(begun), err)
			}
		}
		if took := time.Since(begun); took < time.Hour {
			t.Errorf("it waited %v for a proxy whose certificate may be valid", took)
		}
		p.stop()
	})
}

// A replica that leads anew goes on where the one before stopped, and steps that it has not seen are not undone.
func TestAnotherReplicaTakesUpTheRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCity()
		one, two := c.two(t)
		one.pod("reviews-1", true)
		two.pod("ratings-1", true)
		if err := one.ca.Begin(nil, time.Now()); err != nil {
			t.Fatal(err)
		}
		if err := two.ca.Begin(nil, time.Now()); !errors.Is(err, ca.ErrChanged) {
			t.Errorf("two roots are begun: %v", err)
		}
		next := one.ca.Roots().Next.ID()
		ctx, cancel := context.WithCancel(t.Context())
		var leading sync.WaitGroup
		leading.Go(func() { two.KeepAuthority(ctx) })
		time.Sleep(10 * time.Minute)
		cancel()
		leading.Wait()
		if r := one.ca.Roots(); r.Phase() != ca.Steady || r.Active.ID() != next {
			t.Errorf("%v, root %v, want %v", r.Phase(), r.Active.ID(), next)
		}
		one.stop()
		two.stop()
	})
}

func TestOnlyReplicasAreTold(t *testing.T) {
	p := run(t, newCity().options(t, 0, newFeed(synced(parse(t, reviewsPod)))))
	p.pod("reviews-1", true)
	for token, ok := range map[string]bool{"token of weft-control-1": true, "token of reviews-1": false, "": false, "nonsense": false} {
		got, err := p.Standing(t.Context(), &stream.StandingRequest{Token: token})
		if ok && (err != nil || !slices.Equal(got.Workloads, []string{"shop/reviews-1"})) || !ok && !errors.Is(err, server.ErrRefused) {
			t.Errorf("%q: %v, %v", token, got, err)
		}
	}
	alone := run(t, options(t, state(t)))
	if _, err := alone.Standing(t.Context(), &stream.StandingRequest{}); !errors.Is(err, server.ErrRefused) {
		t.Errorf("on one machine: %v", err)
	}
}

func root(t *testing.T) *ca.Root {
	t.Helper()
	r, err := ca.Generate(domain, time.Now().Add(-time.Hour), 100*24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// The mesh follows an authority that somebody else keeps.
func TestBroughtAuthority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCity()
		c.brought.Store(root(t))
		p, other := c.two(t)
		p.pod("reviews-1", true)
		other.pod("ratings-1", true)
		ctx, cancel := context.WithCancel(t.Context())
		var leading sync.WaitGroup
		leading.Go(func() { p.KeepAuthority(ctx) })
		synctest.Wait()
		if is := p.ca.Roots().Active; !is.Equal(c.brought.Load()) {
			t.Errorf("root %v, want %v", is.ID(), c.brought.Load().ID())
		}
		if _, err := p.rotates(time.Minute); !errors.Is(err, ErrBrought) {
			t.Errorf("%v", err)
		}
		c.brought.Store(root(t))
		time.Sleep(10 * time.Minute)
		for _, x := range []*plane{p, other} {
			if r := x.ca.Roots(); !r.Active.Equal(c.brought.Load()) || r.Phase() != ca.Steady {
				t.Errorf("root %v, want %v, %v", r.Active.ID(), c.brought.Load().ID(), r.Phase())
			}
		}
		cancel()
		leading.Wait()
		p.stop()
		other.stop()
	})
}

// What is brought beside an authority that is in use, and good for nothing, is no reason not to start.
func TestStartBesideBadAuthority(t *testing.T) {
	c := newCity()
	bad := errors.New("it is of another mesh")
	start := func(n int) (*Control, error) {
		o := c.options(t, n)
		o.Cluster.Brought = func() (*ca.Root, error) { return nil, bad }
		return New(o)
	}
	if _, err := start(0); !errors.Is(err, bad) {
		t.Errorf("there is none yet: %v, want %v", err, bad)
	}
	was := run(t, c.options(t, 0)).ca.Roots().Active
	next, err := start(1)
	if err != nil || !next.ca.Roots().Active.Equal(was) {
		t.Errorf("%v, and the one in use is not used", err)
	}
}

// Whoever asks for a rotation gets one.
func TestRotationIsAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCity()
		p, other := c.two(t)
		p.pod("reviews-1", true)
		other.pod("ratings-1", true)
		ctx, cancel := context.WithCancel(t.Context())
		var leading sync.WaitGroup
		leading.Go(func() { p.KeepAuthority(ctx) })
		var roots []identity.RootID
		soon := time.Now().Add(11 * time.Minute)
		for range 4 {
			time.Sleep(10 * time.Minute)
			roots = append(roots, other.ca.Roots().Active.ID())
			c.expired.Store(&soon) // once it has come, and no more after that
		}
		if roots[0] == roots[2] || roots[2] != roots[3] {
			t.Errorf("roots %v, want another one after %v and no further", roots, soon)
		}
		cancel()
		leading.Wait()
		p.stop()
		other.stop()
	})
}

// A root that was made here is replaced before it ends.
func TestRootNearsItsEnd(t *testing.T) {
	r, err := ca.Generate(domain, noon, 100*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if nearsEnd(r, noon.Add(89*time.Hour)) || !nearsEnd(r, noon.Add(91*time.Hour)) {
		t.Error("a root is to be replaced when a tenth of its life is left")
	}
}

// A task hears of what changes, and is tried again after an error.
func TestLead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFeed(synced(nil))
		p := run(t, newCity().options(t, 0, f))
		var mu sync.Mutex
		var pods []int
		fails := 2
		ctx, cancel := context.WithCancel(t.Context())
		var leading sync.WaitGroup
		leading.Go(func() {
			p.Lead(ctx, Task{Name: "count", Do: func(context.Context) error {
				v := p.View()
				mu.Lock()
				defer mu.Unlock()
				if fails--; fails >= 0 {
					return errors.New("not yet")
				}
				pods = append(pods, len(v.Objects))
				return nil
			}})
		})
		time.Sleep(10 * time.Second)
		f.emit(t, source.Event{Put: parse(t, reviewsPod)})
		f.emit(t, source.Event{Put: parse(t, ratingsPod)})
		time.Sleep(10 * time.Second)
		mu.Lock()
		if !slices.Equal(pods, []int{0, 2}) {
			t.Errorf("it saw %v pods, want none and then both", pods)
		}
		mu.Unlock()
		time.Sleep(leadAgain)
		cancel()
		leading.Wait()
		if !slices.Equal(pods, []int{0, 2, 2}) {
			t.Errorf("it saw %v pods, want a further look after %v", pods, leadAgain)
		}
		if got := p.counters.failed.All(); got["count"] != 2 {
			t.Errorf("failures %v", got)
		}
		p.stop()
	})
}
