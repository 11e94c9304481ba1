package istio

import (
	"errors"
	"fmt"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/mesh"
)

// What servers of a Gateway ask of the certificates of those who call from outside.

// readAsk: with MUTUAL "at least one valid certificate is required to be sent by the client"; with OPTIONAL_MUTUAL "the client is not
// required to send a certificate. If a client certificate is presented, it will be validated" (ServerTLSSettings.TLSmode).
func (s *server) readAsk(mode networking.ServerTLSSettings_TLSmode) {
	t := s.spec.Tls
	for _, x := range []struct {
		name string
		says bool
	}{
		{"caCrl", t.CaCrl != ""}, {"verifyCertificateSpki", len(t.VerifyCertificateSpki) > 0}, {"verifyCertificateHash", len(t.VerifyCertificateHash) > 0},
		{"insecureSkipVerify", t.GetInsecureSkipVerify().GetValue()},
	} {
		if x.says {
			s.shut = flaw{x.name + " of its TLS settings is not looked at: the server is not opened", "leave it out: say in subjectAltNames whose certificates are taken"}
			return
		}
	}
	s.callers = &mesh.Callers{Ref: s.ref(), Names: t.SubjectAltNames}
	if mode == networking.ServerTLSSettings_OPTIONAL_MUTUAL {
		s.callers.Ask = mesh.AskIfShown
	}
}

// caSuffix makes the name of the Secret of authorities out of that of the certificate's.
const caSuffix = "-cacert"

// readCallers resolves the authorities that vouch for who calls a server. They are in what caCertCredentialName names, else "in the same
// secret or a separate secret named <secret>-cacert", of which the separate one goes first.
func (r *reader) readCallers(s *server, names []string) {
	roots, err := r.callersRoots(s, names)
	if err != nil && s.open() {
		s.shut = flaw{"there is no authority to vouch for callers, " + err.Error() + ": the server is not opened",
			"have tls.caCertCredentialName name a Secret, of the Gateway's namespace, with the authorities' certificates in ca.crt, in PEM"}
	}
	s.callers.Roots = roots
}

func (r *reader) callersRoots(s *server, names []string) ([][]byte, error) {
	namespace, name := s.of.Namespace, s.spec.Tls.CaCertCredentialName
	if strings.Contains(name, "/") {
		return nil, fmt.Errorf("tls.caCertCredentialName: %w", errSlash)
	}
	tried := []string{name}
	if name == "" {
		tried = []string{names[0] + caSuffix, names[0]} // there is a certificate, and so its name
	}
	for _, name := range tried {
		if o := r.View.Get("", "Secret", namespace, name); o != nil {
			return authoritiesOf(o)
		}
		if !r.View.Absent("", "Secret", namespace, name) { // what is asked next may vouch for others than this one
			return nil, fmt.Errorf("it is not known yet whether there is a Secret %s/%s", namespace, name)
		}
	}
	if o := r.View.Get("", "ConfigMap", namespace, name); name != "" && o != nil {
		roots, err := dialect.Authorities(o, "ca.crt")
		if err == nil && (dialect.ConfigMapHas(o, "crl") || dialect.ConfigMapHas(o, "ca.crl")) {
			err = errRevoked
		}
		if err != nil {
			return nil, fmt.Errorf("ConfigMap %s/%s: %w", namespace, name, err)
		}
		return roots, nil
	}
	return nil, fmt.Errorf("there is no Secret %s/%s that weft may read", namespace, tried[0])
}

var errRevoked = errors.New("its list of certificates that are taken back (crl) is not looked at; leave it out")

// authoritiesOf reads a Secret, in either of the ways in which Istio lays them out. One that lists certificates that are taken back is of no
// use as long as nobody looks there.
func authoritiesOf(o *dialect.Object) ([][]byte, error) {
	roots, err := dialect.SecretAuthorities(o, "cacert", "ca.crt")
	if err == nil && (dialect.SecretHas(o, "crl") || dialect.SecretHas(o, "ca.crl")) {
		err = errRevoked
	}
	if err != nil {
		return nil, fmt.Errorf("Secret %s/%s: %w", o.Namespace, o.Name, err)
	}
	return roots, nil
}
