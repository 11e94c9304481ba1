package kube

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/weft-mesh/weft/dialect"
)

// manager is the name by which the API server knows which fields weft has written, if Options.Manager gives none.
const manager = "weft"

// Apply makes an object be as o says, an object's JSON values: fields that weft applied before and that o does not name go, those
// that others own and that o does not name stay, and of those that o names weft becomes the owner.
func (c *Cluster) Apply(ctx context.Context, o map[string]any) error {
	u := &unstructured.Unstructured{Object: o}
	gvk, err := schema.ParseGroupVersion(u.GetAPIVersion())
	if err != nil || u.GetKind() == "" || u.GetName() == "" {
		return errors.New("applying an object: it names no apiVersion, kind or metadata.name")
	}
	k := dialect.Key{Group: gvk.Group, Kind: u.GetKind(), Namespace: u.GetNamespace(), Name: u.GetName()}
	at, err := c.objects(ctx, k, gvk.Version)
	if err == nil {
		_, err = at.Apply(ctx, k.Name, u, metav1.ApplyOptions{FieldManager: c.manager, Force: true})
	}
	return c.explain("applying "+say(k), err)
}

// Delete deletes an object, and what it owns soon after. One that is not there, or whose kind is not, is deleted already.
func (c *Cluster) Delete(ctx context.Context, k dialect.Key) error { return c.DeleteOnly(ctx, k, "") }

// DeleteOnly is Delete of the object that has a UID: another one of the same name stays.
func (c *Cluster) DeleteOnly(ctx context.Context, k dialect.Key, uid string) error {
	background := metav1.DeletePropagationBackground
	how := metav1.DeleteOptions{PropagationPolicy: &background}
	if uid != "" {
		how.Preconditions = metav1.NewUIDPreconditions(uid)
	}
	at, err := c.objects(ctx, k, "")
	if err == nil {
		err = at.Delete(ctx, k.Name, how)
	}
	if apierrors.IsNotFound(err) || errors.Is(err, ErrAbsent) || uid != "" && apierrors.IsConflict(err) {
		return nil
	}
	return c.explain("deleting "+say(k), err)
}

// Evict has a pod deleted, as long as it is the one with that UID and no PodDisruptionBudget forbids it; that it is gone already is fine.
func (c *Cluster) Evict(ctx context.Context, namespace, name, uid string) error {
	k := dialect.Key{Kind: "Pod", Namespace: namespace, Name: name}
	at, err := c.objects(ctx, k, "")
	if err == nil {
		e := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "policy/v1", "kind": "Eviction",
			"metadata":      map[string]any{"name": name, "namespace": namespace},
			"deleteOptions": map[string]any{"preconditions": map[string]any{"uid": uid}}}}
		_, err = at.Create(ctx, e, metav1.CreateOptions{}, "eviction")
	}
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return c.explain("evicting "+say(k), err)
}

// WriteStatus makes an object's status be as given, if it is another. See ChangeStatus for one that several write.
func (c *Cluster) WriteStatus(ctx context.Context, k dialect.Key, status map[string]any) error {
	return c.ChangeStatus(ctx, k, func(map[string]any) (map[string]any, error) { return status, nil })
}

// maxConflicts is how often a status is worked out anew because somebody else was faster.
const maxConflicts = 10

// ChangeStatus gives an object the status that change makes of the object as it is now, which it must leave as it is. Nothing is written
// if that is the status that it has. If somebody else writes meanwhile, change is asked again, so that nobody's word is lost.
func (c *Cluster) ChangeStatus(ctx context.Context, k dialect.Key, change func(o map[string]any) (status map[string]any, err error)) error {
	at, err := c.objects(ctx, k, "")
	if err != nil {
		return c.explain("writing the status of "+say(k), err)
	}
	for range maxConflicts {
		var o *unstructured.Unstructured
		if o, err = at.Get(ctx, k.Name, metav1.GetOptions{}); err != nil {
			break
		}
		status, failed := change(o.Object)
		if failed != nil {
			return fmt.Errorf("writing the status of %s: %w", say(k), failed)
		}
		if sameJSON(o.Object["status"], status) {
			return nil
		}
		o.Object["status"] = status
		if _, err = at.UpdateStatus(ctx, o, metav1.UpdateOptions{FieldManager: c.manager}); !apierrors.IsConflict(err) {
			break
		}
	}
	return c.explain("writing the status of "+say(k), err)
}

// sameJSON compares values of JSON: a number is the same number whatever type holds it, and nothing is the same as an empty map.
func sameJSON(a, b any) bool {
	switch x := a.(type) {
	case map[string]any:
		y, ok := b.(map[string]any)
		if len(x) != len(y) || !ok && b != nil {
			return false
		}
		for key := range x {
			if _, ok := y[key]; !ok || !sameJSON(x[key], y[key]) {
				return false
			}
		}
		return true
	case []any:
		y, ok := b.([]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for i := range x {
			if !sameJSON(x[i], y[i]) {
				return false
			}
		}
		return true
	case nil:
		y, ok := b.(map[string]any)
		return b == nil || ok && len(y) == 0
	}
	if x, ok := number(a); ok {
		y, ok := number(b)
		return ok && x == y
	}
	return reflect.DeepEqual(a, b)
}

func number(v any) (float64, bool) {
	switch n := reflect.ValueOf(v); {
	case n.CanInt():
		return float64(n.Int()), true
	case n.CanFloat():
		return n.Float(), true
	}
	return 0, false
}
