package kube

import (
	"encoding/base64"
	"encoding/pem"
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
			a, err := s.cluster(t).Secret("weft-system", "weft-ca").Authority()
			if err != nil {
				t.Fatal(err)
			}
			there, err := a.Brought()
			if (err != nil) != (c.wrong != "") || err != nil && !strings.Contains(err.Error(), c.wrong) || there != (c.key != "") || there && (string(a.Key) != c.key || string(a.Chain) != c.chain) {
				t.Errorf("%v, %q, %q, %v", there, a.Key, a.Chain, err)
			}
		})
	}
	a, err := newServer(secrets()).cluster(t).Secret("a", "b").Authority()
	if there, wrong := a.Brought(); there || wrong != nil || err != nil {
		t.Error(there, wrong, err)
	}
}

// A Secret says the trust domain by what the mesh keeps there, by a note or a key, or by a certificate: never two, and never another than the chart.
func TestTrustDomainOfSecret(t *testing.T) {
	root, err := ca.Generate("shop.example", time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	chain := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.NewRoots("shop.example", root, time.Now()).Bundle().Roots[0]})
	state := []byte(`{"trustDomain": "shop.example"}`)
	note := func(domain string) map[string]string { return map[string]string{"weft.dev/trust-domain": domain} }
	for _, x := range []struct {
		name        string
		annotations map[string]string
		data        map[string][]byte
		chart       string
		want        string
	}{
		{"nothing", nil, nil, "", "cluster.local"},
		{"the chart alone", nil, nil, "shop.example", "shop.example"},
		{"the state", nil, map[string][]byte{"authority.json": state}, "", "shop.example"},
		{"a note", note("shop.example"), nil, "", "shop.example"},
		{"a key, with its line's end", nil, map[string][]byte{"trust-domain": []byte("shop.example\n")}, "", "shop.example"},
		{"a certificate", nil, map[string][]byte{"tls.crt": chain}, "", "shop.example"},
		{"a certificate above it", nil, map[string][]byte{"tls.crt": []byte("C"), "ca.crt": chain}, "", "shop.example"},
		{"all", note("shop.example"), map[string][]byte{"authority.json": state, "tls.crt": chain, "trust-domain": []byte("shop.example")}, "shop.example", "shop.example"},
		{"the state and the chart", nil, map[string][]byte{"authority.json": state}, "b.example", `its authority.json says trust domain "shop.example", and the chart's value trustDomain says "b.example"`},
		{"the chart's own default is a word too", nil, map[string][]byte{"tls.crt": chain}, "cluster.local", `its certificate says trust domain "shop.example", and the chart's value trustDomain says "cluster.local"`},
		{"a note and a key", note("a.example"), map[string][]byte{"trust-domain": []byte("b.example")}, "", `its annotation weft.dev/trust-domain says trust domain "a.example", and its key trust-domain says "b.example"`},
	} {
		if got, err := AuthorityIn(x.annotations, x.data).TrustDomain(x.chart); got != x.want && (err == nil || err.Error() != x.want) {
			t.Errorf("%s: %q, %v, want %s", x.name, got, err, x.want)
		}
	}
	s := newServer(secrets())
	s.put(`{"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": "weft-system", "name": "weft-ca", "annotations": {"weft.dev/trust-domain": "shop.example"}}}`)
	a, err := s.cluster(t).Secret("weft-system", "weft-ca").Authority()
	if got, wrong := a.TrustDomain(""); got != "shop.example" || wrong != nil || err != nil {
		t.Errorf("%q, %v, %v", got, wrong, err)
	}
}
