package install

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/source/kube"
)

// fake is a cluster in memory.
type fake struct {
	version string
	ahead   time.Duration // its clock, before now
	objects map[dialect.Key]map[string]any
	served  map[string][]string // versions by GROUP/KIND of kinds that are not Kubernetes' own
	denied  map[string]bool     // resources that may not be created

	forbidden string // a kind that may not be read
	mute      bool   // it does not say what may be done
	try       func(o map[string]any) (map[string]any, error)
	deleted   []string
	onDelete  func(k dialect.Key)
}

var now = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

func newFake(objects ...map[string]any) *fake {
	f := &fake{version: "v1.36.3", objects: map[dialect.Key]map[string]any{}, served: map[string][]string{}, denied: map[string]bool{}}
	for _, o := range objects {
		f.put(o)
	}
	return f
}

func (f *fake) put(o map[string]any) { f.objects[keyOf(o)] = o }

func (f *fake) Host() string                            { return "https://cluster.example" }
func (f *fake) Version(context.Context) (string, error) { return f.version, nil }
func (f *fake) Clock(context.Context) (time.Time, time.Duration, error) {
	return now.Add(f.ahead), 10 * time.Millisecond, nil
}

func (f *fake) Serves(_ context.Context, group, kind string) ([]string, error) {
	return f.served[group+"/"+kind], nil
}

func (f *fake) Allowed(_ context.Context, a kube.Access) (bool, string, error) {
	if f.mute {
		return false, "", errors.New("the API server does not say what may be done with it")
	}
	return !f.denied[a.Resource], "", nil
}

func (f *fake) absent(k dialect.Key) error {
	return fmt.Errorf("reading %s: %w", Name(k), kube.ErrAbsent)
}

func (f *fake) Get(_ context.Context, k dialect.Key) (map[string]any, error) {
	if k.Kind == f.forbidden {
		return nil, errors.New(k.Kind + " may not be read")
	}
	if o := f.objects[k]; o != nil {
		return o, nil
	}
	return nil, f.absent(k)
}

func (f *fake) List(_ context.Context, k dialect.Key, selector string) (out []map[string]any, err error) {
	if k.Kind == f.forbidden {
		return nil, errors.New(k.Kind + " may not be read")
	}
	if strings.Contains(k.Group, "gateway") && f.served[k.Group+"/"+k.Kind] == nil {
		return nil, f.absent(k)
	}
	s, err := labels.Parse(selector)
	if err != nil {
		return nil, err
	}
	for at, o := range f.objects {
		have := labels.Set{}
		m, _ := atMap(o, "metadata", "labels")
		for name, v := range m {
			have[name], _ = v.(string)
		}
		if at.Group == k.Group && at.Kind == k.Kind && (k.Namespace == "" || at.Namespace == k.Namespace) && s.Matches(have) {
			out = append(out, o)
		}
	}
	slices.SortFunc(out, func(a, b map[string]any) int { return keyOf(a).Compare(keyOf(b)) })
	return out, nil
}

func atMap(o any, path ...string) (map[string]any, bool) { return at[map[string]any](o, path...) }

func (f *fake) Apply(_ context.Context, o map[string]any) error {
	f.put(o)
	return nil
}

func (f *fake) Delete(_ context.Context, k dialect.Key) error {
	if f.objects[k] != nil {
		delete(f.objects, k)
		f.deleted = append(f.deleted, Name(k))
		if f.onDelete != nil {
			f.onDelete(k)
		}
	}
	return nil
}

func (f *fake) Try(_ context.Context, o map[string]any) (map[string]any, error) {
	if f.try == nil {
		return o, nil
	}
	return f.try(o)
}

// object reads one in JSON.
func object(t *testing.T, text string) map[string]any {
	t.Helper()
	var out map[string]any
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		t.Fatal(err, text)
	}
	return out
}

// installed puts what Render returns into a cluster, and has it run.
func installed(t *testing.T, f *fake, settings ...string) {
	t.Helper()
	values, err := Read(nil, append(settings, "namespace.create=true"), nil)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Version: "v1", Values: values}
	objects, err := Render(o)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := Remember(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range append(objects, kept) {
		f.put(x.Tree)
	}
	f.runs(1)
}

// runs has a number of replicas of the control plane be available.
func (f *fake) runs(n int) {
	d := f.objects[dialect.Key{Group: "apps", Kind: "Deployment", Namespace: DefaultNamespace, Name: control}]
	d["status"] = map[string]any{"replicas": int64(n), "updatedReplicas": int64(n), "availableReplicas": int64(n)}
}

var errNever = errors.New("it never ends")

// turns is a Pause that lets something happen each time, and ends after some.
func turns(n int, each func(turn int)) Pause {
	turn := 0
	return func(context.Context) error {
		if turn++; turn > n {
			return errNever
		}
		each(turn)
		return nil
	}
}

// log collects progress.
type log struct{ lines []string }

func (l *log) say(format string, args ...any) {
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
}
