package dialect

import (
	"maps"
	"slices"
	"strings"

	"github.com/weft-mesh/weft/mesh"
)

// Annotations of a workload's object by which others than its owner say what it has no field for.
const (
	// Tunnel is where a workload's proxy takes mutual TLS: ADDRESS:PORT, or :PORT of the pod's own addresses.
	Tunnel = "weft.dev/tunnel"
	// TrustedProxies are those in front of a workload's published ports whose x-forwarded-* counts: ADDRESS/BITS, with commas between.
	TrustedProxies = "weft.dev/trusted-proxies"
)

// meshes are the domains whose annotations and labels some mesh reads.
var meshes = []string{"istio.io", "linkerd.io", "cilium.io", "weft.dev"}

// enrolment are annotations and labels that say which workloads are in a mesh, or that an injector left behind. Here a
// workload is in the mesh because it runs in it.
var enrolment = map[string]bool{
	"sidecar.istio.io/inject": true, "sidecar.istio.io/status": true, "istio.io/rev": true, "istio.io/dataplane-mode": true,
	"security.istio.io/tlsMode": true, "service.istio.io/canonical-name": true, "service.istio.io/canonical-revision": true,
	"linkerd.io/inject": true, "linkerd.io/created-by": true, "linkerd.io/proxy-version": true,
	"linkerd.io/trust-root-sha256": true, "linkerd.io/control-plane-ns": true, "linkerd.io/workload-ns": true,
	"linkerd.io/proxy-deployment": true, "viz.linkerd.io/tap-enabled": true,
	"weft.dev/inject": true, "weft.dev/adopt": true, "weft.dev/injected": true, "weft.dev/include-inbound-ports": true, "weft.dev/exclude-inbound-ports": true,
	"weft.dev/exclude-outbound-ports": true, "weft.dev/exclude-outbound-cidrs": true, "weft.dev/exclude-uids": true,
	"weft.dev/cpu-request": true, "weft.dev/cpu-limit": true, "weft.dev/memory-request": true, "weft.dev/memory-limit": true,
	"weft.dev/drain": true, "weft.dev/access-log": true, "weft.dev/pre-stop-sleep": true,
}

// adopted are annotations of other meshes that injection reads, where it is to adopt these.
var adopted = map[string]bool{
	"config.linkerd.io/skip-inbound-ports": true, "config.linkerd.io/skip-outbound-ports": true, "config.linkerd.io/proxy-cpu-request": true,
	"config.linkerd.io/proxy-cpu-limit": true, "config.linkerd.io/proxy-memory-request": true, "config.linkerd.io/proxy-memory-limit": true,
	"config.linkerd.io/shutdown-grace-period": true, "config.linkerd.io/access-log": true, "config.linkerd.io/default-inbound-policy": true,
	"traffic.sidecar.istio.io/includeInboundPorts": true, "traffic.sidecar.istio.io/excludeInboundPorts": true,
	"traffic.sidecar.istio.io/excludeOutboundPorts": true, "traffic.sidecar.istio.io/excludeOutboundIPRanges": true,
	"sidecar.istio.io/proxyCPU": true, "sidecar.istio.io/proxyCPULimit": true, "sidecar.istio.io/proxyMemory": true,
	"sidecar.istio.io/proxyMemoryLimit": true,
}

// commands are labels that tell a mesh to do something; other labels are for selectors.
var commands = []string{"istio.io/use-waypoint", "istio.io/use-waypoint-namespace", "istio.io/ingress-use-waypoint",
	"istio.io/waypoint-for", "mirror.linkerd.io/exported", "mirror.linkerd.io/federated", "topology.istio.io/network"}

// annotations adds a finding for each annotation and label that a mesh would obey and that the kind does not read.
func (c *checker) annotations(at *place, o *Object) {
	for _, key := range slices.Sorted(maps.Keys(o.Annotations)) {
		switch {
		case !ofMesh(key) || enrolment[key] || slices.Contains(c.kind.Annotations, key):
		case adopted[key]:
			c.add(mesh.Info, at.child("annotations").child(key), "it has an effect on pods that are injected by a mesh that adopts them: weft install --adopt", "")
		default:
			c.add(mesh.Warning, at.child("annotations").child(key), "not supported yet: the annotation has no effect", c.likeAnnotation(key))
		}
	}
	for _, key := range commands {
		if _, ok := o.Labels[key]; ok {
			c.add(mesh.Warning, at.child("labels").child(key), "not supported yet: the label has no effect but for selectors", "")
		}
	}
}

func (c *checker) likeAnnotation(key string) string {
	if near := nearest(key, slices.Clone(c.kind.Annotations)); near != "" {
		return "did you mean " + near + "?"
	}
	return ""
}

// ofMesh says whether a key's domain is a mesh's, or below one.
func ofMesh(key string) bool {
	domain, _, ok := strings.Cut(key, "/")
	return ok && slices.ContainsFunc(meshes, func(m string) bool { return domain == m || strings.HasSuffix(domain, "."+m) })
}
