package control

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/inject"
)

// RootsPEM is the roots that are published, as a file has them: one that was retired a moment ago is among them as long as another replica may
// serve with a certificate of it.
func (c *Control) RootsPEM() (roots []byte, err error) {
	err = c.do(func() { roots = rootsPEM(c.publisher.trust.Roots) })
	return roots, err
}

func rootsPEM(roots [][]byte) (out []byte) {
	for _, der := range roots {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return out
}

// rootKey is the key of inject.RootMap: a file of roots. domainKey's says whose they are, to proxies that nobody has told.
const (
	rootKey   = "root.pem"
	domainKey = "trust-domain"
)

// Apply makes an object of the cluster be as its JSON values say.
type Apply func(ctx context.Context, object map[string]any) error

// RootTask keeps the roots in a ConfigMap of each namespace that has meshed pods.
func (c *Control) RootTask(apply Apply) Task {
	done := map[string]applied{}
	return Task{Name: "roots", Do: func(ctx context.Context) error {
		namespaces, err := c.meshedNamespaces()
		if err != nil {
			return err
		}
		roots, err := c.RootsPEM()
		if err != nil {
			return err
		}
		maps.DeleteFunc(done, func(ns string, _ applied) bool { return !slices.Contains(namespaces, ns) }) // it may be deleted, and made anew
		var failed []error
		now := time.Now()
		for _, ns := range namespaces {
			if done[ns].holds(roots, now) {
				continue
			}
			if err := apply(ctx, rootMap(ns, roots, c.opts.TrustDomain)); err != nil {
				failed = append(failed, err)
				continue
			}
			done[ns] = applied{roots, now}
		}
		return errors.Join(failed...)
	}}
}

// applied is what was written somewhere, and when: somebody else may have undone it since.
type applied struct {
	what []byte
	at   time.Time
}

func (a applied) holds(what []byte, now time.Time) bool {
	return bytes.Equal(a.what, what) && now.Sub(a.at) < leadAgain/2
}

func rootMap(namespace string, roots []byte, trustDomain string) map[string]any {
	return map[string]any{"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]any{"name": inject.RootMap, "namespace": namespace, "labels": map[string]any{"app.kubernetes.io/managed-by": "weft", "app.kubernetes.io/part-of": "weft"}},
		"data":     map[string]any{rootKey: string(roots), domainKey: trustDomain}}
}

// meshedNamespaces are those with pods that have a proxy of weft's, or are to have one.
func (c *Control) meshedNamespaces() (out []string, err error) {
	err = c.do(func() { out = slices.Sorted(maps.Keys(c.meshed)) })
	return out, err
}

// countMeshed counts the meshed pods among some pods, as they are known now; n -1 takes them off before they change. It runs in the owner.
func (c *Control) countMeshed(workloads map[string]bool, n int) {
	for w := range workloads {
		o := c.pod(w)
		if o == nil || o.Annotations[dialect.Tunnel] == "" && o.Annotations[inject.Injected] == "" {
			continue
		}
		if c.meshed[o.Namespace] += n; c.meshed[o.Namespace] == 0 {
			delete(c.meshed, o.Namespace)
		}
	}
}

// HookTask has the API server believe the webhooks of a MutatingWebhookConfiguration by the roots. get returns nothing where there is
// no such object, and then there is nothing to do.
func (c *Control) HookTask(name string, get func(context.Context, dialect.Key) (map[string]any, error), apply Apply) Task {
	const group, kind = "admissionregistration.k8s.io", "MutatingWebhookConfiguration"
	return Task{Name: "webhook", Do: func(ctx context.Context) error {
		o, err := get(ctx, dialect.Key{Group: group, Kind: kind, Name: name})
		if err != nil || o == nil {
			return err
		}
		roots, err := c.RootsPEM()
		if err != nil {
			return err
		}
		hooks, stale, err := believing(o, base64.StdEncoding.EncodeToString(roots))
		if err != nil || !stale {
			return err
		}
		return apply(ctx, map[string]any{"apiVersion": group + "/v1", "kind": kind, "metadata": map[string]any{"name": name}, "webhooks": hooks})
	}}
}

// believing is what to apply so that each webhook of an object is believed by the roots; stale: one is not.
func believing(o map[string]any, bundle string) (hooks []any, stale bool, err error) {
	list, _ := o["webhooks"].([]any)
	for i, x := range list {
		hook, _ := x.(map[string]any)
		client, _ := hook["clientConfig"].(map[string]any)
		name, _ := hook["name"].(string)
		if name == "" {
			return nil, false, fmt.Errorf("webhooks[%d] of the webhook's configuration has no name", i)
		}
		stale = stale || client["caBundle"] != bundle
		hooks = append(hooks, map[string]any{"name": name, "clientConfig": map[string]any{"caBundle": bundle}})
	}
	return hooks, stale, nil
}
