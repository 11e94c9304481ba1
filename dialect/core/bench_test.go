package core_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/source/files"
)

// BenchmarkApply is a mesh of 1,000 services with 10 pods each, from parsed objects to parts.
func BenchmarkApply(b *testing.B) {
	var yaml strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&yaml, "apiVersion: v1\nkind: Service\nmetadata: {name: s%d}\nspec: {selector: {app: s%d}, ports: [{name: http, port: 80}]}\n---\n", i, i)
		for j := range 10 {
			fmt.Fprintf(&yaml, "apiVersion: v1\nkind: Pod\nmetadata: {name: p%d-%d, labels: {app: s%d, version: v1}}\nspec: {serviceAccountName: s%d, containers: "+
				"[{name: app, image: i, ports: [{containerPort: 80}], env: [{name: A, value: b}]}]}\nstatus: {podIP: 10.0.%d.%d, conditions: "+
				"[{type: Ready, status: \"True\"}]}\n---\n", i, j, i, i, i%250, j)
		}
	}
	objects, found := files.Parse(kinds, "a.yaml", []byte(yaml.String()), time.Unix(0, 0))
	if len(found) > 0 || len(objects) != 11_000 {
		b.Fatal(len(objects), found)
	}
	b.ReportAllocs()
	for b.Loop() {
		dialect.NewSet(kinds).Apply(objects, nil)
	}
}
