package kube

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/dialect"
)

var route = dialect.Key{Group: "gateway.networking.k8s.io", Kind: "HTTPRoute", Namespace: "shop", Name: "r"}

func routeOf(status string) string {
	return `{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"namespace": "shop", "name": "r"}, "spec": {"x": 1}` + status + `}`
}

func TestApply(t *testing.T) {
	s := newServer(&stored{kind: "ConfigMap", resource: "configmaps", versions: []string{"v1"}})
	c := s.cluster(t)
	var query, how string
	s.fail = func(verb, _ string, req *http.Request) error {
		if verb == "patch" {
			query, how = req.URL.RawQuery, req.Header.Get("Content-Type")
		}
		return nil
	}
	o := map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"namespace": "shop", "name": "weft-root"}, "data": map[string]any{"a": "b"}}
	if err := c.Apply(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if how != "application/apply-patch+yaml" || query != "fieldManager=weft&force=true" {
		t.Error(how, query)
	}
	got, err := c.Get(t.Context(), dialect.Key{Kind: "ConfigMap", Namespace: "shop", Name: "weft-root"})
	if err != nil || got["data"].(map[string]any)["a"] != "b" {
		t.Error(got, err)
	}
	if err := c.Apply(t.Context(), map[string]any{"kind": "ConfigMap"}); err == nil {
		t.Error("an object without a name was applied")
	}
	if err := c.Apply(t.Context(), map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "a"}}); err == nil ||
		!strings.Contains(err.Error(), "none is named") {
		t.Error(err)
	}
	o["apiVersion"], o["kind"] = "acme.com/v1", "Rocket"
	if err := c.Apply(t.Context(), o); !errors.Is(err, ErrAbsent) || !strings.Contains(err.Error(), "applying Rocket shop/weft-root") || !strings.Contains(err.Error(), "CustomResourceDefinition") {
		t.Error(err)
	}
}

// A kind that was not there when somebody asked first.
func TestApplyAfterDefinition(t *testing.T) {
	s := newServer()
	c := s.cluster(t)
	o := map[string]any{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": map[string]any{"namespace": "shop", "name": "r"}}
	if err := c.Apply(t.Context(), o); !errors.Is(err, ErrAbsent) {
		t.Fatal(err)
	}
	s.add(routes("v1"))
	if err := c.Apply(t.Context(), o); err != nil {
		t.Fatal(err)
	}
}

func TestDelete(t *testing.T) {
	s := newServer(routes("v1"))
	s.put(routeOf(""))
	c := s.cluster(t)
	for range 2 {
		if err := c.Delete(t.Context(), route); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.kinds[1].objects) > 0 {
		t.Error("it is still there")
	}
	if err := c.Delete(t.Context(), dialect.Key{Group: "acme.com", Kind: "Rocket", Name: "r"}); err != nil {
		t.Error(err)
	}
	s.fail = func(string, string, *http.Request) error { return &refusal{409, "Conflict", "it has another UID"} }
	if err := c.DeleteOnly(t.Context(), route, "1"); err != nil {
		t.Errorf("another object of the name is in the way: %v", err)
	}
	if err := c.Delete(t.Context(), route); err == nil {
		t.Error("nothing was deleted, and nobody hears of it")
	}
	s.fail = func(verb, resource string, _ *http.Request) error { return forbidden(verb, resource) }
	if err := c.Delete(t.Context(), route); err == nil || !strings.Contains(err.Error(), "deleting HTTPRoute shop/r: httproutes is forbidden") {
		t.Error(err)
	}
}

func TestWriteStatus(t *testing.T) {
	s := newServer(routes("v1"))
	s.put(routeOf(""))
	c := s.cluster(t)
	status := map[string]any{"parents": []any{map[string]any{"controllerName": "weft.dev/mesh", "observedGeneration": 1}}}
	for range 3 {
		if err := c.WriteStatus(t.Context(), route, status); err != nil {
			t.Fatal(err)
		}
	}
	if n := count(s.requests, "update httproutes shop r status"); n != 1 {
		t.Errorf("%d writes: %q", n, s.requests)
	}
	if err := c.WriteStatus(t.Context(), dialect.Key{Group: route.Group, Kind: route.Kind, Namespace: "shop", Name: "gone"}, status); !errors.Is(err, ErrAbsent) {
		t.Error(err)
	}
}

// Of two who write at a time nobody's word is lost.
func TestConflict(t *testing.T) {
	s := newServer(routes("v1"))
	s.put(routeOf(`, "status": {"parents": ["other"]}`))
	c := s.cluster(t)
	s.fail = func(verb, _ string, _ *http.Request) error {
		if verb != "update" {
			return nil
		}
		s.fail = nil
		s.write(s.kinds[1], merged(s.kinds[1].objects["shop/r"], map[string]any{"status": map[string]any{"parents": []any{"other", "third"}}}))
		return nil
	}
	err := c.ChangeStatus(t.Context(), route, func(o map[string]any) (map[string]any, error) {
		parents := o["status"].(map[string]any)["parents"].([]any)
		return map[string]any{"parents": append(slices.Clone(parents), "weft")}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	got := s.kinds[1].objects["shop/r"]["status"].(map[string]any)["parents"].([]any)
	if !slices.Equal(got, []any{"other", "third", "weft"}) {
		t.Error(got)
	}
	s.fail = func(verb, _ string, _ *http.Request) error {
		if verb == "update" {
			return &refusal{409, "Conflict", "always"}
		}
		return nil
	}
	if err := c.WriteStatus(t.Context(), route, map[string]any{"a": "b"}); err == nil || count(s.requests, "update") > maxConflicts+2 {
		t.Error(err, s.requests)
	}
}

func TestSameJSON(t *testing.T) {
	for _, c := range []struct {
		a, b any
		want bool
	}{
		{nil, nil, true}, {nil, map[string]any{}, true}, {map[string]any{}, nil, true}, {nil, map[string]any{"a": 1}, false},
		{int64(1), 1.0, true}, {1, int64(1), true}, {1, 2, false}, {1, "1", false}, {"a", "a", true}, {true, false, false},
		{[]any{1}, []any{int64(1)}, true}, {[]any{1}, []any{1, 2}, false}, {[]any{}, map[string]any{}, false},
		{map[string]any{"a": nil}, map[string]any{"b": nil}, false}, {map[string]any{"a": []any{"x"}}, map[string]any{"a": []any{"x"}}, true},
		{map[string]any{}, []any{}, false}, {map[string]any{}, "", false},
	} {
		if got := sameJSON(c.a, c.b); got != c.want {
			t.Errorf("%v and %v: %v", c.a, c.b, got)
		}
	}
}

func TestAllowed(t *testing.T) {
	s := newServer()
	s.review = func(o map[string]any) {
		a := o["spec"].(map[string]any)["resourceAttributes"].(map[string]any)
		o["status"] = map[string]any{"allowed": a["verb"] == "list" && a["resource"] == "pods", "reason": "because"}
	}
	c := s.cluster(t)
	if ok, why, err := c.Allowed(t.Context(), Access{Verb: "list", Resource: "pods"}); !ok || why != "because" || err != nil {
		t.Error(ok, why, err)
	}
	if ok, _, err := c.Allowed(t.Context(), Access{Verb: "list", Resource: "secrets"}); ok || err != nil {
		t.Error(ok, err)
	}
}

func TestList(t *testing.T) {
	s := newServer(services())
	for _, name := range []string{"a", "b", "c"} {
		s.put(serviceOf("shop", name))
	}
	s.put(serviceOf("other", "d"))
	c := s.cluster(t)
	if all, err := c.List(t.Context(), dialect.Key{Kind: "Service"}, ""); len(all) != 4 || err != nil {
		t.Error(all, err)
	}
	if some, err := c.List(t.Context(), dialect.Key{Kind: "Service", Namespace: "shop"}, ""); len(some) != 3 || err != nil {
		t.Error(some, err)
	}
	if none, err := c.List(t.Context(), dialect.Key{Kind: "Service"}, "a=b"); len(none) != 0 || err != nil {
		t.Error(none, err)
	}
	if _, err := c.List(t.Context(), dialect.Key{Group: "acme.com", Kind: "Rocket"}, ""); !errors.Is(err, ErrAbsent) {
		t.Error(err)
	}
}
