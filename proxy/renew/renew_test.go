package renew

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/identity/ca"
	"github.com/weft-mesh/weft/identity/cert"
)

var reviews = identity.Of("cluster.local", "default", "reviews")

// authority is one that counts what it is asked for.
type authority struct {
	*ca.CA
	asked atomic.Int32
	fail  atomic.Bool
}

func newAuthority(t *testing.T) *authority { return newAuthorityFor(t, time.Hour) }

// newAuthorityFor has a root that lives for a while.
func newAuthorityFor(t *testing.T, life time.Duration) *authority {
	t.Helper()
	root, err := ca.Generate("cluster.local", time.Now(), life)
	if err != nil {
		t.Fatal(err)
	}
	c, err := ca.Create(ca.Dir(filepath.Join(t.TempDir(), "ca")), ca.Config{TrustDomain: "cluster.local"}, root, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return &authority{CA: c}
}

func (a *authority) certify(_ context.Context, csr []byte) ([][]byte, error) {
	if a.asked.Add(1); a.fail.Load() {
		return nil, errors.New("away")
	}
	got, err := a.Issue(csr, ca.Claim{ID: reviews}, time.Now())
	return got.Chain, err
}

func (a *authority) trust(issuer []byte) *config.Trust {
	b := a.Bundle()
	return &config.Trust{Domain: "cluster.local", Sequence: b.Sequence, Roots: b.Roots, Issuer: issuer}
}

func start(t *testing.T, a *authority) (*Renewer, *cert.Store) {
	t.Helper()
	store := cert.NewStore(time.Now)
	r := New(Options{ID: reviews, Store: store, Certify: a.certify, Clock: time.Now, Failed: func(error) {}, Renewed: func() {}})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { r.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return r, store
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never " + what)
		}
	}
}

func TestRenewsWhenTheIssuerChanges(t *testing.T) {
	a := newAuthority(t)
	r, store := start(t, a)
	old := a.Roots().Active.ID()
	if err := r.Trust(a.trust(old[:])); err != nil {
		t.Fatal(err)
	}
	eventually(t, "certified", func() bool { return store.Ready() == nil && r.Issued() != nil })
	if err := a.Begin(nil, time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := a.Switch(a.Bundle().Sequence, true, time.Now()); err != nil {
		t.Fatal(err)
	}
	next := a.Roots().Active.ID()
	if err := r.Trust(a.trust(next[:])); err != nil {
		t.Fatal(err)
	}
	eventually(t, "renewed", func() bool { return store.OwnRoot() == next })
}

// TestHalfLife: a certificate is renewed in the tenth of its life that ends at the half, so that the authority may be away for half a
// life from any moment on; it is asked again and again then, and the old certificate serves until its end, or until it is back.
func TestHalfLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const life = 24 * time.Hour
		a := newAuthorityFor(t, 1000*time.Hour)
		var times []time.Time
		var failed atomic.Int32
		store := cert.NewStore(time.Now)
		r := New(Options{ID: reviews, Store: store, Certify: a.certify, Clock: time.Now, Failed: func(error) { failed.Add(1) },
			Renewed: func() { times = append(times, time.Now()) }})
		root := a.Roots().Active.ID()
		if err := r.Trust(a.trust(root[:])); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		go r.Run(ctx)
		time.Sleep(10 * life)
		synctest.Wait()
		for i := range times[1:] {
			if d := times[i+1].Sub(times[i]); d < life*4/10-time.Minute || d > life/2 {
				t.Errorf("renewal %d came %v after the one before", i+1, d)
			}
		}
		if len(times) < 21 || len(times) > 26 || failed.Load() > 0 {
			t.Errorf("%d renewals in 10 lives, %d failed", len(times), failed.Load())
		}

		// away says that the authority is away until a part of the last certificate's life is over, and back then.
		away := func(part float64, ready bool) {
			t.Helper()
			last := times[len(times)-1]
			a.fail.Store(true)
			failed.Store(0)
			time.Sleep(time.Until(last.Add(time.Duration(part * float64(life)))))
			synctest.Wait()
			if err := store.Ready(); (err == nil) != ready || int(failed.Load()) < int(float64(life/lastPause)*(part-0.5)) {
				t.Errorf("after %v lives and %d attempts: %v", part, failed.Load(), err)
			}
			a.fail.Store(false)
			time.Sleep(lastPause)
			synctest.Wait()
			if err := store.Ready(); err != nil || times[len(times)-1] == last {
				t.Errorf("back after %v lives, and not renewed: %v", part, err)
			}
		}
		away(0.55, true)
		away(0.8, true)
		away(0.999, true)
		away(1.5, false)
		cancel()
	})
}

// TestNoFlood: an authority that does not sign with the announced root yet, or is away, is not asked without end.
func TestNoFlood(t *testing.T) {
	for name, away := range map[string]bool{"another root": false, "away": true} {
		synctest.Test(t, func(t *testing.T) {
			a := newAuthority(t)
			a.fail.Store(away)
			r, _ := start(t, a)
			var other identity.RootID
			other[0] = 1
			if err := r.Trust(a.trust(other[:])); err != nil {
				t.Fatal(err)
			}
			time.Sleep(700 * time.Millisecond)
			synctest.Wait()
			if n := a.asked.Load(); n < 2 || n > 5 {
				t.Errorf("%s: asked %d times in 700 ms", name, n)
			}
		})
	}
}

func TestRestore(t *testing.T) {
	a := newAuthority(t)
	key, csr, err := cert.NewRequest(reviews)
	if err != nil {
		t.Fatal(err)
	}
	chain, err := a.certify(t.Context(), csr)
	if err != nil {
		t.Fatal(err)
	}
	store := cert.NewStore(time.Now)
	r := New(Options{ID: reviews, Store: store, Clock: time.Now})
	if err := r.Restore(&Issued{chain, key}); err != nil || store.Identity() == nil {
		t.Error(err)
	}
	r = New(Options{ID: identity.Of("cluster.local", "default", "ratings"), Store: cert.NewStore(time.Now), Clock: time.Now})
	if err := r.Restore(&Issued{chain, key}); err == nil {
		t.Error("another account's certificate was taken up")
	}
}

// TestClockJumps: a certificate is renewed soon after the clock has been set beyond its half, or a machine has slept as long.
func TestClockJumps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthorityFor(t, 1000*time.Hour)
		var ahead atomic.Int64
		clock := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		var renewed atomic.Int32
		r := New(Options{ID: reviews, Store: cert.NewStore(clock), Clock: clock, Failed: func(err error) { t.Error(err) }, Renewed: func() { renewed.Add(1) },
			Certify: func(_ context.Context, csr []byte) ([][]byte, error) {
				got, err := a.Issue(csr, ca.Claim{ID: reviews}, clock())
				return got.Chain, err
			}})
		root := a.Roots().Active.ID()
		if err := r.Trust(a.trust(root[:])); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		go r.Run(ctx)
		time.Sleep(time.Hour)
		synctest.Wait()
		before := renewed.Load()
		ahead.Store(int64(30 * time.Hour))
		time.Sleep(2 * lookAgain)
		synctest.Wait()
		if after := renewed.Load(); before != 1 || after != 2 {
			t.Errorf("renewed %d times before, %d after", before, after)
		}
		cancel()
	})
}
