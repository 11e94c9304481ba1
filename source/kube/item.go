package kube

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/weft-mesh/weft/dialect"
)

// item is an object on its way through a reflector, which asks for its name and resourceVersion only.
type item struct {
	object  *dialect.Object
	version string
}

func (i *item) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }
func (i *item) DeepCopyObject() runtime.Object   { return i } // nobody changes it
func (i *item) GetObjectMeta() metav1.Object {
	return &metav1.ObjectMeta{Namespace: i.object.Namespace, Name: i.object.Name, ResourceVersion: i.version}
}

// converter makes objects of what the API server sends of one kind.
type converter struct {
	kind    *dialect.Kind
	pruner  *dialect.Pruner
	version string
	trim    func(tree map[string]any)
	packed  bool

	mu     sync.Mutex
	labels shared
}

func newConverter(k *dialect.Kind, version string, c Choice) *converter {
	var whole []string
	if c.Status {
		whole = append(whole, "status")
	}
	v := &converter{kind: k, pruner: dialect.NewPruner(k, whole...), version: version}
	switch {
	case k.Group == "" && k.Name == "Pod":
		v.trim, v.packed = trimPod, true
	case k.Group == "discovery.k8s.io" && k.Name == "EndpointSlice":
		v.packed = true
	}
	return v
}

// item keeps of u what readers ask for. u is not to be used any more.
func (v *converter) item(u *unstructured.Unstructured) *item {
	version := u.GetResourceVersion()
	o := v.pruner.Prune(dialect.NewObject(v.kind, u.GetAPIVersion(), u.GetKind(), u.Object, time.Time{}))
	if v.trim != nil {
		v.trim(o.Tree)
	}
	o.Group, o.Version, o.Kind = v.kind.Group, v.version, v.kind.Name
	o.Source.File, o.Namespace, o.Name = place(v.kind.Name, o.Namespace, o.Name)
	v.mu.Lock()
	defer v.mu.Unlock()
	o.Labels, o.Annotations = v.labels.of(o.Labels), v.labels.of(o.Annotations)
	if v.packed {
		o = o.Pack()
	}
	return &item{o, version}
}

// place is where an object is, as positions say it: "Pod shop/reviews-1". Namespace and name are cut from it: one string is kept.
func place(kind, namespace, name string) (file, sameNamespace, sameName string) {
	if namespace == "" {
		file = kind + " " + name
		return file, "", file[len(kind)+1:]
	}
	file = kind + " " + namespace + "/" + name
	at := len(kind) + 1
	return file, file[at : at+len(namespace)], file[at+len(namespace)+1:]
}

// trimPod leaves of a Pod's conditions the one that is asked for, and no copies of its address and account.
func trimPod(tree map[string]any) {
	spec, _ := tree["spec"].(map[string]any)
	if same(spec["serviceAccount"], spec["serviceAccountName"]) {
		delete(spec, "serviceAccount")
	}
	status, _ := tree["status"].(map[string]any)
	if list, ok := status["conditions"].([]any); ok {
		status["conditions"] = slices.DeleteFunc(list, func(c any) bool {
			m, ok := c.(map[string]any)
			return ok && m["type"] != any("Ready")
		})
	}
	if list, _ := status["podIPs"].([]any); len(list) == 1 {
		if only, _ := list[0].(map[string]any); same(only["ip"], status["podIP"]) {
			delete(status, "podIPs")
		}
	}
}

func same(a, b any) bool {
	x, ok := a.(string)
	return ok && x == b
}

// generation is how many different maps of labels are remembered at least.
const generation = 4096

// shared gives equal maps of labels one place in memory, since all pods of a deployment have the same. It forgets those that have not
// been met for a while.
type shared struct{ young, old map[string]map[string]string }

func (s *shared) of(m map[string]string) map[string]string {
	if len(m) == 0 {
		return nil
	}
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(m)) {
		b.WriteString(k)
		b.WriteByte(0)
		b.WriteString(m[k])
		b.WriteByte(0)
	}
	key := b.String()
	if same := s.young[key]; same != nil {
		return same
	}
	if same := s.old[key]; same != nil {
		m = same
	}
	if s.young == nil || len(s.young) >= generation {
		s.young, s.old = map[string]map[string]string{}, s.young
	}
	s.young[key] = m
	return m
}
