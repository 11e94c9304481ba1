package inject

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/traffic"
)

// What a pod's proxy is called, and who it is.
const (
	proxyName    = "weft-proxy"
	redirectName = "weft-redirect"
	probesEnv    = "WEFT_PROBES"
	proxyUID     = 15001

	tokenVolume = "weft-token"
	rootVolume  = "weft-root"
	stateVolume = "weft-state"

	tokenLife  = 3600 // seconds; the kubelet renews it, and the proxy reads it anew each time
	startTries = 120  // of the startup probe, one a second: until the control plane answered once
)

// proxyPorts are those that an application cannot have.
var proxyPorts = []int32{traffic.OutboundPort, traffic.ProofPort, traffic.InboundPort, traffic.TunnelPort, traffic.MetricsPort, traffic.ReadyPort}

var volumeNames = []string{tokenVolume, rootVolume, stateVolume}

// Container is the proxy's, as a native sidecar (an init container that runs on): it is ready before the application starts, ends after
// it, and does not keep a Job from ending. Env of its own come last.
func Container(o *Options, own ...corev1.EnvVar) corev1.Container {
	if o.TrustDomain != "" {
		own = append([]corev1.EnvVar{{Name: "WEFT_TRUST_DOMAIN", Value: o.TrustDomain}}, own...)
	}
	return corev1.Container{
		Name: proxyName, Image: o.Image, ImagePullPolicy: o.PullPolicy, Command: []string{"/weft-proxy"}, Args: []string{"pod"},
		RestartPolicy: ptr.To(corev1.ContainerRestartPolicyAlways),
		Env: append([]corev1.EnvVar{
			field("WEFT_POD", "metadata.name"),
			field("WEFT_NAMESPACE", "metadata.namespace"),
			field("WEFT_POD_IPS", "status.podIPs"),
			field("WEFT_ACCOUNT", "spec.serviceAccountName"),
			{Name: "WEFT_CONTROL", Value: o.Control},
		}, own...),
		Ports: []corev1.ContainerPort{
			{Name: "weft-tunnel", ContainerPort: traffic.TunnelPort, Protocol: corev1.ProtocolTCP},
			{Name: "weft-metrics", ContainerPort: traffic.MetricsPort, Protocol: corev1.ProtocolTCP},
			{Name: "weft-ready", ContainerPort: traffic.ReadyPort, Protocol: corev1.ProtocolTCP},
		},
		Resources:                o.Resources,
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
		StartupProbe: &corev1.Probe{
			ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/ready", Port: intstr.FromInt32(traffic.ReadyPort), Scheme: corev1.URISchemeHTTP}},
			PeriodSeconds: 1, FailureThreshold: startTries,
		},
		VolumeMounts: []corev1.VolumeMount{
			{Name: tokenVolume, MountPath: "/var/run/secrets/weft", ReadOnly: true},
			{Name: rootVolume, MountPath: "/var/run/weft/root", ReadOnly: true},
			{Name: stateVolume, MountPath: "/var/lib/weft"},
		},
		SecurityContext: &corev1.SecurityContext{
			RunAsUser: ptr.To[int64](proxyUID), RunAsGroup: ptr.To[int64](proxyUID), RunAsNonRoot: ptr.To(true),
			AllowPrivilegeEscalation: ptr.To(false), Privileged: ptr.To(false), ReadOnlyRootFilesystem: ptr.To(true),
			Capabilities:   &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
	}
}

// Volumes are those that Container mounts. The key's files stay in memory.
func Volumes() []corev1.Volume {
	return []corev1.Volume{
		{Name: tokenVolume, VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
			{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Audience: "weft", ExpirationSeconds: ptr.To[int64](tokenLife), Path: "token"}}}}}},
		{Name: rootVolume, VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
			LocalObjectReference: corev1.LocalObjectReference{Name: RootMap}}}},
		{Name: stateVolume, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{
			Medium: corev1.StorageMediumMemory, SizeLimit: ptr.To(resource.MustParse("64Mi"))}}},
	}
}

func field(name, path string) corev1.EnvVar {
	return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: path}}}
}

// redirector, where no CNI plugin does it, puts the rules into the pod's network before anything else runs there. It is root, with one capability.
func (p *plan) redirector(s *settings) corev1.Container {
	return corev1.Container{
		Name: redirectName, Image: p.o.Image, ImagePullPolicy: p.o.PullPolicy, Command: []string{"/weft-proxy"}, Args: []string{"redirect"},
		Env:       []corev1.EnvVar{{Name: "WEFT_REDIRECT", Value: jsonText(&s.redirect)}},
		Resources: s.resources,
		SecurityContext: &corev1.SecurityContext{
			RunAsUser: ptr.To[int64](0), RunAsGroup: ptr.To[int64](0), RunAsNonRoot: ptr.To(false),
			AllowPrivilegeEscalation: ptr.To(false), Privileged: ptr.To(false), ReadOnlyRootFilesystem: ptr.To(true),
			Capabilities:   &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}, Add: []corev1.Capability{"NET_ADMIN"}},
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
	}
}

// containers come before the pod's own init containers, so that those too call through the mesh.
func (p *plan) containers(s *settings, probes map[string]probe) {
	own := []corev1.EnvVar{{Name: "WEFT_DRAIN", Value: strconv.Itoa(int(s.drain / time.Second))}, {Name: "WEFT_ACCESS_LOG", Value: s.accessLog}}
	if len(probes) > 0 {
		own = append(own, corev1.EnvVar{Name: probesEnv, Value: jsonText(probes)})
	}
	proxy := Container(p.o, own...)
	proxy.Resources = s.resources
	list := []corev1.Container{proxy}
	if !p.o.CNI {
		list = []corev1.Container{p.redirector(s), proxy}
	}
	insert(p, "/spec/initContainers", len(p.pod.Spec.InitContainers), "0", slices.Backward(list), list)
}

func (p *plan) volumes() {
	list := Volumes()
	insert(p, "/spec/volumes", len(p.pod.Spec.Volumes), "-", slices.All(list), list)
}

// insert puts elements into a list, one by one so that what is there stays as it is written.
func insert[T any](p *plan, path string, there int, at string, each func(func(int, T) bool), all []T) {
	if there == 0 {
		p.add(path, all)
		return
	}
	for _, x := range each {
		p.add(path+"/"+at, x)
	}
}

// pullSecrets adds those that the proxy's image needs.
func (p *plan) pullSecrets() {
	var missing []corev1.LocalObjectReference
	for _, name := range p.o.PullSecrets {
		if ref := (corev1.LocalObjectReference{Name: name}); !slices.Contains(p.pod.Spec.ImagePullSecrets, ref) {
			missing = append(missing, ref)
		}
	}
	if len(missing) > 0 {
		insert(p, "/spec/imagePullSecrets", len(p.pod.Spec.ImagePullSecrets), "-", slices.All(missing), missing)
	}
}

// grace is how many seconds the pod has to end.
func (p *plan) grace() int64 {
	if g := p.pod.Spec.TerminationGracePeriodSeconds; g != nil {
		return *g
	}
	return corev1.DefaultTerminationGracePeriodSeconds
}

// drained warns where somebody asks for a time for calls under way that the pod does not have.
func (p *plan) drained(s *settings) {
	grace, drain, wait := p.grace(), int64(s.drain/time.Second), int64(s.preStop/time.Second)
	if s.drain == defaultDrain || wait+drain <= grace {
		return
	}
	at := "spec.terminationGracePeriodSeconds"
	if key := "weft.dev/drain"; p.pod.Annotations[key] != "" {
		at = dialect.Child("metadata.annotations", key)
	}
	p.warn(at, fmt.Sprintf("the pod is killed %d s after it is told to end, and calls under way do not have the %d s that they are to have", grace, drain),
		fmt.Sprintf("raise spec.terminationGracePeriodSeconds to %d at least, or drain for less", wait+drain))
}

// preStop has applications that exit at SIGTERM wait first: meanwhile their callers hear that they are to call others.
func (p *plan) preStop(s *settings) {
	if s.preStop == 0 {
		return
	}
	grace, wait := p.grace(), int64(s.preStop/time.Second)
	if at := dialect.Child("metadata.annotations", "weft.dev/pre-stop-sleep"); wait >= grace {
		p.refuse(at, fmt.Sprintf("%d s leave nothing of the %d s that the pod has to end", wait, grace), "raise spec.terminationGracePeriodSeconds, or sleep less")
		return
	}
	sleep := &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: wait}}
	for i := range p.pod.Spec.Containers {
		c, path := &p.pod.Spec.Containers[i], fmt.Sprintf("/spec/containers/%d/lifecycle", i)
		switch {
		case c.Lifecycle == nil:
			p.add(path, corev1.Lifecycle{PreStop: sleep})
		case c.Lifecycle.PreStop == nil:
			p.add(path+"/preStop", sleep)
		default:
			p.info(dialect.Index("spec.containers", i)+".lifecycle.preStop", "it stays as it is: the container does something of its own before it ends", "have it take as long")
		}
	}
}

// annotate adds to the pod's annotations, in the order of their keys.
func (p *plan) annotate(with map[string]string) {
	if len(p.pod.Annotations) == 0 {
		p.add("/metadata/annotations", with)
		return
	}
	for _, key := range slices.Sorted(maps.Keys(with)) {
		p.add("/metadata/annotations/"+escape.Replace(key), with[key])
	}
}

// escape writes a key into a JSON pointer.
var escape = strings.NewReplacer("~", "~0", "/", "~1")

func unmarshalStrict(text string, into any) error {
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.DisallowUnknownFields()
	return d.Decode(into)
}
