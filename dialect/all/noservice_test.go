package all

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/dialect/dialecttest"
	"github.com/weft-mesh/weft/mesh"
)

// Where there is no Service at all, as in the files of one who makes them by weft run, a name is not taken for a mistake; beside
// others it is.
func TestNoService(t *testing.T) {
	const other = "apiVersion: v1\nkind: Service\nmetadata: {name: other, namespace: %s}\nspec: {ports: [{port: 80}]}\n---\n"
	for name, doc := range map[string]string{
		"VirtualService": "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a}\n" +
			"spec: {hosts: [reviews], http: [{route: [{destination: {host: reviews}}]}]}",
		"DestinationRule": "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: a}\nspec: {host: reviews}",
		"HTTPRoute": "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: a}\n" +
			"spec: {parentRefs: [{group: '', kind: Service, name: reviews}], rules: [{backendRefs: [{name: reviews, port: 80}]}]}",
		"ServiceProfile": "apiVersion: linkerd.io/v1alpha2\nkind: ServiceProfile\nmetadata: {name: reviews.default.svc.cluster.local}\nspec: {routes: []}",
	} {
		for services, level := range map[string]mesh.Level{"": mesh.Info, strings.Replace(other, "%s", "shop", 1): mesh.Warning} {
			_, found := dialecttest.Lower(t, Kinds("cluster.local"), services+doc)
			n := 0
			for _, f := range found {
				if strings.Contains(f.Remedy, "weft run --service reviews") {
					n++
					if f.Level != level {
						t.Errorf("%s: %s: %s, want %s", name, f.Level, f.String(), level)
					}
				}
			}
			if n == 0 {
				t.Errorf("%s: nothing is said of it: %v", name, found)
			}
		}
	}
}

// Of what an API server has given, as a dump of a cluster, no remedy is to start a process: there are no such workloads there.
func TestNoServiceOfCluster(t *testing.T) {
	const (
		route = "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: a%s}\nspec: {parentRefs: [{group: '', kind: Service, name: reviews}]}\n"
		other = "---\napiVersion: v1\nkind: Service\nmetadata: {name: other%s}\nspec: {ports: [{port: 80}]}\n"
		uid   = ", uid: 0d5c7d63-4c3b-4d8e-9d0a-1c5a3a0e7f11"
	)
	for docs, want := range map[string]string{
		fmt.Sprintf(route, uid):                           "kubectl get services -A -o yaml",
		fmt.Sprintf(route, uid) + fmt.Sprintf(other, uid): "correct the name, or write the Service",
		fmt.Sprintf(route, "") + fmt.Sprintf(other, uid):  "correct the name, or write the Service", // a draft beside a dump
		fmt.Sprintf(route, "") + fmt.Sprintf(other, ""):   "make it by weft run --service reviews --port PORT",
		fmt.Sprintf(route, ", generation: 1"):             "weft run --service reviews --port PORT makes it",
	} {
		_, found := dialecttest.Lower(t, Kinds("cluster.local"), docs)
		said := slices.ContainsFunc(found, func(f mesh.Finding) bool { return strings.Contains(f.Remedy, want) })
		run := slices.ContainsFunc(found, func(f mesh.Finding) bool { return strings.Contains(f.Remedy, "weft run") })
		if !said || run != strings.Contains(want, "weft run") {
			t.Errorf("%s\ngot %v, want %s", docs, found, want)
		}
	}
}
