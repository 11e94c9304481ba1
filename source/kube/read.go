package kube

import (
	"context"
	"fmt"
	"io"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/weft-mesh/weft/dialect"
)

// objects is where the objects of a kind are, in a version, or the preferred one if version is empty. No namespace stands for all.
func (c *Cluster) objects(ctx context.Context, k dialect.Key, version string) (dynamic.ResourceInterface, error) {
	at, err := c.catalog.find(ctx, schema.GroupKind{Group: k.Group, Kind: k.Kind}, version)
	if err != nil {
		return nil, err
	}
	if !at.namespaced {
		if k.Namespace != "" {
			return nil, fmt.Errorf("a %s has no namespace", k.Kind)
		}
		return c.dynamic.Resource(at.GroupVersionResource), nil
	}
	if k.Namespace == "" && k.Name != "" {
		return nil, fmt.Errorf("a %s is in a namespace, and none is named", k.Kind)
	}
	return c.dynamic.Resource(at.GroupVersionResource).Namespace(k.Namespace), nil
}

// say is a key as people say it.
func say(k dialect.Key) string {
	file, _, _ := place(k.Kind, k.Namespace, k.Name)
	return file
}

// Get returns an object as the API server has it. The error wraps ErrAbsent if it, or its kind, is not there.
func (c *Cluster) Get(ctx context.Context, k dialect.Key) (map[string]any, error) {
	at, err := c.objects(ctx, k, "")
	if err != nil {
		return nil, c.explain("reading "+say(k), err)
	}
	o, err := at.Get(ctx, k.Name, metav1.GetOptions{})
	if err != nil {
		return nil, c.explain("reading "+say(k), err)
	}
	return o.Object, nil
}

// List returns the objects of k's group and kind, in k's namespace if it names one, that have the labels of a selector, all if it is
// empty. The error wraps ErrAbsent if the kind is not there.
func (c *Cluster) List(ctx context.Context, k dialect.Key, selector string) (out []map[string]any, err error) {
	return c.list(ctx, k, metav1.ListOptions{Limit: page, LabelSelector: selector})
}

// Where returns the objects of a kind, in a namespace or in all, whose fields are as fields says: those that the API server selects by, as
// "status.phase=Pending".
func (c *Cluster) Where(ctx context.Context, k dialect.Key, fields string) (out []map[string]any, err error) {
	return c.list(ctx, k, metav1.ListOptions{Limit: page, FieldSelector: fields})
}

func (c *Cluster) list(ctx context.Context, k dialect.Key, opts metav1.ListOptions) (out []map[string]any, err error) {
	doing := "listing objects of kind " + k.Kind
	at, err := c.objects(ctx, k, "")
	if err != nil {
		return nil, c.explain(doing, err)
	}
	for {
		list, err := at.List(ctx, opts)
		if err != nil {
			return nil, c.explain(doing, err)
		}
		for i := range list.Items {
			out = append(out, list.Items[i].Object)
		}
		if opts.Continue = list.GetContinue(); opts.Continue == "" {
			return out, nil
		}
	}
}

// Access is something that one may be allowed to do.
type Access struct {
	Verb, Group, Resource, Subresource string // as "create", "", "pods", "log"
	Namespace, Name                    string // empty: all
}

// Allowed says whether whoever weft is here may do something, and if not, why, where the API server tells.
func (c *Cluster) Allowed(ctx context.Context, a Access) (allowed bool, reason string, err error) {
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: a.Verb, Group: a.Group, Resource: a.Resource, Subresource: a.Subresource,
			Namespace: a.Namespace, Name: a.Name}}}
	answer, err := c.typed.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
	if err != nil {
		return false, "", c.explain("asking what is allowed", err)
	}
	return answer.Status.Allowed, answer.Status.Reason, nil
}

// Logs returns the last lines that a pod's container has written, and writes them to w as they come until ctx ends if follow is set.
func (c *Cluster) Logs(ctx context.Context, w io.Writer, namespace, pod, container string, lines int64, since time.Duration, follow bool) error {
	opts := &corev1.PodLogOptions{Container: container, Follow: follow}
	if lines > 0 {
		opts.TailLines = &lines
	}
	if since > 0 {
		seconds := int64(since.Seconds())
		opts.SinceSeconds = &seconds
	}
	doing := "reading the log of Pod " + namespace + "/" + pod
	body, err := c.typed.CoreV1().Pods(namespace).GetLogs(pod, opts).Stream(ctx)
	if err != nil {
		return c.explain(doing, err)
	}
	defer body.Close()
	if _, err = io.Copy(w, body); err != nil && ctx.Err() == nil {
		return c.explain(doing, err)
	}
	return nil
}
