package inject

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/randfill"
)

// random is a pod in which anything may be set.
func random(seed int64) *corev1.Pod {
	fill := randfill.NewWithSeed(seed).NilChance(0.4).NumElements(0, 3).MaxDepth(12).Funcs(
		func(q *resource.Quantity, c randfill.Continue) {
			*q = *resource.NewQuantity(c.Int63n(1000), resource.DecimalSI)
		},
		func(t *metav1.Time, c randfill.Continue) { *t = metav1.NewTime(time.Unix(c.Int63n(1<<30), 0)) },
		func(f *metav1.FieldsV1, _ randfill.Continue) { f.Raw = []byte("{}") },
		func(p *intstr.IntOrString, c randfill.Continue) {
			if *p = intstr.FromInt32(c.Int31n(1 << 16)); c.Bool() {
				*p = intstr.FromString("http")
			}
		},
		func(s *string, c randfill.Continue) { *s = c.String(8) },
	)
	pod := &corev1.Pod{}
	fill.Fill(pod)
	pod.Status = corev1.PodStatus{}
	pod.Labels, pod.Spec.HostNetwork, pod.Spec.OS = map[string]string{Label: enabled}, false, nil
	for i := range pod.Spec.Containers {
		pod.Spec.Containers[i].Name = fmt.Sprint("c", i)
	}
	for i := range pod.Spec.InitContainers { // the names are by which lost knows them again
		pod.Spec.InitContainers[i].Name = fmt.Sprint("i", i)
	}
	delete(pod.Annotations, corev1.MirrorPodAnnotationKey)
	return pod
}

// Whatever a pod is like: the same comes out of the patch on its JSON as of Patch; nothing of it is lost; and once is enough.
func TestRandomPods(t *testing.T) {
	o, injected := options(t, "adopt: true\npullSecrets: [a]"), 0
	for seed := range int64(250) {
		pod := random(seed)
		namespace := Namespace{Name: "shop"}
		raw, err := json.Marshal(pod)
		if err != nil {
			t.Fatal(seed, err)
		}
		same := &corev1.Pod{}
		if err := json.Unmarshal(raw, same); err != nil {
			t.Fatal(seed, err)
		}
		out, found, err := Patch(same, namespace, o)
		if err != nil {
			continue // it cannot be in the mesh
		}
		injected++
		d := Decide(same, namespace, o)
		patched, err := apply(raw, d.Ops)
		if err != nil {
			t.Fatal(seed, err)
		}
		again := &corev1.Pod{}
		if err := json.Unmarshal(patched, again); err != nil || !reflect.DeepEqual(tree(t, again), tree(t, out)) {
			t.Errorf("%d: %v: the patch makes another pod than Patch", seed, err)
		}
		for _, gone := range lost(tree(t, same), tree(t, out), "") {
			if !strings.Contains(gone, "Probe") {
				t.Errorf("%d: %s is gone; %v", seed, gone, found)
			}
		}
		if d := Decide(out, namespace, o); len(d.Ops) > 0 || len(d.Refused()) > 0 {
			t.Errorf("%d: again %v, %v", seed, d.Ops, d.Refused())
		}
	}
	if injected < 50 {
		t.Errorf("%d of 250 pods were injected", injected)
	}
}
