package kube

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/weft-mesh/weft/identity/ca"
)

// Two replicas: who has not seen the last change overwrites nothing.
func TestStateOfTwo(t *testing.T) {
	s := newServer(secrets())
	c := s.cluster(t)
	a, b := c.Secret("weft-system", "weft-ca"), c.Secret("weft-system", "weft-ca")
	if _, err := a.Load(); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if err := a.Replace([]byte("0")); !errors.Is(err, ca.ErrChanged) {
		t.Fatal(err)
	}
	if err := a.Create([]byte("1")); err != nil {
		t.Fatal(err)
	}
	if err := b.Create([]byte("other")); !errors.Is(err, fs.ErrExist) {
		t.Fatal(err)
	}
	must(t, b, "1")
	if err := a.Replace([]byte("2")); err != nil {
		t.Fatal(err)
	}
	err := b.Replace([]byte("3"))
	if !errors.Is(err, ca.ErrChanged) || !strings.Contains(err.Error(), "Secret weft-system/weft-ca") {
		t.Fatal(err)
	}
	if err := b.Replace([]byte("3")); !errors.Is(err, ca.ErrChanged) {
		t.Fatal("asking twice helps:", err)
	}
	must(t, b, "2")
	if err := b.Replace([]byte("3")); err != nil {
		t.Fatal(err)
	}
	must(t, a, "3")
}

func must(t *testing.T, s *State, want string) {
	t.Helper()
	if got, err := s.Load(); err != nil || string(got) != want {
		t.Fatalf("%q, %v; want %q", got, err, want)
	}
}

// An authority works on it as on a directory.
func TestAuthority(t *testing.T) {
	s := newServer(secrets())
	c, now := s.cluster(t), time.Now()
	config := ca.Config{TrustDomain: "cluster.local"}
	first, err := ca.Open(c.Secret("weft-system", "weft-ca"), config, nil, now)
	if err != nil {
		t.Fatal(err)
	}
	second, err := ca.Open(c.Secret("weft-system", "weft-ca"), config, nil, now)
	if err != nil || string(second.Bundle().Roots[0]) != string(first.Bundle().Roots[0]) {
		t.Fatal("the second replica has a root of its own", err)
	}
	if err := first.Begin(nil, now); err != nil {
		t.Fatal(err)
	}
	if err := second.Begin(nil, now); !errors.Is(err, ca.ErrChanged) {
		t.Fatal(err)
	}
}

// Other keys and labels of the Secret are other people's, and their changes are in nobody's way.
func TestStateBesideOthers(t *testing.T) {
	s := newServer(secrets())
	s.put(`{"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": "weft-system", "name": "weft-ca"}, "data": {"other": "eA=="}}`)
	a := s.cluster(t).Secret("weft-system", "weft-ca")
	if _, err := a.Load(); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if err := a.Create([]byte("1")); err != nil {
		t.Fatal(err)
	}
	s.put(fmt.Sprintf(`{"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": "weft-system", "name": "weft-ca", "labels": {"a": "b"}},
		"data": {"other": "eA==", "authority.json": %q}}`, base64.StdEncoding.EncodeToString([]byte("1"))))
	if err := a.Replace([]byte("2")); err != nil {
		t.Fatal(err)
	}
	must(t, a, "2")
	secret := s.kinds[1].objects["weft-system/weft-ca"]
	if data := secret["data"].(map[string]any); data["other"] != "eA==" {
		t.Error(secret)
	}
}

// An answer that is lost is not the same as a write that was.
func TestLostAnswer(t *testing.T) {
	s := newServer(secrets())
	a := s.cluster(t).Secret("weft-system", "weft-ca")
	if err := a.Create([]byte("1")); err != nil {
		t.Fatal(err)
	}
	s.fail = func(verb, _ string, _ *http.Request) error {
		if verb != "patch" {
			return nil
		}
		s.fail = nil // under the server's lock
		s.write(s.kinds[1], merged(s.kinds[1].objects["weft-system/weft-ca"], map[string]any{"data": map[string]any{stateKey: "Mg=="}}))
		return errors.New("read tcp: connection reset by peer")
	}
	if err := a.Replace([]byte("2")); err != nil {
		t.Fatal(err)
	}
	s.fail = func(verb, _ string, _ *http.Request) error {
		if verb == "patch" {
			return errRefused
		}
		return nil
	}
	if err := a.Replace([]byte("3")); err == nil || errors.Is(err, ca.ErrChanged) {
		t.Fatal(err)
	}
	s.fail = nil
	must(t, a, "2")
	if err := a.Replace([]byte("3")); err != nil {
		t.Fatal(err)
	}
}

func TestBrought(t *testing.T) {
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	for _, c := range []struct{ name, data, key, chain, wrong string }{
		{"nothing", `{}`, "", "", ""},
		{"a root", fmt.Sprintf(`{"tls.key": %q, "tls.crt": %q, "ca.crt": %q}`, b64("K"), b64("C\n"), b64("C\n")), "K", "C\n", ""},
		{"below a root", fmt.Sprintf(`{"tls.key": %q, "tls.crt": %q, "ca.crt": %q}`, b64("K"), b64("C\n"), b64("R\n")), "K", "C\nR\n", ""},
		{"without a key", fmt.Sprintf(`{"tls.crt": %q}`, b64("C")), "", "", "both are needed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newServer(secrets())
			s.put(`{"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": "weft-system", "name": "weft-ca"}, "data": ` + c.data + `}`)
			key, chain, err := s.cluster(t).Secret("weft-system", "weft-ca").Brought()
			if (err != nil) != (c.wrong != "") || err != nil && !strings.Contains(err.Error(), c.wrong) || string(key) != c.key || string(chain) != c.chain {
				t.Errorf("%q, %q, %v", key, chain, err)
			}
		})
	}
	if key, _, err := newServer(secrets()).cluster(t).Secret("a", "b").Brought(); key != nil || err != nil {
		t.Error(key, err)
	}
}
