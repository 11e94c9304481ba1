package install

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"

	"helm.sh/helm/v4/pkg/chart/loader/archive"
	"sigs.k8s.io/yaml"
)

// keep has Helm leave an object where it is when its release goes, or has it no more.
const keep = "helm.sh/resource-policy"

// WriteChart writes what Pack returns into a directory, which is made if there is none, and tells its name.
func WriteChart(tell io.Writer, dir, version string) error {
	name, packed, err := Pack(version)
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	name = filepath.Join(dir, name)
	if err == nil {
		err = os.WriteFile(name, packed, 0o644)
	}
	if err == nil {
		_, err = fmt.Fprintln(tell, name)
	}
	return err
}

// Pack returns the chart as a file that helm install takes, and the file's name. It is of a version, so that its image has that tag, and has the kinds of
// all Projects: its value crds says whose are brought, and of these Helm brings the ones that the cluster has not. Without some it is an error.
func Pack(version string) (name string, packed []byte, err error) {
	c, err := load(version)
	if err != nil {
		return "", nil, err
	}
	c.Metadata.Version += "+" + odd.ReplaceAllString(version, "-")
	about, err := yaml.Marshal(c.Metadata)
	if err != nil {
		return "", nil, err
	}
	all, err := builtIn()
	if err != nil {
		return "", nil, err
	}
	for _, f := range all {
		if f.Name == "Chart.yaml" {
			f.Data = about
		}
	}
	for _, project := range []string{"gateway-api", "istio", "linkerd", "cilium"} {
		kinds, err := kept(project)
		if err != nil {
			return "", nil, err
		}
		all = append(all, kinds...)
	}
	packed, err = tarred(c.Metadata.Name, all)
	return c.Metadata.Name + "-" + c.Metadata.Version + ".tgz", packed, err
}

// odd is what the last part of a chart's version cannot have (Semantic Versioning 2.0.0, section 10).
var odd = regexp.MustCompile(`[^0-9A-Za-z.-]+`)

// kept are a project's kinds as files of the chart.
func kept(project string) (out []*archive.BufferedFile, err error) {
	kinds, err := Definitions(project)
	if err != nil {
		return nil, err
	}
	for _, x := range kinds {
		meta, _ := at[map[string]any](x.Tree, "metadata")
		notes, _ := at[map[string]any](meta, "annotations")
		if notes == nil {
			notes = map[string]any{}
		}
		notes[keep] = "keep"
		meta["annotations"] = notes
		text, err := yaml.Marshal(x.Tree)
		if err != nil {
			return nil, err
		}
		out = append(out, &archive.BufferedFile{Name: fmt.Sprintf("definitions/%s/%s.yaml", project, x.Key.Name), Data: text})
	}
	return out, nil
}

// tarred is files in a folder, as Helm reads charts. The same files are the same bytes.
func tarred(folder string, files []*archive.BufferedFile) ([]byte, error) {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	w := tar.NewWriter(z)
	for _, f := range files {
		if err := w.WriteHeader(&tar.Header{Name: path.Join(folder, f.Name), Mode: 0o644, Size: int64(len(f.Data))}); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.Data); err != nil {
			return nil, err
		}
	}
	err := errors.Join(w.Close(), z.Close())
	return out.Bytes(), err
}
