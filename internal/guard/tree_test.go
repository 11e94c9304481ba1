package guard

import (
	"io/fs"
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/inject"
	"github.com/weft-mesh/weft/install"
	"github.com/weft-mesh/weft/observe"
	"github.com/weft-mesh/weft/observe/metrics"
	"github.com/weft-mesh/weft/traffic"
)

var root = os.DirFS("../..")

func exists(name string) bool {
	_, err := fs.Stat(root, name)
	return err == nil
}

// This repository keeps its rules.
func TestTree(t *testing.T) {
	tree, err := Load(root)
	if err != nil {
		t.Fatal(err)
	}
	for name, broken := range map[string][]string{
		"order": Order(tree), "pure": Pure(tree), "sole": Sole(tree), "shape": Shape(tree), "comments": Comments(tree),
		"features": Features(tree, exists), "metrics": Registered(tree),
	} {
		for _, b := range broken {
			t.Errorf("%s: %s", name, b)
		}
	}
}

// Every exception is needed: one that nothing uses any more goes.
func TestExceptions(t *testing.T) {
	tree, err := Load(root)
	if err != nil {
		t.Fatal(err)
	}
	used := map[[2]string]bool{}
	for _, p := range tree {
		for _, f := range p.code() {
			for _, imp := range f.Imports() {
				used[[2]string{p.Path, imp.Path}] = true
				used[[2]string{p.Path, path.Dir(imp.Path) + "/*"}] = true
			}
		}
	}
	for pair, why := range inside {
		if !used[pair] {
			t.Errorf("%v (%s) is not needed", pair, why)
		}
	}
	for pair, why := range reaches {
		if !used[pair] {
			t.Errorf("%v (%s) is not needed", pair, why)
		}
	}
}

func TestLinked(t *testing.T) {
	for _, l := range links {
		if _, err := fs.Stat(root, l.pkg); err != nil {
			t.Errorf("%s: %v", l.pkg, err)
			continue
		}
		cmd := exec.Command("go", "list", "-deps", "./"+l.pkg)
		cmd.Dir = "../.."
		out, err := cmd.Output()
		if err != nil {
			t.Errorf("%s cannot be listed (%v): go build ./%s says why", l.pkg, err, l.pkg)
		}
		for _, b := range Links(l.pkg, strings.Fields(string(out))) {
			t.Error(b)
		}
	}
}

// Every file, also those that tools leave alone.
func TestFiles(t *testing.T) {
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == ".git" || d.Name() == ".cache" || name == "bin"):
			return fs.SkipDir
		case d.IsDir() || strings.HasPrefix(name, "internal/guard/words"): // they name what is forbidden
			return nil
		}
		text, err := fs.ReadFile(root, name)
		if err != nil || !utf8.Valid(text) {
			return err
		}
		broken := Words(name, string(text))
		if path.Ext(name) == ".go" {
			broken = append(broken, Format(name, text)...)
		}
		for _, b := range broken {
			t.Error(b)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// What a proxy exposes of calls keeps the rule of names.
func TestMetrics(t *testing.T) {
	r := &metrics.Registry{}
	for _, proto := range []traffic.Proto{traffic.HTTP1, traffic.GRPC, traffic.TCP} {
		rec := &observe.Record{}
		rec.Proto, rec.Service, rec.Status, rec.Took, rec.Attempts = proto, "reviews.default", 200, time.Millisecond, 2
		rec.Deciding = decision.Verdict{Reason: decision.Matched}
		r.Take(rec)
	}
	text := string(r.Append(nil))
	if !strings.Contains(text, "weft_requests_total{") || !strings.Contains(text, "weft_request_duration_seconds_bucket{") {
		t.Errorf("no samples:\n%s", text)
	}
	for _, b := range Exposition(text) {
		t.Error(b)
	}
}

// said is a metric's name in a page, and named in the code.
var (
	said  = regexp.MustCompile("`(weft_[a-z_]*[a-z])(?:\\{[^`]*)?`")
	named = regexp.MustCompile(`"(weft_[a-z_]+)"`)
)

// Metrics and ports that pages speak of are there.
func TestPagesNames(t *testing.T) {
	tree, err := Load(root)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, p := range tree {
		for _, f := range p.code() {
			text, err := fs.ReadFile(root, f.Name)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range named.FindAllSubmatch(text, -1) {
				names[string(m[1])] = true
			}
		}
	}
	pages, err := fs.Glob(root, "docs/*.md")
	if err != nil || len(pages) < 10 {
		t.Fatal(pages, err)
	}
	spoken := 0
	for _, page := range pages {
		text, err := fs.ReadFile(root, page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range said.FindAllSubmatch(text, -1) {
			if spoken++; !names[string(m[1])] {
				t.Errorf("%s speaks of %s, and no code has such a metric", page, m[1])
			}
		}
	}
	if spoken < 10 {
		t.Errorf("%d metrics: the pages do not name them as they did", spoken)
	}
	production, err := fs.ReadFile(root, "docs/production.md")
	if err != nil {
		t.Fatal(err)
	}
	objects, err := install.Render(install.Options{Version: "v1"})
	if err != nil {
		t.Fatal(err)
	}
	var ports []string // that monitoring is told of
	for _, o := range objects {
		if o.Key.Kind == "Service" && o.Key.Name == "weft-control" {
			ports = append(ports, "{name: http-metrics, port: 15014", "app.kubernetes.io/name: weft-control", o.Text)
		}
	}
	if len(ports) != 3 || !strings.Contains(ports[2], ports[0]) || !strings.Contains(ports[2], ports[1]) || !strings.Contains(string(production), "port: http-metrics") {
		t.Errorf("the Service of the control plane has not the port and label that docs/production.md names: %q", ports)
	}
	proxy := inject.Container(&inject.Options{})
	if i := slices.IndexFunc(proxy.Ports, func(p corev1.ContainerPort) bool { return p.Name == "weft-metrics" && p.ContainerPort == 15020 }); i < 0 ||
		!strings.Contains(string(production), "port: weft-metrics") {
		t.Errorf("a proxy has not the port that docs/production.md names: %v", proxy.Ports)
	}
}
