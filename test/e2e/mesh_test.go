package e2e

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/test/cluster"
)

// weft runs the program against the cluster; what it prints is in words that say each of some things.
func weft(t *testing.T, c *cluster.Test, args []string, says ...string) string {
	t.Helper()
	out, err := c.Run(args...)
	if err != nil {
		t.Fatalf("weft %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	for _, s := range says {
		if !strings.Contains(out, s) {
			t.Errorf("weft %s does not say %q:\n%s", strings.Join(args, " "), s, out)
		}
	}
	return out
}

// install has weft be on the cluster, as its user would, and work.
func install(t *testing.T, c *cluster.Test, flags ...string) {
	t.Helper()
	sh := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", `"$0" install "$@" | "$KUBECTL" apply -f -`, c.Weft)
	sh.Args = append(sh.Args, flags...)
	sh.Env = append(os.Environ(), "KUBECONFIG="+c.Kubeconfig, "KUBECTL="+c.Tool)
	if out, err := sh.CombinedOutput(); err != nil {
		t.Fatalf("weft install %v | kubectl apply -f -: %v\n%s", flags, err, out)
	}
	weft(t, c, []string{"check", "--wait", "90s"}, "0 failed")
}

// callee and caller are applications that answer and call.
const callee = `
apiVersion: v1
kind: Service
metadata: {name: callee}
spec:
  selector: {app: callee}
  ports: [{name: http, port: 80, targetPort: 8080}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: callee}
spec:
  selector: {matchLabels: {app: callee}}
  template:
    metadata: {labels: {app: callee}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: callee
        image: ` + cluster.Samples + `
        args: [echo, -port, "8080"]
        readinessProbe: {httpGet: {path: /health, port: 8080}, periodSeconds: 1}
`

const caller = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: caller}
spec:
  selector: {matchLabels: {app: caller}}
  template:
    metadata: {labels: {app: caller}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: caller
        image: ` + cluster.Samples + `
        args: [caller]
        readinessProbe: {httpGet: {path: /health, port: 9080}, periodSeconds: 1}
`

// strict refuses what comes in plaintext.
const strict = `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: strict}
spec: {mtls: {mode: STRICT}}
`
