package linkerd_test

import (
	"strings"
	"testing"
)

// TestServerAuthorization judges calls by one ServerAuthorization on one Server, whose labels are tier=back.
func TestServerAuthorization(t *testing.T) {
	srv := strings.Replace(server("books", open), "namespace: shop", "namespace: shop, labels: {tier: back}", 1)
	for _, c := range []struct{ name, spec, pass, deny string }{
		// without networks, those of the cluster are meant
		{"unauthenticated", "server: {name: books}\nclient: {unauthenticated: true}", web + "," + nobody + ",127.64.0.9", outside},
		{"unauthenticated, of anywhere", "server: {name: books}\nclient: {unauthenticated: true, networks: [{cidr: 0.0.0.0/0}, {cidr: '::/0'}]}", nobody + "," + outside + ",2001:db8::1", ""},
		{"unauthenticated, of somewhere", "server: {name: books}\nclient: {unauthenticated: true, networks: [{cidr: 10.1.0.0/16, except: [10.1.3.0/24]}]}", nobody, "10.1.3.4,10.2.0.1"},
		{"by label", "server: {selector: {matchLabels: {tier: back}}}\nclient: {unauthenticated: true}", nobody, ""},
		{"by expression", "server: {selector: {matchExpressions: [{key: tier, operator: In, values: [back]}]}}\nclient: {unauthenticated: true}", nobody, ""},
		{"every Server", "server: {selector: {}}\nclient: {unauthenticated: true}", nobody, ""},
		{"another label", "server: {selector: {matchLabels: {tier: front}}}\nclient: {unauthenticated: true}", "", nobody},
		{"labels of the pods do not count", "server: {selector: {matchLabels: {app: books}}}\nclient: {unauthenticated: true}", "", nobody},
		{"another Server", "server: {name: films}\nclient: {unauthenticated: true}", "", nobody},
		{"TLS", "server: {name: books}\nclient: {meshTLS: {unauthenticatedTLS: true}}", web, nobody},
		{"any identity", "server: {name: books}\nclient: {meshTLS: {identities: ['*']}}", web, nobody},
		{"service account of its namespace", "server: {name: books}\nclient: {meshTLS: {serviceAccounts: [{name: web}]}}", web, "10.1.2.3 cluster.local/ns/people/sa/web," + nobody},
		{"service account of another", "server: {name: books}\nclient: {meshTLS: {serviceAccounts: [{name: web, namespace: people}]}}", "10.1.2.3 cluster.local/ns/people/sa/web", web},
		{"identities or accounts", "server: {name: books}\nclient: {meshTLS: {identities: [a.b.serviceaccount.identity.linkerd.cluster.local], serviceAccounts: [{name: web}]}}",
			web + ",10.1.2.3 cluster.local/ns/b/sa/a", nobody},
		{"identity and network", "server: {name: books}\nclient: {networks: [{cidr: 10.2.0.0/16}], meshTLS: {identities: ['*']}}", "10.2.0.1 a/ns/b/sa/c", web},
		{"refused", "server: {name: books}\nclient: {unauthenticated: true, networks: [{cidr: bogus}]}", "", web},
		{"nobody", "server: {name: books}\nclient: {meshTLS: {identities: [example.com]}}", "", web},
	} {
		t.Run(c.name, func(t *testing.T) {
			for who, want := range callers(c.pass, c.deny) {
				because := "Server shop/books (linkerd)"
				if want {
					because = "ServerAuthorization shop/it (linkerd)"
				}
				if got, why := judge(t, who, srv, serverAuthorization("it", c.spec)); got != want || why != because {
					t.Errorf("%s passes: %v, because %s", who, got, why)
				}
			}
		})
	}
}

func callers(pass, deny string) map[string]bool {
	out := map[string]bool{}
	for who := range strings.SplitSeq(deny, ",") {
		out[who] = false
	}
	for who := range strings.SplitSeq(pass, ",") {
		out[who] = true
	}
	delete(out, "")
	return out
}

func TestServerAuthorizationFindings(t *testing.T) {
	const on = "server: {name: books}\n"
	for _, c := range []struct{ name, spec, want string }{
		{"right", on + "client: {unauthenticated: true}", ""},
		{"no such Server", "server: {name: films}\nclient: {unauthenticated: true}", "warning spec.server.name: there is no Server films"},
		{"no such label", "server: {selector: {matchLabels: {app: books}}}\nclient: {unauthenticated: true}", "warning spec.server.selector: labels of the Server count"},
		{"name and selector", "server: {name: books, selector: {}}\nclient: {unauthenticated: true}", "error spec.server.selector: only one of"},
		{"neither", "server: {}\nclient: {unauthenticated: true}", "error spec.server: neither name nor selector"},
		{"nobody", on + "client: {}", "error spec.client: says of nobody"},
		{"both", on + "client: {unauthenticated: true, meshTLS: {identities: ['*']}}", "error spec.client.unauthenticated: meshTLS is set too"},
		{"both of TLS", on + "client: {meshTLS: {unauthenticatedTLS: true, identities: ['*']}}", "error spec.client.meshTLS.unauthenticatedTLS: set too"},
		{"no identities", on + "client: {meshTLS: {identities: []}}", "error spec.client.meshTLS: lets nobody pass"},
		{"account without a name", on + "client: {meshTLS: {serviceAccounts: [{namespace: a}]}}", "error spec.client.meshTLS.serviceAccounts[0].name: required"},
		{"exception of all", on + "client: {unauthenticated: true, networks: [{cidr: 10.1.1.0/24, except: [10.1.0.0/16]}]}", "error spec.client.networks[0].except[0]: leaves nothing of"},
		{"slips", on + "client: {identities: ['*'], unauthenticated: true}\ntargetRef: {name: a}", `
warning spec.client.identities: meshTLS.identities
warning spec.targetRef: server.name
warning spec: it lets nobody pass`},
	} {
		t.Run(c.name, func(t *testing.T) {
			part, found := lower(t, serverAuthorization("it", c.spec), server("books", open))
			expect(t, found, c.want)
			if !part.Empty() {
				t.Errorf("%+v", part)
			}
		})
	}
}
