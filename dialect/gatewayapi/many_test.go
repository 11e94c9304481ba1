package gatewayapi_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/dialecttest"
)

// BenchmarkManyPolicies is a change of one of many BackendTLSPolicies of a namespace, each of which asks whether an older one is for its Service.
func BenchmarkManyPolicies(b *testing.B) {
	const n = 400
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "---\napiVersion: v1\nkind: Service\nmetadata: {name: s%d, namespace: a}\nspec: {clusterIP: 10.0.%d.%d, ports: [{port: 80}]}\n", i, i/200, i%200+1)
		fmt.Fprintf(&text, "---\napiVersion: gateway.networking.k8s.io/v1\nkind: BackendTLSPolicy\nmetadata: {name: p%d, namespace: a}\nspec: {targetRefs: [{group: '', kind: Service, name: s%d}], validation: {hostname: a.example, wellKnownCACertificates: System}}\n", i, i)
	}
	list := dialecttest.Objects(b, kinds, text.String())
	s := dialect.NewSet(kinds)
	s.Apply(list, nil)
	last := list[len(list)-1:]
	for b.Loop() {
		s.Apply(nil, []dialect.Key{last[0].Key()})
		s.Apply(last, nil)
	}
}
