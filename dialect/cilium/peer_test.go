package cilium_test

import (
	"fmt"
	"testing"

	"github.com/weft-mesh/weft/dialect/dialecttest"
	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/traffic"
)

var sprintf = fmt.Sprintf

// TestPeers: whose calls get in by one rule.
func TestPeers(t *testing.T) {
	const ports = "\n  toPorts: [{ports: [{port: \"80\"}]}]"
	for _, x := range []struct{ name, rule, want string }{
		{"labels, in the policy's own namespace", "fromEndpoints: [{matchLabels: {app: front}}]", "abroad front"},
		{"labels of Kubernetes", "fromEndpoints: [{matchLabels: {\"k8s:app\": front}}]", "abroad front"},
		{"labels of any source", "fromEndpoints: [{matchLabels: {\"any:app\": front}}]", "abroad front"},
		{"labels of containers", "fromEndpoints: [{matchLabels: {\"container:app\": front}}]", ""},
		// "{} in a CNP = own namespace only"
		{"the empty selector", "fromEndpoints: [{}]", "abroad back front"},
		{"several selectors", "fromEndpoints: [{matchLabels: {app: front}}, {matchLabels: {app: back}}]", "abroad back front"},
		{"another namespace", "fromEndpoints: [{matchLabels: {io.kubernetes.pod.namespace: stock}}]", "other"},
		{"another namespace, of Kubernetes", "fromEndpoints: [{matchLabels: {\"k8s:io.kubernetes.pod.namespace\": stock, app: front}}]", "other"},
		{"any namespace", "fromEndpoints: [{matchLabels: {app: front}, matchExpressions: [{key: io.kubernetes.pod.namespace, operator: Exists}]}]", "abroad front other"},
		{"all namespaces but one", "fromEndpoints: [{matchExpressions: [{key: \"k8s:io.kubernetes.pod.namespace\", operator: NotIn, values: [shop]}]}]", "other"},
		{"no namespace", "fromEndpoints: [{matchExpressions: [{key: io.kubernetes.pod.namespace, operator: DoesNotExist}]}]", ""},
		{"labels of the namespace", "fromEndpoints: [{matchLabels: {io.cilium.k8s.namespace.labels.team: b}}]", "other"},
		{"not these labels of the namespace", "fromEndpoints: [{matchExpressions: [{key: io.cilium.k8s.namespace.labels.team, operator: NotIn, values: [a]}]}]", "other"},
		{"the namespace's own name", "fromEndpoints: [{matchLabels: {io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name: stock}}]", "other"},
		{"labels that no namespace has", "fromEndpoints: [{matchLabels: {io.cilium.k8s.namespace.labels.team: c}}]", ""},
		{"an account", "fromEndpoints: [{matchLabels: {io.cilium.k8s.policy.serviceaccount: back}}]", "back"},
		{"an account of any namespace", "fromEndpoints: [{matchLabels: {\"k8s:io.cilium.k8s.policy.serviceaccount\": front}, matchExpressions: [{key: io.kubernetes.pod.namespace, operator: Exists}]}]", "abroad front other"},
		{"not an account", "fromEndpoints: [{matchExpressions: [{key: io.cilium.k8s.policy.serviceaccount, operator: NotIn, values: [front]}]}]", "back"},
		{"the cluster exists", "fromEndpoints: [{matchExpressions: [{key: io.cilium.k8s.policy.cluster, operator: Exists}]}]", "abroad back front"},
		{"this cluster", "fromEndpoints: [{matchLabels: {io.cilium.k8s.policy.cluster: default}}]", "abroad back front"},
		{"another cluster", "fromEndpoints: [{matchLabels: {io.cilium.k8s.policy.cluster: far}}]", ""},
		{"expressions", "fromEndpoints: [{matchExpressions: [{key: app, operator: NotIn, values: [front]}, {key: none, operator: DoesNotExist}]}]", "back"},
		{"contradictions", "fromEndpoints: [{matchLabels: {io.kubernetes.pod.namespace: stock}, matchExpressions: [{key: io.kubernetes.pod.namespace, operator: In, values: [shop]}]}]", ""},
		{"a reserved label stands for the entity", "fromEndpoints: [{matchLabels: {\"reserved:world\": \"\"}}]", "outside outside6"},
		{"a reserved label that is not there", "fromEndpoints: [{matchExpressions: [{key: \"reserved:host\", operator: DoesNotExist}]}]", "abroad back front"},
		{"all", "fromEntities: [all]", all},
		{"all, among others", "fromEntities: [host, all, world]", all},
		{"world", "fromEntities: [world]", "outside outside6"},
		{"world-ipv4", "fromEntities: [world-ipv4]", "outside"},
		{"world-ipv6", "fromEntities: [world-ipv6]", "outside6"},
		{"cluster", "fromEntities: [cluster]", "back front other"},
		{"cluster-mesh", "fromEntities: [cluster-mesh]", "abroad back front other"},
		{"none", "fromEntities: [none]", ""},
		{"host", "fromEntities: [host]", ""},
		// "Out-of-cluster only"; "Pod IPs (and, by default, node IPs) never match"
		{"addresses", "fromCIDR: [192.0.2.0/24, 10.0.0.0/8]", "outside"},
		{"all addresses of IPv4", "fromCIDR: [0.0.0.0/0]", "outside"},
		{"addresses but some", "fromCIDRSet: [{cidr: 192.0.0.0/16, except: [192.0.2.0/24]}]", ""},
		{"addresses of a group", "fromCIDRSet: [{cidrGroupRef: office}]", "outside"},
		{"addresses of groups by label", "fromCIDRSet: [{cidrGroupSelector: {matchLabels: {place: here}}}]", "outside"},
		{"addresses of no group", "fromCIDRSet: [{cidrGroupRef: none}]", ""},
		// "nil with toPorts = wildcard; empty non-nil = selects nothing"
		{"no peers, and ports", "toPorts: [{ports: [{port: \"80\"}]}]", all},
		{"an empty list, and ports", "fromEndpoints: []" + ports, ""},
		{"an empty list of addresses", "fromCIDR: []" + ports, ""},
		{"an empty list of entities", "fromEntities: []" + ports, ""},
		{"no list at all, and no ports", "authentication: {mode: disabled}", ""},
		{"an empty list of ports", "fromEntities: [all]\n  toPorts: []", all},
		{"a rule for ports without any", "fromEntities: [all]\n  toPorts: [{}]", ""},
		// mutual authentication: every workload has shown its identity
		{"authenticated", "fromEntities: [all]\n  authentication: {mode: required}", "abroad back front other"},
		{"authenticated, from outside", "fromEntities: [world]\n  authentication: {mode: required}", ""},
		{"ICMP alone", "fromEntities: [all]\n  icmps: [{fields: [{type: 8}]}]", ""},
		{"never", "fromEntities: [all]\n  authentication: {mode: test-always-fail}", ""},
	} {
		if got := who(engine(t, false, in("- "+x.rule)), call(80)); got != x.want {
			t.Errorf("%s: %q, want %q", x.name, got, x.want)
		}
	}
}

// TestDenyTakesTheStricterReading: what a proxy cannot know, or nobody has said, does not make a rule deny less.
func TestDenyTakesTheStricterReading(t *testing.T) {
	const inside, everybody = "abroad back front other", ""
	for rule, want := range map[string]string{
		"fromEntities: [none]":                                      all,
		"fromEntities: [host]":                                      inside,
		"fromEntities: [kube-apiserver, remote-node]":               inside,
		"fromEndpoints: [{matchLabels: {\"reserved:host\": \"\"}}]": inside,
		"fromNodes: [{matchLabels: {a: b}}]":                        inside,
		"fromGroups: [{aws: {}}]":                                   everybody,
		"fromCIDRSet: [{cidrGroupRef: none}]":                       inside,
		"fromCIDRSet: [{cidrGroupRef: office}]":                     inside + " outside6",
		"fromEndpoint: [{}]":                                        everybody,
		"fromEndpoints: [{matchLabel: {app: back}}]":                everybody,
	} {
		e := engine(t, false, in("- fromEntities: [all]"), cnp("endpointSelector: {}\ningressDeny:\n- "+rule))
		if got := who(e, call(80)); got != want {
			t.Errorf("%s: %q, want %q", rule, got, want)
		}
	}
}

// TestStrays: a field that is not known may have narrowed whom a rule allows: it allows nobody.
func TestStrays(t *testing.T) {
	for doc, want := range map[string]string{
		in("- fromEndpoint: [{}]\n  toPorts: [{ports: [{port: \"80\"}]}]\n- fromEndpoints: [{matchLabels: {app: back}}]"): "back",
		in("- fromEndpoints: [{matchLabel: {app: back}}]"):                                                                "",
		in("- toPorts: [{ports: [{port: \"80\"}], rule: {http: []}}]"):                                                    "",
		cnp("endpointSelector: {}\ningress: [{fromEntities: [all]}]\ningressDenny: [{}]"):                                 "",
	} {
		if got := who(engine(t, false, doc), call(80)); got != want {
			t.Errorf("%s: %q, want %q", doc, got, want)
		}
		_, found := lower(t, doc)
		if len(found) < 2 {
			t.Errorf("%s: %s", doc, dialecttest.Show(found))
		}
	}
}

// TestPeersOfClusterwidePolicy: a selector without a namespace means all of them.
func TestPeersOfClusterwidePolicy(t *testing.T) {
	for rule, want := range map[string]string{
		"fromEndpoints: [{}]":                                                                  "abroad back front other",
		"fromEndpoints: [{matchLabels: {app: front}}]":                                         "abroad front other",
		"fromEndpoints: [{matchLabels: {io.kubernetes.pod.namespace: stock}}]":                 "other",
		"fromEndpoints: [{matchLabels: {io.cilium.k8s.policy.serviceaccount: front}}]":         "abroad front other",
		"fromEndpoints: [{matchLabels: {io.cilium.k8s.namespace.labels.team: a, app: front}}]": "abroad front",
	} {
		if got := who(engine(t, false, ccnp("endpointSelector: {}\ningress:\n- "+rule)), call(80)); got != want {
			t.Errorf("%s: %q, want %q", rule, got, want)
		}
	}
}

// TestPeersOut: the same words about the endpoint that a call goes to, and the port there.
func TestPeersOut(t *testing.T) {
	db := traffic.Peer{Addr: outside.Addr, ID: identity.Of("cluster.local", "shop", "db"), Labels: []string{"app=db"}}
	e := engine(t, true, out("- toEndpoints: [{matchLabels: {app: db}}]\n  toPorts: [{ports: [{port: \"5432\", protocol: TCP}]}]\n- toCIDR: [192.0.2.0/24]\n  toPorts: [{ports: [{port: \"443\"}]}]"))
	for _, x := range []struct {
		to   *traffic.Peer
		port uint16
		want bool
	}{{&db, 5432, true}, {&db, 80, false}, {&front, 5432, false}, {&outside, 443, true}, {&outside, 80, false}, {&db, 443, false}} {
		if got := reaches(e, x.to, call(x.port)); got != x.want {
			t.Errorf("%v %d: %v", x.to.ID, x.port, got)
		}
	}
}

// TestSubjects: which workloads a policy is for. web is of the namespace shop.
func TestSubjects(t *testing.T) {
	for _, x := range []struct {
		name, doc string
		want      bool
	}{
		{"labels", cnp("endpointSelector: {matchLabels: {\"k8s:app\": web}}\ningress: [{}]"), true},
		{"other labels", cnp("endpointSelector: {matchLabels: {app: db}}\ningress: [{}]"), false},
		{"account", cnp("endpointSelector: {matchLabels: {io.cilium.k8s.policy.serviceaccount: web}}\ningress: [{}]"), true},
		{"another account", cnp("endpointSelector: {matchLabels: {io.cilium.k8s.policy.serviceaccount: db}}\ningress: [{}]"), false},
		{"not the account", cnp("endpointSelector: {matchExpressions: [{key: io.cilium.k8s.policy.serviceaccount, operator: NotIn, values: [web]}]}\ningress: [{}]"), false},
		{"its own namespace", cnp("endpointSelector: {matchLabels: {\"k8s:io.kubernetes.pod.namespace\": shop}}\ningress: [{}]"), true},
		// "EndpointSelector always applies in namespace of the policy resource, removing illegal namespace match"
		{"another namespace is ignored", cnp("endpointSelector: {matchLabels: {\"k8s:io.kubernetes.pod.namespace\": stock}}\ningress: [{}]"), true},
		// the label of any source is not replaced, and both can't be
		{"another namespace, of any source", cnp("endpointSelector: {matchLabels: {io.kubernetes.pod.namespace: stock}}\ningress: [{}]"), false},
		{"another namespace's policy", "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: it, namespace: stock}\nspec: {endpointSelector: {}, ingress: [{}]}\n", false},
		{"reserved", cnp("endpointSelector: {matchLabels: {\"reserved:init\": \"\"}}\ningress: [{}]"), false},
		{"all of the cluster", ccnp("endpointSelector: {}\ningress: [{}]"), true},
		{"a namespace of the cluster", ccnp("endpointSelector: {matchLabels: {io.kubernetes.pod.namespace: shop}}\ningress: [{}]"), true},
		{"another namespace of the cluster", ccnp("endpointSelector: {matchLabels: {io.kubernetes.pod.namespace: stock}}\ningress: [{}]"), false},
		{"all namespaces but", ccnp("endpointSelector: {matchExpressions: [{key: \"k8s:io.kubernetes.pod.namespace\", operator: NotIn, values: [kube-system]}]}\ningress: [{}]"), true},
		{"all namespaces but its own", ccnp("endpointSelector: {matchExpressions: [{key: \"k8s:io.kubernetes.pod.namespace\", operator: NotIn, values: [shop]}]}\ningress: [{}]"), false},
		{"labels of namespaces", ccnp("endpointSelector: {matchLabels: {\"k8s:io.cilium.k8s.namespace.labels.team\": a}}\ningress: [{}]"), true},
		{"other labels of namespaces", ccnp("endpointSelector: {matchLabels: {\"k8s:io.cilium.k8s.namespace.labels.team\": b}}\ningress: [{}]"), false},
	} {
		if got := engine(t, false, x.doc).Closed != nil; got != x.want {
			t.Errorf("%s: %v", x.name, got)
		}
	}
}

// TestPeerFindings: what is selected by no workload, and what is probably meant.
func TestPeerFindings(t *testing.T) {
	for _, x := range []struct {
		doc   string
		level mesh.Level
		field string
		says  string
	}{
		{in("- {fromEntities: [kube-apiserver]}"), mesh.Info, "spec.ingress[0].fromEntities[0]", "no workloads in the mesh"},
		{cnp("endpointSelector: {}\ningressDeny: [{fromEntities: [host]}]"), mesh.Warning, "spec.ingressDeny[0].fromEntities[0]", "write world"},
		{in("- {fromEndpoints: [], toPorts: [{ports: [{port: \"80\"}]}]}"), mesh.Info, "spec.ingress[0].fromEndpoints", "selects nobody"},
		{in("- fromEndpoints: [{matchLabels: {io.cilium.k8s.policy.cluster: far}}]"), mesh.Warning, `spec.ingress[0].fromEndpoints[0].matchLabels["io.cilium.k8s.policy.cluster"]`, "one cluster"},
		{in("- fromEndpoints: [{matchLabels: {\"container:a\": b}}]"), mesh.Warning, "spec.ingress[0].fromEndpoints[0].matchLabels.container:a", "source container"},
		{in("- fromEndpoints: [{matchLabels: {io.cilium.k8s.namespace.labels.team: c}}]"), mesh.Warning, `spec.ingress[0].fromEndpoints[0].matchLabels["io.cilium.k8s.namespace.labels.team"]`, "no namespace has"},
		{in("- fromCIDRSet: [{cidrGroupRef: none}]"), mesh.Warning, "spec.ingress[0].fromCIDRSet[0].cidrGroupRef", "no CiliumCIDRGroup"},
		{cnp("endpointSelector: {matchLabels: {\"k8s:io.kubernetes.pod.namespace\": stock}}\ningress: [{}]"), mesh.Warning, `spec.endpointSelector.matchLabels["k8s:io.kubernetes.pod.namespace"]`, "its own namespace"},
		{cnp("endpointSelector: {matchLabels: {\"reserved:init\": \"\"}}\ningress: [{}]"), mesh.Warning, "spec.endpointSelector", "reserved:init"},
		{cnp("podSelector: {}\nendpointSelector: {}\ningress: [{from: [{}]}]"), mesh.Warning, "spec.podSelector", "did you mean endpointSelector?"},
		{cnp("endpointSelector: {}\ningress: [{from: [{}]}]"), mesh.Warning, "spec.ingress[0].from", "did you mean fromEndpoints?"},
	} {
		_, found := lower(t, x.doc)
		dialecttest.Want(t, found, x.level, x.field, x.says)
	}
}

// TestServicePorts: "Applies after service translation"; commonly got wrong by naming the port of the Service.
func TestServicePorts(t *testing.T) {
	const services = `
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {selector: {app: db}, ports: [{name: sql, port: 80, targetPort: 5432}, {name: same, port: 90}, {name: named, port: 91, targetPort: sql}]}
---
`
	for port, says := range map[string]string{"80": "goes to port 5432", "91": "goes to port sql", "90": "", "5432": "", "7": ""} {
		ports := "toPorts: [{ports: [{port: \"" + port + "\"}]}]"
		for doc, field := range map[string]string{out("- toEndpoints: [{matchLabels: {\"k8s:app\": db, tier: a}}]\n  " + ports): "spec.egress[0]",
			cnp("endpointSelector: {matchLabels: {app: db}}\ningress:\n- " + ports): "spec.ingress[0]"} {
			_, found := lower(t, services+doc)
			if says == "" {
				dialecttest.None(t, found)
			} else {
				dialecttest.Want(t, found, mesh.Warning, field+".toPorts[0].ports[0].port", says)
			}
		}
		_, found := lower(t, services+out("- toEndpoints: [{matchLabels: {app: web}}]\n  "+ports))
		dialecttest.None(t, found)
	}
}
