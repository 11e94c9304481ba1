package main

import (
	"context"
	"slices"
	"time"

	"golang.org/x/sync/errgroup" // the parts of a program that end together

	"github.com/weft-mesh/weft/control"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/gatewayapi"
	"github.com/weft-mesh/weft/dialect/ingress"
	"github.com/weft-mesh/weft/inject"
	"github.com/weft-mesh/weft/install/gateway"
	"github.com/weft-mesh/weft/install/mend"
)

// lead is what one replica does for all.
func (r *replica) lead(ctx context.Context, tasks []control.Task) {
	var g errgroup.Group
	g.Go(func() error { r.control.KeepAuthority(ctx); return nil })
	g.Go(func() error { r.mend(ctx); return nil })
	r.control.Lead(ctx, tasks...)
	_ = g.Wait()
}

// mendEvery is how often is looked for pods that wait for want of redirection.
const mendEvery = 10 * time.Second

// mend has pods made anew that started before the CNI plugin was on their node, where there is one to be.
func (r *replica) mend(ctx context.Context) {
	if r.injection == nil {
		return
	}
	m := &mend.Mender{Cluster: r.cluster, Namespace: r.namespace, Log: r.log}
	for tick := time.Tick(mendEvery); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick:
		}
		if !r.injection().CNI {
			continue
		}
		if err := m.Do(ctx, time.Now()); err != nil && ctx.Err() == nil {
			r.log.Warn("look for pods that nothing redirects", "error", err)
		}
	}
}

// tasks know what this replica has done already, also when it led before.
func (r *replica) tasks() []control.Task {
	statuses := r.control.NewStatuses(r.writeStatus)
	list := []control.Task{
		r.control.RootTask(r.cluster.Apply),
		r.control.HookTask(inject.Config, r.get, r.cluster.Apply),
		{Name: "statuses", Do: statuses.Do},
		r.control.GoodTask(),
	}
	if r.gatewayClass != "" {
		c := class{name: r.gatewayClass, serves: r.cluster.Serves, apply: r.cluster.Apply, group: "gateway.networking.k8s.io", kind: "GatewayClass",
			spec: map[string]any{"controllerName": gatewayapi.Controller, "description": "Gateways whose proxies weft deploys and owns"}}
		list = append(list, control.Task{Name: "gateway-class", Do: func(ctx context.Context) error { return c.do(ctx, time.Now()) }})
		i := class{name: r.gatewayClass, serves: r.cluster.Serves, apply: r.cluster.Apply, group: "networking.k8s.io", kind: "IngressClass",
			notes: ingress.At(r.namespace), spec: map[string]any{"controller": ingress.Controller}}
		list = append(list, control.Task{Name: "ingress-class", Do: func(ctx context.Context) error { return i.do(ctx, time.Now()) }})
	}
	if r.injection != nil && r.gatewayClass != "" { // else it may not write what they need
		list = append(list, control.Task{Name: "adoption", Do: func(ctx context.Context) error { return r.adoption.look(ctx, time.Now()) }})
		gateways := &control.Gateways{Adopted: r.control.Adopted, Get: r.get, Apply: r.cluster.Apply, Delete: r.cluster.DeleteOnly, Note: r.control.Note}
		list = append(list, control.Task{Name: "gateways", Do: func(ctx context.Context) error {
			gateways.Options = gateway.Options{Inject: r.injection(), ServiceType: r.gatewayService, Replicas: r.replicas}
			now := r.control.Mesh()
			if now == nil {
				return context.Canceled
			}
			return gateways.Do(ctx, now)
		}})
	}
	return list
}

// writeStatus changes the status of an object, if it is still there.
func (r *replica) writeStatus(ctx context.Context, k dialect.Key, of dialect.Status) error {
	return absentIsFine(r.cluster.ChangeStatus(ctx, k, func(o map[string]any) (map[string]any, error) {
		was, _ := o["status"].(map[string]any)
		return of(was, time.Now()), nil
	}))
}

// class makes the class by which Gateways or Ingresses are weft's, as soon as its kind is there, and again if somebody takes it away.
type class struct {
	group, kind, name string
	notes, spec       map[string]any // notes: annotations
	serves            func(ctx context.Context, group, kind string) ([]string, error)
	apply             func(ctx context.Context, o map[string]any) error
	next              time.Time // to ask again
}

// How long the API server is not asked again which kinds there are, which is a look at all of them: where there was no such kind, and
// where there is.
const (
	askAgain  = 10 * time.Second
	mendAgain = 5 * time.Minute
)

func (c *class) do(ctx context.Context, now time.Time) error {
	if now.Before(c.next) {
		return nil
	}
	versions, err := c.serves(ctx, c.group, c.kind)
	if c.next = now.Add(askAgain); err != nil || !slices.Contains(versions, "v1") {
		return err
	}
	err = c.apply(ctx, map[string]any{"apiVersion": c.group + "/v1", "kind": c.kind, "spec": c.spec,
		"metadata": map[string]any{"name": c.name, "annotations": c.notes, "labels": map[string]any{"app.kubernetes.io/part-of": "weft", "app.kubernetes.io/managed-by": "weft"}}})
	if err == nil {
		c.next = now.Add(mendAgain)
	}
	return err
}
