package inject

import (
	"maps"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/mesh"
)

// linkerdAnnotations are all that Linkerd 2.20 reads of a pod for its proxy (pkg/k8s/labels.go).
const linkerdAnnotations = `proxy-image image-pull-policy debug-image debug-image-version debug-image-pull-policy control-port skip-inbound-ports opaque-ports
skip-outbound-ports skip-subnets inbound-port admin-port outbound-port pod-inbound-ports proxy-cpu-request proxy-memory-request proxy-ephemeral-storage-request
proxy-cpu-limit proxy-cpu-ratio-limit proxy-memory-limit proxy-ephemeral-storage-limit proxy-uid proxy-gid proxy-admin-shutdown proxy-log-level
proxy-log-http-headers proxy-log-format enable-external-profiles proxy-version proxy-require-identity-inbound-ports proxy-metrics-hostname-labels
proxy-outbound-connect-timeout proxy-inbound-connect-timeout proxy-outbound-discovery-cache-unused-timeout proxy-inbound-discovery-cache-unused-timeout
proxy-disable-outbound-protocol-detect-timeout proxy-disable-inbound-protocol-detect-timeout enable-gateway enable-debug-sidecar close-wait-timeout
proxy-enable-native-sidecar proxy-await default-inbound-policy access-log shutdown-grace-period proxy-additional-env`

// Each annotation that Linkerd reads is obeyed, or told of with a reason.
func TestLinkerdAnnotations(t *testing.T) {
	keys := []string{"config.alpha.linkerd.io/proxy-wait-before-exit-seconds", "config.alpha.linkerd.io/proxy-enable-native-sidecar", "config.beta.linkerd.io/proxy-enable-native-sidecar"}
	for _, name := range strings.Fields(linkerdAnnotations) {
		keys = append(keys, "config.linkerd.io/"+name)
	}
	for _, key := range keys {
		obeyed := slices.ContainsFunc(table, func(x setting) bool { return x.key == key }) || slices.Contains(elsewhere, key)
		told := dialect.Needless[key] + dialect.Unheeded[key]
		if obeyed == (told != "") {
			t.Errorf("%s: obeyed %v, told %q", key, obeyed, told)
		}
		if obeyed {
			continue
		}
		level := mesh.Warning
		if dialect.Needless[key] != "" {
			level = mesh.Info
		}
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "shop", Annotations: map[string]string{key: "true"}}}
		_, found, err := Patch(pod, Namespace{Name: "shop", Labels: map[string]string{Label: enabled}}, options(t, "adopt: true"))
		said := slices.ContainsFunc(found, func(f mesh.Finding) bool {
			return f.Level == level && f.Field == dialect.Child("metadata.annotations", key) && strings.Contains(f.Text, told)
		})
		if err != nil || !said {
			t.Errorf("%s: %v, %v", key, found, err)
		}
	}
}

// What the readers say that injection reads, it reads.
func TestAdoptedAnnotations(t *testing.T) {
	reads := map[string]bool{}
	for _, x := range table {
		if x.mesh != "" {
			reads[x.key] = true
		}
	}
	if got := slices.Sorted(maps.Keys(reads)); !slices.Equal(got, dialect.Adopted()) {
		t.Errorf("injection reads %v, and the readers say %v", got, dialect.Adopted())
	}
}
