package guard

import (
	"io/fs"
	"os"
	"os/exec"
	"path"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/weft-mesh/weft/decision"
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
