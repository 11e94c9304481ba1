package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/test/cluster"
)

// Somebody who runs another mesh does what the page for him says, command by command. Of the other mesh there are its kinds, objects, labels
// and the configuration of its webhook, at whose address nobody answers: pods start without its proxy.
func TestMigrate(t *testing.T) {
	c := cluster.Shared(t)
	for _, x := range []struct{ mesh, webhook, asks, objects string }{
		{"istio", "istio-sidecar-injector", "labels: {istio-injection: enabled}", istioShop},
		{"linkerd", "linkerd-proxy-injector-webhook-config", "annotations: {linkerd.io/inject: enabled}", linkerdShop},
		{"cilium", "", "labels: {}", ciliumShop},
	} {
		t.Run(x.mesh, func(t *testing.T) {
			c := c.In(t)
			c.Uninstall()
			kinds(t, c, x.mesh)
			if x.webhook != "" {
				c.Apply("default", strings.ReplaceAll(deadWebhook, "NAME", x.webhook))
				c.Finally("delete", "--ignore-not-found", "mutatingwebhookconfiguration", x.webhook)
			}
			shop := c.Namespace("shop")
			c.Apply(shop, strings.ReplaceAll(asking, "ASKS", x.asks)+app("api", "echo", 1)+other+
				strings.ReplaceAll(app("web", "caller", 1), "path: /health", `path: "/http?url=http://api/"`)+x.objects) // it calls api every second
			c.Ready(shop, "deploy/api", "deploy/web")
			follow(t, c, "docs/migrating-from-"+x.mesh+".md")
		})
	}
}

// kinds brings a project's, as its own installation would have.
func kinds(t *testing.T, c *cluster.Test, of string) {
	t.Helper()
	for doc := range strings.SplitSeq(weft(t, c, []string{"install", "--offline", "--crds", of}), "---\n") {
		if strings.Contains(doc, "\nkind: CustomResourceDefinition\n") {
			c.Apply("default", doc)
		}
	}
}

// follow does what a page of the documentation does on a cluster.
func follow(t *testing.T, c *cluster.Test, page string) {
	t.Helper()
	dir, err := cluster.Checkout()
	if err != nil {
		t.Fatal(err)
	}
	test := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-v", "-run", "^TestRealPages$", "./internal/guard")
	path := strings.Join([]string{filepath.Dir(c.Weft), filepath.Dir(c.Tool), os.Getenv("PATH")}, string(filepath.ListSeparator))
	test.Dir, test.Env = dir, append(os.Environ(), append(c.Env(), "WEFT_KUBECONFIG="+c.Kubeconfig, "WEFT_PAGE="+page, "PATH="+path)...)
	out, err := test.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
}

const asking = `
apiVersion: v1
kind: Namespace
metadata:
  name: shop
  ASKS
`

// deadWebhook is what is left of an injector that does not answer.
const deadWebhook = `
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: NAME}
webhooks:
- name: pods.injector.example
  admissionReviewVersions: [v1]
  sideEffects: None
  failurePolicy: Ignore
  timeoutSeconds: 1
  clientConfig: {service: {name: injector, namespace: default, path: /inject}}
  rules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}]
  namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: shop}}
`

// other may not call.
const other = `---
apiVersion: v1
kind: Pod
metadata: {name: other, labels: {app: other, weft.dev/inject: disabled}}
spec:
  containers:
  - name: other
    image: ` + cluster.Samples + `
    args: [echo]
`

const istioShop = `---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: api}
spec:
  hosts: [api]
  http: [{timeout: 5s, route: [{destination: {host: api}}]}]
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: compress}
spec:
  configPatches: [{applyTo: HTTP_FILTER, match: {context: SIDECAR_INBOUND}, patch: {operation: INSERT_BEFORE, value: {name: compressor}}}]
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec: {mtls: {mode: STRICT}}
`

const linkerdShop = `---
apiVersion: v1
kind: Service
metadata: {name: other, annotations: {timeout.linkerd.io/idle: 10s}}
spec: {selector: {app: other}, ports: [{name: http, port: 80}]}
---
apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: {name: api}
spec: {podSelector: {matchLabels: {app: api}}, port: http}
---
apiVersion: policy.linkerd.io/v1alpha1
kind: MeshTLSAuthentication
metadata: {name: web}
spec: {identities: [default.shop.serviceaccount.identity.linkerd.cluster.local]}
---
apiVersion: policy.linkerd.io/v1alpha1
kind: AuthorizationPolicy
metadata: {name: web}
spec:
  targetRef: {group: policy.linkerd.io, kind: Server, name: api}
  requiredAuthenticationRefs: [{group: policy.linkerd.io, kind: MeshTLSAuthentication, name: web}]
`

const ciliumShop = `---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: api}
spec:
  endpointSelector: {matchLabels: {app: api}}
  ingress:
  - fromEndpoints: [{matchLabels: {app: web}}]
    toPorts: [{ports: [{port: "8080", protocol: TCP}], rules: {http: [{method: GET}]}}]
`
