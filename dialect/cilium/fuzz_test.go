package cilium_test

import (
	"testing"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/dialecttest"
	"github.com/weft-mesh/weft/mesh"
)

// FuzzRead: whatever is written, reading ends, and what is in force can be merged, compiled and judged by.
func FuzzRead(f *testing.F) {
	f.Add("app", "web", "In", "80", "/a.*", "X-A: b", "10.0.0.0/8", int64(90))
	f.Add("k8s:io.kubernetes.pod.namespace", "shop", "In", "80", "/a.*", "X-A: b", "10.0.0.0/8", int64(90))
	f.Add("io.cilium.k8s.namespace.labels.team", "a", "NotIn", "http", "GET|HEAD", "X-A:b", "192.0.2.1", int64(-1))
	f.Add("$host", "", "DoesNotExist", "0", "(", "", "::/0", int64(70000))
	f.Add("io.cilium.k8s.policy.serviceaccount", "web", "In", "0x10", "", " ", "office", int64(0))
	objects := dialecttest.Objects(f, kinds, around+cnp(`
endpointSelector: {matchExpressions: [{key: $0, operator: $2, values: [$1]}]}
enableDefaultDeny: {ingress: false}
ingress:
- fromEndpoints: [{matchLabels: {$0: $1}, matchExpressions: [{key: $0, operator: $2, values: [$1, $6]}]}, {matchExpressions: [{key: $0, operator: Exists}]}]
  toPorts:
  - ports: [{port: $3, endPort: $7, protocol: TCP}]
    rules: {http: [{path: $4, method: $4, host: $4, headers: [$5], headerMatches: [{name: $5, value: $1}]}]}
- fromCIDRSet: [{cidr: $6, except: [$6]}, {cidrGroupRef: $6}, {cidrGroupSelector: {matchLabels: {$0: $1}}}]
ingressDeny:
- toPorts: [{ports: [{port: $3}]}]
egress:
- toCIDR: [$6]
  toPorts: [{ports: [{port: $3, protocol: ANY}]}]
- toEntities: [world]
`))
	part, found := dialect.Read(kinds, dialecttest.Fill(objects[len(objects)-1], "app", "web", "In", "80", "/a.*", "X-A: b", "10.0.0.0/8", int64(90)), dialecttest.View(objects))
	if len(part.Authorizations) != 2 {
		f.Fatal("the sample is not in force", dialecttest.Show(found))
	}
	f.Fuzz(func(t *testing.T, key, value, operator, port, re, header, block string, end int64) {
		o := dialecttest.Fill(objects[len(objects)-1], key, value, operator, port, re, header, block, end)
		part, _ := dialect.Read(kinds, o, dialecttest.View(objects))
		if len(part.Authorizations) == 0 {
			return
		}
		s, _ := mesh.New().With([]mesh.Change{{New: &mesh.Part{Workloads: []mesh.Workload{web}}}, {New: &part}})
		w := s.Workloads.Get("shop/web")
		for _, e := range append(s.Inbound(w).Authz, s.Egress(w)...) {
			if err := e.Compile(); err != nil {
				t.Error(err)
				continue
			}
			e.Judge(get("GET /"), &front)
		}
	})
}
