package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/test/cluster"
)

// The demo shop runs on Kubernetes from its authors' manifests, and routing and policy that users of other meshes wrote for it and for shops
// like it are applied in turn, unchanged: each does what its authors say of it, and nothing of it is left when it is deleted. The files are
// no part of this repository: where they are not beside it, the test is skipped.
func TestShop(t *testing.T) {
	corpus := filepath.Join("..", "..", "..", "shared", "corpus")
	if dir := os.Getenv("WEFT_SHARED"); dir != "" {
		corpus = filepath.Join(dir, "corpus")
	}
	if _, err := os.Stat(corpus); err != nil {
		t.Skipf("the files that others wrote are not beside this repository: %v", err)
	}
	c := cluster.Shared(t)
	c.Install("--crds", "gateway-api,istio,linkerd,cilium", "--set", "gateways.service=ClusterIP")
	for _, part := range []struct {
		name string
		run  func(*shop, *testing.T)
	}{{"routing", (*shop).routing}, {"istio policy", (*shop).istioPolicy}, {"linkerd policy", (*shop).linkerd}, {"network policy", (*shop).cilium}} {
		t.Run(part.name, func(t *testing.T) { part.run(&shop{c.In(t), corpus}, t) })
	}
}

type shop struct {
	c      *cluster.Test
	corpus string
}

// The page has stars or none by the version of reviews that is asked; jason is who has logged in. With the Gateway API each version is a
// Service of its own.
func (s *shop) routing(t *testing.T) {
	const kube, istio, gateway = "istio/bookinfo/platform/kube/", "istio/bookinfo/networking/", "istio/bookinfo/gateway-api/"
	s.stand(t, regexp.MustCompile(`image: (\S+/examples-bookinfo-([a-z]+)-(v\d):\S+)`), func(m []string) []string {
		return []string{"/bookinfo", m[2], "-version", m[3]}
	}, kube+"bookinfo.yaml")
	ns := s.c.Namespace("bookinfo", "weft.dev/inject=enabled")
	s.c.Apply(ns, s.read(t, kube+"bookinfo.yaml")+"\n---\n"+s.read(t, kube+"bookinfo-versions.yaml"))
	s.c.Ready(ns, "deploy/productpage-v1", "deploy/details-v1", "deploy/ratings-v1", "deploy/reviews-v1", "deploy/reviews-v2", "deploy/reviews-v3")
	const (
		reviews = "deploy/productpage-v1 http://reviews:9080/reviews/0"
		ratings = "deploy/productpage-v1 http://ratings:9080/ratings/0"
		details = "deploy/productpage-v1 http://details:9080/details/0"
		jason   = " -H=end-user:jason"
		subsets = istio + "destination-rule-all.yaml"
	)
	for _, x := range []applied{
		{istio + "destination-rule-all.yaml", "", []string{reviews + " => 200 v1 v2 v3"}},
		{istio + "virtual-service-all-v1.yaml", subsets, []string{reviews + " => 200 v1", ratings + " => 200 v1", details + " => 200 v1"}},
		{istio + "virtual-service-reviews-50-v3.yaml", subsets, []string{reviews + " => 200 v1 v3"}},
		{istio + "virtual-service-reviews-80-20.yaml", subsets, []string{reviews + " => 200 v1 v2"}},
		{istio + "virtual-service-reviews-v2-v3.yaml", subsets, []string{reviews + " => 200 v2 v3"}},
		{istio + "virtual-service-reviews-jason-v2-v3.yaml", subsets, []string{reviews + jason + " => 200 v2", reviews + " => 200 v3"}},
		{istio + "virtual-service-reviews-test-v2.yaml", subsets, []string{reviews + jason + " => 200 v2", reviews + " => 200 v1"}},
		{istio + "virtual-service-ratings-test-abort.yaml", subsets, []string{ratings + jason + " => 500", ratings + " => 200 v1"}},
		{istio + "fault-injection-details-v1.yaml", "", []string{details + " => 555"}},
		{istio + "destination-rule-all-mtls.yaml", "", []string{reviews + " => 200 v1 v2 v3"}},
		{gateway + "route-all-v1.yaml", "", []string{reviews + " => 200 v1", details + " => 200 v1"}},
		{gateway + "route-reviews-50-v3.yaml", "", []string{reviews + " => 200 v1 v3"}},
		{gateway + "route-reviews-90-10.yaml", "", []string{reviews + " => 200 v1 v2"}},
		{gateway + "route-reviews-v3.yaml", "", []string{reviews + " => 200 v3"}},
	} {
		s.apply(t, ns, x)
	}
}

// Who may call the backend is said by account, method and path, in the namespace default.
func (s *shop) istioPolicy(t *testing.T) {
	const ns = "default"
	s.c.Kubectl("label", "namespace", ns, "weft.dev/inject=enabled")
	objects := app("backend", "echo", 1) + app("frontend", "caller", 1) + app("other", "caller", 1)
	s.c.Finally("label", "namespace", ns, "weft.dev/inject-")
	s.c.Finally("-n", ns, "delete", "--ignore-not-found", "--cascade=foreground", "deploy,service,serviceaccount",
		"backend", "backend-each", "frontend", "frontend-each", "other", "other-each")
	objects = strings.Replace(objects, "containers:\n      - name: frontend", "serviceAccountName: frontend\n      containers:\n      - name: frontend", 1)
	s.c.Apply(ns, "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: frontend}\n"+objects)
	s.c.Ready(ns, "deploy/backend", "deploy/frontend", "deploy/other")
	s.apply(t, ns, applied{"seeds/istio-authorizationpolicy.yaml", "", []string{
		"deploy/frontend http://backend/api/items => 200",
		"deploy/frontend http://backend/api/items --method=POST => 403",
		"deploy/frontend http://backend/other => 403",
		"deploy/other http://backend/api/items => 403",
	}})
}

// The shop of votes: its inner services are for web alone, its pages and metrics for everybody.
func (s *shop) linkerd(t *testing.T) {
	s.stand(t, regexp.MustCompile(`image: (\S+/emojivoto-([a-z-]+):\S+)`), func(m []string) []string {
		port := map[string]string{"web": "8080"}[m[2]]
		if port == "" {
			port = "8801" // of metrics; GRPC_PORT is in the file
		}
		return []string{"/bookinfo", "echo", "-port", port}
	}, "linkerd/emojivoto.yml")
	ns := s.c.Namespace("emojivoto", "weft.dev/inject=enabled")
	outside := s.c.Namespace("emojivoto-outside")
	s.c.Apply(ns, s.read(t, "linkerd/emojivoto.yml")+"\n"+app("other", "caller", 1))
	s.c.Kubectl("-n", ns, "scale", "deploy/vote-bot", "--replicas=0") // another program, which only makes calls
	s.c.Apply(outside, app("other", "caller", 1))
	s.c.Ready(ns, "deploy/web", "deploy/emoji", "deploy/voting", "deploy/other")
	s.c.Ready(outside, "deploy/other")
	const grpc = "/weft.echo.Echo/Unary"
	s.apply(t, ns, applied{"linkerd/emojivoto-policy.yml", "", []string{
		"deploy/web grpc://emoji-svc.emojivoto:8080" + grpc + " => 200",
		"deploy/web grpc://voting-svc.emojivoto:8080" + grpc + " => 200",
		"deploy/other grpc://emoji-svc.emojivoto:8080" + grpc + " => denied",
		"emojivoto-outside/deploy/other grpc://emoji-svc.emojivoto:8080" + grpc + " => denied",
		"emojivoto-outside/deploy/other http://web-svc.emojivoto/ => 200",
		"deploy/other http://voting-svc.emojivoto:8801/ => 200",
	}})
}

// Cilium's own tests have an echo and two clients. What denies something goes with what allows all else, as there.
func (s *shop) cilium(t *testing.T) {
	ns := s.c.Namespace("cilium-test", "weft.dev/inject=enabled")
	labelled := func(name, role, labels string) string {
		text := strings.Replace(app(name, role, 1), "template:\n    metadata: {labels: {app: "+name, "template:\n    metadata: {labels: {app: "+name+", "+labels, 1)
		return strings.ReplaceAll(strings.ReplaceAll(text, "name: http, containerPort", "name: http-8080, containerPort"), "port: http}", "port: 8080}")
	}
	s.c.Apply(ns, strings.ReplaceAll(labelled("echo", "echo", "kind: echo")+labelled("client", "caller", "kind: client, name: client")+
		labelled("client2", "caller", "kind: client, name: client2, other: client"), "targetPort: http", "targetPort: 8080"))
	s.c.Ready(ns, "deploy/echo", "deploy/client", "deploy/client2")
	const (
		dir              = "cilium/connectivity/"
		client           = "deploy/client http://echo"
		client2          = "deploy/client2 http://echo"
		between          = "deploy/client http://client2/health"
		back             = "deploy/client2 http://client/health"
		ingress, egress  = dir + "allow-all-ingress.yaml", dir + "allow-all-egress.yaml"
		passes, refusals = " => 200", " => 403"
	)
	for _, x := range []applied{
		{dir + "allow-all-ingress.yaml", egress, []string{client + "/" + passes, between + passes}},
		{dir + "deny-all-ingress.yaml", "", []string{client + "/" + refusals, between + refusals}},
		{dir + "deny-all-entities.yaml", "", []string{client + "/" + refusals, between + refusals}},
		{dir + "client-egress-to-echo.yaml", "", []string{client + "/" + passes, client2 + "/" + passes, between + refusals}},
		{dir + "client-egress-to-echo-deny.yaml", egress, []string{client + "/" + refusals, between + passes}},
		{dir + "client-egress-to-echo-expression.yaml", "", []string{client2 + "/" + passes, back + refusals, between + passes}},
		{dir + "client-egress-l7-http-method.yaml", "", []string{client2 + "/public --method=POST" + passes, client2 + "/public" + refusals, client + "/public" + passes}},
		{dir + "client-egress-l7-http-from-any.yaml", "", []string{client + "/" + passes, client + "/public" + refusals}},
		{dir + "echo-ingress-from-other-client.yaml", "", []string{client2 + "/" + passes, client + "/" + refusals}},
		{dir + "echo-ingress-from-other-client-deny.yaml", ingress, []string{client2 + "/" + refusals, client + "/" + passes}},
		{dir + "client-egress-to-echo-named-port-deny.yaml", ingress, []string{client + "/" + refusals, client2 + "/" + passes}},
		{dir + "echo-ingress-l7-http.yaml", "", []string{client2 + "/public" + passes, client2 + "/private" + refusals, client2 + "/private -H=X-Very-Secret-Token:42" + passes,
			client + "/public" + refusals}},
		{dir + "echo-ingress-mutual-authentication.yaml", "", []string{client + "/" + passes}},
	} {
		s.apply(t, ns, x)
	}
}

// applied is a file, with another that it rests on, and what becomes of calls while it is.
type applied struct {
	file, with string
	calls      []string
}

// apply applies the files, makes the calls, and takes the files away: then the calls pass.
func (s *shop) apply(t *testing.T, ns string, x applied) {
	t.Run(filepath.Base(x.file), func(t *testing.T) {
		s := &shop{s.c.In(t), s.corpus}
		var paths []string
		for _, name := range []string{x.with, x.file} {
			if name != "" {
				paths = append(paths, "-f", filepath.Join(s.corpus, name))
			}
		}
		s.c.Kubectl(append([]string{"-n", ns, "apply", "--server-side", "--force-conflicts"}, paths...)...)
		for _, call := range x.calls {
			s.expect(ns, call)
		}
		s.c.Kubectl(append([]string{"-n", ns, "delete", "--ignore-not-found"}, paths...)...)
		for _, call := range x.calls {
			ask, _, _ := strings.Cut(call, " => ")
			s.expect(ns, ask+" => 200")
		}
	})
}

// expect has a line "FROM URL [flag] => STATUS [versions]" come true. With several versions, all of them answer, and no other.
func (s *shop) expect(ns, line string) {
	ask, want, _ := strings.Cut(line, " => ")
	args := strings.Fields(ask)
	from := args[0]
	if other, workload, ok := strings.Cut(from, "/deploy/"); ok {
		ns, from = other, "deploy/"+workload
	}
	status, versions, _ := strings.Cut(want, " ")
	count := 4
	if strings.Contains(versions, " ") {
		count = 60
	}
	s.c.Eventually(line, func() error {
		seen := map[string]bool{}
		for _, a := range s.c.Calls(ns, from, args[1], append(slices.Clone(args[2:]), "--count="+strconv.Itoa(count))...) {
			got := strconv.Itoa(a.Status)
			if a.Status == 0 && strings.Contains(a.Error, "status 7") {
				got = "denied"
			}
			if got != status {
				return fmt.Errorf("%+v", a)
			}
			seen[a.Header.Get("X-Bookinfo-Version")] = true
		}
		for v := range seen {
			if versions != "" && !slices.Contains(strings.Fields(versions), v) {
				return fmt.Errorf("%q answers", v)
			}
		}
		if len(seen) < len(strings.Fields(versions)) {
			return fmt.Errorf("only %v answer", seen)
		}
		return nil
	})
}

func (s *shop) read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(s.corpus, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// stand has the samples' program stand in for images that files name and no registry gives.
func (s *shop) stand(t *testing.T, image *regexp.Regexp, as func(match []string) []string, files ...string) {
	t.Helper()
	inpod, err := s.c.InPod(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		for _, m := range image.FindAllStringSubmatch(s.read(t, name), -1) {
			i := cluster.Image{Tags: m[1:2], Entrypoint: as(m), Files: map[string]string{"/bookinfo": filepath.Join(filepath.Dir(s.c.Weft), "bookinfo"), "/client": inpod}}
			if err := s.c.LoadImage(t.Context(), i); err != nil {
				t.Fatal(err)
			}
		}
	}
}
