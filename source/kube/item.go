package kube

import (
	"hash/maphash"
	"maps"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
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

// packed are the kinds of which there are many.
var packed = map[schema.GroupKind]bool{{Kind: "Pod"}: true, {Group: "discovery.k8s.io", Kind: "EndpointSlice"}: true, {Kind: "Service"}: true,
	{Kind: "ServiceAccount"}: true, {Kind: "Node"}: true, {Kind: "Namespace"}: true}

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
	of := schema.GroupKind{Group: k.Group, Kind: k.Name}
	if v.packed = packed[of]; of.String() == "Pod" {
		v.trim = trimPod
	}
	return v
}

// item keeps of an object what readers ask for. The object is not to be used any more.
func (v *converter) item(o runtime.Object) *item {
	u := v.untyped(o)
	version := u.GetResourceVersion()
	return &item{v.object(u), version}
}

// untyped is an object as its JSON says it.
func (v *converter) untyped(o runtime.Object) *unstructured.Unstructured {
	if u, ok := o.(*unstructured.Unstructured); ok {
		return u
	}
	u := &unstructured.Unstructured{}
	if typed, ok := o.(metav1.Object); ok {
		v.pruner.Clear(typed)
	}
	var err error
	if u.Object, err = runtime.DefaultUnstructuredConverter.ToUnstructured(o); err != nil { // no type of Kubernetes' own is such
		u.Object = map[string]any{}
	}
	u.SetAPIVersion(schema.GroupVersion{Group: v.kind.Group, Version: v.version}.String())
	u.SetKind(v.kind.Name)
	return u
}

func (v *converter) object(u *unstructured.Unstructured) *dialect.Object {
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
	return o
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

// trimPod leaves of a Pod's conditions those that are asked for, where they say something, and no copies of its address and account.
func trimPod(tree map[string]any) {
	spec, _ := tree["spec"].(map[string]any)
	if same(spec["serviceAccount"], spec["serviceAccountName"]) {
		delete(spec, "serviceAccount")
	}
	status, _ := tree["status"].(map[string]any)
	if list, ok := status["conditions"].([]any); ok {
		status["conditions"] = slices.DeleteFunc(list, func(c any) bool {
			m, ok := c.(map[string]any)
			return ok && m["type"] != any(string(corev1.PodReady)) &&
				(m["type"] != any(string(corev1.PodReadyToStartContainers)) || m["status"] != any(string(corev1.ConditionFalse)))
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
// been met for a while. Maps are found by a hash; of two that have the same one, the later is remembered. Different maps have most of their
// texts in common.
type shared struct {
	young, old map[uint64]map[string]string
	texts      map[string]string
}

var seed = maphash.MakeSeed()

func (s *shared) of(m map[string]string) map[string]string {
	if len(m) == 0 {
		return nil
	}
	var key uint64
	for k, v := range m {
		key += maphash.Comparable(seed, [2]string{k, v}) // in whatever order they come
	}
	if same := s.young[key]; same != nil && maps.Equal(same, m) {
		return same
	}
	if same := s.old[key]; same != nil && maps.Equal(same, m) {
		m = same
	} else {
		m = s.worded(m)
	}
	if s.young == nil || len(s.young) >= generation {
		s.young, s.old = map[uint64]map[string]string{}, s.young
	}
	s.young[key] = m
	return m
}

// worded is m with texts that other maps have too.
func (s *shared) worded(m map[string]string) map[string]string {
	out := make(map[string]string, len(m))
	for k, v := range m {
		out[s.text(k)] = s.text(v)
	}
	return out
}

func (s *shared) text(t string) string {
	if same, ok := s.texts[t]; ok {
		return same
	}
	if s.texts == nil || len(s.texts) >= generation {
		s.texts = map[string]string{}
	}
	s.texts[t] = t
	return t
}
