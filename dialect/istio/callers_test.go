package istio_test

import (
	"encoding/base64"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/dialecttest"
	"github.com/weft-mesh/weft/mesh"
)

// TestCallersWithCertificates: what a server asks of the certificates of its callers. What it cannot ask, it is not opened without: "at least one valid
// certificate is required to be sent by the client" (ServerTLSSettings.MUTUAL).
func TestCallersWithCertificates(t *testing.T) {
	fields, err := os.ReadFile("testdata/fields.yaml")
	if err != nil {
		t.Fatal(err)
	}
	pair := regexp.MustCompile(`data: \{tls\.crt: ([A-Za-z0-9+/=]+), tls\.key: ([A-Za-z0-9+/=]+)\}`).FindStringSubmatch(string(fields))
	if pair == nil {
		t.Fatal("no certificate in fields.yaml")
	}
	crt, key := pair[1], pair[2]
	plain, err := base64.StdEncoding.DecodeString(crt)
	if err != nil {
		t.Fatal(err)
	}
	object := func(kind, name string, data ...string) string {
		return "---\napiVersion: v1\nkind: " + kind + "\nmetadata: {name: " + name + ", namespace: shop}\ndata: {" + strings.Join(data, ", ") + "}\n"
	}
	server, ca := []string{"tls.crt: " + crt, "tls.key: " + key}, "ca.crt: "+crt
	generic := []string{"cert: " + crt, "key: " + key}
	inMap := "ca.crt: \"" + strings.ReplaceAll(string(plain), "\n", "\\n") + "\""
	objects := object("Secret", "pair", server...) +
		object("Secret", "whole", append(server, ca)...) +
		object("Secret", "generic", append(generic, "cacert: "+crt)...) +
		object("Secret", "apart", server...) + object("Secret", "apart-cacert", "cacert: "+crt) +
		object("Secret", "spoilt", append(server, ca)...) + object("Secret", "spoilt-cacert", "cacert: aGVsbG8=") +
		object("Secret", "listed", append(server, ca, "ca.crl: "+crt)...) +
		object("Secret", "ca", ca) + object("ConfigMap", "map", inMap) + object("ConfigMap", "listedmap", inMap, "ca.crl: some")

	for _, x := range []struct {
		name, tls, shut string
		want            *mesh.Callers // its authorities one
	}{
		{"nothing is asked", "mode: SIMPLE, credentialName: whole", "", nil},
		{"in the Secret of the certificate", "mode: MUTUAL, credentialName: whole", "", &mesh.Callers{}},
		{"in a generic one", "mode: MUTUAL, credentialName: generic", "", &mesh.Callers{}},
		{"in one of its own", "mode: MUTUAL, credentialName: apart", "", &mesh.Callers{}},
		{"of the first of several", "mode: MUTUAL, credentialNames: [apart, pair]", "", &mesh.Callers{}},
		{"in one that is named", "mode: MUTUAL, credentialName: pair, caCertCredentialName: ca", "", &mesh.Callers{}},
		{"which goes before the others", "mode: MUTUAL, credentialName: spoilt, caCertCredentialName: ca", "", &mesh.Callers{}},
		{"in a ConfigMap", "mode: MUTUAL, credentialName: pair, caCertCredentialName: map", "", &mesh.Callers{}},
		{"by names", "mode: MUTUAL, credentialName: whole, subjectAltNames: [a.client, spiffe://a/b]", "", &mesh.Callers{Names: []string{"a.client", "spiffe://a/b"}}},
		{"who shows none", "mode: OPTIONAL_MUTUAL, credentialName: whole", "", &mesh.Callers{Ask: mesh.AskIfShown}},
		{"no authority", "mode: MUTUAL, credentialName: pair", "Secret shop/pair: it has no cacert and no ca.crt", nil},
		{"no authority for those that are shown", "mode: OPTIONAL_MUTUAL, credentialName: pair", "Secret shop/pair: it has no cacert and no ca.crt", nil},
		{"one that is named and not there", "mode: MUTUAL, credentialName: whole, caCertCredentialName: none", "there is no Secret shop/none", nil},
		{"one of another namespace", "mode: MUTUAL, credentialName: whole, caCertCredentialName: infra/ca", "a name with / is of no Secret", nil},
		{"one of its own that is none", "mode: MUTUAL, credentialName: spoilt", "Secret shop/spoilt-cacert: cacert holds no certificate in PEM", nil},
		{"what is taken back", "mode: MUTUAL, credentialName: listed", "its list of certificates that are taken back (crl) is not looked at", nil},
		{"what is taken back, in a ConfigMap", "mode: MUTUAL, credentialName: pair, caCertCredentialName: listedmap", "its list of certificates that are taken back (crl) is not looked at", nil},
		{"what is taken back, in a file", "mode: MUTUAL, credentialName: whole, caCrl: /etc/crl", "caCrl of its TLS settings is not looked at", nil},
		{"a certificate's hash", "mode: MUTUAL, credentialName: whole, verifyCertificateHash: [aa]", "verifyCertificateHash of its TLS settings is not looked at", nil},
		{"a key's hash", "mode: MUTUAL, credentialName: whole, verifyCertificateSpki: [aa]", "verifyCertificateSpki of its TLS settings is not looked at", nil},
		{"nothing, really", "mode: MUTUAL, credentialName: whole, insecureSkipVerify: true", "insecureSkipVerify of its TLS settings is not looked at", nil},
		{"nothing, by other means", "mode: SIMPLE, credentialName: whole, verifyCertificateHash: [aa]", "", nil},
	} {
		t.Run(x.name, func(t *testing.T) {
			gateway := "---\napiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: edge, namespace: shop}\nspec: {selector: {istio: x}, servers: " +
				"[{port: {number: 443, name: https, protocol: HTTPS}, hosts: [a.example], tls: {" + x.tls + "}}]}\n"
			all := dialecttest.Objects(t, kinds, objects+gateway)
			i := slices.IndexFunc(all, func(o *dialect.Object) bool { return o.Kind == "Gateway" })
			part, found := dialect.Read(kinds, all[i], dialecttest.View(all))
			if len(part.Gateways) != 1 {
				t.Fatalf("%+v, %v", part, found)
			}
			if x.shut != "" {
				if len(part.Gateways[0].Listeners) > 0 {
					t.Error("the server is open")
				}
				if !slices.ContainsFunc(found, func(f mesh.Finding) bool {
					return f.Field == "spec.servers[0]" && f.Level == mesh.Warning && strings.Contains(f.Text, x.shut) && f.Remedy != ""
				}) {
					t.Errorf("nothing says %q: %v", x.shut, found)
				}
				return
			}
			if len(part.Gateways[0].Listeners) != 1 {
				t.Fatalf("the server is not open: %v", found)
			}
			got := part.Gateways[0].Listeners[0].Callers
			if (got == nil) != (x.want == nil) || got != nil && (len(got.Roots) != 1 || got.Ask != x.want.Ask || !slices.Equal(got.Names, x.want.Names)) {
				t.Errorf("%+v, want %+v", got, x.want)
			}
		})
	}
}

// TestCallersBeforeTheirAuthorityIsLookedFor: as long as nobody has looked for the Secret of authorities, those beside the certificate, who may be
// others, vouch for nobody; nor once it is gone, and may have been made anew.
func TestCallersBeforeTheirAuthorityIsLookedFor(t *testing.T) {
	fields, err := os.ReadFile("testdata/fields.yaml")
	if err != nil {
		t.Fatal(err)
	}
	pair := regexp.MustCompile(`data: \{(tls\.crt: ([A-Za-z0-9+/=]+), tls\.key: [A-Za-z0-9+/=]+)\}`).FindStringSubmatch(string(fields))
	secret := func(name, data string) []*dialect.Object {
		return dialecttest.Objects(t, kinds, "apiVersion: v1\nkind: Secret\nmetadata: {name: "+name+", namespace: shop}\ndata: {"+data+"}\n")
	}
	gateway := dialecttest.Objects(t, kinds, "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: edge, namespace: shop}\nspec: {selector: {istio: x}, servers: "+
		"[{port: {number: 443, name: https, protocol: HTTPS}, hosts: [a.example], tls: {mode: MUTUAL, credentialName: edge}}]}\n")
	s := dialect.NewSet(kinds)
	s.Seek("", "Secret")
	roots := func(what string, want int) {
		t.Helper()
		got := 0
		for _, l := range s.Parts()[gateway[0].Key()].Gateways[0].Listeners {
			got += len(l.Callers.Roots)
		}
		if got != want {
			t.Errorf("%s: %d authorities vouch, want %d", what, got, want)
		}
		s.Sought()
	}
	gone := []dialect.Key{{Kind: "Secret", Namespace: "shop", Name: "edge-cacert"}}
	s.Apply(slices.Concat(gateway, secret("edge", pair[1]+", ca.crt: "+pair[2])), nil)
	roots("nobody has looked", 0)
	s.Apply(nil, gone)
	roots("it is not there", 1)
	s.Apply(secret("edge-cacert", "cacert: "+pair[2]+", crl: "+pair[2]), nil)
	roots("it is there, and of no use", 0)
	s.Apply(nil, gone)
	roots("it is gone, and nobody has looked again", 0)
	s.Apply(nil, gone)
	roots("it is not there again", 1)
	s.Apply(nil, []dialect.Key{gateway[0].Key()})
	s.Sought()
	s.Apply(gateway, nil)
	roots("nobody has looked since it was sought anew", 0)
}

// TestCallersAreSoughtAtOnce: all Secrets that a server may need are asked for before any of them is there. A source that reads those alone that are
// named would tell of the authorities only after it has said that all has been read, and until then others would vouch for callers, or none.
func TestCallersAreSoughtAtOnce(t *testing.T) {
	for tls, want := range map[string][]string{
		"mode: SIMPLE, credentialName: edge":                                        {"edge"},
		"mode: MUTUAL, credentialName: edge":                                        {"edge", "edge-cacert"},
		"mode: OPTIONAL_MUTUAL, credentialNames: [edge, other]":                     {"edge", "edge-cacert", "other"},
		"mode: MUTUAL, credentialName: edge, caCertCredentialName: ca":              {"ca", "edge"},
		"mode: MUTUAL, caCertCredentialName: ca":                                    nil,
		"mode: MUTUAL, credentialName: edge, caCertCredentialName: elsewhere/edge2": {"edge"},
	} {
		s := dialect.NewSet(kinds)
		s.Seek("", "Secret")
		s.Apply(dialecttest.Objects(t, kinds, "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: edge, namespace: shop}\nspec: {selector: {istio: x}, servers: "+
			"[{port: {number: 443, name: https, protocol: HTTPS}, hosts: [a.example], tls: {"+tls+"}}]}\n"), nil)
		keys, _ := s.Sought()
		var got []string
		for _, k := range keys {
			got = append(got, k.Name)
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", tls, got, want)
		}
	}
}
