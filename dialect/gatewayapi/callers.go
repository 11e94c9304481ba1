package gatewayapi

import (
	"fmt"
	"slices"

	"k8s.io/utils/ptr"
	v1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/mesh"
)

// What is asked of the certificates of those who call from outside. It is said by port, and not by listener, since a connection that was let
// in for the name of one could have calls for another (GEP-91).

// caKey is where authorities are in a ConfigMap.
const caKey = "ca.crt"

// validation is what a Gateway wants of who calls at a port, and where it says so; nil: nothing.
func (g *gateway) validation(port v1.PortNumber) (x *v1.FrontendTLSValidation, field string) {
	if g.spec.TLS == nil || g.spec.TLS.Frontend == nil {
		return nil, ""
	}
	f := g.spec.TLS.Frontend
	i := slices.IndexFunc(f.PerPort, func(p v1.TLSPortConfig) bool { return p.Port == port })
	if i < 0 {
		return f.Default.Validation, "spec.tls.frontend.default.validation"
	}
	return f.PerPort[i].TLS.Validation, dialect.Index("spec.tls.frontend.perPort", i) + ".tls.validation"
}

// readCallers resolves the authorities that vouch for who calls at a listener. "If ALL CACertificateRefs are invalid" the listener is not
// accepted; of those that can be had each vouches.
func (r *reader) readCallers(g *gateway, l *listener) {
	x, field := g.validation(l.spec.Port)
	if x == nil {
		return
	}
	asks := &mesh.Callers{Ref: g.object.Ref(decision.GatewayAPI).At(field[len("spec."):])}
	if x.Mode == v1.AllowInsecureFallback {
		asks.Ask = mesh.AskAndIgnore
	}
	for i := range x.CACertificateRefs {
		roots, why := r.callersRoots(g.object, &x.CACertificateRefs[i])
		l.unresolved(why)
		asks.Roots = append(asks.Roots, roots...)
	}
	if len(asks.Roots) == 0 {
		l.accepted = verdict{string(v1.ListenerReasonNoValidCACertificate), "no authority can be had that vouches for callers: the listener is not opened", "see ResolvedRefs, and " + field}
		l.unresolved(verdict{string(v1.ListenerReasonInvalidCACertificateRef), "there is no authority to vouch for callers", "name one in " + field + ".caCertificateRefs"})
	}
	l.asks = asks
}

func (r *reader) callersRoots(g *dialect.Object, ref *v1.ObjectReference) ([][]byte, verdict) {
	const invalid = string(v1.ListenerReasonInvalidCACertificateRef)
	if ref.Group != "" || ref.Kind != "ConfigMap" {
		return nil, verdict{string(v1.ListenerReasonInvalidCACertificateKind), fmt.Sprintf("authorities come from ConfigMaps, not from a %s of %q", ref.Kind, ref.Group), "name a ConfigMap"}
	}
	namespace := string(ptr.Deref(ref.Namespace, v1.Namespace(g.Namespace)))
	if !r.granted(g.Kind, g.Namespace, "ConfigMap", namespace, string(ref.Name)) {
		return nil, verdict{string(v1.ListenerReasonRefNotPermitted), fmt.Sprintf("no ReferenceGrant in %s lets a Gateway of %s have ConfigMap %s/%s", namespace, g.Namespace, namespace, ref.Name),
			"write one there, from kind: Gateway to kind: ConfigMap"}
	}
	return r.authorities(namespace, string(ref.Name), invalid)
}

// authorities reads a ConfigMap; invalid is the reason where it is of no use.
func (r *reader) authorities(namespace, name, invalid string) ([][]byte, verdict) {
	o := r.View.Get("", "ConfigMap", namespace, name)
	if o == nil {
		return nil, verdict{invalid, "there is no ConfigMap " + namespace + "/" + name, "make it, with the authorities' certificates in " + caKey + ", or correct the name"}
	}
	roots, err := dialect.Authorities(o, caKey)
	if err != nil {
		return nil, verdict{invalid, "ConfigMap " + namespace + "/" + name + ": " + err.Error(), "it holds certificates of authorities in " + caKey + ", in PEM"}
	}
	return roots, verdict{}
}

// insecure says whether a Gateway lets callers in whose certificates do not hold.
func (r *reader) insecure(g *gateway) bool {
	return slices.ContainsFunc(g.listeners, func(l *listener) bool {
		x, _ := g.validation(l.spec.Port)
		return l.entry.Ends() && x != nil && x.Mode == v1.AllowInsecureFallback
	})
}

// shows resolves what a Gateway shows to backends, and says what is wrong with it.
func (r *reader) shows(g *gateway) *mesh.Certificate {
	c, why := r.backendCertificate(g)
	if why.reason != "" {
		r.Warn("spec.tls.backend.clientCertificateRef", why.text, why.remedy)
	}
	return c
}
