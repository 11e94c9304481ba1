package cilium

import (
	"reflect"
	"slices"
	"strings"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/schema"
)

// entities are the names that fromEntities and toEntities know.
var entities = []string{"all", "world", "world-ipv4", "world-ipv6", "cluster", "cluster-mesh", "host", "remote-node", "kube-apiserver",
	"ingress", "init", "health", "unmanaged", "none"}

func networkPolicy(name, trustDomain string) dialect.Kind {
	k := kind(name, schema.Of(reflect.TypeFor[policy]()), "v2")
	k.Lower = lowerPolicy(trustDomain, k.Schema)
	k.Ignored["status.*"] = "controllers write it"
	for _, root := range []string{"spec", "specs[]"} {
		ruleFields(&k, root)
		for _, x := range []struct{ list, toward string }{{"ingress", "from"}, {"ingressDeny", "from"}, {"egress", "to"}, {"egressDeny", "to"}} {
			sectionFields(&k, root+"."+x.list+"[]", x.toward)
		}
		for _, list := range []string{"ingress", "egress"} {
			allowFields(&k, root+"."+list+"[]")
			denyNames(&k, root+"."+list+"Deny[]")
		}
		k.Unsupported[root+".egress[].toFQDNs"] = "names are not followed to addresses yet: the rule allows nothing by it"
	}
	enums(k.Schema)
	return k
}

func ruleFields(k *dialect.Kind, root string) {
	k.Fields = append(k.Fields, dialect.SelectorFields(root+".endpointSelector")...)
	k.Fields = append(k.Fields, dialect.Below(root, "enableDefaultDeny.ingress", "enableDefaultDeny.egress")...)
	k.Ignored[root+".labels.*"] = "they are notes"
	k.Ignored[root+".description"] = "it is for people"
	k.Unsupported[root+".nodeSelector"] = "the hosts that pods run on are not part of the mesh: no call is judged by this rule"
	k.Unsupported[root+".log"] = "weft's records name the policy and its rule instead"
	for from, to := range map[string]string{"podSelector": "endpointSelector", "selector": "endpointSelector", "endpointSelectors": "endpointSelector",
		"ingress[].from": "fromEndpoints", "egress[].to": "toEndpoints", "ingress[].fromPorts": "toPorts", "ingress[].ports": "toPorts",
		"egress[].ports": "toPorts", "egress[].toFQDN": "toFQDNs", "ingress[].fromCIDRs": "fromCIDR", "egress[].toCIDRs": "toCIDR",
		"ingress[].toEndpoints": "fromEndpoints", "egress[].fromEndpoints": "toEndpoints", "ingress[].rules": "put it into toPorts, beside ports",
		"egress[].rules": "put it into toPorts, beside ports", "ingress[].toPorts[].http": "rules.http", "egress[].toPorts[].http": "rules.http",
		"ingress[].toPorts[].port": "put it into the list ports", "egress[].toPorts[].port": "put it into the list ports",
		"ingress[].toPorts[].protocol": "put it into the list ports", "egress[].toPorts[].protocol": "put it into the list ports",
		"policyTypes": "a direction is closed as soon as there is a rule for it; write ingress: [{}] to let nothing in"} {
		k.Renamed[root+"."+from] = to
	}
}

// sectionFields are those of rules that allow and of rules that deny.
func sectionFields(k *dialect.Kind, at, toward string) {
	k.Fields = slices.Concat(k.Fields, dialect.SelectorFields(at+"."+toward+"Endpoints[]"), dialect.Below(at, toward+"CIDR", toward+"Entities"),
		dialect.Below(at+"."+toward+"CIDRSet[]", "cidr", "cidrGroupRef", "except"), dialect.SelectorFields(at+"."+toward+"CIDRSet[].cidrGroupSelector"),
		dialect.Below(at+".toPorts[].ports[]", "port", "endPort", "protocol"))
	k.Ignored[at+"."+toward+"Requires.*"] = "Cilium has given it up; one that is not empty is refused"
	unknown, nodes := "the rule allows nothing by it", "nothing is meant by it"
	if strings.HasSuffix(at, "Deny[]") {
		unknown, nodes = "the rule denies everybody by it, on its ports", "the rule denies all outside of the mesh by it"
	}
	k.Unsupported[at+"."+toward+"Groups"] = "groups of other clouds' addresses are not known: " + unknown
	k.Unsupported[at+"."+toward+"Nodes"] = "the hosts that pods run on are not part of the mesh: " + nodes
	k.Unsupported[at+".icmps"] = "ICMP does not go through proxies: it is neither allowed nor denied"
	if toward == "to" {
		k.Unsupported[at+".toServices"] = unknown + "; select the endpoints by toEndpoints"
	}
}

// allowFields are those that rules which deny do not have.
func allowFields(k *dialect.Kind, at string) {
	const nothing = ": the rule allows nothing on these ports"
	ports := at + ".toPorts[]"
	k.Fields = slices.Concat(k.Fields, dialect.Below(at, "authentication.mode"), dialect.Below(ports+".rules.http[]", "path", "method", "host", "headers"),
		dialect.Below(ports+".rules.http[].headerMatches[]", "name", "value", "mismatch"))
	k.Unsupported[ports+".rules.http[].headerMatches[].secret"] = "secrets are not read: no call has the header"
	for field, why := range map[string]string{"terminatingTLS": "TLS that the application starts is not opened", "originatingTLS": "weft starts its own TLS alone",
		"serverNames": "names in TLS are not looked at yet", "listener": patches, "rules.dns": "DNS does not go through proxies",
		"rules.kafka": "weft does not read Kafka's protocol", "rules.l7proto": "weft reads HTTP alone", "rules.l7": "weft reads HTTP alone"} {
		k.Unsupported[ports+"."+field] = why + nothing
	}
	for from, to := range map[string]string{"methods": "method, one in each rule, or GET|HEAD", "paths": "path, one in each rule", "uri": "path",
		"hosts": "host, one in each rule", "header": "headers"} {
		k.Renamed[ports+".rules.http[]."+from] = to
	}
}

// denyNames: "Deny policies do not support: policy enforcement at L7" (Cilium, "Deny Policies").
func denyNames(k *dialect.Kind, at string) {
	k.Renamed[at+".toPorts[].rules"] = "a rule that denies cannot look into requests: it denies all calls on these ports"
	k.Renamed[at+".toFQDNs"] = "a rule that denies cannot name names; write toCIDR"
}

func enums(s *schema.Schema) {
	for _, list := range []string{"ingress", "ingressDeny"} {
		s.SetEnum("spec."+list+"[].fromEntities[]", entities...)
	}
	for _, list := range []string{"egress", "egressDeny"} {
		s.SetEnum("spec."+list+"[].toEntities[]", entities...)
	}
	s.SetEnum("spec.ingress[].toPorts[].ports[].protocol", "TCP", "UDP", "SCTP", "VRRP", "IGMP", "GRE", "IPIP", "IPV6", "ESP", "AH", "ANY")
	s.SetEnum("spec.ingress[].authentication.mode", "disabled", "required", "test-always-fail").Require("spec.ingress[].authentication.mode")
	s.SetEnum("spec.ingress[].toPorts[].rules.http[].headerMatches[].mismatch", "LOG", "ADD", "DELETE", "REPLACE")
	s.SetSelector("spec.endpointSelector").Require("spec.ingress[].toPorts[].rules.http[].headerMatches[].name")
}
