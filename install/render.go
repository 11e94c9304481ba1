package install

import (
	"cmp"
	"embed"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"helm.sh/helm/v4/pkg/chart/common" // Helm's own engine, so that weft install and helm install say the same
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/loader/archive"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	releaseutil "helm.sh/helm/v4/pkg/release/v1/util"
	"sigs.k8s.io/yaml"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/inject"
)

//go:embed all:chart
var chartFiles embed.FS

// Options say what to install.
type Options struct {
	Namespace string         // [DefaultNamespace]
	Version   string         // of the image, where Values name none
	Values    map[string]any // over those of the chart, as Read makes them; nil: none
}

// Object is one of those to be applied.
type Object struct {
	Key  dialect.Key
	Tree map[string]any
	Text string // YAML
}

// Render returns weft's objects in the order in which they are to be applied.
func Render(o Options) ([]Object, error) {
	o.Namespace = cmp.Or(o.Namespace, DefaultNamespace)
	c, err := load(o.Version)
	if err != nil {
		return nil, err
	}
	release := common.ReleaseOptions{Name: "weft", Namespace: o.Namespace, IsInstall: true}
	top, err := util.ToRenderValues(c, o.Values, release, nil)
	if err != nil {
		return nil, fmt.Errorf("the values: %w\nweft install --show-values prints those that there are", told(err))
	}
	values, _ := top["Values"].(common.Values)
	if err := sound(o.Namespace, o.Values, values); err != nil {
		return nil, err
	}
	top["Release"].(map[string]any)["Service"] = ours // Helm names itself
	files, err := engine.Render(c, top)
	if err != nil {
		return nil, fmt.Errorf("render the chart: %w", err)
	}
	_, manifests, err := releaseutil.SortManifests(files, nil, releaseutil.InstallOrder)
	if err != nil {
		return nil, fmt.Errorf("order the chart's objects: %w", err)
	}
	var out []Object
	for _, m := range manifests {
		x, err := parse(m.Content)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.Name, err)
		}
		if x.Key.Kind == "ConfigMap" && x.Key.Name == injector {
			if _, err := options(x); err != nil { // the control plane would not begin
				return nil, fmt.Errorf("the values of inject and image: %w", err)
			}
		}
		out = append(out, x)
	}
	return out, nil
}

// load reads the chart that is built in.
func load(version string) (*chart.Chart, error) {
	files, err := builtIn()
	if err != nil {
		return nil, err
	}
	c, err := loader.LoadFiles(files)
	if err != nil {
		return nil, fmt.Errorf("the chart: %w", err)
	}
	if version != "" {
		c.Metadata.AppVersion = version
	}
	return c, nil
}

// builtIn is the chart's files.
func builtIn() (files []*archive.BufferedFile, err error) {
	err = fs.WalkDir(chartFiles, "chart", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := chartFiles.ReadFile(name)
		files = append(files, &archive.BufferedFile{Name: strings.TrimPrefix(name, "chart/"), Data: data})
		return err
	})
	return files, err
}

// parse reads one object of YAML.
func parse(text string) (Object, error) {
	x := Object{Text: strings.TrimSpace(text) + "\n"}
	if err := yaml.Unmarshal([]byte(text), &x.Tree); err != nil {
		return x, err
	}
	x.Key = keyOf(x.Tree)
	return x, nil
}

func keyOf(tree map[string]any) dialect.Key {
	group := path.Dir(text(tree, "apiVersion"))
	if group == "." {
		group = ""
	}
	return dialect.Key{Group: group, Kind: text(tree, "kind"), Namespace: text(tree, "metadata", "namespace"), Name: text(tree, "metadata", "name")}
}

// Injection is what those options make of injection: the same that the webhook would be told.
func Injection(o Options) (inject.Options, error) {
	objects, err := Render(o)
	if err != nil {
		return inject.Options{}, err
	}
	for _, x := range objects {
		if x.Key.Kind == "ConfigMap" && x.Key.Name == injector {
			return options(x)
		}
	}
	return inject.Options{}, fmt.Errorf("the chart has no ConfigMap %s", injector)
}

// options are those of injection that the ConfigMap of them holds.
func options(x Object) (inject.Options, error) {
	return inject.ParseOptions([]byte(text(x.Tree, "data", "inject.yaml")))
}

// Remember is the object that keeps the values for the next Upgrade.
func Remember(o Options) (Object, error) {
	values, err := yaml.Marshal(o.Values)
	if err != nil {
		return Object{}, fmt.Errorf("write the values: %w", err)
	}
	tree := map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": given, "namespace": cmp.Or(o.Namespace, DefaultNamespace),
		"labels": map[string]any{partOf: ours, managedBy: ours}}, "data": map[string]any{"values.yaml": string(values)}}
	b, err := yaml.Marshal(tree)
	return Object{Key: keyOf(tree), Tree: tree, Text: string(b)}, err
}
