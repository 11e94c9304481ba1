package istio

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/feature/redirect"
	"github.com/weft-mesh/weft/feature/route"
	"github.com/weft-mesh/weft/mesh"
)

// unlooked: to let in who is to be kept out would be worse.
const unlooked = "a server that asks callers for certificates and says more of them than authorities and names is not opened"

func gatewayKind() dialect.Kind {
	const server, secure = "spec.servers[]", "spec.servers[].tls"
	return dialect.Kind{Dialect: decision.Istio, Group: networkingGroup, Name: "Gateway", Versions: networkingVersions,
		Schema: schemaOf[*networking.Gateway](), Lower: lowerGateway, Annotations: []string{mesh.ServiceType},
		Fields: slices.Concat([]string{"spec.selector", server + ".hosts"}, dialect.Below(server+".port", "number", "protocol"),
			dialect.Below(secure, "httpsRedirect", "mode", "credentialName", "credentialNames", "caCertCredentialName", "subjectAltNames",
				"minProtocolVersion", "maxProtocolVersion")),
		Ignored: ignored(map[string]string{
			server + ".name":            "it names the server in Istio's logs; weft's records name the object and the server's number",
			server + ".port.name":       "it names the port in Istio's configuration",
			server + ".port.targetPort": "Istio does not act on it either",
		}),
		Unsupported: map[string]string{
			server + ".bind":                  "proxies listen on all addresses of their pods",
			server + ".defaultEndpoint":       "Istio does not act on it either",
			secure + ".serverCertificate":     "certificates come from a Secret of the Gateway's namespace: name it in credentialName",
			secure + ".privateKey":            "keys come from a Secret of the Gateway's namespace: name it in credentialName",
			secure + ".tlsCertificates":       "certificates come from Secrets of the Gateway's namespace: name them in credentialNames",
			secure + ".caCertificates":        "authorities come from a Secret of the Gateway's namespace: name it in caCertCredentialName",
			secure + ".caCrl":                 unlooked,
			secure + ".verifyCertificateSpki": unlooked,
			secure + ".verifyCertificateHash": unlooked,
			secure + ".insecureSkipVerify":    unlooked,
			secure + ".cipherSuites":          "weft takes what Go takes for secure",
		},
		Renamed: map[string]string{server + ".host": "hosts", server + ".port.port": "number", server + ".tls.secretName": "credentialName", "spec.selectors": "selector"}}
}

func lowerGateway(o *dialect.Object, v dialect.View) (part mesh.Part, found []mesh.Finding) {
	r, g := newReader(o, v), &gateway{object: o, spec: &networking.Gateway{}}
	if !r.decode(g.spec) {
		return part, r.Found
	}
	r.checkServers(g.spec)
	if r.readServers(g); r.Refused() {
		return part, r.Found
	}
	e := r.edge(o.Namespace, g.spec.Selector, g)
	for s := range e.servers {
		if s.of.Key() == o.Key() || e.gateways[0] == g {
			r.readCertificates(s)
		}
	}
	for _, s := range g.servers {
		if !s.open() {
			r.Warn(s.field, s.shut.text, s.shut.remedy)
			continue
		}
		if s.redirects() {
			part.GatewayRoutes = append(part.GatewayRoutes, e.redirect(s))
		}
	}
	if first := e.gateways[0]; first == g {
		part.Gateways = append(part.Gateways, e.mesh())
	} else {
		r.Info("spec.selector", "its servers are opened by the same proxies as those of Gateway "+first.object.Name+", which is older and selects the same", "")
	}
	return part, r.Found
}

// redirect tells callers of a server to come by HTTPS: "the load balancer will send a 301 redirect for all http connections, asking the
// clients to use HTTPS" (ServerTLSSettings.httpsRedirect).
func (e *edge) redirect(s *server) mesh.GatewayRoute {
	out := mesh.GatewayRoute{Ref: s.ref(), Created: s.of.Created, Gateway: e.key(), Listener: s.listener(""), Ordered: true,
		Rules: []mesh.Rule{{Rule: route.Rule{Ref: s.ref()}, Redirect: &redirect.Policy{Ref: s.ref(), Scheme: "https", Status: 301}}}}
	for _, h := range s.hosts {
		if !slices.Contains(out.Hosts, h.host) {
			out.Hosts = append(out.Hosts, h.host)
		}
	}
	return out
}

// checkServers refuses what Istio's validation does.
func (r *reader) checkServers(spec *networking.Gateway) {
	if len(spec.Servers) == 0 {
		r.Refuse("spec.servers", "there is no server", "add one, with port and hosts")
	}
	for i, s := range spec.Servers {
		field := dialect.Index("spec.servers", i)
		if n := s.GetPort().GetNumber(); n < 1 || n > 65535 {
			r.Refuse(field+".port.number", "a port is from 1 to 65535", "")
		}
		if s.GetPort().GetProtocol() == "" {
			r.Refuse(field+".port.protocol", "required, and not there", "HTTP, HTTPS, GRPC, HTTP2, TLS or TCP")
		}
		if len(s.Hosts) == 0 {
			r.Refuse(field+".hosts", "no host is named", `write "*" for all`)
		}
		for j, h := range s.Hosts {
			if _, err := hostOf(h, r.Object.Namespace); err != nil {
				r.Refuse(dialect.Index(field+".hosts", j), err.Error(), `write a host as "a.example" or "*.example", and before it NAMESPACE/ if it is for VirtualServices of one`)
			}
		}
		r.checkTLS(field, s)
	}
}

func (r *reader) checkTLS(field string, s *networking.Server) {
	plain, secure := clear(s.GetPort().GetProtocol()), s.Tls != nil
	switch t := s.GetTls(); {
	case !secure && slices.Contains([]string{"HTTPS", "TLS"}, strings.ToUpper(s.GetPort().GetProtocol())):
		r.Refuse(field+".tls", "a server for "+s.Port.Protocol+" has TLS settings", "add tls with a mode")
	case secure && plain && !t.HttpsRedirect:
		r.Refuse(field+".tls", "a server for HTTP in the clear has no TLS settings but httpsRedirect", "write protocol: HTTPS, or leave out tls")
	case secure && !plain && t.HttpsRedirect:
		r.Warn(field+".tls.httpsRedirect", "it is for servers of the protocol HTTP: callers come by TLS here already", "leave it out")
	}
	if s.GetTls().GetMinProtocolVersion() > s.GetTls().GetMaxProtocolVersion() && s.GetTls().GetMaxProtocolVersion() != 0 {
		r.Refuse(field+".tls.minProtocolVersion", "it is above maxProtocolVersion", "")
	}
}

// clear says whether a protocol is HTTP without TLS.
func clear(protocol string) bool {
	return slices.Contains([]string{"HTTP", "HTTP2", "GRPC", "GRPC-WEB", "HTTP_PROXY"}, strings.ToUpper(protocol))
}

// hostOf reads a host of a server: "a.example", or "NAMESPACE/a.example" where the namespace may be "." for the Gateway's own.
func hostOf(text, own string) (h scoped, err error) {
	namespace, host, ok := strings.Cut(text, "/")
	if !ok {
		namespace, host = "*", text
	}
	switch namespace {
	case "*":
		namespace = ""
	case ".":
		namespace = own
	case "", "~":
		return h, errors.New("what stands before / is no namespace")
	}
	h = scoped{namespace, strings.ToLower(host)}
	if host == "*" {
		h.host = ""
		return h, nil
	}
	if name := strings.TrimPrefix(host, "*."); name == "" || strings.ContainsAny(name, "*/: ") {
		return h, fmt.Errorf("%q is not a host", host)
	}
	return h, nil
}

// readServers reads the servers of a Gateway, without certificates.
func (r *reader) readServers(g *gateway) {
	for i, x := range g.spec.Servers {
		s := &server{of: g.object, field: dialect.Index("spec.servers", i), spec: x}
		for _, h := range x.Hosts {
			if scope, err := hostOf(h, g.object.Namespace); err == nil && !slices.Contains(s.hosts, scope) {
				s.hosts = append(s.hosts, scope)
			}
		}
		s.read()
		g.servers = append(g.servers, s)
	}
}

// read finds out what the server takes, and whether it can be opened.
func (s *server) read() {
	protocol, mode := strings.ToUpper(s.spec.GetPort().GetProtocol()), s.spec.GetTls().GetMode()
	passes := s.spec.Tls != nil && mode == networking.ServerTLSSettings_PASSTHROUGH
	switch {
	case clear(protocol):
		s.entry = mesh.EntryHTTP
	case protocol != "HTTPS" && protocol != "TLS" && !slices.Contains([]string{"TCP", "MONGO", "MYSQL", "REDIS"}, protocol):
		s.shut = flaw{fmt.Sprintf("the protocol %s is not supported: the server is not opened", s.spec.GetPort().GetProtocol()), "HTTP, HTTP2, GRPC, HTTPS, TLS and TCP are"}
	case passes:
		s.entry = mesh.EntryPassthrough
	case protocol == "HTTPS":
		s.entry = mesh.EntryHTTPS
	case s.spec.Tls != nil:
		s.entry = mesh.EntryTLS
	default:
		s.entry = mesh.EntryTCP
	}
	switch {
	case !s.open():
	case mesh.OwnPort(s.port()):
		s.shut = flaw{fmt.Sprintf("port %d is one that each proxy needs for itself: the server is not opened", s.port()), "choose another one"}
	case s.entry.TLS():
		s.readMode(mode)
	}
}

// readMode shuts servers whose mode is not there.
func (s *server) readMode(mode networking.ServerTLSSettings_TLSmode) {
	switch mode {
	case networking.ServerTLSSettings_PASSTHROUGH, networking.ServerTLSSettings_SIMPLE:
	case networking.ServerTLSSettings_MUTUAL, networking.ServerTLSSettings_OPTIONAL_MUTUAL:
		s.readAsk(mode)
	case networking.ServerTLSSettings_AUTO_PASSTHROUGH:
		s.shut = flaw{"the mode AUTO_PASSTHROUGH, for calls between clusters, is not supported: the server is not opened", ""}
	case networking.ServerTLSSettings_ISTIO_MUTUAL:
		s.shut = flaw{"callers of the mesh come by its own mutual TLS to a gateway already, and nobody else has a certificate of it: the server is not opened",
			"write protocol HTTP without tls, and say who may come by an AuthorizationPolicy"}
	default:
		s.shut = flaw{fmt.Sprintf("the mode %s is not known: the server is not opened", mode), "write mode: SIMPLE, or MUTUAL"}
	}
}

// versions are those of TLS that are taken: what is not secure any more never is.
func versions(t *networking.ServerTLSSettings) (v mesh.Versions) {
	number := map[networking.ServerTLSSettings_TLSProtocol]uint16{networking.ServerTLSSettings_TLSV1_2: mesh.TLS12, networking.ServerTLSSettings_TLSV1_3: mesh.TLS13}
	return mesh.Versions{Min: number[t.GetMinProtocolVersion()], Max: number[t.GetMaxProtocolVersion()]}
}

// readCertificates resolves those of a server that ends TLS. The Secrets are in its namespace, where its proxies run.
func (r *reader) readCertificates(s *server) {
	if !s.open() || !s.entry.Ends() {
		return
	}
	own := s.of.Key() == r.Object.Key()
	t := s.spec.GetTls()
	r.tellVersions(s, own)
	names, field := t.CredentialNames, s.field+".tls.credentialNames"
	if t.CredentialName != "" {
		names, field = append([]string{t.CredentialName}, names...), s.field+".tls.credentialName"
	}
	for _, name := range names {
		c, err := r.credential(s.of.Namespace, name)
		if err == nil {
			s.certs = append(s.certs, c)
		} else if own {
			r.Warn(field, fmt.Sprintf("Secret %s/%s: %v", s.of.Namespace, name, err), "make one in the Gateway's namespace, with tls.crt, leaf first, and tls.key, both in PEM")
		}
	}
	if len(s.certs) == 0 {
		s.shut = flaw{"there is no certificate to end TLS with: the server is not opened", "name a Secret in tls.credentialName"}
	}
	if s.callers != nil && len(names) > 0 {
		r.readCallers(s, names) // though there is no certificate: a source that reads what is named has to hear of all that is at once
	}
}

func (r *reader) tellVersions(s *server, own bool) {
	t := s.spec.GetTls()
	old := func(v networking.ServerTLSSettings_TLSProtocol) bool {
		return v == networking.ServerTLSSettings_TLSV1_0 || v == networking.ServerTLSSettings_TLSV1_1
	}
	if old(t.GetMaxProtocolVersion()) {
		s.shut = flaw{fmt.Sprintf("%s is not secure any more: the server is not opened", t.MaxProtocolVersion), "write maxProtocolVersion: TLSV1_3, or leave it out"}
	}
	if own && old(t.GetMinProtocolVersion()) {
		r.Warn(s.field+".tls.minProtocolVersion", "callers come by TLS 1.2 or 1.3 all the same: what is older is not secure any more", "write TLSV1_2, or leave it out")
	}
}

var errSlash = errors.New("a name with / is of no Secret")

// credential reads a Secret, in either of the ways in which Istio lays them out.
func (r *reader) credential(namespace, name string) (c mesh.Certificate, err error) {
	if strings.Contains(name, "/") {
		return c, errSlash
	}
	o := r.View.Get("", "Secret", namespace, name)
	if o == nil {
		return c, errors.New("there is none of that name that weft may read")
	}
	if c, err = dialect.KeyPair(o, "tls.crt", "tls.key"); err != nil {
		if generic, e := dialect.KeyPair(o, "cert", "key"); e == nil {
			return generic, nil
		}
	}
	return c, err
}
