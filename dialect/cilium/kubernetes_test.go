package cilium_test

import (
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/dialecttest"
	"github.com/weft-mesh/weft/feature/authz"
	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/mesh"
)

func knp(spec string) string {
	return "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: it, namespace: shop}\nspec:\n" + indent(spec)
}

// knpIn lets calls into all pods of the namespace by rules.
func knpIn(rules string) string { return knp("podSelector: {}\ningress:\n" + rules) }

func TestKubernetesFields(t *testing.T) {
	text, err := os.ReadFile("testdata/kubernetes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	dialecttest.CheckFields(t, kinds, string(text))
}

// TestKubernetesPart is a policy and what it becomes: a part of the engine of Cilium's policies, by its own name.
func TestKubernetesPart(t *testing.T) {
	part, found := lower(t, knp(`
podSelector: {matchLabels: {app: web}}
policyTypes: [Ingress, Egress]
ingress:
- from:
  - podSelector: {matchLabels: {app: front}}
  - ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}
  ports: [{port: 8080}, {port: 9000, endPort: 9009}, {port: admin}]`))
	policy := decision.Ref{Dialect: decision.Core, Kind: "NetworkPolicy", Namespace: "shop", Name: "it"}
	base := mesh.Authorization{Ref: policy, Created: dialecttest.Created, Engine: decision.Cilium, Namespaces: []string{"shop"},
		Selector: match.Selector{Labels: []string{"app=web"}}, Closes: &policy}
	in, out := base, base
	out.Out = true
	from := []match.Source{{Authenticated: true, ByAddress: true, Namespaces: []match.String{{Value: "shop"}}, Selectors: []match.Selector{{Labels: []string{"app=front"}}}},
		{Unauthenticated: true, Networks: networks("10.0.0.0/8"), NotNetworks: networks("10.1.0.0/16")}}
	tcp := []match.Condition{match.Over(match.OverTCP)}
	in.Tiers = []authz.Tier{{Effect: authz.Allow, Rules: []authz.Rule{{Ref: policy.At("ingress[0]"), From: from,
		To: []match.Request{{Ports: []match.Range{match.OnePort(8080), {First: 9000, Last: 9009}}}}, When: tcp}}}}
	in.Named = []mesh.Named{{Port: "admin", Effect: authz.Allow, Rule: authz.Rule{Ref: policy.At("ingress[0]"), From: from, To: []match.Request{{}}, When: tcp}}}
	if d := dialecttest.Diff([]mesh.Authorization{in, out}, part.Authorizations); d != "" {
		t.Error(d)
	}
	if len(found) != 1 || found[0].Level != mesh.Info || found[0].Field != "spec.ingress[0].from[1].ipBlock" {
		t.Error(dialecttest.Show(found))
	}
}

// TestKubernetesDirections: "If no policyTypes are specified on a NetworkPolicy then by default Ingress will always be set and Egress will be
// set if the NetworkPolicy has any egress rules."
func TestKubernetesDirections(t *testing.T) {
	for _, x := range []struct {
		spec    string
		in, out bool // is closed
	}{
		{"podSelector: {}", true, false},
		{"podSelector: {}\ningress: []\negress: []", true, false},
		{"podSelector: {}\negress: [{to: [{podSelector: {matchLabels: {app: none}}}]}]", true, true},
		{"podSelector: {}\npolicyTypes: [Egress]", false, true},
		{"podSelector: {}\npolicyTypes: [Ingress, Egress]", true, true},
		{"podSelector: {matchLabels: {app: else}}\npolicyTypes: [Ingress, Egress]", false, false},
		{"policyTypes: [Ingress]", true, false},
	} {
		in, out := who(engine(t, false, knp(x.spec)), call(8080)), reaches(engine(t, true, knp(x.spec)), &front, call(80))
		if (in == "") != x.in || in != "" && in != all || out == x.out {
			t.Errorf("%s: in %q, out %v", x.spec, in, out)
		}
	}
}

// TestKubernetesPeers: what NetworkPolicyPeer says.
func TestKubernetesPeers(t *testing.T) {
	for rule, want := range map[string]string{
		"- {}":                          all,
		"- {from: []}":                  all,
		"- {ports: []}":                 all,
		"- {from: [{podSelector: {}}]}": "abroad back front",
		"- {from: [{podSelector: {matchLabels: {app: front}}}]}":                                        "abroad front",
		"- {from: [{podSelector: {matchExpressions: [{key: app, operator: NotIn, values: [front]}]}}]}": "back",
		"- {from: [{namespaceSelector: {}}]}":                                                           "abroad back front other",
		"- {from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: stock}}}]}":          "other",
		"- {from: [{namespaceSelector: {matchLabels: {team: none}}}]}":                                  "",
		"- {from: [{namespaceSelector: {}, podSelector: {matchLabels: {app: front}}}]}":                 "abroad front other",
		"- {from: [{podSelector: {matchLabels: {app: back}}}, {ipBlock: {cidr: 192.0.2.0/24}}]}":        "back outside",
		"- {from: [{ipBlock: {cidr: 0.0.0.0/0, except: [192.0.2.7/32]}}]}":                              "",
		"- {from: [{ipBlock: {cidr: 10.0.0.0/8}}]}":                                                     "", // the addresses of pods
		"- {from: [{ipBlock: {cidr: '::/0'}}]}":                                                         "outside6",
		"- {from: [{podSelector: {matchLabels: {'k8s:app': front}}}]}":                                  "", // no label of Cilium's
		"- {form: [{podSelector: {matchLabels: {app: front}}}]}":                                        "", // a field that is not known
		"- {from: [{podSelector: {matchLabel: {app: front}}}]}":                                         "",
	} {
		if got := who(engine(t, false, knpIn(rule)), call(8080)); got != want {
			t.Errorf("%s: %q, want %q", rule, got, want)
		}
	}
	if got := who(engine(t, false, knp("podSelector: {}\nallow: me\ningress: [{}]")), call(8080)); got != "" {
		t.Errorf("beside a field that is not known %q get in", got)
	}
}

// TestKubernetesPorts: what NetworkPolicyPort says.
func TestKubernetesPorts(t *testing.T) {
	for ports, want := range map[string][]uint16{
		"{port: 8080}":                 {8080},
		"{port: 8080, protocol: TCP}":  {8080},
		"{port: 8080, protocol: UDP}":  nil,
		"{port: 8080, protocol: SCTP}": nil,
		"{protocol: TCP}":              {1, 80, 8080, 8090, 9000},
		"{protocol: UDP}":              nil,
		"{port: http}":                 {8080},
		"{port: https}":                nil,
		"{port: 80, endPort: 8090}":    {80, 8080, 8090},
		"{port: 1}, {port: 9000}":      {1, 9000},
		"{port: 9000, endPort: 9000}":  {9000},
		"{port: 80, endport: 8090}":    nil, // a field that is not known
	} {
		e := engine(t, false, knpIn("- {ports: ["+ports+"]}"))
		var got []uint16
		for _, p := range []uint16{1, 80, 8080, 8090, 9000} {
			if passes(e, &outside, call(p)) {
				got = append(got, p)
			}
		}
		if dialecttest.Diff(want, got) != "" {
			t.Errorf("%s: %v, want %v", ports, got, want)
		}
	}
}

// TestKubernetesEgress is judged by the endpoint.
func TestKubernetesEgress(t *testing.T) {
	e := engine(t, true, knp("podSelector: {}\npolicyTypes: [Egress]\negress:\n- {to: [{podSelector: {matchLabels: {app: back}}}], ports: [{port: 5432}]}\n- {to: [{ipBlock: {cidr: 192.0.2.0/24}}]}"))
	if !reaches(e, &back, call(5432)) || reaches(e, &back, call(80)) || reaches(e, &front, call(5432)) || !reaches(e, &outside, call(80)) || reaches(e, &nobody6, call(80)) {
		t.Errorf("%+v", e)
	}
}

// TestKubernetesAndCilium: "the rules are additive" over both kinds, and one that denies counts against both.
func TestKubernetesAndCilium(t *testing.T) {
	deny, front := knp("podSelector: {}"), in("- fromEndpoints: [{matchLabels: {app: front}}]")
	if got := who(engine(t, false, deny, front), call(8080)); got != "abroad front" {
		t.Error(got)
	}
	no := cnp("endpointSelector: {}\ningressDeny: [{fromEndpoints: [{matchLabels: {app: front}}]}]")
	if got := who(engine(t, false, knpIn("- {}"), no), call(8080)); got != "back other outside outside6" {
		t.Error(got)
	}
}

// TestKubernetesRefused: what an API server does not take, and what has less effect than its author may think.
func TestKubernetesRefused(t *testing.T) {
	for spec, want := range map[string]string{
		"podSelector: {matchExpressions: [{key: a, operator: Is}]}":                 "error spec.podSelector.matchExpressions[0].operator: ",
		"podSelector: {matchExpressions: [{key: a, operator: In}]}":                 "error spec.podSelector.matchExpressions[0].values: In needs values",
		"policyTypes: [Inbound]":                                                    "error spec.policyTypes[0]: ",
		"ingress: [{from: [{}]}]":                                                   "error spec.ingress[0].from[0]: it names nobody",
		"ingress: [{from: [{podSelector: {}, ipBlock: {cidr: 10.0.0.0/8}}]}]":       "error spec.ingress[0].from[0]: an ipBlock stands alone",
		"ingress: [{from: [{ipBlock: {cidr: everywhere}}]}]":                        `error spec.ingress[0].from[0].ipBlock.cidr: "everywhere" is not a block`,
		"ingress: [{from: [{ipBlock: {except: [10.0.0.0/8]}}]}]":                    "error spec.ingress[0].from[0].ipBlock.cidr: required",
		"ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [11.0.0.0/16]}}]}]": "error spec.ingress[0].from[0].ipBlock.except[0]: 11.0.0.0/16 is not inside",
		"ingress: [{ports: [{port: 0}]}]":                                           "error spec.ingress[0].ports[0].port: 0 is not a port",
		"ingress: [{ports: [{port: 70000}]}]":                                       "error spec.ingress[0].ports[0].port: 70000 is not a port",
		"ingress: [{ports: [{port: '80'}]}]":                                        `error spec.ingress[0].ports[0].port: "80" is not the name of a port`,
		"ingress: [{ports: [{endPort: 90}]}]":                                       "error spec.ingress[0].ports[0].endPort: it ends a range",
		"ingress: [{ports: [{port: http, endPort: 90}]}]":                           "error spec.ingress[0].ports[0].endPort: it cannot stand beside",
		"ingress: [{ports: [{port: 80, endPort: 79}]}]":                             "error spec.ingress[0].ports[0].endPort: it is below the port",
		"ingress: [{ports: [{port: 80, endPort: 70000}]}]":                          "error spec.ingress[0].ports[0].endPort: 70000 is not a port",
		"ingress: [{ports: [{port: 80, protocol: ICMP}]}]":                          "error spec.ingress[0].ports[0].protocol: ",
		"policyTypes: [Egress]\ningress: [{}]":                                      "warning spec.ingress: policyTypes does not name Ingress",
		"policyTypes: [Ingress]\negress: [{}]":                                      "warning spec.egress: policyTypes does not name Egress",
		"egress: [{ports: [{port: http}]}]":                                         "warning spec.egress[0].ports[0].port: weft cannot follow names of ports",
		"ingress: [{toPorts: [{port: 80}]}]":                                        "warning spec.ingress[0].toPorts: unknown field",
	} {
		_, found := lower(t, knp(strings.TrimPrefix("podSelector: {}\n"+spec, map[bool]string{true: "podSelector: {}\n"}[strings.HasPrefix(spec, "podSelector")])))
		said := false
		for _, f := range found {
			said = said || strings.HasPrefix(f.Level.String()+" "+f.Field+": "+f.Text, want)
		}
		if !said {
			t.Errorf("%s: %s\nwant %s", spec, dialecttest.Show(found), want)
		}
	}
}

// FuzzReadKubernetes: whatever is written, reading ends, and what is in force can be merged and compiled.
func FuzzReadKubernetes(f *testing.F) {
	f.Add("app", "web", "In", "http", "10.0.0.0/8", int64(80), int64(90))
	f.Add("kubernetes.io/metadata.name", "shop", "NotIn", "80", "::/0", int64(0), int64(-1))
	f.Add("k8s:app", "", "DoesNotExist", "", "192.0.2.1", int64(70000), int64(0))
	objects := dialecttest.Objects(f, kinds, around+knp(`
podSelector: {matchExpressions: [{key: $0, operator: $2, values: [$1]}]}
policyTypes: [Ingress, Egress]
ingress:
- from: [{podSelector: {matchLabels: {$0: $1}}, namespaceSelector: {matchExpressions: [{key: $0, operator: $2, values: [$1]}]}}, {ipBlock: {cidr: $4, except: [$4]}}]
  ports: [{port: $5, endPort: $6}, {port: $3}]
egress:
- to: [{podSelector: {matchLabels: {$0: $1}}}]
  ports: [{port: $5, protocol: UDP}]
`))
	f.Fuzz(func(t *testing.T, key, value, operator, name, block string, port, end int64) {
		o := dialecttest.Fill(objects[len(objects)-1], key, value, operator, name, block, port, end)
		part, _ := dialect.Read(kinds, o, dialecttest.View(objects))
		s, _ := mesh.New().With([]mesh.Change{{New: &mesh.Part{Workloads: []mesh.Workload{web}}}, {New: &part}})
		w := s.Workloads.Get("shop/web")
		for _, e := range append(s.Inbound(w).Authz, s.Egress(w)...) {
			if err := e.Compile(); err != nil {
				t.Error(err)
			}
		}
	})
}

func networks(list ...string) (out []netip.Prefix) {
	for _, text := range list {
		out = append(out, netip.MustParsePrefix(text))
	}
	return out
}

// TestWhoIsCalledIsKnown: calls out are judged by the endpoint that was chosen, of which the control plane has told who it is.
func TestWhoIsCalledIsKnown(t *testing.T) {
	part, found := lower(t, knp("podSelector: {}\npolicyTypes: [Egress]\negress: [{to: [{podSelector: {matchLabels: {app: db}}}]}]"))
	dialecttest.None(t, found)
	if r := part.Authorizations[0].Tiers[0].Rules[0]; len(r.From) > 0 || len(r.Dest) != 1 || r.Dest[0].ByAddress {
		t.Errorf("%+v", r)
	}
}
