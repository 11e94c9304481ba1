package gatewayapi

import (
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"

	"k8s.io/utils/ptr"
	v1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/weft-mesh/weft/decision"
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
			c, why := r.certificate(l, &refs[i])
			if l.unresolved(why); why.reason == "" {
				l.certs = append(l.certs, c)
			}
		}
	}
}

// unresolved notes why a reference is not: the first reason stands.
func (l *listener) unresolved(v verdict) {
	if l.resolved.reason == "" {
		l.resolved = v
	}
}

func (r *reader) certificate(l *listener, ref *v1.SecretObjectReference) (c mesh.Certificate, why verdict) {
	const invalid = string(v1.ListenerReasonInvalidCertificateRef)
	namespace := string(ptr.Deref(ref.Namespace, v1.Namespace(l.owner.Namespace)))
	name := "Secret " + namespace + "/" + string(ref.Name)
	g, k := ptr.Deref(ref.Group, ""), ptr.Deref(ref.Kind, "Secret")
	switch {
	case g != "" || k != "Secret":
		return c, verdict{invalid, fmt.Sprintf("certificates come from Secrets, not from a %s of %q", k, g), "name a Secret of the type kubernetes.io/tls"}
	case !r.granted(l.owner.Kind, l.owner.Namespace, "Secret", namespace, string(ref.Name)):
		return c, verdict{string(v1.ListenerReasonRefNotPermitted), "no ReferenceGrant in " + namespace + " lets a " + l.owner.Kind + " of " + l.owner.Namespace + " have " + name,
			"write one there, from kind: " + l.owner.Kind + " to kind: Secret"}
	}
	o := r.View.Get("", "Secret", namespace, string(ref.Name))
	if o == nil {
		return c, verdict{invalid, "there is no " + name, "make it, of the type kubernetes.io/tls, or correct the name"}
	}
	c, err := keyPair(o)
	if err != nil {
		return c, verdict{invalid, name + ": " + err.Error(), "it holds tls.crt, with the chain, leaf first, and tls.key, both in PEM"}
	}
	return c, verdict{}
}

// keyPair reads a Secret of the type kubernetes.io/tls. The errors tell nothing of what it holds.
func keyPair(o *dialect.Object) (c mesh.Certificate, err error) {
	var data map[string]string
	if err := dialect.DecodeField(o, "data", &data); err != nil {
		return c, errors.New("its data are no map of strings")
	}
	cert, err := decoded(o, data, "tls.crt")
	if err != nil {
		return c, err
	}
	keyText, err := decoded(o, data, "tls.key")
	if err != nil {
		return c, err
	}
	c.Ref = o.Ref(decision.Core)
	leaf, err := readChain(&c, cert)
	if err != nil {
		return c, err
	}
	key, err := readKey(keyText)
	if err != nil {
		return c, err
	}
	if p, ok := leaf.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); !ok || !p.Equal(key.Public()) {
		return c, errors.New("tls.key is not the key of the certificate in tls.crt")
	}
	if c.Key, err = x509.MarshalPKCS8PrivateKey(key); err != nil {
		return c, errors.New("tls.key is of a kind that is not supported")
	}
	return c, nil
}

func decoded(o *dialect.Object, data map[string]string, name string) ([]byte, error) {
	if text, ok := data[name]; ok {
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, errors.New(name + " is not base64")
		}
		return b, nil
	}
	var plain map[string]string // which the API server turns into data
	if dialect.DecodeField(o, "stringData", &plain) == nil && plain[name] != "" {
		return []byte(plain[name]), nil
	}
	return nil, errors.New("it has no " + name)
}

func readChain(c *mesh.Certificate, text []byte) (leaf *x509.Certificate, err error) {
	for {
		var b *pem.Block
		if b, text = pem.Decode(text); b == nil {
			break
		}
		if b.Type == "CERTIFICATE" {
			c.Chain = append(c.Chain, b.Bytes)
		}
	}
	if len(c.Chain) == 0 {
		return nil, errors.New("tls.crt holds no certificate in PEM")
	}
	if leaf, err = x509.ParseCertificate(c.Chain[0]); err != nil {
		return nil, errors.New("tls.crt holds no certificate that can be read")
	}
	return leaf, nil
}

func readKey(text []byte) (crypto.Signer, error) {
	for {
		var b *pem.Block
		if b, text = pem.Decode(text); b == nil {
			return nil, errors.New("tls.key holds no private key in PEM")
		}
		var key any
		var err error
		switch b.Type {
		case "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(b.Bytes)
		case "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(b.Bytes)
		case "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(b.Bytes)
		default:
			continue // as the parameters of a curve before its key
		}
		if s, ok := key.(crypto.Signer); err == nil && ok {
			return s, nil
		}
		return nil, errors.New("tls.key holds no private key that can be read")
	}
}
