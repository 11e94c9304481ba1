package ca

import (
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weft-mesh/weft/identity/cert"
)

// clock is a time that the test sets.
type clock struct{ now time.Time }

func (c *clock) time() time.Time { return c.now }

var controlNames = []string{"weft-control.weft-system.svc", "weft-control"}

func serving(t *testing.T, a *CA, c *clock) *Server {
	t.Helper()
	s, err := a.Serving(controlNames, c.time)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func leafNow(t *testing.T, s *Server) *x509.Certificate {
	t.Helper()
	got, err := s.GetCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	return got.Leaf
}

// named verifies a certificate as a proxy does the control plane's.
func named(leaf *x509.Certificate, name string, b Bundle, at time.Time) error {
	opts := x509.VerifyOptions{DNSName: name, Roots: x509.NewCertPool(), CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	for _, der := range b.Roots {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		opts.Roots.AddCert(c)
	}
	_, err := leaf.Verify(opts)
	return err
}

func TestServerCertificate(t *testing.T) {
	a := open(t, &memory{}, Config{}, noon)
	leaf := leafNow(t, serving(t, a, &clock{noon}))
	if !slices.Equal(leaf.DNSNames, controlNames) || len(leaf.URIs)+len(leaf.IPAddresses) > 0 || leaf.IsCA ||
		!slices.Equal(leaf.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}) || !leaf.NotAfter.Equal(noon.Add(24*time.Hour)) {
		t.Errorf("%+v", leaf)
	}
	for _, name := range controlNames {
		if err := named(leaf, name, a.Bundle(), noon); err != nil {
			t.Error(err)
		}
	}
	if named(leaf, "weft-control.other.svc", a.Bundle(), noon) == nil || named(leaf, controlNames[0], a.Bundle(), noon.Add(25*time.Hour)) == nil {
		t.Error("it is good for another name, or for ever")
	}
	if _, err := a.Serving(nil, time.Now); err == nil {
		t.Error("a certificate for no name")
	}
}

// What the control plane serves with is no workload's identity, and a workload's is not the control plane's.
func TestServerAndWorkloadAreNotMistaken(t *testing.T) {
	a := open(t, &memory{}, Config{}, noon)
	pair, err := serving(t, a, &clock{noon}).Certificate()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cert.ParseIdentity(pair.Certificate, p256(t)); !errors.Is(err, cert.ErrNotSVID) {
		t.Errorf("%v", err)
	}
	k := p256(t)
	got, err := a.Issue(csr(t, k, x509.CertificateRequest{}), reviews, noon)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{controlNames[0], reviews.Workload, "reviews"} {
		if named(leafOf(t, got), name, a.Bundle(), noon) == nil {
			t.Errorf("a workload's certificate passes for the server %s", name)
		}
	}
	_, err = a.Issue(csr(t, k, x509.CertificateRequest{DNSNames: controlNames}), reviews, noon)
	if !errors.Is(err, ErrRefused) {
		t.Errorf("%v", err)
	}
}

func TestServerCertificateIsRenewed(t *testing.T) {
	c := &clock{noon}
	s := serving(t, open(t, &memory{}, Config{}, noon), c)
	first := leafNow(t, s)
	c.now = noon.Add(11 * time.Hour)
	if leafNow(t, s) != first {
		t.Error("it is renewed before half of its life")
	}
	c.now = noon.Add(13 * time.Hour)
	if next := leafNow(t, s); !next.NotAfter.Equal(c.now.Add(24*time.Hour)) || !s.Until().Equal(next.NotAfter) {
		t.Errorf("until %v, want %v", next.NotAfter, c.now.Add(24*time.Hour))
	}
}

// Those who check it know the roots from files, which come late: it rests on the root that they have had for longest.
func TestServerCertificateInARotation(t *testing.T) {
	c := &clock{noon}
	a := open(t, &memory{}, Config{}, noon)
	s := serving(t, a, c)
	old := a.Bundle()
	steps := []func() error{
		func() error { return a.Begin(nil, c.now) },
		func() error { return a.Switch(a.Bundle().Sequence, false, c.now) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			t.Fatal(err)
		}
		c.now = c.now.Add(13 * time.Hour) // it is renewed
		if err := named(leafNow(t, s), controlNames[0], old, c.now); err != nil {
			t.Errorf("%v: by the roots of before: %v", a.Roots().Phase(), err)
		}
	}
	both := a.Bundle()
	if err := a.Retire(true, c.now); err != nil {
		t.Fatal(err)
	}
	leaf := leafNow(t, s)
	if err := errors.Join(named(leaf, controlNames[0], both, c.now), named(leaf, controlNames[0], a.Bundle(), c.now)); err != nil {
		t.Error(err)
	}
	if named(leaf, controlNames[0], old, c.now) == nil {
		t.Error("it rests on a root that is retired")
	}
}

// A root that has expired does not take down what was served before.
func TestServerCertificateOfAnExpiredRoot(t *testing.T) {
	c := &clock{noon}
	a := open(t, &memory{}, Config{RootLifetime: 30 * time.Hour}, noon)
	s := serving(t, a, c)
	c.now = noon.Add(20 * time.Hour)
	if leaf := leafNow(t, s); !leaf.NotAfter.Equal(noon.Add(30 * time.Hour)) {
		t.Errorf("until %v: it outlives its root", leaf.NotAfter)
	}
	c.now = noon.Add(30*time.Hour - time.Millisecond)
	leafNow(t, s)
	c.now = noon.Add(31 * time.Hour)
	if _, err := s.Certificate(); !errors.Is(err, ErrRootExpired) {
		t.Errorf("%v", err)
	}
}

// shared is a state that another replica changes.
type shared struct {
	memory
	stale bool
}

func (s *shared) Replace(data []byte) error {
	if s.stale {
		return ErrChanged
	}
	return s.memory.Replace(data)
}

func TestReload(t *testing.T) {
	m := &shared{}
	one, two := open(t, m, Config{}, noon), open(t, m, Config{}, noon)
	if changed, err := two.Reload(); changed || err != nil {
		t.Errorf("%v, %v", changed, err)
	}
	for _, step := range []func() error{
		func() error { return one.Begin(nil, noon) },
		func() error { return one.Switch(one.Bundle().Sequence, false, noon) },
		func() error { return one.Retire(true, noon) },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
		changed, err := two.Reload()
		if !changed || err != nil || !two.Roots().equal(one.Roots()) {
			t.Errorf("%v, %v: %v, want %v", changed, err, two.Roots().Phase(), one.Roots().Phase())
		}
	}
	m.stale = true
	if err := two.Begin(nil, noon); !errors.Is(err, ErrChanged) || two.Roots().Phase() != Steady {
		t.Errorf("%v, %v", err, two.Roots().Phase())
	}
	was := m.data
	m.data = []byte("{")
	if changed, err := two.Reload(); changed || !errors.Is(err, ErrDamaged) || !two.Roots().equal(one.Roots()) {
		t.Errorf("%v, %v", changed, err)
	}
	m.data = was
}

// racing is a state that another replica creates between its Load and its Create.
type racing struct {
	memory
	other []byte
}

func (r *racing) Create(data []byte) error {
	r.data = r.other
	return r.memory.Create(data)
}

func TestReplicasBeginTheSameAuthority(t *testing.T) {
	m := &memory{}
	first := open(t, m, Config{}, noon)
	second := open(t, &racing{other: m.data}, Config{}, noon)
	if a, b := first.Roots().Active.ID(), second.Roots().Active.ID(); a != b {
		t.Errorf("roots %v and %v", a, b)
	}
}

func TestOpenWithARoot(t *testing.T) {
	brought := authority(t, "brought", nil, nil)
	a, err := Open(&memory{}, Config{TrustDomain: "cluster.local"}, brought, noon)
	if err != nil || !a.Roots().Active.Equal(brought) {
		t.Fatalf("%v", err)
	}
}

func TestReissue(t *testing.T) {
	top := authority(t, "top", nil, nil)
	one, two := authority(t, "one", top, nil), authority(t, "two", top, nil)
	m := &memory{}
	a, err := Open(m, Config{TrustDomain: "cluster.local"}, one, noon)
	if err != nil {
		t.Fatal(err)
	}
	before := a.Bundle()
	if err := a.Reissue(two, noon); err != nil {
		t.Fatal(err)
	}
	if r := a.Roots(); !r.Active.Equal(two) || r.Active.Equal(one) || r.Sequence != before.Sequence {
		t.Errorf("%v, sequence %d, was %d: the anchor is the same", r.Active.Name(), r.Sequence, before.Sequence)
	}
	got, err := a.Issue(csr(t, p256(t), x509.CertificateRequest{}), reviews, noon)
	if err != nil || got.Root != top.ID() || !strings.Contains(leafOf(t, got).Issuer.String(), "two") {
		t.Errorf("%+v, %v", got.Root, err)
	}
	if err := a.Reissue(authority(t, "other", nil, nil), noon); !errors.Is(err, ErrStep) {
		t.Errorf("%v", err)
	}
	if err := a.Reissue(one, noon.Add(200*365*24*time.Hour)); !errors.Is(err, ErrRootExpired) {
		t.Errorf("%v", err)
	}
}
