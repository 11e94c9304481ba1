package control

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/identity/ca"
	"github.com/weft-mesh/weft/stream"
)

func trustName() string { return config.Name(config.KindTrust, domain) }

// member is a workload with a proxy that answers all; renews: it also gets a new certificate when the root that signs is another.
func (p *plane) member(service string, renews bool) *Workload {
	w := p.register(service, "v1")
	x := p.proxy(w)
	root := p.ca.Roots().Active.ID()
	x.take(stream.Up{Subscribe: []stream.Want{{Name: trustName()}}, Root: root[:]})
	x.serve(renews)
	return w
}

func (p *plane) rotate(most time.Duration) (said []string, err error) {
	ctx, cancel := context.WithTimeout(p.t.Context(), most)
	defer cancel()
	err = p.Rotate(ctx, func(s string) { said = append(said, s) })
	return said, err
}

func first(lines []string) (out []string) {
	for _, l := range lines {
		w, _, _ := strings.Cut(l, " ")
		out = append(out, w)
	}
	return out
}

// onOldRoot names the workloads whose certificates rest on another root than the one that signs.
func (p *plane) onOldRoot(t *testing.T) (who []string) {
	t.Helper()
	active := p.ca.Roots().Active.ID()
	if err := p.do(func() { who = p.behind(&stream.StandingRequest{Root: active[:]}, nil) }); err != nil {
		t.Error(err)
	}
	return who
}

const soon = 300 * time.Millisecond

func TestRotation(t *testing.T) {
	p := run(t, options(t, state(t)))
	p.member("reviews", true)
	p.member("ratings", true)
	old := p.ca.Roots().Active.ID()
	said, err := p.rotate(bound)
	if err != nil || !slices.Equal(first(said), []string{"distributing", "issuing", "retired"}) {
		t.Fatalf("%q, %v", said, err)
	}
	r := p.ca.Roots()
	if r.Phase() != ca.Steady || r.Active.ID() == old || len(p.ca.Bundle().Roots) != 1 {
		t.Errorf("%v, root %v, was %v", r.Phase(), r.Active.ID(), old)
	}
	if who := p.onOldRoot(t); len(who) > 0 {
		t.Errorf("on the old root: %v", who)
	}
}

func TestRotationOfAMeshWithoutWorkloads(t *testing.T) {
	p := run(t, options(t, state(t)))
	if _, err := p.rotate(bound); err != nil {
		t.Error(err)
	}
}

func TestRotationNamesWhoHoldsItUp(t *testing.T) {
	in := func(name string, test func(t *testing.T)) { // a bubble: soon has passed when whoever answers has
		t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
	}
	in("a proxy that is away has not the new root", func(t *testing.T) {
		p := run(t, options(t, state(t)))
		p.member("reviews", true)
		w := p.register("ratings", "v1")
		_, err := p.rotate(soon)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), w.Key()) || strings.Contains(err.Error(), "reviews") {
			t.Errorf("%v, want one that names %s alone", err, w.Key())
		}
		if p.ca.Roots().Phase() != ca.Begun {
			t.Errorf("%v: a root signs that not everybody knows", p.ca.Roots().Phase())
		}
	})
	in("a proxy that refuses the roots", func(t *testing.T) {
		p := run(t, options(t, state(t)))
		w := p.register("ratings", "v1")
		x := p.proxy(w)
		x.want(trustName())
		x.get()
		done := make(chan error)
		go func() {
			_, err := p.rotate(soon)
			done <- err
		}()
		x.take(stream.Up{Ack: x.next().Nonce, Refused: []stream.Nack{{Name: trustName(), Error: "no"}}})
		if err := <-done; err == nil || !strings.Contains(err.Error(), w.Key()) {
			t.Errorf("%v, want one that names %s", err, w.Key())
		}
	})
	in("a workload that never renews", func(t *testing.T) {
		p := run(t, options(t, state(t)))
		p.member("reviews", true)
		w := p.member("ratings", false)
		said, err := p.rotate(soon)
		if err == nil || !strings.Contains(err.Error(), w.Key()+" has not renewed") || strings.Contains(err.Error(), "reviews") {
			t.Errorf("%q, %v, want an error that names %s alone", said, err, w.Key())
		}
		if p.ca.Roots().Phase() != ca.Switched || len(p.ca.Bundle().Roots) != 2 {
			t.Errorf("%v: its root is not trusted any more", p.ca.Roots().Phase())
		}
		p.Deregister(w.Key(), w.Token)
		if said, err := p.rotate(bound); err != nil || !slices.Equal(first(said), []string{"issuing", "retired"}) {
			t.Errorf("taken up once it is gone: %q, %v", said, err)
		}
	})
	in("one that goes while it is waited for", func(t *testing.T) {
		p := run(t, options(t, state(t)))
		w := p.register("ratings", "v1")
		done := make(chan error)
		go func() {
			_, err := p.rotate(bound)
			done <- err
		}()
		p.Deregister(w.Key(), w.Token)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// Each step is saved before it takes effect: a control plane that is killed between two of them goes on where it stood.
func TestRotationIsTakenUpAgain(t *testing.T) {
	for _, phase := range []ca.Phase{ca.Begun, ca.Switched} {
		t.Run(phase.String(), func(t *testing.T) {
			o := options(t, state(t))
			p := run(t, o)
			old := p.ca.Roots().Active.ID()
			if err := p.ca.Begin(nil, time.Now()); err != nil {
				t.Fatal(err)
			}
			next := p.ca.Roots().Next.ID()
			if phase == ca.Switched {
				if err := p.ca.Switch(p.ca.Bundle().Sequence, false, time.Now()); err != nil {
					t.Fatal(err)
				}
			}
			p.stop()
			p = run(t, o)
			w := p.register("reviews", "v1")
			x := p.proxy(w)
			if n := len(p.publisher.trust.Roots); n != 2 {
				t.Errorf("%d roots are distributed, want both", n)
			}
			x.serve(true)
			x.take(stream.Up{Root: old[:]})
			x.want(trustName())
			said, err := p.rotate(bound)
			if err != nil || p.ca.Roots().Active.ID() != next || p.ca.Roots().Phase() != ca.Steady {
				t.Errorf("%q, %v; root %v, want %v", said, err, p.ca.Roots().Active.ID(), next)
			}
		})
	}
}

func TestOneRotationAtATime(t *testing.T) {
	p := run(t, options(t, state(t)))
	w := p.register("ratings", "v1")
	ctx, cancel := context.WithCancel(t.Context())
	began, done := make(chan struct{}), make(chan error)
	go func() {
		done <- p.Rotate(ctx, func(string) { close(began) })
	}()
	<-began
	if _, err := p.rotate(bound); err == nil || !strings.Contains(err.Error(), "under way") {
		t.Errorf("%v", err)
	}
	cancel()
	if err := <-done; err == nil {
		t.Errorf("%s has not answered", w.Key())
	}
}

func TestRootsThatAreTold(t *testing.T) {
	p := run(t, options(t, state(t)))
	w := p.register("reviews", "v1")
	for _, bad := range [][]byte{nil, {}, []byte("short"), make([]byte, 1000)} {
		p.rests(w.Key(), bad)
	}
	if got := p.rooted.of(w.Key()); !got.IsZero() {
		t.Errorf("%v", got)
	}
	root := p.ca.Roots().Active.ID()
	s, err := p.Open(t.Context(), &stream.Hello{Workload: w.Key(), Token: w.Token, Root: root[:]})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if p.rooted.of(w.Key()) != root || len(p.onOldRoot(t)) != 0 {
		t.Error("what a hello tells is not noted")
	}
	p.Deregister(w.Key(), w.Token)
	if p.rooted.of(w.Key()) != (identity.RootID{}) {
		t.Error("the root of a workload that is gone is kept")
	}
}
