package gateway_test

import (
	"slices"
	"testing"

	"github.com/weft-mesh/weft/install/gateway"
	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/mesh"
)

// TestApart: by a label that its object asks for, a gateway's pods get the calls of no service that is not the gateway's; nor are weft's own labels
// anybody else's to say. GEP-1867: "this should be the metadata.labels field on resources", and pods are one of them as far as that goes.
func TestApart(t *testing.T) {
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
		apart   []string
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
		apart, because := gateway.Apart(g, []*mesh.Service{x.service})
		if !slices.Equal(apart, x.apart) || (len(because) > 0) != (x.apart != nil) {
			t.Errorf("%s: %v, want %v, because of %v", name, apart, x.apart, because)
		}
		list, err := gateway.Objects(g, options, apart...)
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
			for key, want := range map[string]string{"team": "shop", "weft.dev/inject": "disabled", "gateway.networking.k8s.io/gateway-name": "edge", gateway.ManagedLabel: "weft"} {
				if labels[key] != want {
					t.Errorf("%s: a pod's %s is %v, want %s", name, key, labels[key], want)
				}
			}
			for _, key := range []string{"app", "tier"} {
				if (labels[key] == nil) != slices.Contains(x.apart, key) {
					t.Errorf("%s: a pod's %s is %v", name, key, labels[key])
				}
			}
		}
	}
}
