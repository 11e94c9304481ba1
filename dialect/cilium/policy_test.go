package cilium_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/dialecttest"
	"github.com/weft-mesh/weft/feature/authz"
	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/mesh"
)

// TestPart is a policy and what it becomes.
func TestPart(t *testing.T) {
	part, found := lower(t, cnp(`
endpointSelector: {matchLabels: {app: web}}
ingress:
- fromEndpoints: [{matchLabels: {app: front}}]
  toPorts: [{ports: [{port: "8080", protocol: TCP}], rules: {http: [{method: GET, path: "/a.*"}]}}]
ingressDeny:
- fromEntities: [world]
egress:
- toEndpoints: [{matchLabels: {app: db}}]
  toPorts: [{ports: [{port: "5432", endPort: 5433}]}]`))
	dialecttest.None(t, found)
	policy := ref("")
	in := []match.String{{Value: "shop"}}
	want := []mesh.Authorization{
		{Ref: policy, Created: dialecttest.Created, Namespaces: []string{"shop"}, Selector: match.Selector{Labels: []string{"app=web"}}, Closes: &policy,
			Tiers: []authz.Tier{
				{Effect: authz.Deny, Rules: []authz.Rule{{Ref: ref("ingressDeny[0]"), From: []match.Source{{Unauthenticated: true}}}}},
				{Effect: authz.Allow, Rules: []authz.Rule{{Ref: ref("ingress[0]"),
					From: []match.Source{{Authenticated: true, ByAddress: true, Namespaces: in, Selectors: []match.Selector{{Labels: []string{"app=front"}}}}},
					To: []match.Request{{Ports: []match.Range{match.OnePort(8080)}, Methods: []match.String{{Value: "GET"}},
						Targets: []match.String{{Kind: match.Regex, Value: "/a.*"}}}}, When: []match.Condition{match.Over(match.OverTCP)}}}}}},
		{Ref: policy, Created: dialecttest.Created, Out: true, Namespaces: []string{"shop"}, Selector: match.Selector{Labels: []string{"app=web"}}, Closes: &policy,
			Tiers: []authz.Tier{{Effect: authz.Allow, Rules: []authz.Rule{{Ref: ref("egress[0]"),
				Dest: []match.Source{{Authenticated: true, Namespaces: in, Selectors: []match.Selector{{Labels: []string{"app=db"}}}}},
				To:   []match.Request{{Ports: []match.Range{{First: 5432, Last: 5433}}}}}}}}},
	}
	if d := dialecttest.Diff(want, part.Authorizations); d != "" {
		t.Error(d)
	}
}

// TestSpecs: each element is a rule of its own, named by where it stands.
func TestSpecs(t *testing.T) {
	part, found := lower(t, `
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: it, namespace: shop}
specs:
- {endpointSelector: {matchLabels: {app: a}}, ingress: [{fromEntities: [all]}]}
- {endpointSelector: {matchLabels: {app: b}}, egress: [{}, {toEntities: [all]}]}
`)
	dialecttest.None(t, found)
	if a := part.Authorizations; len(a) != 2 || a[0].Selector.Labels[0] != "app=a" || a[1].Tiers[0].Rules[0].Ref.Rule != "specs[1].egress[1]" || a[1].Closes.Rule != "" {
		t.Errorf("%+v", a)
	}
}

// TestDefaultDeny: "Per direction, once any rule selects the endpoint".
func TestDefaultDeny(t *testing.T) {
	a := call(80)
	if got := who(engine(t, false), a); got != all {
		t.Error("without a policy:", got)
	}
	e := engine(t, false, in("- {}"))
	if got := who(e, a); got != "" {
		t.Error("an empty rule selects, and allows nobody:", got)
	}
	if v := e.Judge(a, nil); v.Ref.String() != "CiliumNetworkPolicy shop/it (cilium)" {
		t.Error("what denies is the policy:", v)
	}
	if !reaches(engine(t, true, in("- {}")), &front, a) {
		t.Error("a rule for calls in closes calls out")
	}
	if reaches(engine(t, true, out("- {}")), &front, a) {
		t.Error("a rule for calls out does not close them")
	}
	if got := who(engine(t, false, cnp("endpointSelector: {}\ningressDeny: [{}]")), a); got != "" {
		t.Error("a deny rule closes the direction, though it denies nothing by itself:", got)
	}
}

// TestNothingSaid: "No ingress and no egress section = no effect".
func TestNothingSaid(t *testing.T) {
	part, found := lower(t, cnp("endpointSelector: {}"))
	dialecttest.Want(t, found, mesh.Warning, "spec", "no effect")
	if !part.Empty() {
		t.Errorf("%+v", part)
	}
	_, found = lower(t, cnp("endpointSelector: {}\ningress: []"))
	dialecttest.Want(t, found, mesh.Warning, "spec", "no effect")
}

// TestOptOut: enableDefaultDeny takes back that whatever is not allowed is denied, in one direction.
func TestOptOut(t *testing.T) {
	e := engine(t, false, cnp("endpointSelector: {}\nenableDefaultDeny: {ingress: false}\ningress: [{fromEndpoints: [{matchLabels: {app: front}}]}]\ningressDeny: [{fromEndpoints: [{matchLabels: {app: back}}]}]"))
	if got := who(e, call(80)); got != "abroad front other outside outside6" {
		t.Error(got)
	}
	// "If multiple policies apply to an endpoint, that endpoint's default deny will be enabled if any policy requests it."
	e = engine(t, false, cnp("endpointSelector: {}\nenableDefaultDeny: {ingress: false}\ningress: [{fromEndpoints: [{matchLabels: {app: front}}]}]"), in("- {}"))
	if got := who(e, call(80)); got != "abroad front" { // weft's own identity is of the namespace, whatever the trust domain
		t.Error(got)
	}
	_, found := lower(t, cnp("endpointSelector: {}\nenableDefaultDeny: {egress: true}\ningress: [{}]"))
	dialecttest.Want(t, found, mesh.Warning, "spec.enableDefaultDeny.egress", "nothing is denied")
}

// TestOptOutDoesNotApplyToL7: "an L7 rule without L7 allow-all drops anyway".
func TestOptOutDoesNotApplyToL7(t *testing.T) {
	policy := "endpointSelector: {}\nenableDefaultDeny: {ingress: false}\ningress:\n- toPorts: [{ports: [{port: \"8080\", protocol: TCP}], rules: {http: [{path: /a}%s]}}]"
	one := cnp(sprintf(policy, ""))
	_, found := lower(t, one)
	dialecttest.Want(t, found, mesh.Info, "spec.enableDefaultDeny.ingress", "deny what they do not allow all the same")
	e := engine(t, false, one)
	for _, x := range []struct {
		what string
		got  bool
		want bool
	}{{"what the rule allows", passes(e, &front, get("GET /a")), true}, {"another path", passes(e, &front, get("GET /b")), false},
		{"no HTTP", passes(e, &front, call(8080)), false}, {"another port", passes(e, &front, call(80)), true},
		{"with allow-all", passes(engine(t, false, cnp(sprintf(policy, ", {}"))), &front, get("GET /b")), true},
		{"with a plain rule of another policy", passes(engine(t, false, one, in("- fromEndpoints: [{}]")), &front, get("GET /b")), true}} {
		if x.got != x.want {
			t.Errorf("%s: %v", x.what, x.got)
		}
	}
}

// TestOptOutDoesNotApplyToWhatCannotBeJudged: rules for another protocol decide on their ports too, and allow nothing.
func TestOptOutDoesNotApplyToWhatCannotBeJudged(t *testing.T) {
	e := engine(t, false, cnp("endpointSelector: {}\nenableDefaultDeny: {ingress: false}\ningress:\n- toPorts: [{ports: [{port: \"9092\", protocol: TCP}], rules: {kafka: [{role: consume}]}}]"))
	if passes(e, &front, call(9092)) || !passes(e, &front, call(80)) {
		t.Error(passes(e, &front, call(9092)), passes(e, &front, call(80)))
	}
}

// TestDenyBeatsAllow: "Beat every allow", of other policies too.
func TestDenyBeatsAllow(t *testing.T) {
	e := engine(t, false, in("- fromEntities: [all]"), cnp("endpointSelector: {}\ningressDeny: [{fromEndpoints: [{matchLabels: {app: back}}], toPorts: [{ports: [{port: \"80\"}]}]}]"))
	if got := who(e, call(80)); got != "abroad front other outside outside6" {
		t.Error(got)
	}
	if got := who(e, call(81)); got != all {
		t.Error(got)
	}
}

// TestDenyHasNoL7: "No L7 or FQDN deny".
func TestDenyHasNoL7(t *testing.T) {
	doc := cnp("endpointSelector: {}\ningressDeny: [{toPorts: [{ports: [{port: \"8080\", protocol: TCP}], rules: {http: [{path: /a}]}}]}]")
	_, found := lower(t, doc)
	dialecttest.Want(t, found, mesh.Warning, "spec.ingressDeny[0].toPorts[0].rules", "denies all calls on these ports")
	if passes(engine(t, false, doc), &front, get("GET /b")) {
		t.Error("the rule denies less than its ports")
	}
}

// TestPlainRuleVoidsL7: "A plain L4 rule on the same port voids L7 rules".
func TestPlainRuleVoidsL7(t *testing.T) {
	l7 := in("- fromEndpoints: [{matchLabels: {app: front}}]\n  toPorts: [{ports: [{port: \"8080\", protocol: TCP}], rules: {http: [{path: /a}]}}]")
	if passes(engine(t, false, l7), &front, get("GET /b")) {
		t.Error("the rule allows another path")
	}
	if !passes(engine(t, false, l7, in("- fromEndpoints: [{matchLabels: {app: front}}]\n  toPorts: [{ports: [{port: \"8080\"}]}]")), &front, get("GET /b")) {
		t.Error("the plain rule does not allow it")
	}
}

// TestRefusals is what Cilium's agent or its definitions refuse.
func TestRefusals(t *testing.T) {
	ports := func(s string) string { return in("- toPorts: [" + s + "]") }
	for _, x := range []struct{ doc, field, says string }{
		{cnp("ingress: [{}]"), "spec.endpointSelector", "endpointSelector: {} for all endpoints of the namespace shop"},
		{cnp("endpointSelector: {}\nnodeSelector: {}\ningress: [{}]"), "spec.nodeSelector", "either"},
		{cnp("nodeSelector: {}\ningress: [{}]"), "spec.nodeSelector", "CiliumClusterwideNetworkPolicy"},
		{"apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: it, namespace: shop}\n", "spec", "neither spec nor specs"},
		{in("- {fromEndpoints: [{}], fromCIDR: [10.0.0.0/8]}"), "spec.ingress[0].fromCIDR", "fromEndpoints is set too"},
		{in("- {fromRequires: [{matchLabels: {a: b}}]}"), "spec.ingress[0].fromRequires", "any more"},
		{in("- {icmps: [{fields: [{type: 8}]}], toPorts: [{ports: [{port: \"80\"}]}]}"), "spec.ingress[0].icmps", "beside toPorts"},
		{in("- {fromCIDR: [10.0.0.1]}"), "spec.ingress[0].fromCIDR[0]", "write 10.0.0.1/32"},
		{in("- {fromCIDRSet: [{cidr: 10.0.0.0/8, except: [11.0.0.0/16]}]}"), "spec.ingress[0].fromCIDRSet[0].except[0]", "not inside"},
		{in("- {fromCIDRSet: [{cidr: 10.0.0.0/16, except: [10.0.0.0/8]}]}"), "spec.ingress[0].fromCIDRSet[0].except[0]", "not inside"},
		{in("- {fromCIDRSet: [{cidr: 10.0.0.0/8, cidrGroupRef: office}]}"), "spec.ingress[0].fromCIDRSet[0]", "one of"},
		{in("- {fromEntities: [cluser]}"), "spec.ingress[0].fromEntities[0]", "did you mean cluster?"},
		{in("- {authentication: {mode: require}}"), "spec.ingress[0].authentication.mode", "did you mean required?"},
		{ports("{ports: [{port: 8080}]}"), "spec.ingress[0].toPorts[0].ports[0].port", `write it in quotes: "8080"`},
		{ports("{ports: [{protocol: TCP}]}"), "spec.ingress[0].toPorts[0].ports[0].port", "required"},
		{ports("{ports: [{port: \"65536\"}]}"), "spec.ingress[0].toPorts[0].ports[0].port", "neither a port"},
		{ports("{ports: [{port: \"80\", protocol: tcp}]}"), "spec.ingress[0].toPorts[0].ports[0].protocol", "did you mean TCP?"},
		{ports("{ports: [" + strings.Repeat("{port: \"80\"}, ", 41) + "]}"), "spec.ingress[0].toPorts[0].ports", "41 ports"},
		// "L7 rules can only apply to TCP (not ANY) except for DNS rules"
		{ports("{ports: [{port: \"80\"}], rules: {http: [{}]}}"), "spec.ingress[0].toPorts[0].ports[0].protocol", "write protocol: TCP"},
		{ports("{ports: [{port: \"0\", protocol: TCP}], rules: {http: [{}]}}"), "spec.ingress[0].toPorts[0].ports[0].port", "0 means all"},
		{ports("{ports: [{port: \"80\", protocol: TCP}], rules: {http: [{}], dns: [{matchPattern: \"*\"}]}}"), "spec.ingress[0].toPorts[0].rules", "several protocols"},
		{ports("{ports: [{port: \"53\"}], rules: {dns: [{matchPattern: \"*\"}]}}"), "spec.ingress[0].toPorts[0].rules.dns", "no rules for DNS"},
		{ports("{ports: [{port: \"80\", protocol: TCP}], rules: {http: [{path: \"(\"}]}}"), "spec.ingress[0].toPorts[0].rules.http[0].path", "RE2"},
		{ports("{ports: [{port: \"80\", protocol: TCP}], rules: {http: [{headerMatches: [{value: a}]}]}}"), "spec.ingress[0].toPorts[0].rules.http[0].headerMatches[0].name", "required"},
		{in("- fromEndpoints: [{matchExpressions: [{key: a, operator: In}]}]"), "spec.ingress[0].fromEndpoints[0].matchExpressions[0].values", "needs values"},
		{in("- fromEndpoints: [{matchExpressions: [{key: a, operator: Exists, values: [b]}]}]"), "spec.ingress[0].fromEndpoints[0].matchExpressions[0].values", "takes no values"},
		{in("- fromEndpoints: [{matchExpressions: [{key: a, operator: NotExists}]}]"), "spec.ingress[0].fromEndpoints[0].matchExpressions[0].operator", "none of"},
	} {
		part, found := lower(t, x.doc)
		dialecttest.Want(t, found, mesh.Error, x.field, x.says)
		if !part.Empty() {
			t.Errorf("%s is in force", x.doc)
		}
	}
}

// TestUnsupported: what weft cannot judge is named, and the rule allows less or denies more.
func TestUnsupported(t *testing.T) {
	a := call(80)
	for _, x := range []struct{ rule, field, says string }{
		{"toFQDNs: [{matchName: example.com}]", ".toFQDNs", "allows nothing by it"},
		{"toServices: [{k8sService: {serviceName: a, namespace: b}}]", ".toServices", "select the endpoints by toEndpoints"},
		{"toGroups: [{aws: {region: a}}]", ".toGroups", "allows nothing by it"},
		{"toNodes: [{matchLabels: {a: b}}]", ".toNodes", "nothing is meant"},
		{"icmps: [{fields: [{type: 8, family: IPv4}]}]", ".icmps", "neither allowed nor denied"},
		{"toPorts: [{ports: [{port: \"80\", protocol: SCTP}]}]", ".toPorts[0].ports[0].protocol", "SCTP does not go through proxies"},
		{"toPorts: [{ports: [{port: \"80\"}], serverNames: [a.example]}]", ".toPorts[0].serverNames", "allows nothing on these ports"},
		{"toPorts: [{ports: [{port: \"80\"}], listener: {name: a, envoyConfig: {name: b}}}]", ".toPorts[0].listener", "not Envoy"},
		{"toPorts: [{ports: [{port: \"80\", protocol: TCP}], terminatingTLS: {secret: {name: a}}}]", ".toPorts[0].terminatingTLS", "not opened"},
		{"toPorts: [{ports: [{port: \"80\", protocol: TCP}], originatingTLS: {secret: {name: a}}}]", ".toPorts[0].originatingTLS", "own TLS"},
		{"toPorts: [{ports: [{port: \"80\"}], rules: {dns: [{matchPattern: \"*\"}]}}]", ".toPorts[0].rules.dns", "DNS does not go"},
		{"toPorts: [{ports: [{port: \"80\"}], rules: {kafka: [{topic: a}]}}]", ".toPorts[0].rules.kafka", "Kafka"},
		{"toPorts: [{ports: [{port: \"80\"}], rules: {l7proto: r2d2, l7: [{}]}}]", ".toPorts[0].rules.l7", "HTTP alone"},
		{"toPorts: [{ports: [{port: http}]}]", ".toPorts[0].ports[0].port", "allows nothing by it"},
	} {
		doc := out("- " + x.rule)
		_, found := lower(t, doc)
		dialecttest.Want(t, found, mesh.Warning, "spec.egress[0]"+x.field, x.says)
		if reaches(engine(t, true, doc), &front, a) || reaches(engine(t, true, doc), &outside, a) {
			t.Errorf("%s allows something", x.rule)
		}
	}
	for _, x := range []struct{ rule, field, says string }{
		{"toServices: [{k8sService: {serviceName: a, namespace: b}}]", ".toServices", "denies everybody by it"},
		{"toGroups: [{aws: {region: a}}]", ".toGroups", "denies everybody by it"},
		{"toPorts: [{ports: [{port: http}]}]", ".toPorts[0].ports[0].port", "denies calls to every port"},
		{"toPorts: [{ports: [{port: \"80\", protocol: UDP}, {port: \"80\"}]}]", ".toPorts[0].ports[0].protocol", "denies nothing but at gateways"},
	} {
		doc := cnp("endpointSelector: {}\nenableDefaultDeny: {egress: false}\negressDeny:\n- " + x.rule)
		_, found := lower(t, doc)
		dialecttest.Want(t, found, mesh.Warning, "spec.egressDeny[0]"+x.field, x.says)
		if reaches(engine(t, true, doc), &front, a) {
			t.Errorf("%s denies nothing", x.rule)
		}
	}
	_, found := lower(t, ccnp("nodeSelector: {}\ningress: [{fromEntities: [host]}]"))
	dialecttest.Want(t, found, mesh.Warning, "spec.nodeSelector", "hosts")
	if len(found) != 1 {
		t.Error(dialecttest.Show(found))
	}
}

// TestDatagramsAreOfGateways: a rule for UDP is right, and has an effect at gateways alone.
func TestDatagramsAreOfGateways(t *testing.T) {
	for _, x := range []struct{ doc, field, says string }{
		{out("- toPorts: [{ports: [{port: \"53\", protocol: UDP}]}]"), "spec.egress[0].toPorts[0].ports[0]", "not needed for that"},
		{in("- toPorts: [{ports: [{port: \"53\", protocol: UDP}]}]"), "spec.ingress[0].toPorts[0].ports[0].protocol", "counts at gateways alone"},
	} {
		_, found := lower(t, x.doc)
		dialecttest.Want(t, found, mesh.Info, x.field, x.says)
		if len(found) != 1 {
			t.Error(dialecttest.Show(found))
		}
	}
}

// TestAuthenticatedFromOutside: nobody has shown an identity and has none, so that no rule is left.
func TestAuthenticatedFromOutside(t *testing.T) {
	part, found := lower(t, in("- {fromCIDR: [192.0.2.0/24], authentication: {mode: required}}"))
	dialecttest.None(t, found)
	if a := part.Authorizations[0]; len(a.Tiers) != 0 || a.Closes == nil {
		t.Errorf("%+v", a)
	}
}

// TestAuthenticatedByAddress: whoever sends from a pod's address has shown no identity.
func TestAuthenticatedByAddress(t *testing.T) {
	for _, peers := range []string{"fromEndpoints: [{}]", "fromEntities: [cluster]", "fromEntities: [cluster-mesh]"} {
		for mode, by := range map[string]bool{"disabled": true, "required": false} {
			part, found := lower(t, in("- {"+peers+", authentication: {mode: "+mode+"}}"))
			dialecttest.None(t, found)
			if from := part.Authorizations[0].Tiers[0].Rules[0].From; len(from) != 1 || from[0].ByAddress != by || !from[0].Authenticated {
				t.Errorf("%s, %s: %+v", peers, mode, from)
			}
		}
	}
}

// TestSeeds is the project's origin: the first policy lets the database through, and nothing else; the second has neither a name nor a
// selector, and both are said.
func TestSeeds(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(corpus, "seeds/cilium-my-policy.yaml"))
	if err != nil {
		t.Skip("no corpus here")
	}
	objects := dialecttest.Objects(t, kinds, string(text))
	part, found := dialect.Read(kinds, objects[0], dialecttest.View(objects))
	dialecttest.Want(t, found, mesh.Info, "spec.egress[0].toEntities[0]", "kube-apiserver has no workloads")
	if len(part.Authorizations) != 1 || !part.Authorizations[0].Out || len(part.Authorizations[0].Tiers[0].Rules) != 1 {
		t.Errorf("%+v", part)
	}
	part, found = dialect.Read(kinds, objects[1], dialecttest.View(objects))
	dialecttest.Want(t, found, mesh.Error, "metadata.name", "required")
	dialecttest.Want(t, found, mesh.Error, "spec.endpointSelector", "write endpointSelector: {} for all endpoints")
	if !part.Empty() {
		t.Errorf("%+v", part)
	}
}

// TestOtherKinds: each is known, and says why it has no effect.
func TestOtherKinds(t *testing.T) {
	for kind, says := range map[string]string{"CiliumEgressGatewayPolicy": "gateway", "CiliumClusterwideEnvoyConfig": "Envoy"} {
		_, found := lower(t, "apiVersion: cilium.io/v2\nkind: "+kind+"\nmetadata: {name: it}\nspec: {}\n")
		dialecttest.Want(t, found, mesh.Warning, "", says)
	}
	_, found := lower(t, "apiVersion: cilium.io/v2\nkind: CiliumNode\nmetadata: {name: it}\nspec: {}\n")
	dialecttest.Want(t, found, mesh.Info, "", "no part in the mesh")
	_, found = lower(t, "apiVersion: cilium.io/v2\nkind: CiliumCIDRGroup\nmetadata: {name: it}\nspec: {externalCIDRs: [10.0.0.1]}\n")
	dialecttest.Want(t, found, mesh.Error, "spec.externalCIDRs[0]", "write 10.0.0.1/32")
}
