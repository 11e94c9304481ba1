package gateway_test

import (
	"slices"
	"testing"

	"github.com/weft-mesh/weft/install/gateway"
	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/mesh"
)

// TestJoins: a gateway's pods belong to a service that is not the gateway's by labels that its object asks for, and not by those that are weft's own
// to say.
func TestJoins(t *testing.T) {
	service := func(namespace, name string, labels ...string) *mesh.Service {
		s := &mesh.Service{Namespace: namespace, Name: name}
		if labels != nil {
			s.Selector = &match.Selector{Labels: labels}
		}
		return s
	}
	const own = "gateway.networking.k8s.io/gateway-name=edge"
	for name, x := range map[string]struct {
		service *mesh.Service
		by      []string
	}{
		"somebody's":             {service("shop", "payments", "app=payments"), []string{"app"}},
		"with more labels":       {service("shop", "payments", "app=payments", "tier=back"), []string{"app", "tier"}},
		"with a label of weft's": {service("shop", "payments", "app=payments", own), []string{"app"}},
		"of another value":       {service("shop", "orders", "app=orders"), nil},
		"that asks for more":     {service("shop", "payments", "app=payments", "tier=front"), nil},
		"of another namespace":   {service("bank", "payments", "app=payments"), nil},
		"without a selector":     {service("shop", "payments"), nil},
		"the gateway's":          {service("shop", "edge-weft", "app=payments"), nil},
		"for the gateway":        {service("shop", "more-ports", own), nil},
	} {
		g := edge()
		g.Made.Labels = map[string]string{"app": "payments", "tier": "back", "team": "shop", "weft.dev/inject": "enabled",
			"gateway.networking.k8s.io/gateway-name": "other", gateway.ManagedLabel: "me"}
		joined, keys := gateway.Joins(g, []*mesh.Service{x.service})
		if !slices.Equal(keys, x.by) || (len(joined) > 0) != (x.by != nil) {
			t.Errorf("%s: joins %v by %v, want %v", name, joined, keys, x.by)
		}
		list, err := gateway.Objects(g, options)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range list {
			if field(t, o, "metadata", "labels", "app") != "payments" {
				t.Errorf("%s: %v", o["kind"], o["metadata"])
			}
			if o["kind"] != "Deployment" {
				continue
			}
			labels := field(t, o, "spec", "template", "metadata", "labels").(map[string]any)
			for key, want := range map[string]string{"app": "payments", "weft.dev/inject": "disabled", "gateway.networking.k8s.io/gateway-name": "edge", gateway.ManagedLabel: "weft"} {
				if labels[key] != want {
					t.Errorf("%s: a pod's %s is %v, want %s", name, key, labels[key], want)
				}
			}
		}
	}
}
