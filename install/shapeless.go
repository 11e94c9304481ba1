package install

import (
	"fmt"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/all"
	"github.com/weft-mesh/weft/dialect/schema"
)

// shapeless are the projects whose own definitions cannot be had as a Go module: theirs are made of the kinds that have an effect. Their
// objects are stored as they are written; weft's readers judge every field, and say what is wrong in status and weft analyze.
var shapeless = map[string]decision.Dialect{"linkerd": decision.Linkerd, "cilium": decision.Cilium}

func define(of decision.Dialect) (out []Object, err error) {
	for _, k := range all.Kinds("cluster.local") {
		if k.Dialect != of || k.Lower == nil {
			continue
		}
		tree := definition(&k)
		b, err := yaml.Marshal(tree)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", k.Name, err)
		}
		out = append(out, Object{Key: keyOf(tree), Tree: tree, Text: string(b)})
	}
	return out, nil
}

func definition(k *dialect.Kind) map[string]any {
	scope := "Namespaced"
	if k.Cluster {
		scope = "Cluster"
	}
	fields := map[string]any{}
	for name := range k.Schema.Fields {
		if name == "apiVersion" || name == "kind" || name == "metadata" {
			continue // every object has these: the API server refuses a definition that says so otherwise
		}
		fields[name] = map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}
		if k.Schema.Fields[name].Type == schema.ListType {
			fields[name] = map[string]any{"type": "array", "items": map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}}
		}
	}
	shape := map[string]any{"openAPIV3Schema": map[string]any{"type": "object", "properties": fields}}
	var versions []any
	for i, v := range k.Versions {
		versions = append(versions, map[string]any{"name": v, "served": true, "storage": i == 0, "schema": shape, "subresources": map[string]any{"status": map[string]any{}}})
	}
	names := plural(k.Name)
	return map[string]any{"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": map[string]any{"name": names + "." + k.Group, "labels": map[string]any{partOf: ours}},
		"spec": map[string]any{"group": k.Group, "scope": scope, "versions": versions,
			"names": map[string]any{"kind": k.Name, "listKind": k.Name + "List", "plural": names, "singular": strings.ToLower(k.Name)}}}
}
