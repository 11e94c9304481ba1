package main

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup" // the parts of a program that end together

	"github.com/weft-mesh/weft/control"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/install/gateway"
)

// lead is what one replica does for all.
func (r *replica) lead(ctx context.Context, tasks []control.Task) {
	var g errgroup.Group
	g.Go(func() error { r.control.KeepAuthority(ctx); return nil })
	r.control.Lead(ctx, tasks...)
	_ = g.Wait()
}

// tasks know what this replica has done already, also when it led before.
func (r *replica) tasks() []control.Task {
	statuses := r.control.NewStatuses(r.writeStatus)
	list := []control.Task{
		r.control.RootTask(r.cluster.Apply),
		r.control.HookTask("weft-inject", r.get, r.cluster.Apply),
		{Name: "statuses", Do: statuses.Do},
	}
	if r.injection != nil {
		gateways := &control.Gateways{Apply: r.cluster.Apply, Delete: r.cluster.Delete}
		list = append(list, control.Task{Name: "gateways", Do: func(ctx context.Context) error {
			gateways.Options = gateway.Options{Inject: r.injection(), ServiceType: r.gatewayService}
			return gateways.Do(ctx, r.control.View())
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
