package linkerd_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/dialecttest"
	"github.com/weft-mesh/weft/feature/authz"
	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/mesh"
)

const open = "podSelector: {matchLabels: {app: books}}\nport: 8080"

func TestServer(t *testing.T) {
	part, found := lower(t, server("books", `
podSelector:
  matchLabels: {app: books}
  matchExpressions:
  - {key: track, operator: NotIn, values: [canary, old]}
  - {key: tier, operator: Exists}
port: http`),
		policy("web", `
targetRef: {group: policy.linkerd.io, kind: Server, name: books}
requiredAuthenticationRefs:
- {group: policy.linkerd.io, kind: MeshTLSAuthentication, name: web}
- {group: policy.linkerd.io, kind: NetworkAuthentication, name: office, namespace: shop}`),
		meshTLS("web", "identityRefs: [{kind: ServiceAccount, name: web}]"),
		networks("office", "networks: [{cidr: 10.1.0.0/16}, {cidr: 10.2.0.0/16, except: [10.2.3.0/24]}, {cidr: 10.3.0.1}]"),
		serverAuthorization("all", "server: {name: books}\nclient: {unauthenticated: true, networks: [{cidr: '::/0'}]}"))
	expect(t, found, "")
	srv := ref("Server", "books", "")
	web, tcp := []match.String{{Value: "cluster.local/ns/shop/sa/web"}}, []match.Condition{match.Over(match.OverTCP)}
	want := []mesh.Authorization{{Ref: srv, Created: dialecttest.Created, Namespaces: []string{"shop"}, Port: "http", Exclusive: true, Closes: &srv,
		Selector: match.Selector{Labels: []string{"app=books"}, Exprs: []match.Requirement{
			{Key: "track", Op: match.NotIn, Values: []string{"canary", "old"}}, {Key: "tier", Op: match.Exists}}},
		Tiers: []authz.Tier{{Effect: authz.Allow, Rules: []authz.Rule{
			{Ref: ref("ServerAuthorization", "all", ""), From: []match.Source{{Networks: prefixes("::/0")}}, When: tcp},
			{Ref: ref("AuthorizationPolicy", "web", ""), From: []match.Source{
				{Principals: web, Networks: prefixes("10.1.0.0/16", "10.3.0.1/32")},
				{Principals: web, Networks: prefixes("10.2.0.0/16"), NotNetworks: prefixes("10.2.3.0/24")}}, When: tcp},
		}}}}}
	if d := dialecttest.Diff(want, part.Authorizations); d != "" {
		t.Error(d)
	}
}

func prefixes(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// judge lowers a Server among other documents, and says whether a call passes, and because of what.
func judge(t *testing.T, who string, docs ...string) (bool, string) {
	t.Helper()
	part, _ := lower(t, docs...)
	if len(part.Authorizations) != 1 {
		t.Fatalf("%d authorizations", len(part.Authorizations))
	}
	a := part.Authorizations[0]
	e := authz.Engine{Dialect: decision.Linkerd, Tiers: a.Tiers, Closed: a.Closes}
	if err := e.Compile(); err != nil {
		t.Fatal(err)
	}
	v := e.Judge(from(who), nil)
	return v.Outcome == decision.Pass, v.Ref.String()
}

const (
	web     = "10.1.2.3 cluster.local/ns/shop/sa/web"
	nobody  = "10.1.2.3"
	outside = "203.0.113.9"
)

func TestAccessPolicy(t *testing.T) {
	for _, c := range []struct {
		policy                string
		web, nobody, stranger bool
	}{
		{"", false, false, false}, // "accessPolicy default deny"
		{"deny", false, false, false},
		{"audit", true, true, true},
		{"all-unauthenticated", true, true, true},
		{"all-authenticated", true, false, false},
		{"cluster-unauthenticated", true, true, false},
		{"cluster-authenticated", true, false, false},
	} {
		doc := open
		if c.policy != "" {
			doc += "\naccessPolicy: " + c.policy
		}
		for who, want := range map[string]bool{web: c.web, nobody: c.nobody, outside: c.stranger} {
			because := "Server shop/books (linkerd)"
			if want {
				because = "Server shop/books accessPolicy (linkerd)"
			}
			if got, why := judge(t, who, server("books", doc)); got != want || why != because {
				t.Errorf("%s: %s passes: %v, because %s", c.policy, who, got, why)
			}
		}
	}
}

// What a policy allows is recorded as the policy's doing, not as accessPolicy's.
func TestPoliciesGoBeforeAccessPolicy(t *testing.T) {
	_, why := judge(t, web, server("books", open+"\naccessPolicy: audit"),
		policy("all", "targetRef: {group: policy.linkerd.io, kind: Server, name: books}\nrequiredAuthenticationRefs: []"))
	if why != "AuthorizationPolicy shop/all (linkerd)" {
		t.Error(why)
	}
}

func TestServerFindings(t *testing.T) {
	const closed = "\ninfo : every call to the port is denied"
	for _, c := range []struct {
		name, doc, want string
		inForce         bool
	}{
		{"nobody may", server("books", open), closed, true},
		{"audit", server("books", open+"\naccessPolicy: audit"), "warning spec.accessPolicy: nothing marks them", true},
		{"all pods", server("books", "podSelector: {}\nport: 80"), closed, true},
		{"no access policy", server("books", open+"\naccessPolicy: foobar"), `error spec.accessPolicy: "foobar" is none of`, false},
		{"no protocol", server("books", open+"\nproxyProtocol: garbanzo"), `error spec.proxyProtocol: "garbanzo" is none of`, false},
		{"protocol", server("books", open+"\nproxyProtocol: gRPC"), "warning spec.proxyProtocol: not supported yet" + closed, true},
		{"access policy of an old version", object("v1beta2", "Server", "books", open+"\naccessPolicy: all-unauthenticated"),
			"warning spec.accessPolicy: write apiVersion: policy.linkerd.io/v1beta3" + closed, true},
		{"no selector", server("books", "port: 80"), "error spec.podSelector: required", false},
		{"two selectors", server("books", "podSelector: {}\nexternalWorkloadSelector: {}\nport: 80"), `
warning spec.externalWorkloadSelector: not supported yet
error spec.externalWorkloadSelector: only one of`, false},
		{"external workloads", server("books", "externalWorkloadSelector: {}\nport: 80"), "warning spec.externalWorkloadSelector: not supported yet", false},
		{"no port", server("books", "podSelector: {}"), "error spec.port: required", false},
		{"port 0", server("books", "podSelector: {}\nport: 0"), "error spec.port: 0 is not a port" + closed, false},
		{"port in quotes", server("books", "podSelector: {}\nport: '80'"), "error spec.port: without quotes" + closed, false},
		{"operator", server("books", "podSelector: {matchExpressions: [{key: a, operator: Gt, values: ['1']}]}\nport: 80"),
			"error spec.podSelector.matchExpressions[0].operator: is none of", false},
		{"values", server("books", "podSelector: {matchExpressions: [{key: a, operator: In}, {key: b, operator: Exists, values: [c]}]}\nport: 80"), `
error spec.podSelector.matchExpressions[0].values: In needs values
error spec.podSelector.matchExpressions[1].values: Exists takes no values` + closed, false},
		{"slips", server("books", "podSelector: {labels: {a: b}}\nport: 80\nports: [80]\ndefaultPolicy: deny"), `
warning spec.podSelector.labels: matchLabels
warning spec.ports: a Server has one
warning spec.defaultPolicy: accessPolicy
warning spec: it lets nobody pass` + closed, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			part, found := lower(t, c.doc)
			if (len(part.Authorizations) == 1) != c.inForce {
				t.Errorf("%+v", part)
			}
			expect(t, found, c.want)
		})
	}
}

// A field that is not known may have narrowed whom an object lets pass: it lets nobody pass.
func TestStrays(t *testing.T) {
	const refs = "targetRef: {group: policy.linkerd.io, kind: Server, name: books}\nrequiredAuthenticationRefs: "
	byNetwork := policy("it", refs+"[{group: policy.linkerd.io, kind: NetworkAuthentication, name: it}]")
	byTLS := policy("it", refs+"[{group: policy.linkerd.io, kind: MeshTLSAuthentication, name: it}]")
	plain := server("books", open)
	for _, c := range []struct {
		name string
		docs []string
		want bool
	}{
		{"no stray", []string{plain, policy("it", refs+"[]")}, true},
		{"AuthorizationPolicy", []string{plain, policy("it", refs+"[]\nrequiredIdentities: [a]")}, false},
		{"ServerAuthorization", []string{plain, serverAuthorization("it", "server: {name: books}\nclient: {unauthenticated: true, network: [{cidr: 192.0.2.0/24}]}")}, false},
		{"NetworkAuthentication, no stray", []string{plain, byNetwork, networks("it", "networks: [{cidr: 10.0.0.0/8, except: [10.9.0.0/16]}]")}, true},
		{"NetworkAuthentication", []string{plain, byNetwork, networks("it", "networks: [{cidr: 10.0.0.0/8, exceptions: [10.1.0.0/16]}]")}, false},
		{"MeshTLSAuthentication, no stray", []string{plain, byTLS, meshTLS("it", "identityRefs: [{kind: ServiceAccount, name: web}]")}, true},
		{"MeshTLSAuthentication", []string{plain, byTLS, meshTLS("it", "identityRefs: [{kind: ServiceAccount, name: web, namespaces: stock}]")}, false},
		{"Server", []string{server("books", open+"\naccessPolicy: all-unauthenticated\ntier: back")}, false},
	} {
		if got, why := judge(t, web, c.docs...); got != c.want {
			t.Errorf("%s: passes %v, because %s", c.name, got, why)
		}
	}
}

// "Docs claim admission rejects overlaps; code lets oldest-then-name win": the Server that loses says so, and mesh.Snapshot lets
// the one that wins judge alone.
func TestOldestServerThenNameWins(t *testing.T) {
	at := func(doc, created string) string {
		return strings.Replace(doc, "namespace: shop", "namespace: shop, creationTimestamp: \""+created+"\"", 1)
	}
	const early, late = "2026-01-01T00:00:00Z", "2026-01-03T00:00:00Z"
	other := "podSelector: {matchLabels: {app: other}}\nport: 8080"
	tier := "podSelector: {matchLabels: {tier: back}}\nport: 8080"
	for _, c := range []struct{ name, own, other, want string }{
		{"the same age, a greater name", server("b", open), server("a", open), "warning spec: the Server a is for the same port"},
		{"the same age, a lesser name", server("a", open), server("b", open), ""},
		{"older", at(server("b", open), early), server("a", open), ""},
		{"younger", at(server("a", open), late), server("b", open), "warning spec: the Server b is for the same port"},
		{"all pods", server("b", open), server("a", "podSelector: {}\nport: 8080"), "warning spec: the Server a is for the same port"},
		{"another port", server("b", open), server("a", strings.Replace(open, "8080", "8081", 1)), ""},
		{"other pods", server("b", open), server("a", other), ""},
		{"some of the pods", server("b", open), server("a", tier), "info spec: of pods that the Server a selects too"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, found := lower(t, c.own, c.other)
			expect(t, found, c.want+"\ninfo : every call to the port is denied")
		})
	}

	all, _ := dialecttest.Lower(t, kinds, server("a", open+"\naccessPolicy: all-unauthenticated")+"\n---\n"+at(server("b", open), early))
	changes := []mesh.Change{{New: &all[0]}, {New: &all[1]}}
	snapshot, _ := mesh.New().With(changes)
	w := mesh.Workload{Namespace: "shop", Name: "books-1", Labels: []string{"app=books"}}
	engines := snapshot.Inbound(&w).Authz
	if len(engines) != 1 || engines[0].Closed.Name != "b" || len(engines[0].Tiers) != 0 {
		t.Errorf("%+v", engines)
	}
}

// What Servers look at is looked at again when it changes.
func TestServerFollowsItsPolicies(t *testing.T) {
	set := dialect.NewSet(kinds)
	apply := func(docs ...string) mesh.Part {
		set.Apply(dialecttest.Objects(t, kinds, strings.Join(docs, "\n---\n")), nil)
		return set.Parts()[dialect.Key{Group: "policy.linkerd.io", Kind: "Server", Namespace: "shop", Name: "books"}]
	}
	rules := func(p mesh.Part) int {
		n := 0
		for _, tier := range p.Authorizations[0].Tiers {
			n += len(tier.Rules)
		}
		return n
	}
	if n := rules(apply(server("books", open))); n != 0 {
		t.Errorf("%d rules of nobody", n)
	}
	if n := rules(apply(policy("web", "targetRef: {kind: Namespace, name: shop}\nrequiredAuthenticationRefs: [{group: policy.linkerd.io, kind: MeshTLSAuthentication, name: web}]"))); n != 0 {
		t.Errorf("%d rules of a policy whose authentication is missing", n)
	}
	part := apply(meshTLS("web", "identities: ['*']"))
	if n := rules(part); n != 1 || !part.Authorizations[0].Tiers[0].Rules[0].From[0].Authenticated {
		t.Errorf("%+v", part)
	}
	if part = apply(meshTLS("web", "identities: []")); rules(part) != 1 {
		t.Error("a broken version displaced a good one")
	}
}
