package inject

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/mesh"
)

// istioAnnotations are all of istio.io/api's package annotation that are for a pod's proxy, without those of ambient mode.
const istioAnnotations = `inject.istio.io/templates istio.io/reroute-virtual-interfaces prometheus.istio.io/merge-metrics proxy.istio.io/config proxy.istio.io/overrides
readiness.status.sidecar.istio.io/applicationPorts readiness.status.sidecar.istio.io/failureThreshold readiness.status.sidecar.istio.io/initialDelaySeconds
readiness.status.sidecar.istio.io/periodSeconds sidecar.istio.io/agentLogLevel sidecar.istio.io/bootstrapOverride sidecar.istio.io/componentLogLevel
sidecar.istio.io/discoveryAddress sidecar.istio.io/extraStatTags sidecar.istio.io/inject sidecar.istio.io/interceptionMode sidecar.istio.io/logLevel
sidecar.istio.io/nativeSidecar sidecar.istio.io/proxyCPU sidecar.istio.io/proxyCPULimit sidecar.istio.io/proxyImage sidecar.istio.io/proxyImageType
sidecar.istio.io/proxyMemory sidecar.istio.io/proxyMemoryLimit sidecar.istio.io/rewriteAppHTTPProbers sidecar.istio.io/statsCompression
sidecar.istio.io/statsEvictionInterval sidecar.istio.io/statsFlushInterval sidecar.istio.io/statsHistogramBins sidecar.istio.io/statsHistogramBuckets
sidecar.istio.io/statsInclusionPrefixes sidecar.istio.io/statsInclusionRegexps sidecar.istio.io/statsInclusionSuffixes sidecar.istio.io/status
sidecar.istio.io/userVolume sidecar.istio.io/userVolumeMount status.sidecar.istio.io/port traffic.sidecar.istio.io/excludeInboundPorts
traffic.sidecar.istio.io/excludeInterfaces traffic.sidecar.istio.io/excludeOutboundIPRanges traffic.sidecar.istio.io/excludeOutboundPorts
traffic.sidecar.istio.io/includeInboundPorts traffic.sidecar.istio.io/includeOutboundIPRanges traffic.sidecar.istio.io/includeOutboundPorts
traffic.sidecar.istio.io/kubevirtInterfaces`

// found says what injection says of an annotation.
func found(t *testing.T, key, value, yaml string) (out []mesh.Finding) {
	t.Helper()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "shop", Annotations: map[string]string{key: value}}}
	_, all, err := Patch(pod, Namespace{Name: "shop", Labels: map[string]string{Label: enabled}}, options(t, yaml))
	for _, f := range all {
		if f.Field == dialect.Child("metadata.annotations", key) {
			out = append(out, f)
		}
	}
	if err != nil && len(out) == 0 {
		t.Errorf("%s: %v", key, err)
	}
	return out
}

// Each annotation that Istio reads of a pod is obeyed, or told of with a reason; where the mesh does not adopt any, each is told of.
func TestIstioAnnotations(t *testing.T) {
	for key := range strings.FieldsSeq(istioAnnotations) {
		if slices.Contains(elsewhere, key) {
			continue
		}
		obeyed := slices.ContainsFunc(table, func(x setting) bool { return x.key == key })
		if told := dialect.Needless[key] + dialect.Unheeded[key]; obeyed == (told != "") {
			t.Errorf("%s: obeyed %v, told %q", key, obeyed, told)
		}
		for _, adopt := range []bool{true, false} {
			yaml := ""
			if adopt {
				yaml = "adopt: true"
			}
			got := found(t, key, "1", yaml)
			if said := len(got) == 1 && strings.Contains(got[0].Text, "has no effect"); said == (obeyed && adopt) {
				t.Errorf("%s, adopt %v: %v", key, adopt, got)
			}
		}
	}
}

// What templates make of a pod, weft does not: a gateway's Deployment is to be replaced, another template is of no use, and that of
// sidecars is what a pod gets.
func TestTemplates(t *testing.T) {
	for value, want := range map[string]string{
		"sidecar": "it has no effect, and needs none", "gateway": "write Gateways", "sidecar,gateway": "write Gateways", "grpc-agent": "there are no templates", "": "there are no templates",
	} {
		got := found(t, dialect.Templates, value, "")
		if len(got) != 1 || !strings.Contains(got[0].String(), want) || (got[0].Level == mesh.Info) != (value == "sidecar") {
			t.Errorf("%q: %v", value, got)
		}
	}
	if got := found(t, "inject.istio.io/template", "gateway", ""); len(got) != 1 {
		t.Errorf("misspelled: %v", got)
	}
}
