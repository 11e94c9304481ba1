package install

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/inject"
)

// bundle is a root certificate in the form of a caBundle.
func bundle(t *testing.T, ends time.Time) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"}, NotBefore: ends.Add(-time.Hour), NotAfter: ends, IsCA: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func (f *fake) trust(bundle string) {
	w := f.objects[dialect.Key{Group: "admissionregistration.k8s.io", Kind: "MutatingWebhookConfiguration", Name: injector}]
	hooks, _ := at[[]any](w, "webhooks")
	for _, h := range hooks {
		c, _ := atMap(h, "clientConfig")
		c["caBundle"] = bundle
	}
}

// healthy is a cluster with weft and one meshed pod.
func healthy(t *testing.T) *fake {
	f := newFake(
		object(t, `{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"weft-control","namespace":"weft-system"},
			"spec":{"holderIdentity":"weft-control-1","renewTime":"2026-11-28T11:59:55.000000Z"}}`),
		object(t, `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"shop","labels":{"weft.dev/inject":"enabled"}}}`),
		pod(t, "shop/web", "v1", true),
		pod(t, "other/web", "", false),
	)
	f.served["gateway.networking.k8s.io/GatewayClass"] = []string{"v1", "v1beta1"}
	installed(t, f)
	f.trust(bundle(t, now.AddDate(5, 0, 0)))
	f.try = func(o map[string]any) (map[string]any, error) {
		meta, _ := atMap(o, "metadata")
		meta["annotations"] = map[string]any{inject.Injected: "v1"}
		return o, nil
	}
	return f
}

func pod(t *testing.T, name, injected string, ready bool) map[string]any {
	ns, name, _ := strings.Cut(name, "/")
	annotations := ""
	if injected != "" {
		annotations = fmt.Sprintf(`,"annotations":{%q:%q}`, inject.Injected, injected)
	}
	return object(t, fmt.Sprintf(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":%q,"namespace":%q%s},"spec":{},"status":{"phase":"Running",
		"initContainerStatuses":[{"name":"weft-proxy","started":%v,"ready":%v}]}}`, name, ns, annotations, ready, ready))
}

func check(t *testing.T, f *fake) string {
	t.Helper()
	var b strings.Builder
	for _, r := range Check(t.Context(), f, CheckOptions{Version: "v1", Now: now}) {
		fmt.Fprintf(&b, "%s: %s: %s: %s\n", r.State, r.Part, r.What, r.Detail)
		if r.State == Failed && r.Remedy == "" {
			t.Errorf("%+v has no remedy", r)
		}
	}
	return b.String()
}

func TestCheckHealthy(t *testing.T) {
	got := check(t, healthy(t))
	for line := range strings.Lines(got) {
		if !strings.HasPrefix(line, "ok: ") {
			t.Errorf("%s", line)
		}
	}
	if n := strings.Count(got, "\n"); n != 14 {
		t.Errorf("%d checks:\n%s", n, got)
	}
}

// Each thing that can be wrong is found, and only that.
func TestCheckFinds(t *testing.T) {
	for want, spoil := range map[string]func(f *fake){
		"failed: API server: its version is new enough: v1.29.15":                                  func(f *fake) { f.version = "v1.29.15" },
		"failed: API server: its clock and this one agree: they are 1m":                            func(f *fake) { f.ahead = time.Minute + 3*time.Second },
		"failed: control plane: every replica is available: weft-control: 0 of 1 replicas are new": func(f *fake) { f.runs(0) },
		"failed: control plane: every replica is available: weft-control: 0 of 0 replicas are available: pods go on": func(f *fake) {
			f.runs(0)
			d := f.objects[dialect.Key{Group: "apps", Kind: "Deployment", Namespace: DefaultNamespace, Name: control}]
			d["spec"].(map[string]any)["replicas"] = int64(0)
		},
		"warning: control plane: the Gateway API's CustomResourceDefinitions are there": func(f *fake) { f.served = map[string][]string{} },
		"warning: control plane: no other mesh injects: the webhooks of istio are there": func(f *fake) {
			f.put(object(t, `{"apiVersion":"admissionregistration.k8s.io/v1","kind":"MutatingWebhookConfiguration","metadata":{"name":"istio-sidecar-injector"}}`))
		},
		"failed: control plane: a replica leads": func(f *fake) {
			delete(f.objects, dialect.Key{Group: "coordination.k8s.io", Kind: "Lease", Namespace: DefaultNamespace, Name: control})
		},
		"failed: control plane: a replica leads: nobody has": func(f *fake) {
			f.put(object(t, `{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"weft-control","namespace":"weft-system"},
				"spec":{"holderIdentity":"weft-control-1","renewTime":"2026-11-28T11:50:00.000000Z"}}`))
		},
		"failed: injection: the API server trusts the webhook: webhook namespace.inject.weft.dev has no caBundle": func(f *fake) { f.trust("") },
		"failed: injection: the root certificates are valid for long enough: the last ended":                      func(f *fake) { f.trust(bundle(t, now.Add(-time.Hour))) },
		"warning: injection: the root certificates are valid for long enough: the last ends":                      func(f *fake) { f.trust(bundle(t, now.Add(24*time.Hour))) },
		"failed: injection: the root certificates are valid for long enough: the webhook's caBundle holds no":     func(f *fake) { f.trust("bm9uZQ==") },
		"failed: injection: a pod that asks for the mesh gets its proxy: timeout": func(f *fake) {
			f.try = func(map[string]any) (map[string]any, error) { return nil, errors.New("timeout") }
		},
		"failed: injection: a pod that asks for the mesh gets its proxy: it does not": func(f *fake) { f.try = nil },
		"failed: proxies: they are ready: not shop/api":                               func(f *fake) { f.put(pod(t, "shop/api", "v1", false)) },
		"warning: proxies: they are of this version: not shop/api (v0)":               func(f *fake) { f.put(pod(t, "shop/api", "v0", true)) },
		"warning: proxies: every pod that is to have one has one: not shop/api":       func(f *fake) { f.put(pod(t, "shop/api", "", false)) },
	} {
		f := healthy(t)
		spoil(f)
		got, bad := check(t, f), 0
		for line := range strings.Lines(got) {
			if !strings.HasPrefix(line, "ok: ") {
				bad++
			}
		}
		if !strings.Contains(got, want) || bad != 1 {
			t.Errorf("want only %s:\n%s", want, got)
		}
	}
}

// What may not be read is a failure too, of that alone.
func TestCheckForbidden(t *testing.T) {
	for want, kind := range map[string]string{
		"failed: control plane: its Deployment can be read: Deployment may not be read":                         "Deployment",
		"failed: nodes: weft-node is available on every node: ConfigMap may not be read":                        "ConfigMap",
		"failed: control plane: a replica leads: Lease may not be read":                                         "Lease",
		"warning: injection: your own authority in the Secret can sign: Secret may not be read":                 "Secret",
		"failed: injection: the API server trusts the webhook: MutatingWebhookConfiguration may not be read":    "MutatingWebhookConfiguration",
		"failed: proxies: pods can be read: Pod may not be read":                                                "Pod",
		"failed: proxies: pods can be read: Namespace may not be read":                                          "Namespace",
		"failed: before installing: whoever installs may: the API server does not say what may be done with it": "",
	} {
		f := healthy(t)
		if f.forbidden = kind; kind == "" {
			f = newFake()
			f.mute = true
		}
		if got := check(t, f); !strings.Contains(got, want) {
			t.Errorf("want %s:\n%s", want, got)
		}
	}
}

// Of pods without a proxy, those are named that would get one if they were made now: by other meshes' words too, where these are adopted
// and nobody else injects by them.
func TestCheckAdopted(t *testing.T) {
	const missing = "warning: proxies: every pod that is to have one has one: not "
	for _, x := range []struct{ name, namespace, settings, webhook, want string }{
		{"not adopted", `"labels":{"istio-injection":"enabled"}`, "", "", ""},
		{"Istio's", `"labels":{"istio-injection":"enabled"}`, "inject.adopt=true", "", missing + "old/web"},
		{"Istio is still there", `"labels":{"istio-injection":"enabled"}`, "inject.adopt=true", "istio-sidecar-injector", ""},
		{"Linkerd's", `"annotations":{"linkerd.io/inject":"enabled"}`, "inject.adopt=true", "", missing + "old/web"},
		{"weft's", `"labels":{"weft.dev/inject":"enabled"}`, "", "istio-sidecar-injector", missing + "old/web"},
	} {
		f := healthy(t)
		if x.settings != "" {
			installed(t, f, x.settings)
			f.trust(bundle(t, now.AddDate(5, 0, 0)))
		}
		f.put(object(t, `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"old",`+x.namespace+`}}`))
		f.put(pod(t, "old/web", "", false))
		if x.webhook != "" {
			f.put(object(t, `{"apiVersion":"admissionregistration.k8s.io/v1","kind":"MutatingWebhookConfiguration","metadata":{"name":"`+x.webhook+`"}}`))
		}
		if got := check(t, f); x.want == "" && strings.Contains(got, missing) || !strings.Contains(got, x.want+"\n") {
			t.Errorf("%s: want %q:\n%s", x.name, x.want, got)
		}
	}
}

// authorityOf is the Secret of an authority, in the form of cert-manager's, that may sign from a year before an end.
func authorityOf(t *testing.T, ends time.Time, trustDomain string) map[string]any {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "brought"}, NotBefore: ends.AddDate(-1, 0, 0), NotAfter: ends, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, URIs: []*url.URL{{Scheme: "spiffe", Host: trustDomain}}}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	own, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	in := func(kind string, der []byte) string {
		return base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return object(t, fmt.Sprintf(`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"weft-ca","namespace":"weft-system"},"data":{"authority.json":%q,"tls.crt":%q,"tls.key":%q}}`,
		base64.StdEncoding.EncodeToString([]byte(`{"trustDomain":"cluster.local"}`)),
		in("CERTIFICATE", der), in("PRIVATE KEY", own)))
}

// An authority that somebody brings is looked at before its end is everybody's, and one that the mesh makes is its own affair.
func TestCheckAuthority(t *testing.T) {
	const what = ": injection: your own authority in the Secret can sign: "
	without := func(name string) map[string]any {
		o := authorityOf(t, now.AddDate(0, 6, 0), "cluster.local")
		data, _ := atMap(o, "data")
		delete(data, name)
		return o
	}
	own := without("tls.crt")
	data, _ := atMap(own, "data")
	delete(data, "tls.key")
	odd := without("tls.crt")
	data, _ = atMap(odd, "data")
	data["tls.crt"] = "?"
	for _, x := range []struct {
		name   string
		secret map[string]any
		want   string
	}{
		{"it is the mesh's own", own, ""},
		{"it is good", authorityOf(t, now.AddDate(0, 6, 0), "cluster.local"), "ok" + what + "until 2027-05-28"},
		{"it ends soon", authorityOf(t, now.Add(24*time.Hour), "cluster.local"), "warning" + what + "until 2026-11-29T12:00:00Z alone"},
		{"it has ended", authorityOf(t, now.Add(-time.Hour), "cluster.local"), "failed" + what + "it cannot: ca: certificates of"},
		{"it is another mesh's", authorityOf(t, now.AddDate(0, 6, 0), "other.example"), `failed: injection: all say the same trust domain: of Secret weft-ca, ` +
			`its authority.json says trust domain "cluster.local", and its certificate says "other.example"`},
		{"its key is missing", without("tls.key"), "failed" + what + "it cannot: has one of"},
		{"it is no base64", odd, "failed" + what + "tls.crt: "},
	} {
		f := healthy(t)
		f.put(x.secret)
		if got := check(t, f); x.want == "" && strings.Contains(got, what) || !strings.Contains(got, x.want) {
			t.Errorf("%s: want %q:\n%s", x.name, x.want, got)
		}
	}
}

// With the CNI plugin, every node is to have it.
func TestCheckNodes(t *testing.T) {
	set := dialect.Key{Group: "apps", Kind: "DaemonSet", Namespace: DefaultNamespace, Name: daemon}
	for want, available := range map[string]int64{
		"ok: nodes: weft-node is available on every node: weft-node: available on 3 of 3 nodes":     3,
		"failed: nodes: weft-node is available on every node: weft-node: available on 2 of 3 nodes": 2,
		"failed: nodes: weft-node is available on every node: reading DaemonSet":                    0,
	} {
		f := healthy(t)
		installed(t, f, "inject.cni=true")
		f.trust(bundle(t, now.AddDate(5, 0, 0)))
		if f.objects[set]["status"] = map[string]any{"desiredNumberScheduled": int64(3), "updatedNumberScheduled": int64(3), "numberAvailable": available}; available == 0 {
			delete(f.objects, set)
		}
		if got := check(t, f); !strings.Contains(got, want) {
			t.Errorf("want %s:\n%s", want, got)
		}
	}
}

func TestCheckBefore(t *testing.T) {
	f := newFake()
	got := check(t, f)
	if !strings.Contains(got, "warning: before installing: the Gateway API's CustomResourceDefinitions are there") || !strings.Contains(got, "ok: before installing: whoever installs may") ||
		strings.Contains(got, "failed") {
		t.Error(got)
	}
	f.denied["clusterroles"] = true
	if got := check(t, f); !strings.Contains(got, "failed: before installing: whoever installs may: you may not create clusterroles.rbac.authorization.k8s.io") {
		t.Error(got)
	}
}

// The chart's trust domain and the Secret's are the same, or one of them says none.
func TestCheckTrustDomain(t *testing.T) {
	const what = ": injection: all say the same trust domain: "
	for settings, want := range map[string]string{
		"":                          "ok" + what + "shop.example",
		"trustDomain=shop.example":  "ok" + what + "shop.example",
		"trustDomain=other.example": "failed" + what + `of Secret weft-ca, its authority.json says trust domain "shop.example", and the chart's value trustDomain says "other.example"`,
	} {
		f := healthy(t)
		installed(t, f, settings)
		f.trust(bundle(t, now.AddDate(5, 0, 0)))
		f.put(object(t, fmt.Sprintf(`{"apiVersion":"v1","kind":"Secret","metadata":{"name":"weft-ca","namespace":"weft-system"},"data":{"authority.json":%q}}`,
			base64.StdEncoding.EncodeToString([]byte(`{"trustDomain":"shop.example"}`)))))
		if got := check(t, f); !strings.Contains(got, want+"\n") {
			t.Errorf("%s: want %s:\n%s", settings, want, got)
		}
	}
}
