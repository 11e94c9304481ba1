package transcript_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/cli/transcript"
	"github.com/weft-mesh/weft/explain"
)

const byAddress = `
-- a.yaml --
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: a}
spec:
  selector: {matchLabels: {app: a}}
  rules:
  - from: [{source: {ipBlocks: [192.0.2.0/24], notIpBlocks: [192.0.2.0/25]}}]
    to: [{operation: {paths: [/in]}}]
  - to: [{operation: {paths: [/remote]}}]
    when: [{key: remote.ip, notValues: [198.51.100.7]}]
  - to: [{operation: {paths: [/open]}}]
-- b.yaml --
apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: {name: b}
spec: {podSelector: {matchLabels: {app: b}}, port: 80}
---
apiVersion: policy.linkerd.io/v1alpha1
kind: NetworkAuthentication
metadata: {name: b}
spec: {networks: [{cidr: 203.0.113.0/24}]}
---
apiVersion: policy.linkerd.io/v1alpha1
kind: AuthorizationPolicy
metadata: {name: b}
spec:
  targetRef: {group: policy.linkerd.io, kind: Server, name: b}
  requiredAuthenticationRefs: [{group: policy.linkerd.io, kind: NetworkAuthentication, name: b}]
-- c.yaml --
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: c}
spec:
  endpointSelector: {matchLabels: {app: c}}
  ingress: [{fromCIDR: [192.0.2.129/32]}]
-- d.yaml --
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: d}
spec:
  selector: {matchLabels: {app: d}}
  action: DENY
  rules: [{when: [{key: "request.headers[x-forwarded-proto]", values: [http]}]}]
-- e.yaml --
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: e}
spec:
  podSelector: {matchLabels: {app: e}}
  ingress: [{from: [{podSelector: {matchLabels: {app: job}}}], ports: [{port: 80}]}]
---
apiVersion: v1
kind: Pod
metadata: {name: job, labels: {app: job}}
status: {phase: Running, podIP: 10.0.0.7}
-- workloads --
d trusted=192.0.2.0/24
a
b
c
e ports=80,81
-- calls --
`

// A call from outside of which its address decides is refused without one; where none decides, it needs none.
func TestCallersAddress(t *testing.T) {
	for line, fits := range map[string]bool{
		"GET http://a/in to a => 403":                               false,
		"GET http://a/in to a times=2 => 2 times 403":               false,
		"GET http://a/remote to a => 200":                           false,
		"GET http://b/open to b => 403":                             false,
		"GET http://c/open to c => 403":                             false,
		"GET http://a/open to a => 200":                             true,
		"GET http://a/closed to a => 403":                           true,
		"GET http://a/in to a at=192.0.2.1 => 403":                  true,
		"GET http://a/in to a at=192.0.2.200 => 200":                true,
		"GET http://a/remote to a at=198.51.100.7 => 403":           true,
		"GET http://a/remote to a at=198.51.100.7 times=2 => 403":   true,
		"GET http://b/open to b at=203.0.113.1 => 200 because Auth": true,
		"GET http://c/open to c at=192.0.2.130 => 403":              true,
		"GET http://e/ to e => 403":                                 false,
		"GET http://e:81/ to e => 403":                              true,
		"GET http://e/ to e at=10.0.0.7 => 200":                     true,
		"GET http://e/ to e at=10.0.0.8 => 403":                     true,
		"GET http://d/ x-forwarded-proto=https to d => 403":         false,
		"GET http://d/ to d => 403":                                 true,
	} {
		f, err := transcript.Parse("x.txtar", []byte(strings.TrimPrefix(byAddress, "\n")+"from outside "+line+"\n"))
		if err != nil {
			t.Fatal(err)
		}
		_, failed, err := f.Run()
		switch {
		case fits && (err != nil || len(failed) > 0):
			t.Errorf("%s: %v, %v", line, failed, err)
		case !fits && (!errors.Is(err, explain.ErrNoAddress) || !strings.Contains(err.Error(), "x.txtar:")):
			t.Errorf("%s: %v, %v", line, failed, err)
		}
	}
}
