package install

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/strvals"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"

	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/source/files"
)

// File is one of values, in YAML; Name is what its reader knows it by.
type File struct {
	Name string
	Text []byte
}

// Read merges values: files in their order, then settings as NAME=VALUE, in Helm's syntax, then settings whose values are text whatever they
// look like.
func Read(all []File, settings, texts []string) (map[string]any, error) {
	out := map[string]any{}
	for _, f := range all {
		values, err := f.values()
		if err != nil {
			return nil, err
		}
		out = loader.MergeMaps(out, values)
	}
	for _, s := range settings {
		if err := strvals.ParseInto(s, out); err != nil {
			return nil, fmt.Errorf("--set %s: %w", s, err)
		}
	}
	for _, s := range texts {
		if err := strvals.ParseIntoString(s, out); err != nil {
			return nil, fmt.Errorf("--set-string %s: %w", s, err)
		}
	}
	return out, nil
}

func (f *File) values() (values map[string]any, err error) {
	some := 0
	for _, d := range files.Documents(f.Text) {
		var v any
		if err := yaml.UnmarshalStrict(d.Text, &v); err != nil {
			return nil, fmt.Errorf("--values %s: in the document that begins at line %d: %s", f.Name, d.Above+1, strings.TrimPrefix(err.Error(), "error converting YAML to JSON: "))
		}
		if v == nil {
			continue
		}
		m, ok := v.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("--values %s: line %d: values are NAME: VALUE, as control: {replicas: 2}", f.Name, d.Above+1)
		}
		if some++; some > 1 {
			return nil, fmt.Errorf("--values %s: line %d: a second document begins, and only one would count: put all into one, or into files of their own", f.Name, d.Above+1)
		}
		values = m
	}
	return values, nil
}

// Merge returns values with others over them.
func Merge(values, over map[string]any) map[string]any { return loader.MergeMaps(values, over) }

// Defaults is the chart's values.yaml: each value, what it is for, and what holds without it.
func Defaults() ([]byte, error) { return chartFiles.ReadFile("chart/values.yaml") }

var (
	misfit  = regexp.MustCompile(`(?m)^\s*- at '/?([^']*)': (.*)$`)
	unknown = regexp.MustCompile(`^additional properties (.*) not allowed$`)
)

// told is what Helm says of values that do not fit the chart's schema, in the words in which they are written.
func told(err error) error {
	var lines []string
	for _, m := range misfit.FindAllStringSubmatch(err.Error(), -1) {
		at := strings.ReplaceAll(m[1], "/", ".")
		if names := unknown.FindStringSubmatch(m[2]); names != nil {
			for name := range strings.SplitSeq(names[1], ", ") {
				lines = append(lines, strings.TrimPrefix(at+"."+strings.Trim(name, "'"), ".")+": there is no such value")
			}
			continue
		}
		if m[2] != "validation failed" { // the lines below it say why
			lines = append(lines, at+": "+m[2])
		}
	}
	if len(lines) == 0 {
		return err
	}
	slices.Sort(lines) // they come in any order
	return errors.New(strings.Join(lines, "\n"))
}

// sound refuses what the schema lets pass, and the control plane or the API server would not take, or would take too well. Values are what is given over those of the chart.
func sound(namespace string, given, values map[string]any) error {
	for name, v := range given {
		if v == nil {
			return fmt.Errorf("the values: %s: null takes away all values of it: leave it out", name)
		}
	}
	if wrong := validation.IsDNS1123Label(namespace); len(wrong) > 0 {
		return fmt.Errorf("namespace %s: %s", namespace, wrong[0])
	}
	if create, _ := at[bool](values, "namespace", "create"); create && (namespace == "default" || strings.HasPrefix(namespace, "kube-")) {
		return fmt.Errorf("namespace %s is the cluster's own, and weft's is closed to other pods, and goes when weft goes: name another", namespace)
	}
	if of, some := at[string](values, "gateways", "replicas"); some && of != "" {
		if _, err := mesh.ParseReplicas(of); err != nil {
			return fmt.Errorf("gateways.replicas: %w", err)
		}
	}
	if of, _ := at[string](values, "gateways", "cpu"); of != "" {
		if _, err := resource.ParseQuantity(of); err != nil {
			return fmt.Errorf("gateways.cpu: %q is no quantity: want one, as 800m", of)
		}
	}
	return nil
}
