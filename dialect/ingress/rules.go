package ingress

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/utils/ptr"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/feature/route"
	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/traffic"
)

func ingressKind() dialect.Kind {
	k := kind[networkingv1.Ingress]("Ingress")
	k.Lower, k.Status, k.Annotations = lowerIngress, statusOf, []string{oldAnnotation}
	paths := "spec.rules[].http.paths[]"
	k.Fields = slices.Concat([]string{"spec.ingressClassName", "spec.rules[].host", paths + ".path", paths + ".pathType", "spec.tls[].hosts", "spec.tls[].secretName"})
	for _, b := range []string{"spec.defaultBackend", paths + ".backend"} {
		k.Fields = append(k.Fields, dialect.Below(b+".service", "name", "port.number", "port.name")...)
		k.Unsupported[b+".resource"] = "a backend is a Service: calls for another one get 500"
	}
	k.Schema.SetEnum(paths+".pathType", "Exact", "Prefix", "ImplementationSpecific").Require(paths+".pathType", paths+".backend")
	return k
}

func lowerIngress(o *dialect.Object, v dialect.View) (part mesh.Part, found []mesh.Finding) {
	r := newReader(o, v)
	var spec networkingv1.IngressSpec
	if !r.Spec(&spec) {
		return part, r.Found
	}
	c, mine := r.classOf(o, &spec)
	if !mine {
		r.tellClass(c, &spec)
		return part, r.Found
	}
	r.tellAnnotations()
	r.checkTLS(spec.TLS)
	if spec.DefaultBackend == nil && len(spec.Rules) == 0 {
		r.Refuse("spec", "it has neither rules nor defaultBackend", "add one of them")
	}
	add := func(host string, rules []mesh.Rule) {
		if len(rules) > 0 {
			part.GatewayRoutes = append(part.GatewayRoutes, mesh.GatewayRoute{Ref: r.Ref, Created: o.Created, Gateway: c.key(), Hosts: []string{host}, Rules: rules})
		}
	}
	for i := range spec.Rules {
		x, field := &spec.Rules[i], dialect.Index("spec.rules", i)
		r.checkHost(field+".host", x.Host)
		host := strings.ToLower(x.Host)
		r.tellOthers(field+".host", host, c)
		add(host, r.rules(field, host, x.HTTP, spec.DefaultBackend))
	}
	if b := spec.DefaultBackend; b != nil {
		r.tellOthers("spec.defaultBackend", "", c)
		add("", []mesh.Rule{r.rule("spec.defaultBackend", match.Request{}, b)})
	}
	if r.Refused() {
		return mesh.Part{}, r.Found
	}
	return part, r.Found
}

// tellClass says why an Ingress is not weft's.
func (r *reader) tellClass(c class, spec *networkingv1.IngressSpec) {
	name := nameOf(r.Object, spec)
	switch {
	case name == "":
		r.Info("spec.ingressClassName", "it names no class, and no class of weft's is the default: nobody opens it, or another controller", "write ingressClassName: weft")
	case c.object == nil:
		r.Info("spec.ingressClassName", "there is no IngressClass "+name+": nobody opens the Ingress, or a controller that goes by names alone", "use the class weft, or write an IngressClass with controller: "+Controller)
	default:
		r.Info("spec.ingressClassName", "the IngressClass "+name+" is another controller's, and so is the Ingress", "")
	}
}

// tellAnnotations warns of those by which other controllers are told what an Ingress has no field for.
func (r *reader) tellAnnotations() {
	for _, key := range slices.Sorted(maps.Keys(r.Object.Annotations)) {
		domain, _, _ := strings.Cut(key, "/")
		if key != oldAnnotation && (strings.Contains(domain, "ingress") || strings.HasPrefix(domain, "haproxy") || strings.HasPrefix(domain, "traefik") || strings.HasPrefix(domain, "alb.")) {
			r.Warn(dialect.Child("metadata.annotations", key), "it is another controller's word: weft does not act on it", "write an HTTPRoute of the Gateway API, which can say more than an Ingress")
		}
	}
}

// byHost finds the Ingresses with rules for a host: as the class that they name, which may be empty, a blank, and the host, which may be too.
var byHost = &dialect.Lookup{Group: group, Kind: "Ingress", Keys: func(o *dialect.Object) (keys []string) {
	var spec networkingv1.IngressSpec
	if dialect.DecodeField(o, "spec", &spec) != nil {
		return nil
	}
	name := nameOf(o, &spec) + " "
	for i := range spec.Rules {
		keys = append(keys, name+strings.ToLower(spec.Rules[i].Host))
	}
	if spec.DefaultBackend != nil {
		keys = append(keys, name)
	}
	return keys
}}

// tellOthers warns of a host that another namespace's Ingress of the class has too: whoever may write one there decides about calls to it.
func (r *reader) tellOthers(field, host string, c class) {
	names := []string{c.object.Name}
	if d := r.defaultClass(); d.object != nil && d.object.Key() == c.object.Key() {
		names = append(names, "")
	}
	for _, name := range names {
		for _, o := range r.View.Find(byHost, name+" "+host) {
			if o.Namespace != r.Object.Namespace {
				r.Warn(field, fmt.Sprintf("the Ingress %s/%s, of another namespace, has rules for %s too: each call goes by the longest path of both, and of two that are alike by the older one's",
					o.Namespace, o.Name, cmp.Or(host, "all hosts")), "have one namespace alone write Ingresses for a host")
				return
			}
		}
	}
}

func (r *reader) checkTLS(list []networkingv1.IngressTLS) {
	for i := range list {
		for j, h := range list[i].Hosts {
			r.checkHost(dialect.Index(dialect.Index("spec.tls", i)+".hosts", j), h)
		}
		if _, err := certificate(r.View, r.Object.Namespace, list[i].SecretName); err != nil {
			r.Warn(dialect.Index("spec.tls", i)+".secretName", err.Error(), "make a Secret of the type kubernetes.io/tls, with tls.crt, leaf first, and tls.key, both in PEM")
		}
	}
}

// checkHost: "IPs are not allowed", no port, and a wildcard is the first label alone (IngressRule.host).
func (r *reader) checkHost(field, host string) {
	if host == "" {
		return
	}
	why := validation.IsDNS1123Subdomain(strings.ToLower(host))
	if strings.Contains(host, "*") {
		why = validation.IsWildcardDNS1123Subdomain(strings.ToLower(host))
	}
	if len(why) > 0 {
		r.Refuse(field, fmt.Sprintf("%q: %s", host, strings.Join(why, "; ")), "write a name, or *. and a name")
	} else if _, err := netip.ParseAddr(host); err == nil {
		r.Refuse(field, host+" is an address, and a name is expected here", "")
	}
}

// rules lowers those of one host. Without any the host's calls are the default backend's.
func (r *reader) rules(field, host string, http *networkingv1.HTTPIngressRuleValue, other *networkingv1.IngressBackend) (out []mesh.Rule) {
	if http == nil {
		if other != nil {
			out = append(out, r.rule(field, onHost(host, match.Request{}), other))
		}
		return out
	}
	for i := range http.Paths {
		p, at := &http.Paths[i], dialect.Index(field+".http.paths", i)
		out = append(out, r.rule(at, onHost(host, match.Request{Paths: []match.String{r.path(at, p)}}), &p.Backend))
	}
	return out
}

// path lowers a path. A prefix is of whole elements, and a slash at its end counts for nothing: "/foo/ matches /foo". What an
// implementation may choose is a prefix, which is what most who leave it to the implementation want.
func (r *reader) path(field string, p *networkingv1.HTTPIngressPath) match.String {
	path := p.Path
	if path == "" && ptr.Deref(p.PathType, "") == networkingv1.PathTypeImplementationSpecific {
		path = "/"
	}
	if !strings.HasPrefix(path, "/") {
		r.Refuse(field+".path", fmt.Sprintf("%q does not begin with /", p.Path), "")
	}
	if ptr.Deref(p.PathType, "") == networkingv1.PathTypeExact {
		return match.String{Kind: match.Exact, Value: path}
	}
	if ptr.Deref(p.PathType, "") == networkingv1.PathTypeImplementationSpecific && strings.ContainsAny(path, "*()[]^$|\\") {
		r.Warn(field+".path", "the path is a prefix, and no pattern: the characters stand for themselves", "write an HTTPRoute of the Gateway API with a match of the type RegularExpression")
	}
	if trimmed := strings.TrimRight(path, "/"); trimmed != "" {
		path = trimmed
	} else {
		path = "/"
	}
	return match.String{Kind: match.PathPrefix, Value: path}
}

// onHost narrows a match for a wildcard, "a single DNS label" (IngressRule.host): gateways take it for all names below.
func onHost(host string, q match.Request) match.Request {
	if suffix, ok := strings.CutPrefix(host, "*"); ok {
		q.Hosts = []match.String{{Kind: match.Regex, Value: `(?i)[^.]+` + regexp.QuoteMeta(suffix) + `(:[0-9]+)?`}}
	}
	return q
}

func (r *reader) rule(field string, q match.Request, b *networkingv1.IngressBackend) mesh.Rule {
	out := mesh.Rule{Rule: route.Rule{Ref: r.Rule(field)}, Backends: []mesh.Backend{{Weighted: r.backend(field, b)}}}
	if q.HTTP() {
		out.Matches = []match.Request{q}
	}
	return out
}

// backend lowers a Service and its port, which may be named. What cannot be is not left out: it keeps its calls, which fail.
func (r *reader) backend(field string, b *networkingv1.IngressBackend) route.Weighted {
	at := field
	if strings.HasPrefix(field, "spec.rules") {
		at = field + ".backend"
	}
	missing := func(field, why, remedy string) route.Weighted {
		r.Warn(field, why+": calls that are for it get 500", remedy)
		return route.Weighted{Weight: 1, Missing: why}
	}
	if b.Service == nil {
		return route.Weighted{Weight: 1, Missing: "a backend that is no Service is not supported"}
	}
	s := b.Service
	ports, there := r.ports(s.Name)
	if !there {
		r.NoService(at+".service.name", fmt.Sprintf("there is no Service %s/%s: calls that are for it fail", r.Object.Namespace, s.Name), r.Object.Namespace, s.Name, "")
		if s.Port.Number == 0 {
			return route.Weighted{Weight: 1, Missing: "the Service of a named port is not there"}
		}
	}
	number := uint16(s.Port.Number)
	switch {
	case s.Port.Name != "" && s.Port.Number != 0, s.Port.Name == "" && s.Port.Number == 0:
		r.Refuse(at+".service.port", "it has either a number or a name", "")
	case s.Port.Number < 0 || s.Port.Number > 65535:
		r.Refuse(at+".service.port.number", "a port is from 1 to 65535", "")
	case s.Port.Name != "":
		i := slices.IndexFunc(ports, func(p port) bool { return p.Name == s.Port.Name })
		if i < 0 {
			return missing(at+".service.port.name", fmt.Sprintf("the Service %s has no port %s", s.Name, s.Port.Name), "")
		}
		number = uint16(ports[i].Port)
	case there && !slices.ContainsFunc(ports, func(p port) bool { return p.Port == s.Port.Number }):
		return missing(at+".service.port.number", fmt.Sprintf("the Service %s has no port %d", s.Name, s.Port.Number), "")
	}
	return route.Weighted{Weight: 1, Target: traffic.Target{Service: dialect.Host(s.Name, r.Object.Namespace), Port: number}}
}

// port is of a Service what a backend may name.
type port struct {
	Name string `json:"name"`
	Port int32  `json:"port"`
}

func (r *reader) ports(service string) (list []port, there bool) {
	o := r.View.Get("", "Service", r.Object.Namespace, service)
	var spec struct {
		Ports []port `json:"ports"`
	}
	there = o != nil && dialect.DecodeField(o, "spec", &spec) == nil
	return spec.Ports, there
}

// statusOf says at which addresses an Ingress of weft's is to be found: those of its class's Service.
func statusOf(o *dialect.Object, v dialect.View, _ []mesh.Finding) dialect.Status {
	r := newReader(o, v)
	var spec networkingv1.IngressSpec
	if dialect.DecodeField(o, "spec", &spec) != nil {
		return nil
	}
	c, mine := r.classOf(o, &spec)
	if !mine {
		return nil
	}
	account, _ := Proxies(c.object.Name)
	at := dialect.AddressesOf(v, c.namespace(), account)
	ports := []any{map[string]any{"port": int64(80), "protocol": "TCP"}}
	if len(spec.TLS) > 0 {
		ports = append(ports, map[string]any{"port": int64(443), "protocol": "TCP"})
	}
	list := []any{}
	for _, ip := range at.IPs {
		list = append(list, map[string]any{"ip": ip, "ports": ports})
	}
	for _, h := range at.Hostnames {
		list = append(list, map[string]any{"hostname": h, "ports": ports})
	}
	return func(map[string]any, time.Time) map[string]any {
		if len(list) == 0 {
			return map[string]any{"loadBalancer": map[string]any{}}
		}
		return map[string]any{"loadBalancer": map[string]any{"ingress": list}}
	}
}
