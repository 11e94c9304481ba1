package kube

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/identity/ca"
	"github.com/weft-mesh/weft/source"
)

// realCluster is a real cluster, whose kubeconfig WEFT_KUBECONFIG names, and a namespace of the test's own; the other tests have a server that says
// what this package's author took a real one to say.
func realCluster(t *testing.T) (c *Cluster, namespace string) {
	t.Helper()
	if os.Getenv("WEFT_KUBECONFIG") == "" {
		t.Skip("WEFT_KUBECONFIG names no cluster: make cluster starts one")
	}
	c, err := Open(Options{Kubeconfig: os.Getenv("WEFT_KUBECONFIG")})
	if err != nil {
		t.Fatal(err)
	}
	namespace = fmt.Sprint("kube-", time.Now().UnixNano())
	apply(t, c, tree("v1", "Namespace", "", namespace))
	t.Cleanup(func() {
		if err := c.Delete(context.Background(), dialect.Key{Kind: "Namespace", Name: namespace}); err != nil {
			t.Error(err)
		}
	})
	return c, namespace
}

func tree(version, kind, namespace, name string) map[string]any {
	meta := map[string]any{"name": name}
	if namespace != "" {
		meta["namespace"] = namespace
	}
	return map[string]any{"apiVersion": version, "kind": kind, "metadata": meta}
}

func apply(t *testing.T, c *Cluster, o map[string]any) {
	t.Helper()
	if err := c.Apply(t.Context(), o); err != nil {
		t.Fatal(err)
	}
}

// soonTrue waits for what a cluster does in its own time.
func soonTrue(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !done(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not within a minute: " + what)
		}
	}
}

func TestRealWrites(t *testing.T) {
	c, ns := realCluster(t)
	if v, err := c.Version(t.Context()); err != nil || !strings.HasPrefix(v, "v1.") {
		t.Error(v, err)
	}
	if now, took, err := c.Clock(t.Context()); err != nil || time.Since(now).Abs() > took+2*time.Second {
		t.Error(now, took, err)
	}
	if v, err := c.Serves(t.Context(), "autoscaling", "HorizontalPodAutoscaler"); err != nil || !slices.Contains(v, "v2") {
		t.Error(v, err)
	}
	if ok, _, err := c.Allowed(t.Context(), Access{Verb: "list", Resource: "pods"}); !ok || err != nil {
		t.Error(ok, err)
	}
	key := dialect.Key{Kind: "ConfigMap", Namespace: ns, Name: "a"}
	o := tree("v1", "ConfigMap", ns, "a")
	o["data"] = map[string]any{"x": "1", "y": "2"}
	apply(t, c, o)
	o["data"] = map[string]any{"x": "3"}
	apply(t, c, o)
	if got, err := c.Get(t.Context(), key); err != nil || fmt.Sprint(got["data"]) != "map[x:3]" {
		t.Error(got, err)
	}
	if list, err := c.List(t.Context(), dialect.Key{Kind: "ConfigMap", Namespace: ns}, ""); err != nil || len(list) == 0 {
		t.Error(list, err)
	}
	for range 2 {
		if err := c.Delete(t.Context(), key); err != nil {
			t.Error(err)
		}
	}
	if _, err := c.Get(t.Context(), key); !errors.Is(err, ErrAbsent) {
		t.Error(err)
	}
}

func TestRealState(t *testing.T) {
	c, ns := realCluster(t)
	a, b := c.Secret(ns, "weft-ca"), c.Secret(ns, "weft-ca")
	if err := a.Create([]byte("1")); err != nil {
		t.Fatal(err)
	}
	must(t, b, "1")
	if err := a.Replace([]byte("2")); err != nil {
		t.Fatal(err)
	}
	if err := b.Replace([]byte("3")); !errors.Is(err, ca.ErrChanged) {
		t.Fatal(err)
	}
	must(t, b, "2")
	if err := b.Replace([]byte("3")); err != nil {
		t.Fatal(err)
	}
	must(t, a, "3")
}

func TestRealLead(t *testing.T) {
	c, ns := realCluster(t)
	leads, ended := make(chan string, 10), make(chan error)
	campaign := func(who string) (stop func()) {
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			ended <- c.Lead(ctx, ns, "weft-control", who, func(ctx context.Context) {
				leads <- who
				<-ctx.Done()
			})
		}()
		return func() {
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	}
	stopA := campaign("a")
	if who := <-leads; who != "a" {
		t.Error(who)
	}
	defer campaign("b")()
	begun := time.Now()
	stopA()
	if who := <-leads; who != "b" || time.Since(begun) > leaseTime {
		t.Errorf("%s leads after %v: the lease was not given back", who, time.Since(begun))
	}
}

func TestRealTokens(t *testing.T) {
	c, ns := realCluster(t)
	apply(t, c, tree("v1", "ServiceAccount", ns, "reviews"))
	pod := tree("v1", "Pod", ns, "reviews-1")
	pod["spec"] = map[string]any{"serviceAccountName": "reviews", "nodeSelector": map[string]any{"no": "such-node"},
		"containers": []any{map[string]any{"name": "app", "image": "none"}}}
	apply(t, c, pod)
	got, err := c.Get(t.Context(), dialect.Key{Kind: "Pod", Namespace: ns, Name: "reviews-1"})
	if err != nil {
		t.Fatal(err)
	}
	uid := got["metadata"].(map[string]any)["uid"].(string)
	token := func(audience string, bound *authenticationv1.BoundObjectReference) string {
		r, err := c.typed.CoreV1().ServiceAccounts(ns).CreateToken(t.Context(), "reviews", &authenticationv1.TokenRequest{
			Spec: authenticationv1.TokenRequestSpec{Audiences: []string{audience}, BoundObjectRef: bound}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return r.Status.Token
	}
	bound := &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: "reviews-1", UID: types.UID(uid)}
	good := token("weft", bound)
	if p, err := c.Attest(t.Context(), good, "weft"); err != nil || p != (Proof{ns, "reviews", "reviews-1", uid}) {
		t.Error(p, err)
	}
	for what, bad := range map[string]string{"another audience": token("other", bound), "bound to no pod": token("weft", nil), "changed": good[:len(good)-5] + "AAAAA"} {
		p, err := c.Attest(t.Context(), bad, "weft")
		if !errors.Is(err, ErrToken) || p != (Proof{}) {
			t.Errorf("%s: %+v, %v", what, p, err)
		}
		t.Log(what, err)
	}
	if err := c.Delete(t.Context(), dialect.Key{Kind: "Pod", Namespace: ns, Name: "reviews-1"}); err != nil {
		t.Fatal(err)
	}
	soonTrue(t, "the token of a pod that is gone is refused", func() bool {
		_, err := c.Attest(t.Context(), good, "weft")
		return errors.Is(err, ErrToken)
	})
}

// heardOf runs a source and returns what has been said so far of objects in a namespace, and all findings.
func heardOf(t *testing.T, c *Cluster, ns string) func() string {
	l := &listener{}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() {
		done <- c.Source(kinds).Run(ctx, func(e source.Event) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.events = append(l.events, e)
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return func() string {
		l.mu.Lock()
		defer l.mu.Unlock()
		var words []string
		for _, e := range l.events {
			for _, w := range strings.Split(line(e), ", ") {
				if w == "synced" || strings.Contains(w, ns) || strings.HasPrefix(w, "!") {
					words = append(words, strings.ReplaceAll(w, ns, "NS"))
				}
			}
		}
		return strings.Join(words, ", ")
	}
}

// crd is a kind as Istio defines it, without its shape.
func crd() map[string]any {
	o := tree("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", "workloadgroups.networking.istio.io")
	o["spec"] = map[string]any{"group": "networking.istio.io", "scope": "Namespaced",
		"names": map[string]any{"plural": "workloadgroups", "singular": "workloadgroup", "kind": "WorkloadGroup", "listKind": "WorkloadGroupList"},
		"versions": []any{map[string]any{"name": "v1", "served": true, "storage": true, "subresources": map[string]any{"status": map[string]any{}},
			"schema": map[string]any{"openAPIV3Schema": map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}}}
	return o
}

func TestRealSource(t *testing.T) {
	c, ns := realCluster(t)
	s := tree("v1", "Service", ns, "a")
	s["spec"] = map[string]any{"selector": map[string]any{"app": "a"}, "ports": []any{map[string]any{"port": 80}}}
	apply(t, c, s)
	soonTrue(t, "a service account", func() bool {
		_, err := c.Get(t.Context(), dialect.Key{Kind: "ServiceAccount", Namespace: ns, Name: "default"})
		return err == nil
	})
	pod := tree("v1", "Pod", ns, "a-1")
	pod["spec"] = map[string]any{"nodeSelector": map[string]any{"no": "such-node"}, "containers": []any{map[string]any{"name": "app", "image": "none"}}}
	apply(t, c, pod)
	soonTrue(t, "an EndpointSlice", func() bool {
		list, err := c.List(t.Context(), dialect.Key{Group: "discovery.k8s.io", Kind: "EndpointSlice", Namespace: ns}, "")
		return err == nil && len(list) == 1
	})
	heard := heardOf(t, c, ns)
	soonTrue(t, "synced", func() bool { return strings.Contains(heard(), "synced") })
	for _, want := range []string{"+v1 Service NS/a", "+v1 Namespace NS", "+v1 Pod NS/a-1", "+v1 EndpointSlice NS/a-"} {
		if got := heard(); !strings.Contains(got, want) || strings.Contains(got, "!") {
			t.Fatalf("%s: no %s", got, want)
		}
	}
	for _, key := range []dialect.Key{{Kind: "Service", Namespace: ns, Name: "a"}, {Kind: "Pod", Namespace: ns, Name: "a-1"}} {
		if err := c.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		soonTrue(t, "a deletion", func() bool { return strings.Contains(heard(), "-"+key.Kind+" NS/"+key.Name) })
	}
	soonTrue(t, "what follows from it", func() bool { return strings.Contains(heard(), "-EndpointSlice NS/a-") })
}

// Kinds come and go.
func TestRealDefinitions(t *testing.T) {
	c, ns := realCluster(t)
	heard := heardOf(t, c, ns)
	soonTrue(t, "synced", func() bool { return strings.Contains(heard(), "synced") })
	key := dialect.Key{Group: "networking.istio.io", Kind: "WorkloadGroup", Namespace: ns, Name: "g"}
	definition := dialect.Key{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition", Name: "workloadgroups.networking.istio.io"}
	if v, err := c.Serves(t.Context(), key.Group, key.Kind); err != nil || len(v) > 0 {
		t.Skip("the cluster has the kind already", v, err)
	}
	defer c.Delete(context.Background(), definition)
	apply(t, c, crd())
	g := tree("networking.istio.io/v1", "WorkloadGroup", ns, "g")
	soonTrue(t, "a new kind is served", func() bool { return c.Apply(t.Context(), g) == nil })
	begun := time.Now()
	soonTrue(t, "an object of a new kind", func() bool { return strings.Contains(heard(), "+v1 WorkloadGroup NS/g") })
	t.Logf("an object of a new kind was heard of %v after it was there", time.Since(begun).Round(time.Millisecond))
	for range 2 {
		if err := c.WriteStatus(t.Context(), key, map[string]any{"observedGeneration": 1}); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := c.Get(t.Context(), key); err != nil || fmt.Sprint(got["status"]) != "map[observedGeneration:1]" || got["metadata"].(map[string]any)["generation"] != int64(1) {
		t.Error(got, err)
	}
	if err := c.Delete(t.Context(), definition); err != nil {
		t.Fatal(err)
	}
	soonTrue(t, "the objects of a kind that is gone go", func() bool { return strings.Contains(heard(), "-WorkloadGroup NS/g") })
}

// Whoever may read nothing hears why, for each kind.
func TestRealForbidden(t *testing.T) {
	c, ns := realCluster(t)
	apply(t, c, tree("v1", "ServiceAccount", ns, "nobody"))
	r, err := c.typed.CoreV1().ServiceAccounts(ns).CreateToken(t.Context(), "nobody", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	config := rest.AnonymousClientConfig(c.config)
	config.BearerToken = r.Status.Token
	nobody, err := open(config, Options{})
	if err != nil {
		t.Fatal(err)
	}
	heard := heardOf(t, nobody, ns)
	soonTrue(t, "synced", func() bool { return strings.Contains(heard(), "synced") })
	if got := heard(); !strings.Contains(got, "forbids to list pods: ") || !strings.Contains(got, "forbids to list endpointslices.discovery.k8s.io: ") {
		t.Error(got)
	}
	if err := nobody.Apply(t.Context(), tree("v1", "ConfigMap", ns, "a")); err == nil || !strings.Contains(err.Error(), "applying ConfigMap "+ns+"/a: ") {
		t.Error(err)
	}
	if ok, _, err := nobody.Allowed(t.Context(), Access{Verb: "list", Resource: "pods"}); ok || err != nil {
		t.Error(ok, err)
	}
}
