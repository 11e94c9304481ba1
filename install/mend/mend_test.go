package mend

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/node/podnet"
)

// fake is a cluster of pods.
type fake struct {
	pods    []map[string]any
	evicted []string
	asked   int
	fail    error
}

func (f *fake) Where(_ context.Context, k dialect.Key, fields string) (out []map[string]any, err error) {
	f.asked++
	name, value, _ := strings.Cut(fields, "=")
	for _, p := range f.pods {
		have := map[string]any{"status.phase": tree(p["status"])["phase"], "spec.nodeName": tree(p["spec"])["nodeName"]}[name]
		if have == value && (k.Namespace == "" || k.Namespace == tree(p["metadata"])["namespace"]) {
			out = append(out, p)
		}
	}
	return out, f.fail
}

func (f *fake) Evict(_ context.Context, namespace, name, uid string) error {
	f.evicted = append(f.evicted, namespace+"/"+name+" "+uid)
	return nil
}

func pod(name, owner, node string, code int64) map[string]any {
	p := map[string]any{"metadata": map[string]any{"namespace": "shop", "name": name, "uid": "uid-" + name},
		"spec": map[string]any{"nodeName": node},
		"status": map[string]any{"phase": "Pending", "startTime": "2026-01-01T00:07:00Z", "initContainerStatuses": []any{map[string]any{"name": "weft-proxy",
			"state": map[string]any{"waiting": map[string]any{}}, "lastState": map[string]any{"terminated": map[string]any{"exitCode": code}}}}}}
	if owner != "" {
		tree(p["metadata"])["ownerReferences"] = []any{map[string]any{"uid": "other"}, map[string]any{"uid": owner, "controller": true}}
	}
	return p
}

func agent(node, ready string) map[string]any {
	return map[string]any{"metadata": map[string]any{"namespace": "weft-system", "name": "weft-node-" + node, "labels": map[string]any{"app.kubernetes.io/name": "weft-node"}},
		"spec":   map[string]any{"nodeName": node},
		"status": map[string]any{"phase": "Running", "conditions": []any{map[string]any{"type": "Ready", "status": ready, "lastTransitionTime": "2026-01-01T00:05:00Z"}}}}
}

func TestMend(t *testing.T) {
	going := pod("going", "rs1", "n1", missing)
	tree(going["metadata"])["deletionTimestamp"] = "2026-01-01T00:00:00Z"
	f := &fake{pods: []map[string]any{
		agent("n1", "True"), agent("n2", "False"),
		pod("a", "rs1", "n1", missing), pod("b", "rs1", "n1", missing), // of one owner: one at a time
		pod("c", "rs2", "n1", missing), pod("crashed", "rs3", "n1", 1), pod("bare", "", "n1", missing),
		pod("early", "rs1", "n2", missing), pod("alone", "rs1", "n3", missing), going,
	}}
	m := &Mender{Cluster: f, Namespace: "weft-system", Log: slog.New(slog.DiscardHandler)}
	now := time.Unix(1e9, 0)
	did := func(when string, want ...string) {
		t.Helper()
		f.evicted = nil
		if err := m.Do(t.Context(), now); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(f.evicted, want) {
			t.Errorf("%s: evicted %v, want %v", when, f.evicted, want)
		}
	}
	did("at first", "shop/a uid-a", "shop/c uid-c")
	did("at once again")
	f.pods = slices.DeleteFunc(f.pods, func(p map[string]any) bool { return text(tree(p["metadata"])["name"]) == "a" })
	now = now.Add(again + time.Second)
	did("later", "shop/b uid-b", "shop/c uid-c")
	f.pods = append(f.pods, agent("n2", "True"), agent("n3", "True"))
	did("weft-node is everywhere", "shop/early uid-early", "shop/alone uid-alone")
	// Whoever started before weft-node was ready is made anew at once, however many there are.
	for _, name := range []string{"x", "y", "z"} {
		p := pod(name, "rs1", "n1", missing)
		tree(p["status"])["startTime"] = "2026-01-01T00:04:59Z"
		f.pods = append(f.pods, p)
	}
	did("early ones", "shop/x uid-x", "shop/y uid-y", "shop/z uid-z")
	did("early ones, again")
	now = now.Add(time.Hour)
	f.pods = nil
	did("nothing waits")
	if len(m.done) != 0 {
		t.Errorf("it remembers %v", m.done)
	}
}

// What costs is one question, where all is well.
func TestMendIdle(t *testing.T) {
	f := &fake{pods: []map[string]any{agent("n1", "True"), pod("crashed", "rs3", "n1", 1)}}
	m := &Mender{Cluster: f, Log: slog.New(slog.DiscardHandler)}
	if err := m.Do(t.Context(), time.Unix(0, 0)); err != nil || f.asked != 1 {
		t.Errorf("%d questions, %v", f.asked, err)
	}
	f.fail = errors.New("no answer")
	if err := m.Do(t.Context(), time.Unix(0, 0)); !errors.Is(err, f.fail) {
		t.Error(err)
	}
}

func TestExitCode(t *testing.T) {
	if fmt.Sprint(missing) != fmt.Sprint(podnet.ExitMissing) {
		t.Error("proxies end with another code")
	}
}
