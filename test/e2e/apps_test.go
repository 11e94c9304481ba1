package e2e

import (
	"strconv"
	"strings"

	"github.com/weft-mesh/weft/test/cluster"
)

// app is an application of some pods, spread over nodes, with a Service on port 80 and one (NAME-each) that names each pod at 8080. Its role
// is echo, which answers whatever it is asked, or caller, which calls /http?url=... for those that call it. Its pods finish what they have
// accepted when they end, and say as their version which node they run on.
func app(name, role string, replicas int) string {
	return strings.NewReplacer("NAME", name, "ROLE", role, "REPLICAS", strconv.Itoa(replicas)).Replace(appObjects)
}

const appObjects = `---
apiVersion: v1
kind: Service
metadata: {name: NAME}
spec:
  selector: {app: NAME}
  ports: [{name: http, port: 80, targetPort: http}]
---
apiVersion: v1
kind: Service
metadata: {name: NAME-each}
spec:
  clusterIP: None
  selector: {app: NAME}
  ports: [{name: http, port: 8080}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME}
spec:
  replicas: REPLICAS
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME}}
    spec:
      terminationGracePeriodSeconds: 10
      topologySpreadConstraints:
      - maxSkew: 1
        topologyKey: kubernetes.io/hostname
        whenUnsatisfiable: DoNotSchedule
        nodeTaintsPolicy: Honor
        matchLabelKeys: [pod-template-hash]
        labelSelector: {matchLabels: {app: NAME}}
      containers:
      - name: NAME
        image: ` + cluster.Samples + `
        args: [ROLE, -port, "8080"]
        ports: [{name: http, containerPort: 8080}]
        env: [{name: SERVICE_VERSION, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}]
        readinessProbe: {httpGet: {path: /health, port: http}, periodSeconds: 1}
        livenessProbe: {tcpSocket: {port: http}, periodSeconds: 1}
`
