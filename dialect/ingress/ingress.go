// Package ingress reads Kubernetes' own Ingress and IngressClass, of networking.k8s.io.
//
// An IngressClass whose controller is weft's is one gateway, which all Ingresses of the class share, in whatever namespace they are, as
// their authors have it of other controllers: it has one address. Its proxies run in the control plane's namespace, or where the class's
// annotation says, and there go the keys of the Ingresses' Secrets too.
package ingress

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/utils/ptr"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/schema"
	"github.com/weft-mesh/weft/mesh"
)

const group = "networking.k8s.io"

// Controller is the name by which an IngressClass is weft's (IngressClassSpec.controller).
const Controller = "weft.dev/ingress-controller"

// What annotations say.
const (
	namespaceAnnotation = "weft.dev/gateway-namespace"                 // of an IngressClass: where its proxies run
	classAnnotation     = networkingv1.AnnotationIsDefaultIngressClass // of an IngressClass: it is that of Ingresses that name none
	oldAnnotation       = "kubernetes.io/ingress.class"                // of an Ingress: its class, before there was a field
)

// ownNamespace is where the proxies of a class run that does not say.
const ownNamespace = "weft-system"

// At is the annotation of an IngressClass whose proxies are to run in a namespace.
func At(namespace string) map[string]any { return map[string]any{namespaceAnnotation: namespace} }

// Prefix begins the names of the gateways of IngressClasses in configuration, before the class's. No object of Kubernetes has a colon in
// its name.
const Prefix = "ingress:"

// classLabel is that of all that weft makes for an IngressClass.
const classLabel = "weft.dev/ingress-class"

// Proxies says of what account the proxies are that weft deploys for a class, and which labels they have at least.
func Proxies(class string) (account string, labels map[string]string) {
	return dialect.Fit("weft-ingress-", class, ""), map[string]string{classLabel: class}
}

// reader reads one object.
type reader struct{ dialect.Reader }

func newReader(o *dialect.Object, v dialect.View) *reader {
	return &reader{dialect.NewReader(decision.Core, o, v)}
}

// Kinds returns them.
func Kinds(string) []dialect.Kind { return []dialect.Kind{ingressKind(), dialect.Cluster(classKind())} }

func kind[T any](name string) dialect.Kind {
	return dialect.Kind{Dialect: decision.Core, Group: group, Name: name, Versions: []string{"v1"}, Schema: schema.Of(reflect.TypeFor[T]()),
		Ignored: map[string]string{"status.*": "controllers write it"}, Unsupported: map[string]string{}}
}

func classKind() dialect.Kind {
	k := kind[networkingv1.IngressClass]("IngressClass")
	k.Lower, k.Fields, k.Annotations = lowerClass, []string{"spec.controller"}, []string{namespaceAnnotation, mesh.ServiceType, classAnnotation}
	k.Unsupported["spec.parameters"] = "weft's classes have no parameters"
	k.Schema.Require("spec.controller")
	return k
}

// class is an IngressClass of weft's.
type class struct {
	object *dialect.Object
}

func (c class) namespace() string {
	return cmp.Or(c.object.Annotations[namespaceAnnotation], ownNamespace)
}

func (c class) key() string { return c.namespace() + "/" + Prefix + c.object.Name }

// ours says whether an IngressClass is weft's.
func ours(o *dialect.Object) bool {
	var spec networkingv1.IngressClassSpec
	return o != nil && dialect.DecodeField(o, "spec", &spec) == nil && spec.Controller == Controller
}

// nameOf is the class that an Ingress names; empty: it leaves it to the cluster's default.
func nameOf(o *dialect.Object, spec *networkingv1.IngressSpec) string {
	return cmp.Or(o.Annotations[oldAnnotation], ptr.Deref(spec.IngressClassName, ""))
}

// classOf finds the class of an Ingress, if it is weft's.
func (r *reader) classOf(o *dialect.Object, spec *networkingv1.IngressSpec) (c class, ok bool) {
	name := nameOf(o, spec)
	if name != "" {
		c = class{r.View.Get(group, "IngressClass", "", name)}
		return c, ours(c.object)
	}
	c = r.defaultClass()
	return c, c.object != nil && ours(c.object)
}

// defaultClass is that of Ingresses that name none; one without an object: there is none.
func (r *reader) defaultClass() (c class) {
	for _, x := range r.View.List(group, "IngressClass", "") {
		if x.Annotations[classAnnotation] == "true" { // of several the newest, as the API server has it
			c = class{x}
		}
	}
	return c
}

func lowerClass(o *dialect.Object, v dialect.View) (part mesh.Part, found []mesh.Finding) {
	r := newReader(o, v)
	if !ours(o) {
		r.Info("spec.controller", "Ingresses of this class are another controller's", "")
		return part, r.Found
	}
	if why := validation.IsDNS1123Label(class{o}.namespace()); len(why) > 0 {
		r.Refuse(dialect.Child("metadata.annotations", namespaceAnnotation), strings.Join(why, "; "), "name a namespace")
		return part, r.Found
	}
	c, any := class{o}, false
	listeners := []mesh.Listener{{Ref: r.Ref, Name: "HTTP", Port: 80, Entry: mesh.EntryHTTP}}
	for _, x := range v.List(group, "Ingress", "") { // the oldest first
		var spec networkingv1.IngressSpec
		if dialect.DecodeField(x, "spec", &spec) != nil {
			continue
		}
		if k, ok := r.classOf(x, &spec); ok && k.object.Key() == o.Key() {
			any = true
			listeners = r.secure(listeners, x, spec.TLS)
		}
	}
	if any { // without Ingresses nobody pays for an address
		part.Gateways = append(part.Gateways, c.gateway(listeners))
	}
	return part, r.Found
}

// gateway is the class's.
func (c class) gateway(listeners []mesh.Listener) mesh.Gateway {
	account, labels := Proxies(c.object.Name)
	made := mesh.Made{Selector: labels, Labels: map[string]string{}, Annotations: map[string]string{}}
	meta, _ := c.object.Tree["metadata"].(map[string]any)
	if uid, _ := meta["uid"].(string); uid != "" {
		made.Owners = []mesh.Owner{{Ref: c.object.Ref(decision.Core), APIVersion: c.object.Group + "/" + c.object.Version, UID: uid}}
	}
	if t := c.object.Annotations[mesh.ServiceType]; t != "" {
		made.Annotations[mesh.ServiceType] = t
	}
	return mesh.Gateway{Ref: c.object.Ref(decision.Core), Name: Prefix + c.object.Name, Namespace: c.namespace(), Account: account, Listeners: listeners, Made: made}
}

// secure adds the listeners of an Ingress's tls: one for each host, with all certificates that there are for it, the oldest Ingress's
// first.
func (r *reader) secure(listeners []mesh.Listener, o *dialect.Object, list []networkingv1.IngressTLS) []mesh.Listener {
	for i := range list {
		c, err := certificate(r.View, o.Namespace, list[i].SecretName)
		if err != nil {
			continue // the Ingress says so
		}
		ref := o.Ref(decision.Core).At(fmt.Sprintf("tls[%d]", i))
		for _, host := range hosts(list[i].Hosts) {
			at := slices.IndexFunc(listeners, func(l mesh.Listener) bool { return l.Entry == mesh.EntryHTTPS && l.Host == host })
			if at < 0 {
				at = len(listeners)
				listeners = append(listeners, mesh.Listener{Ref: ref, Name: "HTTPS " + cmp.Or(host, "*"), Port: 443, Entry: mesh.EntryHTTPS, Host: host})
			}
			listeners[at].Certs = append(listeners[at].Certs, c)
		}
	}
	return listeners
}

// hosts are those of a tls; none: all, "the wildcard host setting for the loadbalancer controller" (IngressTLS.hosts).
func hosts(list []string) (out []string) {
	for _, h := range list {
		out = append(out, strings.ToLower(h))
	}
	if len(out) == 0 {
		return []string{""}
	}
	return out
}

func certificate(v dialect.View, namespace, name string) (c mesh.Certificate, err error) {
	if name == "" {
		return c, fmt.Errorf("no Secret is named, and TLS is not passed on as it is: nothing is opened for it")
	}
	o := v.Get("", "Secret", namespace, name)
	if o == nil {
		return c, fmt.Errorf("there is no Secret %s/%s: callers get no TLS by it", namespace, name)
	}
	if c, err = dialect.KeyPair(o, "tls.crt", "tls.key"); err != nil {
		return c, fmt.Errorf("Secret %s/%s: %w: callers get no TLS by it", namespace, name, err)
	}
	return c, nil
}
