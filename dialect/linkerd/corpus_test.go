package linkerd_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/dialecttest"
	"github.com/weft-mesh/weft/dialect/linkerd"
	"github.com/weft-mesh/weft/mesh"
)

// corpus reads a file that other people wrote, or skips the test.
func corpus(t *testing.T, name string) string {
	t.Helper()
	dir := os.Getenv("WEFT_SHARED")
	if dir == "" {
		dir = "../../../shared"
	}
	text, err := os.ReadFile(filepath.Join(dir, "corpus", name))
	if err != nil {
		t.Skip("no corpus here")
	}
	return string(text)
}

// TestEmojivoto: the Servers of the sample let pass whom its authorizations name.
func TestEmojivoto(t *testing.T) {
	objects := dialecttest.Objects(t, linkerd.Kinds(td), corpus(t, "linkerd/emojivoto-policy.yml"))
	allowed := map[string]string{"emoji-grpc": "internal-grpc", "voting-grpc": "internal-grpc", "web-http": "web-public", "prom": "prom-prometheus", "admin": "admin-everyone"}
	for _, o := range objects {
		part, found := dialect.Read(kinds, o, dialecttest.View(objects))
		for _, f := range found {
			if f.Field != "spec.proxyProtocol" && !strings.Contains(f.Text, "selects too") || f.Level == mesh.Error {
				t.Error(f.String())
			}
		}
		if o.Kind != "Server" {
			continue
		}
		rules := part.Authorizations[0].Tiers[0].Rules
		if len(rules) != 1 || rules[0].Ref.Name != allowed[o.Name] {
			t.Errorf("%s: %+v", o.Name, rules)
		}
		if internal := o.Name == "emoji-grpc" || o.Name == "voting-grpc"; internal !=
			(len(rules[0].From[0].Principals) == 1 && rules[0].From[0].Principals[0].Value == "cluster.local/ns/emojivoto/sa/web") {
			t.Errorf("%s lets %+v pass", o.Name, rules[0].From)
		}
		delete(allowed, o.Name)
	}
	if len(allowed) > 0 {
		t.Errorf("no Server: %v", allowed)
	}
}

// TestSeedServerAuthorization: with a Server, the published example lets pass who is not authenticated.
func TestSeedServerAuthorization(t *testing.T) {
	seed := strings.Replace(corpus(t, "seeds/linkerd-serverauthorization.yaml"), "name: backend-authz", "name: backend-authz\n  namespace: shop", 1)
	if ok, why := judge(t, nobody, server("backend", "podSelector: {matchLabels: {app: backend}}\nport: 80"), seed); !ok || why != "ServerAuthorization shop/backend-authz (linkerd)" {
		t.Error(ok, why)
	}
}
