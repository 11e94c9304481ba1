package gatewayapi

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
	v1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/mesh"
)

// readCertificates resolves those of the listeners that end TLS. A reference that cannot be resolved leaves the others in use.
func (r *reader) readCertificates(g *gateway) {
	for _, l := range g.listeners {
		if l.refused() || !l.entry.Ends() {
			continue
		}
		refs := []v1.SecretObjectReference(nil)
		if l.spec.TLS != nil {
			refs = l.spec.TLS.CertificateRefs
		}
		if len(refs) == 0 {
			l.unresolved(verdict{string(v1.ListenerReasonInvalidCertificateRef), "there is no certificate to end TLS with: the listener is not opened", "name a Secret in tls.certificateRefs"})
		}
		for i := range refs {
			c, why := r.certificate(l.owner, &refs[i], string(v1.ListenerReasonInvalidCertificateRef))
			if l.unresolved(why); why.reason == "" {
				l.certs = append(l.certs, c)
			}
		}
		r.readCallers(g, l)
	}
}

// backendCertificate resolves the certificate that a Gateway shows to backends; nil: none.
func (r *reader) backendCertificate(g *gateway) (*mesh.Certificate, verdict) {
	if g.spec.TLS == nil || g.spec.TLS.Backend == nil || g.spec.TLS.Backend.ClientCertificateRef == nil {
		return nil, verdict{}
	}
	c, why := r.certificate(g.object, g.spec.TLS.Backend.ClientCertificateRef, string(v1.GatewayReasonInvalidClientCertificateRef))
	if why.reason != "" {
		why.text += ": no certificate is shown to backends"
		return nil, why
	}
	return &c, verdict{}
}

// unresolved notes why a reference is not: the first reason stands.
func (l *listener) unresolved(v verdict) {
	if l.resolved.reason == "" {
		l.resolved = v
	}
}

// certificate resolves an object's reference; invalid is the reason that it has where what is there is of no use.
func (r *reader) certificate(owner *dialect.Object, ref *v1.SecretObjectReference, invalid string) (c mesh.Certificate, why verdict) {
	namespace := string(ptr.Deref(ref.Namespace, v1.Namespace(owner.Namespace)))
	name := "Secret " + namespace + "/" + string(ref.Name)
	g, k := ptr.Deref(ref.Group, ""), ptr.Deref(ref.Kind, "Secret")
	switch {
	case g != "" || k != "Secret":
		return c, verdict{invalid, fmt.Sprintf("certificates come from Secrets, not from a %s of %q", k, g), "name a Secret of the type kubernetes.io/tls"}
	case !r.granted(owner.Kind, owner.Namespace, "Secret", namespace, string(ref.Name)):
		return c, verdict{string(v1.ListenerReasonRefNotPermitted), "no ReferenceGrant in " + namespace + " lets a " + owner.Kind + " of " + owner.Namespace + " have " + name,
			"write one there, from kind: " + owner.Kind + " to kind: Secret"}
	}
	o := r.View.Get("", "Secret", namespace, string(ref.Name))
	if o == nil {
		return c, verdict{invalid, "there is no " + name, "make it, of the type kubernetes.io/tls, or correct the name"}
	}
	c, err := dialect.KeyPair(o, corev1.TLSCertKey, corev1.TLSPrivateKeyKey)
	if err != nil {
		return c, verdict{invalid, name + ": " + err.Error(), "it holds tls.crt, with the chain, leaf first, and tls.key, both in PEM"}
	}
	return c, verdict{}
}
