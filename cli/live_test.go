package cli

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"sigs.k8s.io/yaml"
)

// apiServer is as much of one as is asked by who reads all objects: it lists, and its watches say nothing.
type apiServer struct {
	lists map[string][]map[string]any // by resource
	one   map[string]map[string]any   // by path
	shut  atomic.Bool                 // Nodes may not be read
	mu    sync.Mutex
	asked []string
}

// resources that it has, by GROUP/VERSION.
var resources = map[string][]map[string]any{
	"v1": {{"name": "pods", "kind": "Pod", "namespaced": true}, {"name": "services", "kind": "Service", "namespaced": true}, {"name": "secrets", "kind": "Secret", "namespaced": true},
		{"name": "nodes", "kind": "Node"}, {"name": "configmaps", "kind": "ConfigMap", "namespaced": true}},
	"networking.istio.io/v1":  {{"name": "virtualservices", "kind": "VirtualService", "namespaced": true}},
	"apiextensions.k8s.io/v1": {{"name": "customresourcedefinitions", "kind": "CustomResourceDefinition"}},
}

func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.asked = append(s.asked, r.URL.Path)
	s.mu.Unlock()
	answer := func(code int, v any) {
		w.Header().Set("content-type", "application/json")
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(v)
	}
	version, list := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/apis/"), "/api/"), r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	switch q := r.URL.Query(); {
	case r.URL.Path == "/version":
		answer(200, map[string]any{"gitVersion": "v1.36.3"})
	case r.URL.Path == "/api":
		answer(200, map[string]any{"kind": "APIVersions", "versions": []string{"v1"}})
	case r.URL.Path == "/apis":
		var groups []map[string]any
		for gv := range resources {
			if group, v, named := strings.Cut(gv, "/"); named {
				at := map[string]any{"groupVersion": gv, "version": v}
				groups = append(groups, map[string]any{"name": group, "versions": []any{at}, "preferredVersion": at})
			}
		}
		answer(200, map[string]any{"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
	case resources[version] != nil:
		var all []map[string]any
		for _, x := range resources[version] {
			all = append(all, map[string]any{"name": x["name"], "kind": x["kind"], "namespaced": x["namespaced"] == true, "verbs": []string{"get", "list", "watch"}})
		}
		answer(200, map[string]any{"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": all})
	case s.one[r.URL.Path] != nil:
		answer(200, s.one[r.URL.Path])
	case q.Get("sendInitialEvents") != "":
		answer(422, map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Invalid", "code": 422})
	case q.Get("watch") != "":
		w.WriteHeader(200)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	case list == "nodes" && s.shut.Load():
		answer(403, map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": 403, "message": "nodes is forbidden"})
	case list == "weft-inject":
		answer(404, map[string]any{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404})
	default:
		items := s.lists[list]
		if items == nil {
			items = []map[string]any{}
		}
		gv, kind := strings.TrimSuffix(version, "/"+list), ""
		for _, x := range resources[gv] {
			if x["name"] == list {
				kind = x["kind"].(string)
			}
		}
		answer(200, map[string]any{"kind": kind + "List", "apiVersion": gv, "metadata": map[string]any{"resourceVersion": "7"}, "items": items})
	}
}

// has takes in objects as YAML has them.
func (s *apiServer) has(t *testing.T, resource, text string) {
	t.Helper()
	for doc := range strings.SplitSeq(text, "---\n") {
		var o map[string]any
		if err := yaml.Unmarshal([]byte(doc), &o); err != nil {
			t.Fatal(err)
		}
		if meta, _ := o["metadata"].(map[string]any); meta != nil {
			if meta["namespace"] == nil {
				meta["namespace"] = "default"
			}
			s.lists[resource] = append(s.lists[resource], o)
		}
	}
}

// kubeconfig names it.
func (s *apiServer) kubeconfig(t *testing.T) string {
	t.Helper()
	served := httptest.NewServer(s)
	t.Cleanup(served.Close)
	return write(t, filepath.Join(t.TempDir(), "config"), `{apiVersion: v1, kind: Config, current-context: a, clusters: [{name: a, cluster: {server: "`+served.URL+`"}}],
contexts: [{name: a, context: {cluster: a, user: a}}], users: [{name: a, user: {token: x}}]}`)
}

// Explain answers for a cluster from the objects that it has, with and without weft.
func TestExplainCluster(t *testing.T) {
	s := &apiServer{lists: map[string][]map[string]any{}, one: map[string]map[string]any{}}
	s.has(t, "pods", pods)
	service, route, _ := strings.Cut(reviews, "---\n")
	s.has(t, "services", service)
	s.has(t, "virtualservices", route+"---\n"+strings.NewReplacer("name: reviews}", "name: other}", "418", "lots").Replace(route))
	s.has(t, "secrets", "kind: Secret\nmetadata: {name: key}\n")
	t.Setenv("KUBECONFIG", s.kubeconfig(t))
	s.shut.Store(true)
	ask := []string{"explain", "--cluster", "--from", "frontend", "--to", "http://reviews:9080/"}
	_, out, errs := weft(t, append(ask, "--injected", "-H", "end-user: jason")...)
	contains(t, "before weft is there", out, "100% of calls: 418 reviews because VirtualService default/reviews http[0]")
	contains(t, "before weft is there", errs, "weft is not in namespace weft-system of this cluster", "without Node: the API server forbids to list nodes",
		"without VirtualService default/other (istio), which is refused")
	s.shut.Store(false) // it takes some seconds until that is believed
	if _, out, errs := weft(t, ask...); !strings.Contains(out+errs, "no proxy") {
		t.Errorf("pods without a proxy: %s%s", out, errs)
	}
	s.mu.Lock()
	if slices.ContainsFunc(s.asked, func(path string) bool { return strings.HasSuffix(path, "/secrets") }) {
		t.Error("Secrets are read, and nobody asks for what a gateway does")
	}
	s.mu.Unlock()

	s.one["/api/v1/namespaces/mesh/configmaps/weft-inject"] = map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "weft-inject"},
		"data": map[string]any{"inject.yaml": "{version: v1, image: a, control: a, namespace: mesh, trustDomain: shop.example}"}}
	_, out, errs = weft(t, append(ask, "--injected", "--context", "a", "-n", "mesh", "-o", "json")...)
	contains(t, "of its own trust domain", out, "spiffe://shop.example/ns/default/sa/reviews")
	if strings.Contains(errs, "weft is not") {
		t.Error(errs)
	}
	for want, args := range map[string][]string{"name one of them": {"-f", "a.yaml"}, "name one of  them": {"--state", "a"}, `context "b"`: {"--context", "b"}} {
		if code, _, errs := weft(t, append(ask, args...)...); code != 2 || !strings.Contains(errs, strings.ReplaceAll(want, "  ", " ")) {
			t.Errorf("%q: %d %s", args, code, errs)
		}
	}
}
