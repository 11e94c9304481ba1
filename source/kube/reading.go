package kube

import (
	"cmp"
	"context"
	"fmt"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"github.com/weft-mesh/weft/dialect"
)

// page is how many objects are listed at a time, where the API server does not stream them: that many are decoded as a whole.
const page = 500

// reading is a kind that is read. What is not of its reflector belongs to the goroutine of Run.
type reading struct {
	wanted
	at    resource
	only  *name // the only object that is read, of those that are sought; nil: all
	stop  func()
	known objects

	listed  bool             // once at least
	absent  bool             // the only object is not there, and that was told
	missing bool             // the API server said last that there is no such resource
	trouble map[string]error // by verb: why it did not go last time
	refused int              // lists that were forbidden, in a row
}

// name is an object's among those of its kind.
type name struct{ namespace, name string }

func (n name) compare(o name) int {
	return cmp.Or(cmp.Compare(n.namespace, o.namespace), cmp.Compare(n.name, o.name))
}

func nameOf(o *dialect.Object) name { return name{o.Namespace, o.Name} }

// newReading takes over what an earlier one knew.
func newReading(w wanted, at resource, before *reading) *reading {
	now := &reading{wanted: w, at: at, known: objects{}, trouble: map[string]error{}}
	if before != nil {
		now.known, now.listed = before.known, before.listed
	}
	return now
}

func (r *reading) note(verb string, err error) {
	r.missing = apierrors.IsNotFound(err)
	if err == nil {
		delete(r.trouble, verb)
	} else {
		r.trouble[verb] = err
	}
	switch {
	case verb != "list":
	case apierrors.IsForbidden(err):
		r.refused++
	default:
		r.refused = 0
	}
}

// maxRefused is how often a list is forbidden before that is believed: a cluster that begins may take its roles in a moment later.
const maxRefused = 3

// excused says that there is no use in waiting for a list.
func (r *reading) excused() bool { return r.refused >= maxRefused }

// flaw says what keeps objects from being read until somebody does something; nothing: nothing, or the API server is away.
func (r *reading) flaw() (text, remedy string) {
	for _, verb := range []string{"list", "watch"} {
		if err := r.trouble[verb]; apierrors.IsForbidden(err) && (verb == "watch" || r.excused()) {
			effect := "objects of this kind have no effect"
			if r.listed {
				effect = "changes of objects of this kind have no effect until then, or come late"
			}
			return fmt.Sprintf("the API server forbids to %s %s: %s (%s)", verb, r.at.GroupResource(), effect, reason(err)),
				fmt.Sprintf("grant the account that weft-control runs as the verbs list and watch on the resource %s of the API group %q, in the whole cluster: "+
					"a ClusterRole, as weft install writes it", r.at.Resource, r.at.Group)
		}
	}
	return "", ""
}

// news is what a reflector has to say.
type news struct {
	from *reading
	put  []*dialect.Object
	gone []*dialect.Object
	all  bool // put is all that there are

	verb string // of a request, and how it went; empty: this is about objects
	err  error
}

// run reads until ctx ends.
func (r *reading) run(ctx context.Context, c *Cluster, out chan<- news) {
	namespace := ""
	if r.only != nil {
		namespace = r.only.namespace
	}
	client, err := c.lister(r.kind.Name, r.at, namespace)
	if err != nil {
		c.log.Error("objects can't be read", "kind", r.kind.Name, "error", err)
		return
	}
	f := &feed{reading: r, client: client, convert: newConverter(r.kind, r.at.Version, r.choice),
		send: func(n news) {
			select {
			case out <- n:
			case <-ctx.Done():
			}
		}}
	lw := &cache.ListWatch{ListWithContextFunc: f.list, WatchFuncWithContext: f.watch}
	reflector := cache.NewReflectorWithOptions(lw, nil, f, cache.ReflectorOptions{Name: "weft", TypeDescription: r.at.GroupResource().String()})
	reflector.WatchListPageSize = page
	reflector.RunWithContext(ctx)
}

// feed is between a reflector and Run: the API that the one asks, and the store that it fills.
type feed struct {
	reading *reading
	client  lister
	convert *converter
	send    func(news)
}

func (f *feed) list(ctx context.Context, opts metav1.ListOptions) (runtime.Object, error) {
	f.narrow(&opts)
	if opts.Continue == "" { // all other answers may come from a cache, as one page of whatever size
		opts.ResourceVersion, opts.ResourceVersionMatch = "", ""
	}
	list, err := f.client.List(ctx, opts)
	f.answered("list", err)
	if err != nil {
		return nil, err
	}
	about, err := meta.ListAccessor(list)
	if err != nil {
		return nil, err
	}
	out := &internalversion.List{ListMeta: metav1.ListMeta{ResourceVersion: about.GetResourceVersion(), Continue: about.GetContinue(),
		RemainingItemCount: about.GetRemainingItemCount()}}
	return out, meta.EachListItem(list, func(o runtime.Object) error {
		out.Items = append(out.Items, f.convert.item(o))
		return nil
	})
}

func (f *feed) watch(ctx context.Context, opts metav1.ListOptions) (watch.Interface, error) {
	f.narrow(&opts)
	w, err := f.client.Watch(ctx, opts)
	if opts.SendInitialEvents == nil || !apierrors.IsInvalid(err) { // an older server does not know how, and a list follows
		f.answered("watch", err)
	}
	if err != nil {
		return nil, err
	}
	return f.convert.watch(w), nil
}

func (f *feed) narrow(opts *metav1.ListOptions) {
	opts.FieldSelector, opts.LabelSelector = f.reading.choice.Fields, f.reading.choice.Labels
	if only := f.reading.only; only != nil {
		opts.FieldSelector = f.reading.choice.Sought + ",metadata.name=" + only.name
	}
}

func (f *feed) answered(verb string, err error) { f.send(news{from: f.reading, verb: verb, err: err}) }

// Add, Update, Delete, Replace and Resync make feed a store for a reflector. It keeps nothing.
func (f *feed) Add(obj any) error {
	f.send(news{from: f.reading, put: []*dialect.Object{obj.(*item).object}})
	return nil
}

func (f *feed) Update(obj any) error { return f.Add(obj) }

func (f *feed) Delete(obj any) error {
	f.send(news{from: f.reading, gone: []*dialect.Object{obj.(*item).object}})
	return nil
}

func (f *feed) Replace(all []any, _ string) error {
	n := news{from: f.reading, all: true}
	for _, obj := range all {
		n.put = append(n.put, obj.(*item).object)
	}
	f.send(n)
	return nil
}

func (f *feed) Resync() error { return nil }

// watch converts the objects of a watch as they come.
func (v *converter) watch(from watch.Interface) watch.Interface {
	w := &itemWatch{out: make(chan watch.Event), done: make(chan struct{})}
	go func() {
		defer close(w.out)
		defer from.Stop()
		for {
			select {
			case <-w.done:
				return
			case e, ok := <-from.ResultChan():
				if !ok {
					return
				}
				if e.Type != watch.Bookmark && e.Type != watch.Error {
					e.Object = v.item(e.Object)
				}
				select {
				case w.out <- e:
				case <-w.done:
					return
				}
			}
		}
	}()
	return w
}

type itemWatch struct {
	out  chan watch.Event
	done chan struct{}
	once sync.Once
}

func (w *itemWatch) ResultChan() <-chan watch.Event { return w.out }
func (w *itemWatch) Stop()                          { w.once.Do(func() { close(w.done) }) }
