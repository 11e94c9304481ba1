package ca

import (
	"crypto/x509"
	"errors"
	"io/fs"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
)

func root(t testing.TB) *Root {
	t.Helper()
	r, err := Generate("cluster.local", noon, 1000*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func must(t testing.TB) func(Roots, error) Roots {
	return func(r Roots, err error) Roots {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
}

func TestRotation(t *testing.T) {
	a, b := root(t), root(t)
	steady := NewRoots("cluster.local", a, noon)
	begun := must(t)(steady.Begin(b, noon))
	if begun.Sequence <= steady.Sequence || begun.Active != a || len(begun.Bundle().Roots) != 2 {
		t.Errorf("after begin, two roots in a newer bundle and the old one signs: %+v", begun)
	}
	switched := must(t)(begun.Switch(begun.Sequence, false, time.Hour, noon))
	if switched.Sequence != begun.Sequence || switched.Active != b || switched.Retiring != a || len(switched.Bundle().Roots) != 2 {
		t.Errorf("after switch, the same bundle and the new one signs: %+v", switched)
	}
	if !reflect.DeepEqual(switched.Bundle(), begun.Bundle()) {
		t.Error("one sequence number stands for two bundles")
	}
	retired := must(t)(switched.Retire(true, noon))
	if retired.Sequence <= switched.Sequence || retired.Active != b || len(retired.Bundle().Roots) != 1 || retired.Phase() != Steady {
		t.Errorf("after retire, one root in a newer bundle: %+v", retired)
	}
	if aborted := must(t)(begun.Abort(noon)); aborted.Active != a || aborted.Sequence <= begun.Sequence || len(aborted.Bundle().Roots) != 1 {
		t.Errorf("after abort, the old root in a newer bundle: %+v", aborted)
	}
	if steady.Phase() != Steady || begun.Phase() != Begun || switched.Phase() != Switched {
		t.Error("a step changed the value it began from")
	}
}

func TestRotationRefuses(t *testing.T) {
	a, b := root(t), root(t)
	steady := NewRoots("cluster.local", a, noon)
	begun := must(t)(steady.Begin(b, noon))
	switched := must(t)(begun.Switch(begun.Sequence, false, time.Hour, noon))
	old := must(t)(steady.Begin(authority(t, "old", nil, func(c *x509.Certificate) { c.NotAfter = noon.Add(time.Hour) }), noon))
	other, err := Generate("other", noon, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	step := func(_ Roots, err error) error { return err }
	for _, x := range []struct {
		why  string
		err  error
		is   error
		says string
	}{
		{"the root in use", step(steady.Begin(a, noon)), ErrStep, "in use"},
		{"a root of another trust domain", step(steady.Begin(other, noon)), nil, "trust domain"},
		{"an expired root", step(steady.Begin(b, noon.Add(2000*time.Hour))), ErrRootExpired, "rotate"},
		{"two at a time", step(begun.Begin(root(t), noon)), ErrStep, "next step is switch"},
		{"begin before retire", step(switched.Begin(root(t), noon)), ErrStep, "next step is retire"},
		{"switch without a root", step(steady.Switch(1<<63, true, time.Hour, noon)), ErrStep, "next step is begin"},
		{"switch before all have the bundle", step(begun.Switch(begun.Sequence-1, false, time.Hour, noon)), ErrStep, "acknowledged"},
		{"switch to a root that has expired since", step(old.Switch(old.Sequence, true, time.Hour, noon.Add(2*time.Hour))), ErrRootExpired, "expired"},
		{"retire what signs", step(begun.Retire(true, noon)), ErrStep, "next step is switch"},
		{"retire nothing", step(steady.Retire(true, noon)), ErrStep, "next step is begin"},
		{"retire while certificates may be in use", step(switched.Retire(false, noon.Add(59*time.Minute))), ErrStep, "may be in use"},
		{"abort after the switch", step(switched.Abort(noon)), ErrStep, "next step is retire"},
		{"abort nothing", step(steady.Abort(noon)), ErrStep, "next step is begin"},
	} {
		if x.err == nil || !strings.Contains(x.err.Error(), x.says) || x.is != nil && !errors.Is(x.err, x.is) {
			t.Errorf("%s: %v, want %q", x.why, x.err, x.says)
		}
	}
	must(t)(begun.Switch(0, true, time.Hour, noon))
	must(t)(switched.Retire(false, noon.Add(time.Hour)))
}

func TestSettledNoLaterThanTheOldRoot(t *testing.T) {
	ending := authority(t, "ending", nil, func(c *x509.Certificate) { c.NotAfter = noon.Add(time.Minute) })
	begun := must(t)(NewRoots("cluster.local", ending, noon).Begin(root(t), noon))
	if r := must(t)(begun.Switch(begun.Sequence, false, time.Hour, noon)); !r.Settled.Equal(noon.Add(time.Minute)) {
		t.Errorf("settled at %v", r.Settled)
	}
}

func TestSequenceOutbidsALostState(t *testing.T) {
	lost := must(t)(NewRoots("cluster.local", root(t), noon).Begin(root(t), noon))
	anew := NewRoots("cluster.local", root(t), noon.Add(time.Minute))
	if anew.Sequence <= lost.Sequence {
		t.Errorf("a new authority's bundle %d looks older than bundle %d of the lost one", anew.Sequence, lost.Sequence)
	}
	if back := must(t)(lost.Abort(noon.Add(-time.Hour))); back.Sequence <= lost.Sequence {
		t.Error("a clock that goes back takes the sequence along")
	}
}

// A crash is at one side of a step or the other: the state is opened again at each point of a rotation, and the rotation
// that is resumed from there ends well.
func TestRotationSurvivesCrashAtEachStep(t *testing.T) {
	steps := []struct {
		from Phase
		take func(*CA) error
	}{
		{Steady, func(c *CA) error { return c.Begin(nil, noon) }},
		{Begun, func(c *CA) error { return c.Switch(c.Bundle().Sequence, false, noon) }},
		{Switched, func(c *CA) error { return c.Retire(true, noon) }},
	}
	state := &memory{}
	first := open(t, state, Config{}, noon).Roots().Active.ID()
	for _, s := range steps {
		c := open(t, state, Config{}, noon)
		before := c.Roots()
		if before.Phase() != s.from {
			t.Fatalf("resumed as %s, want %s", before.Phase(), s.from)
		}
		state.broken = errors.New("disk full")
		if err := s.take(c); !errors.Is(err, state.broken) {
			t.Errorf("%s: %v", s.from, err)
		}
		if after := c.Roots(); after != before {
			t.Errorf("%s: a step that was not saved took effect", s.from)
		}
		if again := open(t, state, Config{}, noon).Roots(); again.Sequence != before.Sequence || again.Phase() != s.from {
			t.Errorf("%s: a step that was not saved survived", s.from)
		}
		state.broken = nil
		if err := s.take(c); err != nil {
			t.Errorf("%s: %v", s.from, err)
		}
		again := open(t, state, Config{}, noon).Roots()
		if now := c.Roots(); again.Sequence != now.Sequence || again.Phase() != now.Phase() || again.Active.ID() != now.Active.ID() || !again.Settled.Equal(now.Settled) {
			t.Errorf("%s: saved %+v, have %+v", s.from, again, now)
		}
	}
	if c := open(t, state, Config{}, noon); c.Roots().Phase() != Steady || c.Roots().Active.ID() == first {
		t.Errorf("the rotation ended as %s on root %s", c.Roots().Phase(), c.Roots().Active.ID())
	}
}

func TestRotationWhileIssuing(t *testing.T) {
	c := open(t, &memory{}, Config{}, noon)
	request := csr(t, p256(t), x509.CertificateRequest{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				before := c.Bundle()
				issued, err := c.Issue(request, reviews, noon)
				if err != nil {
					t.Error(err)
					return
				}
				leaf := leafOf(t, issued)
				if verify(leaf, before, noon) != nil && verify(leaf, c.Bundle(), noon) != nil {
					t.Error("issued under a root that is in no bundle")
				}
			}
		})
	}
	for range 3 {
		for _, err := range []error{c.Begin(nil, noon), c.Switch(c.Bundle().Sequence, false, noon), c.Retire(true, noon)} {
			if err != nil {
				t.Error(err)
			}
		}
	}
	wg.Wait()
}

func TestAbort(t *testing.T) {
	state := &memory{}
	c := open(t, state, Config{}, noon)
	signs := c.Roots().Active.ID()
	for _, err := range []error{c.Begin(nil, noon), c.Abort(noon)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	again := open(t, state, Config{}, noon)
	if again.Roots().Phase() != Steady || again.Roots().Active.ID() != signs || again.Bundle().Sequence != c.Bundle().Sequence {
		t.Errorf("%+v", again.Roots())
	}
}

func TestCreateLeavesWhatIsThere(t *testing.T) {
	state := &memory{}
	c := open(t, state, Config{}, noon)
	saved := string(state.data)
	if _, err := Create(state, Config{TrustDomain: "cluster.local"}, root(t), noon); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second authority: %v", err)
	}
	if string(state.data) != saved {
		t.Error("the state was touched")
	}
	if again := open(t, state, Config{}, noon); again.Roots().Active.ID() != c.Roots().Active.ID() {
		t.Error("opened as another authority")
	}
	other, err := Generate("other", noon, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Create(&memory{}, Config{TrustDomain: "cluster.local"}, other, noon); err == nil {
		t.Error("a root of another trust domain")
	}
	if _, err := Load(&memory{}, Config{TrustDomain: "a"}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load of nothing: %v", err)
	}
}
