// Package mend has pods made anew that started on their node before weft's CNI plugin was there. Nothing redirects what such a pod sends and
// gets, so its proxy refuses to run, and starting its containers again gives the pod no other network.
//
// It promises: a pod is evicted only if its proxy said that, weft-node is ready on its node by now, and something will make the pod anew;
// of what one owner has on one node and started since, at most one pod in some minutes.
package mend

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/weft-mesh/weft/dialect"
)

// missing is the exit code of a proxy that finds no redirection (podnet.ExitMissing).
const missing = 3

// again is how long another pod of the same owner that started while weft-node was ready is left as it is on the same node: where the plugin
// cannot work at all, as for a pod in a virtual machine, each would be evicted in turn for ever.
const again = 5 * time.Minute

// Cluster is what is asked of an API server; source/kube has it.
type Cluster interface {
	Where(ctx context.Context, k dialect.Key, fields string) ([]map[string]any, error)
	Evict(ctx context.Context, namespace, name, uid string) error
}

// Mender remembers what it has done.
type Mender struct {
	Cluster   Cluster
	Namespace string // of weft-node
	Log       *slog.Logger

	done map[string]time.Time // by pod, and by owner and node
}

// Do looks at the pods that wait, once.
func (m *Mender) Do(ctx context.Context, now time.Time) error {
	for key, t := range m.done {
		if now.Sub(t) > again {
			delete(m.done, key)
		}
	}
	pods, err := m.Cluster.Where(ctx, dialect.Key{Kind: "Pod"}, "status.phase=Pending")
	if err != nil {
		return err
	}
	ready := map[string]string{} // since when weft-node is, by node; empty: it is not
	var errs []error
	for _, p := range pods {
		if s := stuckOf(p); s != nil && m.done[s.uid].IsZero() {
			errs = append(errs, m.mend(ctx, s, ready, now))
		}
	}
	return errors.Join(errs...)
}

// mend evicts one pod, if that helps.
func (m *Mender) mend(ctx context.Context, s *stuck, ready map[string]string, now time.Time) error {
	since, known := ready[s.node]
	if !known {
		agents, err := m.Cluster.Where(ctx, dialect.Key{Kind: "Pod", Namespace: m.Namespace}, "spec.nodeName="+s.node)
		if err != nil {
			return err
		}
		for _, a := range agents {
			since = cmp.Or(since, readySince(a))
		}
		ready[s.node] = since
	}
	if since == "" || s.started >= since && !m.done[s.key()].IsZero() {
		return nil
	}
	if m.done == nil {
		m.done = map[string]time.Time{}
	}
	m.done[s.key()], m.done[s.uid] = now, now
	if s.owner == "" {
		m.Log.Warn("a pod started before weft's CNI plugin was on its node, and nothing makes it anew: delete it and make it again", "pod", s.namespace+"/"+s.name, "node", s.node)
		return nil
	}
	m.Log.Info("a pod started before weft's CNI plugin was on its node, and is made anew", "pod", s.namespace+"/"+s.name, "node", s.node)
	return m.Cluster.Evict(ctx, s.namespace, s.name, s.uid)
}

// stuck is a pod whose proxy found no redirection.
type stuck struct{ namespace, name, uid, node, owner, started string }

func (s *stuck) key() string {
	if s.owner == "" {
		return s.uid
	}
	return s.owner + " " + s.node
}

func stuckOf(pod map[string]any) *stuck {
	meta, spec, status := tree(pod["metadata"]), tree(pod["spec"]), tree(pod["status"])
	if meta["deletionTimestamp"] != nil || !slices.ContainsFunc(list(status["initContainerStatuses"]), refused) {
		return nil
	}
	s := &stuck{namespace: text(meta["namespace"]), name: text(meta["name"]), uid: text(meta["uid"]), node: text(spec["nodeName"]),
		started: text(status["startTime"])}
	for _, o := range list(meta["ownerReferences"]) {
		if controls, _ := o["controller"].(bool); controls {
			s.owner = fmt.Sprint(s.namespace, " ", o["uid"])
		}
	}
	return s
}

// refused says whether a container is a proxy that ended for want of redirection, now or the last time.
func refused(container map[string]any) bool {
	for _, state := range []string{"state", "lastState"} {
		ended := tree(tree(container[state])["terminated"])
		if code, ok := ended["exitCode"].(int64); ok && code == missing && text(container["name"]) == "weft-proxy" {
			return true
		}
	}
	return false
}

// readySince is a time as the API server writes them all, so that they are in the order of their texts; empty: the pod is no weft-node that
// is ready.
func readySince(pod map[string]any) string {
	if text(tree(tree(pod["metadata"])["labels"])["app.kubernetes.io/name"]) != "weft-node" {
		return ""
	}
	for _, c := range list(tree(pod["status"])["conditions"]) {
		if text(c["type"]) == "Ready" && text(c["status"]) == "True" {
			return text(c["lastTransitionTime"])
		}
	}
	return ""
}

func tree(v any) map[string]any { m, _ := v.(map[string]any); return m }

func text(v any) string { s, _ := v.(string); return s }

func list(v any) (out []map[string]any) {
	l, _ := v.([]any)
	for _, x := range l {
		out = append(out, tree(x))
	}
	return out
}
