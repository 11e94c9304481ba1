package inject

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/weft-mesh/weft/mesh"
)

// A time for calls under way that is longer than the pod lasts is told of, whoever asks for it, and the pod starts.
func TestDrainedLongerThanThePod(t *testing.T) {
	const own = `metadata.annotations["weft.dev/drain"]`
	for _, x := range []struct {
		drain, sleep, namespace, options string
		grace                            *int64
		at, raise                        string // empty: nothing is said
	}{
		{},
		{drain: "30s"},
		{drain: "31s", at: own, raise: "31"},
		{drain: "25s", sleep: "5s"},
		{drain: "26s", sleep: "5s", at: own, raise: "31"},
		{drain: "40s", grace: ptr.To[int64](40)},
		{drain: "41s", grace: ptr.To[int64](40), at: own, raise: "41"},
		{namespace: "20s", grace: ptr.To[int64](10), at: "spec.terminationGracePeriodSeconds", raise: "20"},
		{options: "drain: 1m", at: "spec.terminationGracePeriodSeconds", raise: "60"},
		{grace: ptr.To[int64](2)}, // nobody has asked for the 5 s
	} {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "shop", Annotations: map[string]string{}},
			Spec: corev1.PodSpec{TerminationGracePeriodSeconds: x.grace, Containers: []corev1.Container{{Name: "web"}}}}
		ns := Namespace{Name: "shop", Labels: map[string]string{Label: enabled}, Annotations: map[string]string{}}
		for value, of := range map[*string]map[string]string{&x.drain: pod.Annotations, &x.namespace: ns.Annotations} {
			if *value != "" {
				of["weft.dev/drain"] = *value
			}
		}
		if x.sleep != "" {
			pod.Annotations["weft.dev/pre-stop-sleep"] = x.sleep
		}
		_, found, err := Patch(pod, ns, options(t, x.options))
		var said []string
		for _, f := range found {
			said = append(said, fmt.Sprintf("%s at %s: %s", f.Level, f.Field, f.Remedy))
		}
		want := ""
		if x.at != "" {
			want = fmt.Sprintf("%s at %s: raise spec.terminationGracePeriodSeconds to %s at least, or drain for less", mesh.Warning, x.at, x.raise)
		}
		if got := strings.Join(said, "\n"); got != want || err != nil {
			t.Errorf("%+v: %s, want %s, %v", x, got, want, err)
		}
	}
}
