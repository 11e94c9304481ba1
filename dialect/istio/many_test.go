package istio_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/dialecttest"
)

// BenchmarkManyGateways is a change of one of many Gateways of the same proxies, each with a VirtualService: whoever may write them in one
// namespace has the control plane look at all of them for each.
func BenchmarkManyGateways(b *testing.B) {
	const n = 400
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "---\napiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: g%d, namespace: a}\nspec: {selector: {istio: x}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [h%d.example]}]}\n", i, i)
		fmt.Fprintf(&text, "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: v%d, namespace: a}\nspec: {hosts: [h%d.example], gateways: [g%d], http: [{route: [{destination: {host: a}}]}]}\n", i, i, i)
	}
	list := dialecttest.Objects(b, kinds, text.String())
	s := dialect.NewSet(kinds)
	s.Apply(list, nil)
	for b.Loop() {
		s.Apply(nil, []dialect.Key{list[0].Key()})
		s.Apply(list[:1], nil)
	}
}
