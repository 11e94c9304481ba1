package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/inject"
	"github.com/weft-mesh/weft/source"
)

func TestRootsAreInEveryMeshedNamespace(t *testing.T) {
	f := newFeed(synced(parse(t, reviewsPod+ratingsPod+controlPods)))
	p := run(t, newCity().options(t, 0, f))
	var got []string
	broken := errors.New("no")
	task := p.RootTask(func(_ context.Context, o map[string]any) error {
		meta := o["metadata"].(map[string]any)
		got = append(got, fmt.Sprint(o["kind"], " ", meta["namespace"], "/", meta["name"]))
		if pem := o["data"].(map[string]any)["root.pem"].(string); strings.Count(pem, "BEGIN CERTIFICATE") != 1 || pem != string(p.publishedRoots()) {
			t.Errorf("%q", pem)
		}
		if got := o["data"].(map[string]any)["trust-domain"]; got != domain {
			t.Errorf("of trust domain %q, want %q", got, domain)
		}
		return broken
	})
	for range 3 {
		if err := task.Do(t.Context()); !errors.Is(err, broken) {
			t.Errorf("%v, want %v", err, broken)
		}
		broken = nil
	}
	if want := []string{"ConfigMap shop/weft-root", "ConfigMap shop/weft-root"}; !slices.Equal(got, want) {
		t.Errorf("applied %q, want %q: again after an error, and not once it stands", got, want)
	}
	f.emit(t, source.Event{Put: parse(t, strings.ReplaceAll(podOf("other", "new", "u7", "a", "10.0.0.7"), "weft.dev/tunnel", "weft.dev/injected"))})
	if err := task.Do(t.Context()); err != nil || !slices.Contains(got, "ConfigMap other/weft-root") {
		t.Errorf("applied %q, %v", got, err)
	}
	f.emit(t, source.Event{Put: parse(t, strings.ReplaceAll(reviewsPod, "Running", "Pending"))}) // a pod that says something else is one
	f.emit(t, source.Event{Delete: parseKeys(t, ratingsPod+reviewsPod)})
	if left, err := p.meshedNamespaces(); err != nil || !slices.Equal(left, []string{"other"}) {
		t.Errorf("meshed pods are in %q, %v", left, err)
	}
	_ = task.Do(t.Context())
	got = nil
	f.emit(t, source.Event{Put: parse(t, reviewsPod)})
	if _ = task.Do(t.Context()); !slices.Equal(got, []string{"ConfigMap shop/weft-root"}) {
		t.Errorf("applied %q in a namespace that is there again", got)
	}
}

// TestAppliedAgain: what was applied is applied again when it is to be something else, and after a while, since somebody may have undone it.
func TestAppliedAgain(t *testing.T) {
	a := applied{[]byte("roots"), noon}
	if !a.holds([]byte("roots"), noon.Add(time.Minute)) || a.holds([]byte("others"), noon) || a.holds([]byte("roots"), noon.Add(leadAgain)) {
		t.Error("it is applied again too soon, or not at all")
	}
}

func TestWebhookIsBelieved(t *testing.T) {
	p := run(t, newCity().options(t, 0, newFeed(synced(nil))))
	hook := func(name, bundle string) map[string]any {
		return map[string]any{"name": name, "clientConfig": map[string]any{"service": map[string]any{"name": "weft-control"}, "caBundle": bundle}}
	}
	is := map[string]any{"webhooks": []any{hook("a", ""), hook("b", "b2xk")}}
	var applied []map[string]any
	get := func(_ context.Context, k dialect.Key) (map[string]any, error) {
		if k.Name != "weft-inject" || k.Kind != "MutatingWebhookConfiguration" {
			t.Errorf("%v", k)
		}
		return is, nil
	}
	task := p.HookTask(inject.Config, get, func(_ context.Context, o map[string]any) error { applied = append(applied, o); return nil })
	if err := task.Do(t.Context()); err != nil || len(applied) != 1 {
		t.Fatalf("%v, %v", applied, err)
	}
	hooks := applied[0]["webhooks"].([]any)
	if len(hooks) != 2 || hooks[1].(map[string]any)["name"] != "b" {
		t.Errorf("%v", hooks)
	}
	bundle := hooks[0].(map[string]any)["clientConfig"].(map[string]any)["caBundle"].(string)
	is = map[string]any{"webhooks": []any{hook("a", bundle), hook("b", bundle)}}
	if err := task.Do(t.Context()); err != nil || len(applied) != 1 {
		t.Errorf("%v is applied again: %v", applied, err)
	}
	is = map[string]any{"webhooks": []any{hook("a", "b2xk"), hook("b", bundle)}}
	if err := task.Do(t.Context()); err != nil || len(applied) != 2 {
		t.Errorf("one of two is not believed, and nothing is done: %v", err)
	}
	is = nil
	if err := task.Do(t.Context()); err != nil || len(applied) != 2 {
		t.Errorf("without the object: %v", err)
	}
	is = map[string]any{"webhooks": []any{map[string]any{}}}
	if err := task.Do(t.Context()); err == nil {
		t.Error("a webhook without a name")
	}
}
