package kube

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/weft-mesh/weft/dialect"
)

func unstructuredOf(t testing.TB, text string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return u
}

func podConverter() *converter { return newConverter(dialect.Find(kinds, "", "Pod"), "v1", Choice{}) }

// realistic is a Pod as a cluster has it, of one of some deployments.
func realistic(t testing.TB, i int) string {
	text, err := os.ReadFile("testdata/pod.json")
	if err != nil {
		t.Fatal(err)
	}
	r := strings.NewReplacer("reviews-5d8f7b9c4-x2k9p", fmt.Sprintf("reviews-%d-%x", i/10, 0x5d8f7b9c4+i), "10.244.1.17", fmt.Sprintf("10.%d.%d.%d", i>>16&255, i>>8&255, i&255),
		"node-17", fmt.Sprint("node-", i%1000), "reviews-5d8f7b9c4", fmt.Sprint("reviews-", i/10), "6f1c", fmt.Sprintf("%04x", i))
	return r.Replace(string(text))
}

func TestWhatIsKeptOfAPod(t *testing.T) {
	o := podConverter().item(unstructuredOf(t, realistic(t, 7))).object
	got, err := json.Marshal(o.Whole())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes of JSON are kept of %d: %s", len(got), len(realistic(t, 7)), got)
	if o.Labels["app"] != "reviews" || o.Namespace != "shop" || o.Source.File != "Pod shop/"+o.Name {
		t.Errorf("%+v", o)
	}
	if _, has := o.Annotations["weft.dev/tunnel"]; !has || len(o.Annotations) != 2 {
		t.Errorf("%v", o.Annotations)
	}
}

// How many bytes of memory a Pod may take as an object, and what it says in a set of objects: 100,000 of them are to leave half of a
// control plane's 400 MB to others.
const (
	maxPod = 650
	maxSet = 1700
)

func TestPodBytes(t *testing.T) {
	const n = 5000
	v, all := podConverter(), make([]*dialect.Object, n)
	before := heap()
	for i := range n {
		all[i] = v.item(unstructuredOf(t, realistic(t, i))).object
	}
	alone := heap()
	set := dialect.NewSet(kinds)
	set.Apply(all, nil)
	object, more := int(alone-before)/n, int(heap()-alone)/n
	t.Logf("%d bytes a Pod, and %d more in a set", object, more)
	if object > maxPod || more > maxSet {
		t.Errorf("a Pod takes %d bytes and %d more in a set; %d and %d are bearable", object, more, maxPod, maxSet)
	}
	if found := set.Findings(); len(found) > 0 {
		t.Error(found[0])
	}
	runtime.KeepAlive(all)
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func typedOf(t testing.TB, text string) *corev1.Pod {
	var p corev1.Pod
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		t.Fatal(err)
	}
	return &p
}

// Of a Pod's conditions those are kept that its reader asks for: one that says that its network is there, as of most, says nothing.
func TestWhatIsKeptOfConditions(t *testing.T) {
	for status, want := range map[string]int{"True": 1, "False": 2, "Unknown": 1} {
		o := podConverter().item(unstructuredOf(t, `{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "shop"}, "status": {"phase": "Running", "podIP": "10.0.0.1",
			"conditions": [{"type": "PodReadyToStartContainers", "status": "`+status+`"}, {"type": "Initialized", "status": "False"}, {"type": "Ready", "status": "False"}]}}`)).object
		tree, _ := o.Whole()["status"].(map[string]any)
		if list, _ := tree["conditions"].([]any); len(list) != want {
			t.Errorf("%s: %v", status, list)
		}
	}
}

// However an object comes, the same of it is kept.
func TestTypedAsUntyped(t *testing.T) {
	text := realistic(t, 7)
	typed, untyped := podConverter().item(typedOf(t, text)), podConverter().item(unstructuredOf(t, text))
	if !typed.object.Same(untyped.object) || typed.version != untyped.version || typed.object.Source != untyped.object.Source {
		t.Errorf("%+v\nand\n%+v", typed.object, untyped.object)
	}
	const slice = `{"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"namespace": "shop", "name": "reviews-x", "creationTimestamp": "2026-01-02T03:04:05Z",
		"labels": {"kubernetes.io/service-name": "reviews"}, "generation": 3, "managedFields": []}, "addressType": "IPv4", "ports": [{"name": "http", "port": 9080, "protocol": "TCP"}],
		"endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": false, "serving": true, "terminating": true}, "nodeName": "node-1", "zone": "a",
		"targetRef": {"kind": "Pod", "name": "reviews-1", "namespace": "shop", "uid": "1"}}]}`
	var s discoveryv1.EndpointSlice
	if err := json.Unmarshal([]byte(slice), &s); err != nil {
		t.Fatal(err)
	}
	slices := newConverter(dialect.Find(kinds, "discovery.k8s.io", "EndpointSlice"), "v1", Choice{})
	a, b := slices.item(&s).object, slices.item(unstructuredOf(t, slice)).object
	if text := fmt.Sprint(a.Whole()); !a.Same(b) || a.Packed == "" || !strings.Contains(text, "name:reviews-1") || strings.Contains(text, "uid") || strings.Contains(text, "node-1") {
		t.Errorf("%+v\nand\n%+v", a, b)
	}
}

// What all endpoints of a slice say alike takes a byte.
func TestSliceBytes(t *testing.T) {
	var all []string
	for i := range 10 {
		all = append(all, fmt.Sprintf(`{"addresses": ["10.0.0.%d"], "conditions": {"ready": true, "serving": true, "terminating": false}, "nodeName": "node-1", "zone": "east-1",
			"targetRef": {"kind": "Pod", "name": "reviews-%d", "namespace": "shop", "uid": "1"}}`, i, i))
	}
	o := newConverter(dialect.Find(kinds, "discovery.k8s.io", "EndpointSlice"), "v1", Choice{}).item(unstructuredOf(t, `{"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
		"metadata": {"namespace": "shop", "name": "reviews-x", "generation": 3}, "addressType": "IPv4", "ports": [{"name": "http", "port": 9080, "protocol": "TCP"}],
		"endpoints": [`+strings.Join(all, ",")+`]}`)).object
	if most := 10*(len("10.0.0.1")+len("reviews-1")+len("east-1")+3) + 60; len(o.Packed) > most {
		t.Errorf("%d bytes are kept, and %d are bearable: %q", len(o.Packed), most, o.Packed)
	}
	if list, _ := o.Whole()["endpoints"].([]any); len(list) != 10 {
		t.Errorf("%v", o.Whole())
	}
}

func BenchmarkPod(b *testing.B) {
	v, text := podConverter(), realistic(b, 7)
	binary, err := typedOf(b, text).Marshal()
	if err != nil {
		b.Fatal(err)
	}
	b.Run("JSON", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			v.item(unstructuredOf(b, text))
		}
	})
	b.Run("protobuf", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var p corev1.Pod
			if err := p.Unmarshal(binary); err != nil {
				b.Fatal(err)
			}
			v.item(&p)
		}
	})
}

func FuzzItem(f *testing.F) {
	f.Add(realistic(f, 1))
	f.Add(`{"apiVersion": "v1", "kind": "Pod", "metadata": {"labels": {"a": 1}}, "status": {"conditions": [1, {"type": 1}], "podIPs": [1]}}`)
	f.Add(`{"kind": "Pod", "metadata": 1, "spec": [], "status": "x"}`)
	f.Fuzz(func(t *testing.T, text string) {
		u := &unstructured.Unstructured{}
		if json.Unmarshal([]byte(text), &u.Object) != nil || u.Object == nil {
			return
		}
		for i := range kinds {
			if k := &kinds[i]; k.Group == "" || k.Name == "HTTPRoute" {
				o := newConverter(k, "v1", Choice{}).item(u.DeepCopy()).object
				dialect.Read(kinds, o, nothing{})
			}
		}
	})
}

// nothing is a view of no objects.
type nothing struct{}

func (nothing) Get(string, string, string, string) *dialect.Object { return nil }
func (nothing) Absent(_, _, _, _ string) bool                      { return true }
func (nothing) List(string, string, string) []*dialect.Object      { return nil }
func (nothing) Find(*dialect.Lookup, string) []*dialect.Object     { return nil }

// Pods of a deployment have one map of labels; different maps have one place for the texts that are in both.
func TestSharedLabels(t *testing.T) {
	labels := func(app string) map[string]string {
		return map[string]string{strings.Clone("app"): strings.Clone(app), strings.Clone("part-of"): strings.Clone("shop")}
	}
	var s shared
	a, again, b := s.of(labels("a")), s.of(labels("a")), s.of(labels("b"))
	if reflect.ValueOf(a).Pointer() != reflect.ValueOf(again).Pointer() {
		t.Error("the same labels are there twice")
	}
	if !maps.Equal(b, labels("b")) || s.of(nil) != nil {
		t.Errorf("%v", b)
	}
	if unsafe.StringData(a["part-of"]) != unsafe.StringData(b["part-of"]) {
		t.Error("the same text is there twice")
	}
	for i := range 3 * generation {
		s.of(labels(strconv.Itoa(i)))
	}
	if len(s.texts) > generation || len(s.young) > generation || len(s.old) > generation {
		t.Errorf("%d texts, %d and %d maps are remembered", len(s.texts), len(s.young), len(s.old))
	}
}
