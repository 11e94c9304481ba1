package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weft-mesh/weft/control"
	"github.com/weft-mesh/weft/control/lastgood"
	"github.com/weft-mesh/weft/identity/ca"
	"github.com/weft-mesh/weft/inject"
	"github.com/weft-mesh/weft/install"
	"github.com/weft-mesh/weft/internal/meshtest"
	"github.com/weft-mesh/weft/source"
	"github.com/weft-mesh/weft/source/kube"
	"github.com/weft-mesh/weft/stream"
	"github.com/weft-mesh/weft/stream/server"
)

func TestFlags(t *testing.T) {
	t.Setenv("POD_NAME", "weft-control-abc")
	t.Setenv("POD_NAMESPACE", "mesh")
	f, err := parse([]string{"--trust-domain=shop.example"})
	if err != nil || f.pod != "weft-control-abc" || f.namespace != "mesh" || f.trustDomain != "shop.example" {
		t.Errorf("%+v, %v", f, err)
	}
	if want := []string{"weft-control.mesh.svc", "weft-control.mesh", "weft-control.mesh.svc.cluster.local", "weft-control"}; !slices.Equal(f.names(), want) {
		t.Errorf("%q, want %q", f.names(), want)
	}
	for _, args := range [][]string{{"--none"}, {"up"}, {"--cert-lifetime=long"}} {
		if _, err := parse(args); err == nil {
			t.Errorf("%q is taken", args)
		}
	}
}

// late is a source that gives all it has when it is told to.
type late chan struct{}

func (l late) Run(ctx context.Context, emit func(source.Event)) error {
	select {
	case <-l:
		emit(source.Event{Source: "test", Synced: true})
		<-ctx.Done()
	case <-ctx.Done():
	}
	return nil
}

// start runs a replica without a cluster, which knows one token.
func start(t *testing.T, sources ...source.Source) *replica {
	t.Helper()
	f, err := parse([]string{"--token", filepath.Join(t.TempDir(), "token")})
	if err != nil {
		t.Fatal(err)
	}
	r := &replica{flags: f, log: slog.New(slog.DiscardHandler)}
	cl := &control.Cluster{CA: ca.Dir(filepath.Join(t.TempDir(), "ca")), Brought: func() (*ca.Root, error) { return nil, nil }, Ask: r.ask, Good: meshtest.Empty{},
		Expired:   func() (time.Time, error) { return time.Time{}, nil },
		Namespace: "weft-system", Account: "weft-control",
		Attest: func(_ context.Context, token string) (control.Proof, error) {
			if token != "mine" {
				return control.Proof{}, control.ErrToken
			}
			return control.Proof{Namespace: "weft-system", Account: "weft-control", Pod: "a", PodUID: "u"}, nil
		}}
	if r.control, err = control.New(control.Options{Cluster: cl, Sources: sources, Log: r.log}); err != nil {
		t.Fatal(err)
	}
	if r.certificate, err = r.control.CA().Serving(f.names(), time.Now); err != nil {
		t.Fatal(err)
	}
	goes(t, func(ctx context.Context) error { return r.control.Run(ctx) })
	return r
}

// goes runs f until the test ends.
func goes(t *testing.T, f func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := f(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); running.Wait() })
}

func loopback(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestHealth(t *testing.T) {
	begin := make(late)
	r := start(t, begin)
	l := loopback(t)
	asked, stop := context.WithCancel(t.Context())
	defer stop()
	goes(t, func(ctx context.Context) error { return r.serveHealth(ctx, l, asked) })
	url := "http://" + l.Addr().String()
	if code, _ := get(t, url+"/healthz"); code != 200 {
		t.Errorf("it lives: %d", code)
	}
	if code, text := get(t, url+"/readyz"); code != 503 || !strings.Contains(text, "being read") {
		t.Errorf("%d %q", code, text)
	}
	close(begin)
	<-r.control.Synced()
	if code, _ := get(t, url+"/readyz"); code != 200 {
		t.Errorf("it is ready: %d", code)
	}
	if _, text := get(t, url+"/metrics"); !strings.Contains(text, "weft_control_proxies 0\n") || !strings.Contains(text, "weft_control_certificate_expiry_seconds 1") {
		t.Errorf("%s", text)
	}
	stop()
	if code, text := get(t, url+"/readyz"); code != 503 || !strings.Contains(text, "leaves") {
		t.Errorf("%d %q", code, text)
	}
}

// A replica asks another one, which knows it by its token, and which it knows by its certificate.
func TestReplicasAsk(t *testing.T) {
	begin := make(late)
	close(begin)
	r := start(t, begin)
	<-r.control.Synced()
	l := loopback(t)
	goes(t, func(ctx context.Context) error {
		return server.Serve(ctx, l, r.control, server.Options{Certificate: r.certificate.GetCertificate})
	})
	r.streams = l.Addr().String()
	for token, says := range map[string]string{"mine": "", "another's": "token refused"} {
		if err := os.WriteFile(r.token, []byte(token), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := r.ask(t.Context(), netip.MustParseAddr("127.0.0.1"), &stream.StandingRequest{})
		if (err == nil) != (says == "") || !strings.Contains(fmt.Sprint(err), says) {
			t.Errorf("%q: %v, want %q", token, err, says)
		}
	}
}

func TestExpiredRoots(t *testing.T) {
	secret := func(text string) map[string]any {
		return map[string]any{"metadata": map[string]any{"annotations": map[string]any{rootsExpired: text}}}
	}
	if got, err := expiredOf(secret("2026-01-02T03:04:05Z")); err != nil || !got.Equal(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)) {
		t.Errorf("%v, %v", got, err)
	}
	for _, o := range []map[string]any{nil, {}, secret("")} {
		if got, err := expiredOf(o); err != nil || !got.IsZero() {
			t.Errorf("%v: %v, %v", o, got, err)
		}
	}
	if _, err := expiredOf(secret("now")); err == nil || !strings.Contains(err.Error(), rootsExpired) {
		t.Errorf("%v", err)
	}
}

// A control plane begins in the trust domain that its Secret and the chart say, and then stays in it: it starts also where another authority was brought
// meanwhile, and does not follow that.
func TestTrustDomain(t *testing.T) {
	now := time.Now()
	state := map[string][]byte{"authority.json": []byte(`{"trustDomain": "shop.example"}`)}
	for _, x := range []struct {
		chart      string
		a          kube.Authority
		want, says string
	}{
		{"", kube.Authority{}, "cluster.local", ""},
		{"", kube.AuthorityIn(nil, broughtData(t, "shop.example", now)), "shop.example", ""},
		{"b.example", kube.AuthorityIn(nil, broughtData(t, "shop.example", now)), "", "b.example"},
		{"", kube.AuthorityIn(nil, state), "shop.example", ""},
		{"b.example", kube.AuthorityIn(nil, state), "", "delete the Secret"},
		{"", both(kube.AuthorityIn(nil, broughtData(t, "b.example", now)), state), "shop.example", ""},
	} {
		got, err := trustDomainOf(x.chart, x.a)
		if got != x.want || (err != nil) != (x.says != "") || err != nil && !strings.Contains(err.Error(), x.says) {
			t.Errorf("chart %q, %v: %q, %v, want %q", x.chart, x.a.Domains, got, err, x.want)
		}
	}
	if root, err := broughtIn(kube.AuthorityIn(nil, state), "shop.example", now); root != nil || err != nil {
		t.Errorf("nobody has brought any: %v, %v", root, err)
	}
	if root, err := broughtIn(both(kube.AuthorityIn(nil, broughtData(t, "shop.example", now)), state), "shop.example", now); root == nil || err != nil {
		t.Errorf("one of the same trust domain: %v, %v", root, err)
	}
	note := kube.AuthorityIn(map[string]string{"weft.dev/trust-domain": "b.example"}, nil)
	noted := both(note, state)
	for name, a := range map[string]kube.Authority{"a note that came after the start, where nothing is kept": note, "a certificate": both(kube.AuthorityIn(nil, broughtData(t, "b.example", now)), state), "a note": noted} {
		root, err := broughtIn(a, "shop.example", now)
		if root != nil || err == nil || !strings.Contains(err.Error(), "shop.example") || !strings.Contains(err.Error(), "b.example") || !strings.Contains(err.Error(), "delete the Secret") {
			t.Errorf("%s of another trust domain: %v, %v", name, root, err)
		}
	}
}

// both is an authority that was brought into a Secret that has a state.
func both(a kube.Authority, state map[string][]byte) kube.Authority {
	a.Kept = kube.AuthorityIn(nil, state).Kept
	return a
}

// broughtData is what a Secret of cert-manager's has.
func broughtData(t *testing.T, trustDomain string, now time.Time) map[string][]byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, URIs: []*url.URL{{Scheme: "spiffe", Host: trustDomain}}}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	own, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{"tls.crt": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), "tls.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: own})}
}

const injection = `{version: v1, image: weft:v1, control: "weft-control.weft-system.svc:15012", namespace: weft-system, trustDomain: cluster.local}`

func TestInjectionIsReadAnew(t *testing.T) {
	r := &replica{flags: &flags{inject: filepath.Join(t.TempDir(), "inject.yaml")}, log: slog.New(slog.DiscardHandler)}
	if _, err := r.readInjection(); err == nil {
		t.Error("no file, and no error")
	}
	r.trustDomain = "shop.example" // as the authority has it, whatever the chart says now
	var read func() inject.Options
	for _, x := range []struct{ text, image string }{
		{injection, "weft:v1"}, {strings.ReplaceAll(injection, "weft:v1", "weft:v2"), "weft:v2"}, {"{", "weft:v1"}, {injection, "weft:v1"},
	} {
		if err := os.WriteFile(r.inject, []byte(x.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if read == nil {
			var err error
			if read, err = r.readInjection(); err != nil {
				t.Fatal(err)
			}
		}
		if got := read(); got.Image != x.image || got.TrustDomain != "shop.example" {
			t.Errorf("%s: image %q, want %q; trust domain %q", x.text, got.Image, x.image, got.TrustDomain)
		}
	}
}

// The API server is answered over HTTPS, by the certificate that the webhook's caBundle believes.
func TestWebhook(t *testing.T) {
	begin := make(late)
	close(begin)
	r := start(t, begin)
	r.inject = filepath.Join(t.TempDir(), "inject.yaml")
	if err := os.WriteFile(r.inject, []byte(injection), 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	if r.injection, err = r.readInjection(); err != nil {
		t.Fatal(err)
	}
	l := loopback(t)
	goes(t, func(ctx context.Context) error { return r.serveWebhook(ctx, l) })
	published, err := r.control.RootsPEM()
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(published)
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "weft-control.weft-system.svc"}}}
	defer c.CloseIdleConnections()
	resp, err := c.Post("https://"+l.Addr().String()+inject.Path, "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("%d to a review that is none", resp.StatusCode)
	}
}

// The chart lets the control plane read and write the last good versions where they are kept, and no other Secret by that.
func TestRoleForGood(t *testing.T) {
	objects, err := install.Render(install.Options{Version: "v1"})
	if err != nil {
		t.Fatal(err)
	}
	var names []any
	for _, o := range objects {
		if o.Key.Kind != "Role" || o.Key.Name != "weft-control" {
			continue
		}
		rules, _ := o.Tree["rules"].([]any)
		for _, r := range rules {
			r, _ := r.(map[string]any)
			if list, _ := r["resourceNames"].([]any); len(list) > 0 && strings.HasPrefix(list[0].(string), "weft-good-") {
				names = list
				if !reflect.DeepEqual(r["verbs"], []any{"get", "create", "patch"}) || !reflect.DeepEqual(r["resources"], []any{"secrets"}) {
					t.Error(r)
				}
			}
		}
	}
	var want []any
	for _, name := range lastgood.Names() {
		want = append(want, name)
	}
	if !reflect.DeepEqual(names, want) {
		t.Errorf("%v, want %v", names, want)
	}
}
