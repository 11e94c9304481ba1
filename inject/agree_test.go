package inject

import (
	"encoding/json"
	"net/netip"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/weft-mesh/weft/node/cni"
	"github.com/weft-mesh/weft/node/podnet"
	proxyprobe "github.com/weft-mesh/weft/proxy/probe"
)

// What pods are told is what their proxies understand, field for field.
func TestProxiesUnderstand(t *testing.T) {
	redirects, probes := 0, 0
	for name, e := range examples(t) {
		pod, _, err := Patch(&e.pod, e.namespace, e.o)
		if err != nil {
			continue
		}
		v, ok := env(pod, redirectName, "WEFT_REDIRECT")
		if noted, plugin := pod.Annotations[cni.Redirect]; plugin == ok && len(e.pod.Spec.InitContainers) == 0 && pod.Annotations[Injected] == "v1" {
			t.Errorf("%s: the plugin and the container both redirect, or neither", name)
		} else if plugin {
			v, ok = noted, true
		}
		if ok {
			redirects++
			got, err := podnet.Parse(v)
			if err != nil || got.ProxyUID != podnet.ProxyUID {
				t.Errorf("%s: %s: %+v, %v", name, v, got, err)
			}
		}
		if v, ok := env(pod, proxyName, probesEnv); ok {
			probes++
			var all map[string]proxyprobe.Probe
			if err := unmarshalStrict(v, &all); err != nil {
				t.Errorf("%s: %s: %v", name, v, err)
			}
			if _, err := proxyprobe.New(all, netip.MustParseAddr("10.0.0.1"), nil); err != nil {
				t.Errorf("%s: %s: %v", name, v, err)
			}
			if back, err := json.Marshal(all); err != nil || len(back) < len(v)*2/3 {
				t.Errorf("%s: of %s they understand %s, %v", name, v, back, err)
			}
		}
	}
	if redirects < 5 || probes < 3 {
		t.Errorf("%d redirects, %d probes", redirects, probes)
	}
}

func env(pod *corev1.Pod, container, name string) (string, bool) {
	for _, c := range pod.Spec.InitContainers {
		for _, e := range c.Env {
			if c.Name == container && e.Name == name {
				return e.Value, true
			}
		}
	}
	return "", false
}
