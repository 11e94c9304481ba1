package inject

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/weft-mesh/weft/dialect"
)

// defaultDrain is for calls under way when a pod ends.
const defaultDrain = 5 * time.Second

// settings are one pod's.
type settings struct {
	redirect  redirect
	resources corev1.ResourceRequirements
	drain     time.Duration
	accessLog string
	preStop   time.Duration // 0: none
}

// redirect is what weft-proxy redirect or the CNI plugin is told: node/podnet.Spec in JSON. Without a list of what comes in, all does.
type redirect struct {
	ProxyUID             int64          `json:"proxyUID"`
	IncludeInboundPorts  []Ports        `json:"includeInboundPorts,omitempty"`
	ExcludeInboundPorts  []Ports        `json:"excludeInboundPorts,omitempty"`
	ExcludeOutboundPorts []Ports        `json:"excludeOutboundPorts,omitempty"`
	ExcludeOutboundCIDRs []netip.Prefix `json:"excludeOutboundCIDRs,omitempty"`
	ExcludeUIDs          []uint32       `json:"excludeUIDs,omitempty"`
}

// passes says whether calls from outside to a port reach the application without the proxy.
func (r *redirect) passes(port int32) bool {
	in := func(list []Ports) bool {
		return slices.ContainsFunc(list, func(x Ports) bool { return int32(x.First) <= port && port <= int32(x.Last) })
	}
	return in(r.ExcludeInboundPorts) || len(r.IncludeInboundPorts) > 0 && !in(r.IncludeInboundPorts)
}

// Ports are a port, or those from the first to the last.
type Ports struct{ First, Last uint16 }

func (p Ports) String() string {
	if p.First == p.Last {
		return strconv.Itoa(int(p.First))
	}
	return fmt.Sprintf("%d-%d", p.First, p.Last)
}

// MarshalJSON writes a number, or "8000-8010".
func (p Ports) MarshalJSON() ([]byte, error) {
	if p.First == p.Last {
		return []byte(p.String()), nil
	}
	return json.Marshal(p.String())
}

// setting is an annotation that changes how a pod's proxy works.
type setting struct {
	key       string
	mesh      string // whose it is; empty: weft's
	namespace bool   // it counts in the namespace too
	set       func(s *settings, value string) error
}

// table is every annotation that has an effect on injection. Of Linkerd's, those of the namespace count for its pods; of Istio's they do not.
var table = slices.Concat(
	named("", true, "weft.dev/", map[string]func(*settings, string) error{
		"include-inbound-ports":  includeInbound,
		"exclude-inbound-ports":  excludeInbound,
		"exclude-outbound-ports": excludeOutbound,
		"exclude-outbound-cidrs": excludeCIDRs,
		"exclude-uids":           excludeUIDs,
		"cpu-request":            request(corev1.ResourceCPU),
		"cpu-limit":              limit(corev1.ResourceCPU),
		"memory-request":         request(corev1.ResourceMemory),
		"memory-limit":           limit(corev1.ResourceMemory),
		"drain":                  drain,
		"access-log":             accessLog,
		"pre-stop-sleep":         preStop,
	}),
	named(linkerd, true, "config.linkerd.io/", map[string]func(*settings, string) error{
		"skip-inbound-ports":              excludeInbound,
		"skip-outbound-ports":             excludeOutbound,
		"proxy-cpu-request":               request(corev1.ResourceCPU),
		"proxy-cpu-limit":                 limit(corev1.ResourceCPU),
		"proxy-memory-request":            request(corev1.ResourceMemory),
		"proxy-memory-limit":              limit(corev1.ResourceMemory),
		"proxy-ephemeral-storage-request": request(corev1.ResourceEphemeralStorage),
		"proxy-ephemeral-storage-limit":   limit(corev1.ResourceEphemeralStorage),
		"shutdown-grace-period":           drain,
		"access-log":                      linkerdLog,
	}),
	named(istio, false, "traffic.sidecar.istio.io/", map[string]func(*settings, string) error{
		"includeInboundPorts":     includeInbound,
		"excludeInboundPorts":     excludeInbound,
		"excludeOutboundPorts":    excludeOutbound,
		"excludeOutboundIPRanges": excludeCIDRs,
	}),
	named(istio, false, "sidecar.istio.io/", map[string]func(*settings, string) error{
		"proxyCPU":         request(corev1.ResourceCPU),
		"proxyCPULimit":    limit(corev1.ResourceCPU),
		"proxyMemory":      request(corev1.ResourceMemory),
		"proxyMemoryLimit": limit(corev1.ResourceMemory),
	}),
)

func named(mesh string, namespace bool, prefix string, sets map[string]func(*settings, string) error) (out []setting) {
	for _, name := range slices.Sorted(maps.Keys(sets)) {
		out = append(out, setting{prefix + name, mesh, namespace, sets[name]})
	}
	return out
}

// elsewhere are annotations of the same domains that others than injection read or write.
var elsewhere = []string{Label, Injected, dialect.Tunnel, plugged, dialect.TrustedProxies, "config.linkerd.io/opaque-ports",
	"config.linkerd.io/default-inbound-policy", "config.linkerd.io/proxy-require-identity-inbound-ports",
	"sidecar.istio.io/inject", "sidecar.istio.io/status"}

// settings reads the annotations of the namespace, then the pod's, of other meshes before weft's: the last word counts.
func (p *plan) settings() *settings {
	s := &settings{redirect: redirect{ProxyUID: proxyUID}, resources: *p.o.Resources.DeepCopy(), drain: cmp.Or(p.o.Drain.Duration, defaultDrain),
		accessLog: cmp.Or(p.o.AccessLog, AccessLogs[0])}
	for _, pod := range []bool{false, true} {
		for _, mesh := range []string{linkerd, istio, ""} {
			p.read(s, pod, mesh)
		}
	}
	p.unread()
	p.sized(s)
	return s
}

// read applies one mesh's annotations of the pod or of its namespace.
func (p *plan) read(s *settings, pod bool, mesh string) {
	if mesh != "" && !p.o.Adopt {
		return
	}
	from := p.namespace.Annotations
	if pod {
		from = p.pod.Annotations
	}
	for _, x := range table {
		value, ok := from[x.key]
		if x.mesh != mesh || !ok || !pod && !x.namespace {
			continue
		}
		if err := x.set(s, value); err != nil {
			field, text := dialect.Child("metadata.annotations", x.key), fmt.Sprintf("%q: %v", value, err)
			if !pod {
				field, text = "", fmt.Sprintf("annotation %s=%q of the namespace: %v", x.key, value, err)
			}
			p.refuse(field, text, "")
		}
	}
}

// unread warns of annotations that somebody wrote for a proxy, and that change nothing.
func (p *plan) unread() {
	for _, key := range slices.Sorted(maps.Keys(p.pod.Annotations)) {
		at := dialect.Child("metadata.annotations", key)
		i := slices.IndexFunc(table, func(x setting) bool { return x.key == key })
		level, text, remedy, disregarded := dialect.Disregarded(key, p.pod.Annotations[key])
		switch {
		case i >= 0 && (table[i].mesh == "" || p.o.Adopt) || slices.Contains(elsewhere, key):
		case i >= 0:
			p.warn(at, "the annotation has no effect: this mesh does not adopt those of other meshes", "weft install --adopt, or write the like of weft.dev")
		case disregarded:
			p.note(level, at, text, remedy)
		case slices.ContainsFunc(domains, func(d string) bool { return strings.HasPrefix(key, d) }):
			p.warn(at, "weft's proxy has no such setting: the annotation has no effect", "")
		}
	}
}

// domains are those whose annotations are for proxies, weft's or another mesh's.
var domains = []string{"weft.dev/", "config.linkerd.io/", "config.alpha.linkerd.io/", "config.beta.linkerd.io/", "traffic.sidecar.istio.io/", "sidecar.istio.io/",
	"proxy.istio.io/", "inject.istio.io/"}

// sized refuses requests above limits, as the API server would, which names no annotation then.
func (p *plan) sized(s *settings) {
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage} {
		ask, asked := s.resources.Requests[name]
		bound, bounded := s.resources.Limits[name]
		if asked && bounded && ask.Cmp(bound) > 0 {
			p.refuse("metadata.annotations", fmt.Sprintf("the proxy's %s request of %s is above its limit of %s", name, ask.String(), bound.String()), "")
		}
	}
}

func parsePorts(text string) (out []Ports, err error) {
	for s := range strings.SplitSeq(text, ",") {
		if s = strings.TrimSpace(s); s == "" {
			continue
		}
		first, last, isRange := strings.Cut(s, "-")
		if !isRange {
			last = first
		}
		a, errA := strconv.ParseUint(first, 10, 16)
		b, errB := strconv.ParseUint(last, 10, 16)
		if errA != nil || errB != nil || a == 0 || a > b {
			return nil, fmt.Errorf("%q is no port of 1 to 65535, nor two with a - between", s)
		}
		out = append(out, Ports{uint16(a), uint16(b)})
	}
	return out, nil
}

func includeInbound(s *settings, text string) (err error) {
	switch text = strings.TrimSpace(text); text {
	case "*":
		s.redirect.IncludeInboundPorts = nil
	case "": // none
		s.redirect.IncludeInboundPorts, s.redirect.ExcludeInboundPorts = nil, []Ports{{1, 65535}}
	default:
		s.redirect.IncludeInboundPorts, err = parsePorts(text)
	}
	return err
}

func excludeInbound(s *settings, text string) (err error) {
	s.redirect.ExcludeInboundPorts, err = parsePorts(text)
	return err
}

func excludeOutbound(s *settings, text string) (err error) {
	s.redirect.ExcludeOutboundPorts, err = parsePorts(text)
	return err
}

func excludeCIDRs(s *settings, text string) error {
	s.redirect.ExcludeOutboundCIDRs = nil
	for x := range strings.SplitSeq(text, ",") {
		if x = strings.TrimSpace(x); x == "" {
			continue
		}
		cidr, err := netip.ParsePrefix(x)
		if err != nil {
			return fmt.Errorf("%q is not ADDRESS/BITS", x)
		}
		s.redirect.ExcludeOutboundCIDRs = append(s.redirect.ExcludeOutboundCIDRs, cidr.Masked())
	}
	return nil
}

func excludeUIDs(s *settings, text string) error {
	s.redirect.ExcludeUIDs = nil
	for x := range strings.SplitSeq(text, ",") {
		uid, err := strconv.ParseUint(strings.TrimSpace(x), 10, 32)
		if err != nil {
			return fmt.Errorf("%q is no user's number", x)
		}
		s.redirect.ExcludeUIDs = append(s.redirect.ExcludeUIDs, uint32(uid))
	}
	return nil
}

func request(name corev1.ResourceName) func(*settings, string) error {
	return func(s *settings, text string) error { return quantity(&s.resources.Requests, name, text) }
}

func limit(name corev1.ResourceName) func(*settings, string) error {
	return func(s *settings, text string) error { return quantity(&s.resources.Limits, name, text) }
}

func quantity(of *corev1.ResourceList, name corev1.ResourceName, text string) error {
	q, err := resource.ParseQuantity(text)
	if err != nil || q.Sign() < 0 {
		return errors.New(`want a quantity, as "100m" of cpu or "64Mi" of memory`)
	}
	if *of == nil {
		*of = corev1.ResourceList{}
	}
	(*of)[name] = q
	return nil
}

func drain(s *settings, text string) (err error) {
	s.drain, err = seconds(text)
	return err
}

func preStop(s *settings, text string) (err error) {
	s.preStop, err = seconds(text)
	return err
}

// maxWait bounds what a pod may be made to wait for; Kubernetes has no bound.
const maxWait = time.Hour

// seconds is a time in whole seconds, which Kubernetes counts in.
func seconds(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > maxWait || d%time.Second != 0 {
		return 0, errors.New("want whole seconds up to an hour, as 5s")
	}
	return d, nil
}

func accessLog(s *settings, text string) error {
	if !slices.Contains(AccessLogs, text) {
		return fmt.Errorf("want %s", strings.Join(AccessLogs, ", "))
	}
	s.accessLog = text
	return nil
}

// linkerdLog reads Linkerd's word: its format in text is that of Apache.
func linkerdLog(s *settings, text string) error {
	switch text {
	case "":
		text = "off"
	case "apache":
		text = "text"
	}
	return accessLog(s, text)
}

// jsonText is the JSON of a value of this package, which has one.
func jsonText(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // plain structs of strings and numbers
	}
	return string(b)
}
