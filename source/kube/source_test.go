package kube

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	utilruntime "k8s.io/apimachinery/pkg/util/runtime"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/all"
	"github.com/weft-mesh/weft/source"
)

// The library rests after an error, by a clock of the process: in the time of a bubble that takes years.
func TestMain(m *testing.M) {
	utilruntime.ErrorHandlers = nil
	quiet(slog.New(slog.DiscardHandler))
	os.Exit(m.Run())
}

var kinds = all.Kinds("cluster.local")

func pods() *stored { return &stored{kind: "Pod", resource: "pods", versions: []string{"v1"}} }
func services() *stored {
	return &stored{kind: "Service", resource: "services", versions: []string{"v1"}}
}
func limits() *stored {
	return &stored{kind: "LimitRange", resource: "limitranges", versions: []string{"v1"}}
}
func secrets() *stored { return &stored{kind: "Secret", resource: "secrets", versions: []string{"v1"}} }

func policies(versions ...string) *stored {
	return &stored{group: "security.istio.io", kind: "AuthorizationPolicy", resource: "authorizationpolicies", versions: versions}
}

func routes(versions ...string) *stored {
	return &stored{group: "gateway.networking.k8s.io", kind: "HTTPRoute", resource: "httproutes", versions: versions}
}

func podOf(namespace, name string) string {
	return fmt.Sprintf(`{"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": %q, "name": %q, "labels": {"app": "a"}},
		"spec": {"serviceAccountName": "a", "containers": [{"name": "app", "image": "x", "ports": [{"containerPort": 80}]}]},
		"status": {"phase": "Running", "podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]}}`, namespace, name)
}

func serviceOf(namespace, name string) string {
	return fmt.Sprintf(`{"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": %q, "name": %q}, "spec": {"ports": [{"port": 80}]}}`, namespace, name)
}

func definition(name string) string {
	return fmt.Sprintf(`{"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": %q}}`, name)
}

// listener is who reads a source.
type listener struct {
	mu     sync.Mutex
	events []source.Event
	source *Source
	stop   func()
}

// listen runs a source in a bubble of synctest until the test ends.
func listen(t *testing.T, c *Cluster, choices ...Choice) *listener {
	t.Helper()
	l := &listener{source: c.Source(kinds, choices...)}
	l.run(t, func(source.Event) {})
	return l
}

// run has told hear of each event too, in the source's own time.
func (l *listener) run(t *testing.T, told func(source.Event)) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() {
		done <- l.source.Run(ctx, func(e source.Event) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.events = append(l.events, e)
			told(e)
		})
	}()
	l.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// heard is what was said since the last time, a line for each event.
func (l *listener) heard() []string {
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []string
	for _, e := range l.events {
		out = append(out, line(e))
	}
	l.events = nil
	return out
}

func line(e source.Event) string {
	var words []string
	if e.Synced {
		words = append(words, "synced")
	}
	for _, o := range e.Put {
		words = append(words, "+"+o.Version+" "+o.Source.File)
	}
	for _, k := range e.Delete {
		words = append(words, "-"+say(k))
	}
	slices.Sort(words)
	for _, f := range e.Findings {
		words = append(words, "! "+f.String())
	}
	return strings.Join(words, ", ")
}

// expect compares what was heard.
func (l *listener) expect(t *testing.T, want ...string) {
	t.Helper()
	if got := l.heard(); !slices.Equal(got, want) {
		t.Errorf("heard\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// inBubble runs a test in the time of synctest, with a source.
func inBubble(t *testing.T, s *server, test func(t *testing.T, c *Cluster, l *listener), choices ...Choice) {
	synctest.Test(t, func(t *testing.T) {
		c := s.cluster(t)
		l := listen(t, c, choices...)
		defer l.stop()
		test(t, c, l)
	})
}

func TestChanges(t *testing.T) {
	s := newServer(pods(), services(), limits())
	s.put(podOf("shop", "a-1"))
	s.put(serviceOf("shop", "a"))
	s.put(`{"apiVersion": "v1", "kind": "LimitRange", "metadata": {"namespace": "shop", "name": "unread"}}`)
	inBubble(t, s, func(t *testing.T, _ *Cluster, l *listener) {
		l.expect(t, "+v1 Pod shop/a-1, +v1 Service shop/a, synced")
		s.put(podOf("shop", "a-2"))
		l.expect(t, "+v1 Pod shop/a-2")
		s.put(podOf("shop", "a-2")) // another resourceVersion, and nothing else
		l.expect(t)
		s.put(strings.Replace(podOf("shop", "a-2"), "10.0.0.1", "10.0.0.2", 1))
		l.expect(t, "+v1 Pod shop/a-2")
		s.delete("pods", "shop/a-1")
		l.expect(t, "-Pod shop/a-1")
		s.put(strings.Replace(podOf("shop", "a-2"), "Running", "Succeeded", 1)) // the selector lets it go
		l.expect(t, "-Pod shop/a-2")
	})
	if slices.ContainsFunc(s.requests, func(r string) bool { return strings.Contains(r, "limitranges") }) {
		t.Error("kinds were read that have no part in the mesh")
	}
}

// What happened while a watch was gone is found out by a list.
func TestForgottenHistory(t *testing.T) {
	s := newServer(pods())
	s.put(podOf("shop", "a"))
	s.put(podOf("shop", "b"))
	inBubble(t, s, func(t *testing.T, _ *Cluster, l *listener) {
		l.expect(t, "+v1 Pod shop/a, +v1 Pod shop/b, synced")
		s.failing(func(string, string, *http.Request) error { return errRefused })
		s.forget()
		synctest.Wait()
		s.delete("pods", "shop/a")
		s.put(podOf("shop", "c"))
		s.forget()
		time.Sleep(time.Hour)
		l.expect(t) // what is known stays
		s.failing(nil)
		time.Sleep(2 * time.Minute)
		l.expect(t, "+v1 Pod shop/c, -Pod shop/a")
	})
}

// A server that does not stream what there is gives it page by page.
func TestPages(t *testing.T) {
	s := newServer(pods())
	s.noStreams = true
	for i := range 2*page + 1 {
		s.put(podOf("shop", fmt.Sprint("a-", i)))
	}
	inBubble(t, s, func(t *testing.T, _ *Cluster, l *listener) {
		// They are told of in pieces, the last of which says that these are all.
		if got := l.heard(); len(got) != 2 || strings.Count(got[0], "+v1 Pod") != piece || strings.Count(got[1], "+v1 Pod") != 2*page+1-piece || !strings.HasSuffix(got[1], ", synced") {
			t.Errorf("%d events", len(got))
		}
		s.put(podOf("shop", "b"))
		l.expect(t, "+v1 Pod shop/b")
	})
	if n := count(s.requests, "list pods"); n != 3 {
		t.Errorf("%d lists: %q", n, s.requests)
	}
}

func count(requests []string, begin string) (n int) {
	for _, r := range requests {
		if strings.HasPrefix(r, begin) {
			n++
		}
	}
	return n
}

// Nobody hears anything before every kind has been listed.
func TestSyncedOnce(t *testing.T) {
	s := newServer(pods(), services())
	s.put(podOf("shop", "a"))
	s.put(serviceOf("shop", "a"))
	s.fail = func(_, resource string, _ *http.Request) error {
		if resource == "services" {
			return &refusal{503, "ServiceUnavailable", "try later"}
		}
		return nil
	}
	inBubble(t, s, func(t *testing.T, _ *Cluster, l *listener) {
		time.Sleep(10 * time.Minute)
		s.delete("pods", "shop/a")
		s.put(podOf("shop", "b"))
		l.expect(t)
		s.failing(nil)
		time.Sleep(2 * time.Minute)
		l.expect(t, "+v1 Pod shop/b, +v1 Service shop/a, synced")
	})
}

// Neighbours are told of together, in whatever order they came: they have strings in common, which readers keep once.
func TestFirstInOrder(t *testing.T) {
	s := newServer(pods())
	var want []string
	for i := range 20 {
		s.put(podOf("shop", fmt.Sprintf("a%02d", 19-i)))
		want = append(want, fmt.Sprintf("a%02d", i))
	}
	inBubble(t, s, func(t *testing.T, _ *Cluster, l *listener) {
		synctest.Wait()
		l.mu.Lock()
		defer l.mu.Unlock()
		var got []string
		for _, e := range l.events {
			for _, o := range e.Put {
				got = append(got, o.Name)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q", got)
		}
	})
}

// An API server that is away at the start is waited for.
func TestAway(t *testing.T) {
	s := newServer(pods())
	s.put(podOf("shop", "a"))
	s.fail = func(string, string, *http.Request) error { return errRefused }
	inBubble(t, s, func(t *testing.T, _ *Cluster, l *listener) {
		time.Sleep(24 * time.Hour)
		l.expect(t)
		s.failing(nil)
		time.Sleep(2 * time.Minute)
		l.expect(t, "+v1 Pod shop/a, synced")
	})
}

// A kind that must not be read is a finding, which goes when it may be.
func TestForbidden(t *testing.T) {
	s := newServer(pods(), policies("v1"))
	s.put(podOf("shop", "a"))
	s.put(policy("v1", "deny"))
	no := func(verb, resource string, _ *http.Request) error {
		if resource == "authorizationpolicies" {
			return forbidden(verb, resource)
		}
		return nil
	}
	s.fail = no
	inBubble(t, s, func(t *testing.T, _ *Cluster, l *listener) {
		time.Sleep(time.Minute)
		got := l.heard()
		if len(got) != 1 || !strings.HasPrefix(got[0], "+v1 Pod shop/a, synced, ! API server: error: ") {
			t.Fatal(got)
		}
		for _, word := range []string{"AuthorizationPolicy", "forbids to list authorizationpolicies.security.istio.io", "weft-control",
			`the verbs list and watch on the resource authorizationpolicies of the API group "security.istio.io"`} {
			if !strings.Contains(got[0], word) {
				t.Errorf("%s: does not say %q", got[0], word)
			}
		}
		s.failing(nil)
		time.Sleep(2 * time.Minute)
		got = l.heard()
		if len(got) == 0 || strings.Contains(got[len(got)-1], "!") || !strings.Contains(strings.Join(got, " "), "+v1 AuthorizationPolicy shop/deny") {
			t.Error(got)
		}
		s.failing(no)
		s.forget()
		time.Sleep(2 * time.Minute)
		if got = l.heard(); len(got) == 0 || !strings.Contains(got[len(got)-1], "come late") || strings.Contains(strings.Join(got, ""), "-Auth") {
			t.Error(got)
		}
	})
}

func policy(version, name string) string {
	return fmt.Sprintf(`{"apiVersion": "security.istio.io/%s", "kind": "AuthorizationPolicy", "metadata": {"namespace": "shop", "name": %q}, "spec": {"action": "DENY", "rules": [{}]}}`, version, name)
}

// Kinds come and go while weft runs.
func TestDefinitions(t *testing.T) {
	s := newServer(pods())
	inBubble(t, s, func(t *testing.T, _ *Cluster, l *listener) {
		l.expect(t, "synced")
		s.add(policies("v1beta1"))
		s.put(policy("v1beta1", "a"))
		s.put(definition("authorizationpolicies.security.istio.io"))
		time.Sleep(time.Second)
		l.expect(t, "+v1beta1 AuthorizationPolicy shop/a")

		s.serve("authorizationpolicies", "v1", "v1beta1") // a better version
		s.put(strings.Replace(definition("authorizationpolicies.security.istio.io"), `"metadata"`, `"x": 1, "metadata"`, 1))
		time.Sleep(time.Second)
		l.expect(t, "+v1 AuthorizationPolicy shop/a")

		s.delete("customresourcedefinitions", "/authorizationpolicies.security.istio.io")
		time.Sleep(time.Minute)
		l.expect(t) // the server still has them
		s.remove("authorizationpolicies")
		time.Sleep(time.Minute)
		l.expect(t, "-AuthorizationPolicy shop/a")
	})
}

// A server that does not know a kind for a while is no reason to forget objects.
func TestLaggingDiscovery(t *testing.T) {
	s := newServer(pods(), policies("v1"))
	s.put(policy("v1", "a"))
	inBubble(t, s, func(t *testing.T, _ *Cluster, l *listener) {
		l.expect(t, "+v1 AuthorizationPolicy shop/a, synced")
		s.hide("authorizationpolicies")
		s.put(definition("others.security.istio.io"))
		time.Sleep(10 * time.Second)
		s.hide("")
		time.Sleep(time.Hour)
		l.expect(t)
	})
}

func TestUnknownVersion(t *testing.T) {
	s := newServer(pods(), policies("v9"))
	inBubble(t, s, func(t *testing.T, _ *Cluster, l *listener) {
		got := l.heard()
		if len(got) != 1 || !strings.HasPrefix(got[0], "synced, ! API server: error: ") || !strings.Contains(got[0], "in v9 only, and weft reads v1, v1beta1") {
			t.Error(got)
		}
	})
}

// Of the definitions of kinds one is read, for the version that it says, and of that no more than this.
func TestBundleVersion(t *testing.T) {
	const name, bundle = "gatewayclasses.gateway.networking.k8s.io", "gateway.networking.k8s.io/bundle-version"
	of := func(version string) string {
		return fmt.Sprintf(`{"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": %q, "annotations": {%q: %q, "example.com/other": "x"}},
			"spec": {"group": "gateway.networking.k8s.io"}, "status": {"storedVersions": ["v1"]}}`, name, bundle, version)
	}
	s := newServer(pods())
	s.put(definition("gateways.gateway.networking.k8s.io"))
	s.put(of("v1.6.3"))
	inBubble(t, s, func(t *testing.T, _ *Cluster, l *listener) {
		synctest.Wait()
		put := l.events[0].Put
		l.expect(t, "+v1 CustomResourceDefinition "+name+", synced")
		if len(put) != 1 || len(put[0].Annotations) != 1 || put[0].Annotations[bundle] != "v1.6.3" || put[0].Tree["spec"] != nil || put[0].Tree["status"] != nil {
			t.Errorf("%+v", put)
		}
		s.put(of("v1.7.0"))
		l.expect(t, "+v1 CustomResourceDefinition "+name)
	})
}

func TestChoice(t *testing.T) {
	s := newServer(pods(), secrets(), routes("v1"))
	s.put(`{"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": "a", "name": "cert"}, "type": "kubernetes.io/tls"}`)
	s.put(`{"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": "a", "name": "other"}, "type": "Opaque"}`)
	s.put(`{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"namespace": "a", "name": "r"}, "spec": {}, "status": {"parents": []}}`)
	choices := []Choice{{Kind: "Secret", Fields: "type=kubernetes.io/tls"}, {Kind: "Pod", Skip: true},
		{Group: "gateway.networking.k8s.io", Kind: "HTTPRoute", Status: true}}
	inBubble(t, s, func(t *testing.T, _ *Cluster, l *listener) {
		synctest.Wait()
		var put []*dialect.Object
		l.mu.Lock()
		for _, e := range l.events {
			put = append(put, e.Put...)
		}
		l.mu.Unlock()
		l.expect(t, "+v1 HTTPRoute a/r, +v1 Secret a/cert, synced")
		for _, o := range put {
			if _, has := o.Tree["status"]; o.Kind == "HTTPRoute" && !has {
				t.Errorf("%v has lost its status", o.Tree)
			}
		}
	}, choices...)
	if count(s.requests, "list pods")+count(s.requests, "watch pods") > 0 {
		t.Error("pods were read")
	}
}
