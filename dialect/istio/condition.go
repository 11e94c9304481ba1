package istio

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	security "istio.io/api/security/v1beta1"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/match"
)

// source lowers who calls. own: conditions that are this source's alone. false: it matches nobody.
func (r *authorization) source(field string, s *security.Source) (src match.Source, own []match.Condition, ok bool) {
	if s == nil || isEmpty(s.ProtoReflect()) {
		r.Refuse(field, "the source is empty", "leave from out to match all")
		return src, nil, false
	}
	r.checkSource(field, s)
	src = match.Source{
		Principals: r.principals(field+".principals", s.Principals), NotPrincipals: r.principals(field+".notPrincipals", s.NotPrincipals),
		Namespaces: r.namespaces(field+".namespaces", s.Namespaces), NotNamespaces: r.namespaces(field+".notNamespaces", s.NotNamespaces),
		Accounts: r.accounts(field+".serviceAccounts", s.ServiceAccounts), NotAccounts: r.accounts(field+".notServiceAccounts", s.NotServiceAccounts),
		Networks: r.networks(field+".ipBlocks", s.IpBlocks), NotNetworks: r.networks(field+".notIpBlocks", s.NotIpBlocks),
	}
	if len(s.RemoteIpBlocks)+len(s.NotRemoteIpBlocks) > 0 {
		own = append(own, match.Condition{Key: match.RemoteIP, Networks: r.networks(field+".remoteIpBlocks", s.RemoteIpBlocks),
			NotNetworks: r.networks(field+".notRemoteIpBlocks", s.NotRemoteIpBlocks)})
	}
	if len(s.TrustDomains)+len(s.NotTrustDomains) > 0 {
		own = append(own, match.Condition{Key: match.SourcePrincipal, Values: r.domains(field+".trustDomains", s.TrustDomains),
			NotValues: r.domains(field+".notTrustDomains", s.NotTrustDomains)})
	}
	tokens := len(s.RequestPrincipals)+len(s.NotRequestPrincipals) > 0
	return src, own, !tokens || r.deny
}

// unknowable says what becomes of something that cannot be judged: it counts as met by a rule that denies, and as not met by one
// that allows.
func (r *authorization) unknowable(field, why string) (met bool) {
	effect := "this never matches, so nothing is allowed by it"
	if r.deny {
		effect = "this counts as matching, so the rule denies more"
	}
	r.Warn(field, why+": "+effect, "")
	return r.deny
}

func (r *authorization) checkSource(field string, s *security.Source) {
	if len(s.ServiceAccounts)+len(s.NotServiceAccounts) > 0 && len(s.Principals)+len(s.NotPrincipals)+len(s.Namespaces)+len(s.NotNamespaces) > 0 {
		r.Refuse(field+".serviceAccounts", "service accounts cannot stand beside principals or namespaces", "write two sources, or principals alone")
	}
}

// namespaces lowers names in which a wildcard may stand anywhere; they are of any trust domain.
func (r *authorization) namespaces(field string, list []string) (out []match.String) {
	for i, v := range list {
		if v == "" {
			r.Refuse(dialect.Index(field, i), "the value is empty", "")
		}
		out = append(out, anywhere(v))
	}
	return out
}

// globs lowers values where a wildcard counts at one end only.
func (r *authorization) globs(field string, list []string, fold bool) (out []match.String) {
	for i, v := range list {
		out = append(out, r.glob(dialect.Index(field, i), v, fold))
	}
	return out
}

func (r *authorization) glob(field, v string, fold bool) match.String {
	g := glob(v)
	switch {
	case v == "":
		r.Refuse(field, "the value is empty", "")
	case strings.Contains(g.Value, "*"):
		r.Warn(field, "a * is a wildcard only as the first or the last character; this one is compared as it is", "")
	}
	g.Fold = fold && g.Kind != match.Present
	return g
}

// principals lowers TRUST-DOMAIN/ns/NAMESPACE/sa/ACCOUNT. The trust domain cluster.local means this mesh's own.
func (r *authorization) principals(field string, list []string) []match.String {
	for i, v := range list {
		at := dialect.Index(field, i)
		switch parts := strings.Split(v, "/"); {
		case strings.HasPrefix(v, "spiffe://"):
			r.Warn(at, "no caller has it: principals are compared without their scheme", "write "+strings.TrimPrefix(v, "spiffe://"))
		case !strings.Contains(v, "*") && (len(parts) != 5 || parts[1] != "ns" || parts[3] != "sa"):
			r.Warn(at, "no caller has it: it is not TRUST-DOMAIN/ns/NAMESPACE/sa/ACCOUNT", meantPrincipal(parts, r.Object.Namespace))
		}
	}
	return r.globs(field, r.local(list), false)
}

func meantPrincipal(parts []string, namespace string) string {
	switch len(parts) {
	case 1:
		return fmt.Sprintf("did you mean cluster.local/ns/%s/sa/%s?", namespace, parts[0])
	case 2:
		return fmt.Sprintf("did you mean cluster.local/ns/%s/sa/%s?", parts[0], parts[1])
	}
	return ""
}

// local puts the mesh's own trust domain in the place of cluster.local.
func (r *authorization) local(list []string) (out []string) {
	for _, v := range list {
		if rest, ok := strings.CutPrefix(v, "cluster.local/"); ok && strings.Count(v, "/") == 4 {
			v = r.trustDomain + "/" + rest
		}
		out = append(out, v)
	}
	return out
}

// domains lowers trust domains to principals of theirs.
func (r *authorization) domains(field string, list []string) (out []match.String) {
	for i, v := range list {
		if v == "" || strings.Contains(v, "/") || strings.Contains(glob(v).Value, "*") {
			r.Refuse(dialect.Index(field, i), fmt.Sprintf("%q is not a trust domain", v), "")
			continue
		}
		switch before, after, wild := strings.Cut(v, "*"); {
		case v == "*":
			out = append(out, match.String{Kind: match.Present})
		case wild:
			out = append(out, match.String{Kind: match.Regex, Value: regexp.QuoteMeta(before) + "[^/]*" + regexp.QuoteMeta(after) + "/.*"})
		default:
			out = append(out, match.String{Kind: match.Prefix, Value: v + "/"})
		}
	}
	return out
}

// accounts lowers NAMESPACE/ACCOUNT, or ACCOUNT of the policy's own namespace.
func (r *authorization) accounts(field string, list []string) (out []match.String) {
	for i, v := range list {
		ns, sa, two := strings.Cut(v, "/")
		if !two {
			ns, sa = r.Object.Namespace, v
		}
		if ns == "" || sa == "" || strings.ContainsAny(v, "*") || strings.Contains(sa, "/") {
			r.Refuse(dialect.Index(field, i), fmt.Sprintf("%q is neither ACCOUNT nor NAMESPACE/ACCOUNT", v), "wildcards are for principals")
			continue
		}
		out = append(out, match.String{Value: ns + "/" + sa})
	}
	return out
}

func (r *authorization) networks(field string, list []string) (out []netip.Prefix) {
	for i, v := range list {
		n, err := dialect.Network(v)
		if err != nil {
			r.Refuse(dialect.Index(field, i), fmt.Sprintf("%q is %v", v, err), "")
			continue
		}
		out = append(out, n)
	}
	return out
}

// ports lowers port numbers.
func (r *authorization) ports(field string, list []string) (out []match.Range) {
	for i, v := range list {
		n, err := strconv.ParseUint(v, 10, 16)
		if err != nil {
			r.Refuse(dialect.Index(field, i), fmt.Sprintf("%q is not a port", v), "write its number, from 0 to 65535, in quotes")
			continue
		}
		out = append(out, match.OnePort(uint16(n)))
	}
	return out
}

// to lowers what is asked for; false: nothing can match.
func (r *authorization) to(field string, list []*security.Rule_To) (out []match.Request, ok bool) {
	for j, t := range list {
		at, o := dialect.Index(field+".to", j)+".operation", t.Operation
		if o == nil || isEmpty(o.ProtoReflect()) {
			r.Refuse(at, "the operation is empty", "leave to out to match all")
			return nil, false
		}
		r.checkMethods(at+".methods", o.Methods)
		out = append(out, match.Request{
			Hosts: r.globs(at+".hosts", o.Hosts, true), NotHosts: r.globs(at+".notHosts", o.NotHosts, true),
			Methods: r.globs(at+".methods", o.Methods, false), NotMethods: r.globs(at+".notMethods", o.NotMethods, false),
			Paths: r.paths(at+".paths", o.Paths), NotPaths: r.paths(at+".notPaths", o.NotPaths),
			Ports: r.ports(at+".ports", o.Ports), NotPorts: r.ports(at+".notPorts", o.NotPorts),
		})
	}
	return out, true
}

func (r *authorization) checkMethods(field string, list []string) {
	for i, m := range list {
		if up := strings.ToUpper(m); up != m {
			r.Warn(dialect.Index(field, i), fmt.Sprintf("methods are compared as they are, and %s is not %s", m, up), "write "+up)
		}
	}
}

// when lowers the conditions; false: one of them can never hold.
func (r *authorization) when(field string, list []*security.Condition) (out []match.Condition, ok bool) {
	ok = true
	for j, c := range list {
		at := dialect.Index(field+".when", j)
		if len(c.Values)+len(c.NotValues) == 0 {
			r.Refuse(at, "it has neither values nor notValues", "")
			continue
		}
		x, known, met := r.condition(at, c)
		ok = ok && met
		if known {
			out = append(out, x)
		}
	}
	return out, ok
}

// condition lowers one; known: it can be judged; met: it may hold.
func (r *authorization) condition(field string, c *security.Condition) (x match.Condition, known, met bool) {
	values, not := field+".values", field+".notValues"
	switch key := attribute(c.Key); key {
	case "source.ip", "remote.ip", "destination.ip":
		x.Key = map[string]match.Key{"source.ip": match.SourceIP, "remote.ip": match.RemoteIP, "destination.ip": match.DestinationIP}[key]
		x.Networks, x.NotNetworks = r.networks(values, c.Values), r.networks(not, c.NotValues)
	case "destination.port":
		x.Key, x.Ports, x.NotPorts = match.DestinationPort, r.ports(values, c.Values), r.ports(not, c.NotValues)
	case "source.namespace":
		x.Key, x.Values, x.NotValues = match.SourceNamespace, r.namespaces(values, c.Values), r.namespaces(not, c.NotValues)
	case "source.serviceAccount":
		x.Key, x.Values, x.NotValues = match.SourceAccount, r.accounts(values, c.Values), r.accounts(not, c.NotValues)
	case "source.principal":
		x.Key, x.Values, x.NotValues = match.SourcePrincipal, r.principals(values, c.Values), r.principals(not, c.NotValues)
	case "source.trustDomain":
		x.Key, x.Values, x.NotValues = match.SourcePrincipal, r.domains(values, c.Values), r.domains(not, c.NotValues)
	case "request.headers":
		x.Key, x.Name = match.RequestHeader, strings.ToLower(bracketed(c.Key))
		x.Values, x.NotValues = r.globs(values, c.Values, false), r.globs(not, c.NotValues, false)
		if x.Name == "" {
			r.Refuse(field+".key", "the header's name is missing", "write request.headers[NAME]")
		}
	default:
		return x, false, r.otherKey(field+".key", c.Key)
	}
	return x, true, true
}

// attribute is a key without what stands in brackets.
func attribute(key string) string {
	name, _, _ := strings.Cut(key, "[")
	return name
}

func bracketed(key string) string {
	_, in, _ := strings.Cut(key, "[")
	in, ok := strings.CutSuffix(in, "]")
	if !ok {
		return ""
	}
	return in
}

// otherKey says what becomes of a condition on something that weft does not know of a call.
func (r *authorization) otherKey(field, key string) (met bool) {
	switch a := attribute(key); {
	case strings.HasPrefix(a, "request.auth."):
		return r.unknowable(field, "tokens are not checked yet")
	case a == "connection.sni":
		return r.unknowable(field, "weft's own connections carry no server name, and in those of applications it is not read yet")
	case strings.HasPrefix(a, "experimental.envoy.filters."):
		return r.unknowable(field, "there are no Envoy filters here")
	case a == "destination.namespace":
		r.Refuse(field, key+" is not an attribute any more", "put the policy into that namespace")
	case strings.HasPrefix(a, "destination.labels"):
		r.Refuse(field, key+" is not an attribute any more", "use the policy's selector")
	default:
		r.Refuse(field, fmt.Sprintf("there is no attribute %q", key), meantKey(key))
	}
	return r.deny
}

// keys are Istio's attributes.
var keys = []string{"request.headers[NAME]", "source.ip", "remote.ip", "source.namespace", "source.serviceAccount", "source.principal",
	"source.trustDomain", "request.auth.principal", "request.auth.audiences", "request.auth.presenter", "request.auth.claims[NAME]",
	"destination.ip", "destination.port", "connection.sni"}

// meantKey finds the attribute that a key stands for but for case and brackets.
func meantKey(key string) string {
	for _, k := range keys {
		if a := attribute(k); strings.EqualFold(a, attribute(key)) || strings.EqualFold(a, strings.TrimSuffix(key, "s")) ||
			strings.HasPrefix(a, "request.headers") && strings.HasPrefix(key, "request.header") {
			return "did you mean " + k + "?"
		}
	}
	return "see Istio's table of authorization policy conditions"
}
