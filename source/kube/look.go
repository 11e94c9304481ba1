package kube

import (
	"context"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"
)

// soon is when to look again after a CustomResourceDefinition has come, changed or gone: the kind is served a moment later, and
// not by every API server at once. After a failure it is the same.
var soon = []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second}

const (
	later = 10 * time.Minute // when to look again without a reason
	blind = time.Minute      // the same where CustomResourceDefinitions can't be watched
)

// look asks the API server for the kinds that it has, again and again.
func (r *run) look(ctx context.Context) {
	said, failed, step := "", 0, len(soon)
	for {
		err := r.lookOnce(ctx)
		if ctx.Err() != nil {
			return
		}
		said = r.complain(said, err)
		wait := later
		switch {
		case err != nil:
			wait = soon[min(failed, len(soon)-1)]
			failed++
		case step < len(soon):
			wait, failed = soon[step], 0
			step++
		case r.blind.Load():
			wait = blind
		}
		poked, err := r.rest(ctx, wait)
		if err != nil {
			return
		}
		if poked {
			step = 1
		}
	}
}

// lookOnce returns an error also where a part of what is wanted is not known.
func (r *run) lookOnce(ctx context.Context) error {
	s, err := r.cluster.catalog.look(ctx)
	if err != nil {
		return err
	}
	select {
	case r.looks <- s:
	case <-ctx.Done():
	}
	for _, w := range r.wanted {
		if err := s.silent[w.kind.Group]; err != nil {
			return err
		}
	}
	return nil
}

// complain logs an error that is not the last one.
func (r *run) complain(last string, err error) string {
	if err == nil {
		return ""
	}
	if now := err.Error(); now != last {
		r.cluster.log.Warn("the API server does not say which kinds it has; what is known stays in force", "error", r.cluster.explain("asking for them", err))
	}
	return err.Error()
}

// rest waits, until somebody pokes and a moment more.
func (r *run) rest(ctx context.Context, wait time.Duration) (poked bool, err error) {
	select {
	case <-ctx.Done():
		return false, ctx.Err()
	case <-time.After(wait):
		return false, nil
	case <-r.poke:
	}
	select {
	case <-ctx.Done():
		return true, ctx.Err()
	case <-time.After(soon[0]):
		return true, nil
	}
}

// definitions is the resource of CustomResourceDefinitions. Of them only names are read: all are many megabytes.
var definitions = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}

// watchDefinitions pokes when a kind may come, change or go.
func (r *run) watchDefinitions(ctx context.Context, client metadata.Interface) {
	d := &definitionFeed{run: r, groups: map[string]bool{}}
	for _, w := range r.wanted {
		d.groups[w.kind.Group] = true
	}
	all := client.Resource(definitions)
	lw := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, opts metav1.ListOptions) (runtime.Object, error) {
			list, err := all.List(ctx, opts)
			d.answered(err)
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error) {
			w, err := all.Watch(ctx, opts)
			d.answered(err)
			return w, err
		},
	}
	cache.NewReflectorWithOptions(lw, nil, d, cache.ReflectorOptions{Name: "weft", TypeDescription: definitions.Resource}).RunWithContext(ctx)
}

// definitionFeed is a store for a reflector that keeps nothing.
type definitionFeed struct {
	run    *run
	groups map[string]bool // that are wanted
	failed bool
}

func (d *definitionFeed) answered(err error) {
	if err != nil && !d.failed {
		d.run.cluster.log.Warn("kinds that come or go are noticed late", "within", blind, "error",
			d.run.cluster.explain("watching customresourcedefinitions.apiextensions.k8s.io", err))
	}
	d.failed = err != nil
	d.run.blind.Store(d.failed)
}

func (d *definitionFeed) Add(obj any) error {
	if o, ok := obj.(metav1.Object); ok {
		if _, group, _ := strings.Cut(o.GetName(), "."); !d.groups[group] { // PLURAL.GROUP
			return nil
		}
	}
	stir(d.run.poke)
	return nil
}

func (d *definitionFeed) Update(obj any) error { return d.Add(obj) }
func (d *definitionFeed) Delete(obj any) error { return d.Add(obj) }

func (d *definitionFeed) Replace([]any, string) error {
	stir(d.run.poke)
	return nil
}

func (d *definitionFeed) Resync() error { return nil }
