package dns

import (
	"strings"
	"testing"
)

func TestHostsOfAName(t *testing.T) {
	for in, want := range map[string]string{
		"a": "a.shop.svc.cluster.local", "a.b": "a.b.svc.cluster.local", "a.b.svc": "a.b.svc.cluster.local",
		"a.b.svc.cluster.local": "a.b.svc.cluster.local", "x.a.b.svc.cluster.local": "", "www.example.org": "", "": "",
	} {
		if got := strings.Join(Hosts(in, "shop"), " "); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
