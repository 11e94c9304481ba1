package linkerd_test

import "testing"

// TestIdentities judges calls by one identity, as Linkerd writes it.
func TestIdentities(t *testing.T) {
	const web = "cluster.local/ns/shop/sa/web"
	for _, c := range []struct {
		identity string
		who      string // principal
		want     bool
	}{
		{"web.shop.serviceaccount.identity.linkerd.cluster.local", web, true},
		{"web.shop.serviceaccount.identity.other-linkerd.cluster.local", web, true}, // of any control plane's namespace
		{"web.shop.serviceaccount.identity.linkerd.cluster.local", "cluster.local/ns/shop/sa/webs", false},
		{"web.shop.serviceaccount.identity.linkerd.example.org", web, false},
		{"web.shop.serviceaccount.identity.linkerd.example.org", "example.org/ns/shop/sa/web", true},
		{"a.b.shop.serviceaccount.identity.linkerd.cluster.local", "cluster.local/ns/shop/sa/a.b", true}, // an account's name may have dots
		{"*", web, true},
		{"*", "example.org/ns/x/sa/y", true},
		{"*.shop.serviceaccount.identity.linkerd.cluster.local", web, true},
		{"*.shop.serviceaccount.identity.linkerd.cluster.local", "cluster.local/ns/shops/sa/web", false},
		{"*.shop.serviceaccount.identity.linkerd.cluster.local", "example.org/ns/shop/sa/web", false},
		{"*.b.shop.serviceaccount.identity.linkerd.cluster.local", "cluster.local/ns/shop/sa/a.b", true},
		{"*.b.shop.serviceaccount.identity.linkerd.cluster.local", "cluster.local/ns/shop/sa/b", false},
		{"*.serviceaccount.identity.linkerd.cluster.local", web, true},
		{"*.serviceaccount.identity.linkerd.cluster.local", "example.org/ns/shop/sa/web", false},
		{"*.identity.linkerd.cluster.local", web, true},
		{"*.linkerd.cluster.local", web, true},
		{"*.cluster.local", web, true},
		{"*.cluster.local", "mycluster.local/ns/shop/sa/web", false},
		{"*.example.org", "example.org/ns/shop/sa/web", true},
		{"*.example.org", "prod.example.org/ns/shop/sa/web", true},
		{"*.example.org", "myexample.org/ns/shop/sa/web", false},
		{"*.example.org", web, false},
		{"spiffe://cluster.local/ns/shop/sa/web", web, true},
		{"spiffe://cluster.local/ns/shop/sa/we", web, false},
		{"spiffe://example.org/ns/shop/sa/web", "example.org/ns/shop/sa/web", true},
	} {
		allow := policy("it", required(webRef))
		if got, _ := judge(t, "10.0.0.1 "+c.who, server("books", open), allow, meshTLS("web", "identities: ['"+c.identity+"']")); got != c.want {
			t.Errorf("%s, %s: %v", c.identity, c.who, got)
		}
		if got, _ := judge(t, "10.0.0.1", server("books", open), allow, meshTLS("web", "identities: ['"+c.identity+"']")); got {
			t.Errorf("%s: who is not authenticated passes", c.identity)
		}
	}
}

// The identities that Linkerd's admission refuses, and those that it takes and no workload has.
func TestMeshTLSAuthenticationFindings(t *testing.T) {
	const id = "spec.identities[0]"
	for _, c := range []struct{ spec, want string }{
		{"identities: ['*']", ""},
		{"identities: [a.b.serviceaccount.identity.linkerd.cluster.local]", ""},
		{"identities: [a.b.serviceaccount.identity.linkerd.example.org]", "info " + id + `: trust domain "example.org" is not this mesh's`},
		{"identities: ['*.example.org']", "info " + id + `: trust domain "example.org" is not this mesh's`},
		{"identities: [example.id]", "warning " + id + ": no workload has such an identity"},
		{"identities: [b.serviceaccount.identity.linkerd.cluster.local]", "warning " + id + ": no workload has such an identity"},
		{"identities: ['spiffe://trustdomain']", "warning " + id + ": no workload has such an identity"},
		{"identities: ['spiffe://trustdomain/path/element']", "warning " + id + ": no workload has such an identity"},
		{"identities: ['system.local.*']", "error " + id + ": neither a name"},
		{"identities: ['*.*.example.org']", "error " + id + ": neither a name"},
		{"identities: ['**.example.org']", "error " + id + ": neither a name"},
		{"identities: [system.local.]", "error " + id + ": neither a name"},
		{"identities: [.system.local]", "error " + id + ": neither a name"},
		{"identities: [system..local]", "error " + id + ": neither a name"},
		{"identities: ['http://domain.test/path']", "error " + id + ": neither a name"},
		{"identities: [cluster.local/ns/a/sa/b]", "error " + id + ": write spiffe://cluster.local/ns/a/sa/b"},
		{"identities: ['spiffe:///path']", "error " + id + ": not a SPIFFE ID"},
		{"identities: ['spiffe://domain.test/path?query=']", "error " + id + ": not a SPIFFE ID"},
		{"identities: ['spiffe://domain.test:8080/path']", "error " + id + ": not a SPIFFE ID"},
		{"identities: ['spiffe://u@domain.test/path']", "error " + id + ": not a SPIFFE ID"},
		{"identities: ['spiffe://test.org/']", "error " + id + ": not a SPIFFE ID"},
		{"identities: ['spiffe://test.org/./other']", "error " + id + `: segment "."`},
		{"identities: ['spiffe://test.org/../other']", "error " + id + `: segment ".."`},
		{"identityRefs: [{kind: ServiceAccount, name: a}, {kind: Namespace, name: b}]", ""},
		{"identityRefs: [{kind: Namespace, name: b, namespace: b}]", "error spec.identityRefs[0].namespace: a Namespace is in no namespace"},
		{"identityRefs: [{group: apps, kind: Deployment, name: b}]", "error spec.identityRefs[0].kind: Deployment of apps is no identity"},
		{"identityRefs: [{kind: ServiceAccount}]", "error spec.identityRefs[0].name: required"},
		{"identityRefs: []", "error spec: neither identities nor identityRefs"},
		{"{}", "error spec: neither identities nor identityRefs"},
		{`{identities: ["*"], identityRefs: [{kind: ServiceAccount, name: a}]}`, "error spec.identityRefs: only one of"},
	} {
		part, found := lower(t, meshTLS("it", c.spec))
		t.Run(c.spec, func(t *testing.T) { expect(t, found, c.want) })
		if !part.Empty() {
			t.Errorf("%+v", part)
		}
	}
}

func TestNamespaceIdentity(t *testing.T) {
	docs := []string{server("books", open), policy("it", required(webRef)), meshTLS("web", "identityRefs: [{kind: Namespace, name: people}]")}
	for who, want := range map[string]bool{"10.0.0.1 cluster.local/ns/people/sa/any": true, web: false, "10.0.0.1 example.org/ns/people/sa/any": false} {
		if got, _ := judge(t, who, docs...); got != want {
			t.Errorf("%s passes: %v", who, got)
		}
	}
}

// What Linkerd's admission refuses of networks.
func TestNetworkAuthenticationFindings(t *testing.T) {
	const net = "spec.networks[0]"
	for _, c := range []struct{ spec, want string }{
		{"networks: [{cidr: 10.1.0.0/24}, {cidr: 10.1.1.0/24, except: [10.1.1.0/28]}]", ""},
		{"networks: [{cidr: 10.1.0.0/16, except: [10.1.1.1]}]", ""},
		{"networks: [{cidr: '2001:db8::/32', except: ['2001:db8:1::/48']}, {cidr: 'fe80::1'}]", ""},
		{"networks: [{cidr: 10.1.1.0/24, except: [10.1.0.0/16]}]", "error " + net + ".except[0]: leaves nothing of"},
		{"networks: [{cidr: 10.1.1.0/24, except: [10.1.1.0/24]}]", "error " + net + ".except[0]: leaves nothing of"},
		{"networks: [{cidr: 10.1.1.0/24, except: [10.1.2.0/24]}]", "error " + net + ".except[0]: is no part of"},
		{"networks: [{cidr: 10.1.1.0/24, except: ['::1']}]", "error " + net + ".except[0]: is no part of"},
		{"networks: [{cidr: 10.1.0.0/16, except: [bogus]}]", "error " + net + ".except[0]: neither an address nor a CIDR block"},
		{"networks: [{cidr: 10.1.0.0/33}]", "error " + net + ".cidr: neither an address nor a CIDR block"},
		{"networks: [{cidr: 'fe80::1%eth0'}]", "error " + net + ".cidr: neither an address nor a CIDR block"},
		{"networks: [{cidr: '::ffff:10.0.0.0/104'}]", "error " + net + ".cidr: neither an address nor a CIDR block"},
		{"networks: [{except: [10.0.0.0/8]}]", "error " + net + ".cidr: required"},
		{"networks: []", "error spec.networks: the list is empty"},
		{"{}", "error spec.networks: required"},
		{"{cidrs: [10.0.0.0/8], networks: [{ip: 10.0.0.1, cidr: 10.0.0.1}]}", `
warning spec.cidrs: networks[].cidr
warning spec.networks[0].ip: cidr
warning spec: it lets nobody pass`},
	} {
		part, found := lower(t, networks("it", c.spec))
		t.Run(c.spec, func(t *testing.T) { expect(t, found, c.want) })
		if !part.Empty() {
			t.Errorf("%+v", part)
		}
	}
}
