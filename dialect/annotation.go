package dialect

import (
	"maps"
	"slices"
	"strings"

	"github.com/weft-mesh/weft/internal/spelling"
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
	"config.linkerd.io/shutdown-grace-period": true, "config.linkerd.io/access-log": true,
	"config.linkerd.io/proxy-ephemeral-storage-request": true, "config.linkerd.io/proxy-ephemeral-storage-limit": true,
	"traffic.sidecar.istio.io/includeInboundPorts": true, "traffic.sidecar.istio.io/excludeInboundPorts": true,
	"traffic.sidecar.istio.io/excludeOutboundPorts": true, "traffic.sidecar.istio.io/excludeOutboundIPRanges": true,
	"sidecar.istio.io/proxyCPU": true, "sidecar.istio.io/proxyCPULimit": true, "sidecar.istio.io/proxyMemory": true,
	"sidecar.istio.io/proxyMemoryLimit": true,
}

// Needless are annotations of Linkerd and Istio that ask for what weft's proxies always do, or for what they have no need of.
var Needless = whyNot{
	"the proxy makes the kubelet's probes":                  "sidecar.istio.io/rewriteAppHTTPProbers",
	nativeSidecar:                                           "config.linkerd.io/proxy-enable-native-sidecar config.beta.linkerd.io/proxy-enable-native-sidecar config.alpha.linkerd.io/proxy-enable-native-sidecar sidecar.istio.io/nativeSidecar",
	"the application starts once the proxy is ready":        "config.linkerd.io/proxy-await",
	"the proxy ends after the application":                  "config.alpha.linkerd.io/proxy-wait-before-exit-seconds",
	"what is known of a service is kept while it is called": "config.linkerd.io/proxy-outbound-discovery-cache-unused-timeout config.linkerd.io/proxy-inbound-discovery-cache-unused-timeout",
	"Linkerd's injector writes it":                          "config.linkerd.io/pod-inbound-ports",
}.byKey()

const nativeSidecar = "the proxy is a native sidecar"

// Templates names what Istio's injector makes of a pod.
const Templates = "inject.istio.io/templates"

// Unheeded are annotations of Linkerd and Istio for their own proxies that weft's has no use for, and why.
var Unheeded = whyNot{
	"the proxy is weft's own, of the version that is installed":                             "config.linkerd.io/proxy-image config.linkerd.io/proxy-version config.linkerd.io/image-pull-policy sidecar.istio.io/proxyImage sidecar.istio.io/proxyImageType",
	"there is no debug container: kubectl debug adds one":                                   "config.linkerd.io/enable-debug-sidecar config.linkerd.io/debug-image config.linkerd.io/debug-image-version config.linkerd.io/debug-image-pull-policy",
	"the proxy has ports of its own, which cannot be changed":                               "config.linkerd.io/control-port config.linkerd.io/inbound-port config.linkerd.io/admin-port config.linkerd.io/outbound-port",
	"the proxy has a user of its own, which cannot be changed":                              "config.linkerd.io/proxy-uid config.linkerd.io/proxy-gid",
	"what comes from these addresses goes by the proxy as all else does":                    "config.linkerd.io/skip-subnets",
	"config.linkerd.io/proxy-cpu-limit bounds the proxy":                                    "config.linkerd.io/proxy-cpu-ratio-limit",
	"config.linkerd.io/access-log has calls logged; what the proxy logs of itself is fixed": "config.linkerd.io/proxy-log-level config.linkerd.io/proxy-log-format config.linkerd.io/proxy-log-http-headers",
	"nothing ends the proxy but the end of its pod":                                         "config.linkerd.io/proxy-admin-shutdown",
	"every profile counts that is in the service's namespace or the caller's":               "config.linkerd.io/enable-external-profiles",
	"the proxy's metrics have no such labels":                                               "config.linkerd.io/proxy-metrics-hostname-labels",
	"a DestinationRule says how long a connection may take to be made":                      "config.linkerd.io/proxy-outbound-connect-timeout config.linkerd.io/proxy-inbound-connect-timeout",
	"a port whose protocol is known, by its name or appProtocol, is not waited for":         "config.linkerd.io/proxy-disable-outbound-protocol-detect-timeout config.linkerd.io/proxy-disable-inbound-protocol-detect-timeout",
	"there are no templates: a pod gets weft's sidecar":                                     Templates,
	"it is for Envoy and Istio's agent":                                                     "proxy.istio.io/config proxy.istio.io/overrides sidecar.istio.io/bootstrapOverride sidecar.istio.io/discoveryAddress",
	"what the proxy logs of itself is fixed":                                                "sidecar.istio.io/logLevel sidecar.istio.io/componentLogLevel sidecar.istio.io/agentLogLevel",
	"the proxy has no volumes of others":                                                    "sidecar.istio.io/userVolume sidecar.istio.io/userVolumeMount",
	"the proxy's metrics are the same for every pod": "sidecar.istio.io/extraStatTags sidecar.istio.io/statsCompression sidecar.istio.io/statsEvictionInterval sidecar.istio.io/statsFlushInterval" +
		" sidecar.istio.io/statsHistogramBins sidecar.istio.io/statsHistogramBuckets sidecar.istio.io/statsInclusionPrefixes sidecar.istio.io/statsInclusionRegexps sidecar.istio.io/statsInclusionSuffixes",
	"the application's metrics stay at its own port": "prometheus.istio.io/merge-metrics",
	"the proxy has a port and a probe of its own, which cannot be changed": "status.sidecar.istio.io/port readiness.status.sidecar.istio.io/applicationPorts readiness.status.sidecar.istio.io/failureThreshold" +
		" readiness.status.sidecar.istio.io/initialDelaySeconds readiness.status.sidecar.istio.io/periodSeconds",
	"calls are redirected in one way alone":                                      "sidecar.istio.io/interceptionMode",
	"all that the application sends goes by the proxy, but for what is excluded": "traffic.sidecar.istio.io/includeOutboundPorts traffic.sidecar.istio.io/includeOutboundIPRanges",
	"a pod's interfaces are not told apart":                                      "traffic.sidecar.istio.io/excludeInterfaces traffic.sidecar.istio.io/kubevirtInterfaces istio.io/reroute-virtual-interfaces",
	"a pod is no gateway of several clusters":                                    "config.linkerd.io/enable-gateway",
	"the node's settings for connections stay as they are":                       "config.linkerd.io/close-wait-timeout",
	"the proxy takes no environment of others":                                   "config.linkerd.io/proxy-additional-env",
	"timeout.linkerd.io/request bounds the whole call":                           "timeout.linkerd.io/response timeout.linkerd.io/idle",
	"balancer.linkerd.io/failure-accrual leaves out endpoints that fail":         "balancer.alpha.linkerd.io/penalize-failures",
}.byKey()

// instead says what to write in the place of some of them.
var instead = map[string]string{
	"proxy.istio.io/config":                            "annotations of weft.dev say how weft's proxy works: docs/kubernetes.md lists them",
	"sidecar.istio.io/logLevel":                        "weft.dev/access-log has calls logged",
	"traffic.sidecar.istio.io/includeOutboundPorts":    "exclude the others by weft.dev/exclude-outbound-ports",
	"traffic.sidecar.istio.io/includeOutboundIPRanges": "exclude the others by weft.dev/exclude-outbound-cidrs",
}

// Disregarded says what becomes of an annotation by which another mesh's users set its proxy, and which weft does not obey; false: it is no
// such annotation.
func Disregarded(key, value string) (l mesh.Level, text, remedy string, ok bool) {
	switch {
	case key == Templates && value == "sidecar":
		return mesh.Info, "it has no effect, and needs none: a pod gets weft's sidecar", "", true
	case key == Templates && slices.Contains(strings.Split(value, ","), "gateway"):
		return mesh.Warning, "the annotation has no effect: the pod does not become a gateway, and would get a sidecar", "delete its Deployment, and write Gateways: weft deploys" +
			" the proxies of these itself, see docs/gateways.md", true
	case Needless[key] != "":
		return mesh.Info, "it has no effect, and needs none: " + Needless[key], "", true
	case Unheeded[key] != "":
		return mesh.Warning, "the annotation has no effect: " + Unheeded[key], instead[key], true
	}
	return 0, "", "", false
}

// whyNot is annotations, with spaces between, by why they have no effect.
type whyNot map[string]string

func (n whyNot) byKey() map[string]string {
	out := map[string]string{}
	for why, keys := range n {
		for key := range strings.FieldsSeq(keys) {
			out[key] = why
		}
	}
	return out
}

// Adopted are the annotations of other meshes that injection reads, sorted.
func Adopted() []string { return slices.Sorted(maps.Keys(adopted)) }

// commands are labels that tell a mesh to do something; other labels are for selectors.
var commands = []string{"istio.io/use-waypoint", "istio.io/use-waypoint-namespace", "istio.io/ingress-use-waypoint",
	"istio.io/waypoint-for", "mirror.linkerd.io/exported", "mirror.linkerd.io/federated", "topology.istio.io/network"}

// annotations adds a finding for each annotation and label that a mesh would obey and that the kind does not read.
func (c *checker) annotations(at *place, o *Object) {
	for _, key := range slices.Sorted(maps.Keys(o.Annotations)) {
		level, text, remedy, disregarded := Disregarded(key, o.Annotations[key])
		switch {
		case !ofMesh(key) || enrolment[key] || slices.Contains(c.kind.Annotations, key):
		case adopted[key]:
			c.add(mesh.Info, at.child("annotations").child(key), "it has an effect on pods that are injected by a mesh that adopts them: weft install --adopt", "")
		case disregarded:
			c.add(level, at.child("annotations").child(key), text, remedy)
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
	if near := spelling.Nearest(key, slices.Clone(c.kind.Annotations)); near != "" {
		return "did you mean " + near + "?"
	}
	return ""
}

// ofMesh says whether a key's domain is a mesh's, or below one.
func ofMesh(key string) bool {
	domain, _, ok := strings.Cut(key, "/")
	return ok && slices.ContainsFunc(meshes, func(m string) bool { return domain == m || strings.HasSuffix(domain, "."+m) })
}
