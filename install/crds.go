package install

import (
	"bytes"
	"compress/gzip"
	"context"
	"embed"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/source/files"
)

// definitions holds the CustomResourceDefinitions of other projects, a folder each, out of their own Go modules: make build puts
// them there, since a module can embed no file of another.
//
//go:embed all:definitions
var definitions embed.FS

// Projects are those whose kinds can be installed.
func Projects() (out []string) {
	out = slices.Collect(maps.Keys(shapeless))
	entries, err := fs.ReadDir(definitions, "definitions")
	if err != nil {
		return nil
	}
	for _, e := range entries {
		if e.IsDir() {
			out = append(out, e.Name())
		}
	}
	slices.Sort(out)
	return out
}

// Definitions returns the kinds of a project, to be applied before anything that is of them. Their descriptions are left out: with
// them kubectl apply, which keeps a copy in an annotation, finds some too long.
func Definitions(project string) (out []Object, err error) {
	if d, ok := shapeless[project]; ok {
		return define(d)
	}
	if !slices.Contains(Projects(), project) {
		return nil, fmt.Errorf("no CustomResourceDefinitions of %q are built in: want some of %s; those of other Go modules are there if weft is built by make build",
			project, strings.Join(Projects(), ", "))
	}
	names, err := fs.Glob(definitions, path.Join("definitions", project, "*.yaml.gz"))
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		packed, err := definitions.ReadFile(name)
		if err != nil {
			return nil, err
		}
		more, err := unpack(packed)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out = append(out, more...)
	}
	return out, nil
}

func unpack(packed []byte) (out []Object, err error) {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(z)
	if err != nil {
		return nil, err
	}
	for _, d := range files.Documents(data) {
		x, err := parse(string(d.Text))
		if err != nil {
			return nil, err
		}
		if x.Key.Kind != "CustomResourceDefinition" {
			continue
		}
		undescribed(x.Tree, false)
		label(x.Tree)
		b, err := yaml.Marshal(x.Tree)
		if err != nil {
			return nil, err
		}
		x.Text = string(b)
		out = append(out, x)
	}
	return out, nil
}

// undescribed drops the descriptions of a schema and of all schemas inside. A property may have that name: named says that tree
// is of names.
func undescribed(tree any, named bool) {
	switch tree := tree.(type) {
	case map[string]any:
		if _, is := tree["description"].(string); is && !named {
			delete(tree, "description")
		}
		for key, v := range tree {
			undescribed(v, key == "properties" && !named)
		}
	case []any:
		for _, v := range tree {
			undescribed(v, false)
		}
	}
}

// label makes an object part of weft, for who looks for what weft brought.
func label(tree map[string]any) {
	meta, _ := at[map[string]any](tree, "metadata")
	labels, _ := at[map[string]any](meta, "labels")
	if labels == nil {
		labels = map[string]any{}
	}
	labels[partOf] = ours
	meta["labels"] = labels
}

// Missing are those definitions that the cluster has not: others may be of another version, which is their owner's choice.
func Missing(ctx context.Context, c Cluster, all []Object) (missing []Object, err error) {
	for _, x := range all {
		versions, err := c.Serves(ctx, text(x.Tree, "spec", "group"), text(x.Tree, "spec", "names", "kind"))
		if err != nil {
			return nil, err
		}
		if len(versions) == 0 {
			missing = append(missing, x)
		}
	}
	return missing, nil
}

// gatewayClass is the kind by which one sees whether the Gateway API is there.
var gatewayClass = dialect.Key{Group: "gateway.networking.k8s.io", Kind: "GatewayClass"}
