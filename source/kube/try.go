package kube

import (
	"context"
	"errors"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/weft-mesh/weft/dialect"
)

// Try asks the API server what it would make of a new object, with all its webhooks, and makes none.
func (c *Cluster) Try(ctx context.Context, o map[string]any) (map[string]any, error) {
	u := &unstructured.Unstructured{Object: o}
	gv, err := schema.ParseGroupVersion(u.GetAPIVersion())
	if err != nil || u.GetKind() == "" || u.GetName() == "" {
		return nil, errors.New("trying an object: it names no apiVersion, kind or metadata.name")
	}
	k := dialect.Key{Group: gv.Group, Kind: u.GetKind(), Namespace: u.GetNamespace(), Name: u.GetName()}
	at, err := c.objects(ctx, k, gv.Version)
	if err == nil {
		u, err = at.Create(ctx, u, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}, FieldManager: c.manager})
	}
	if err != nil {
		return nil, c.explain("trying "+say(k), err)
	}
	return u.Object, nil
}
