package all_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/all"
	"github.com/weft-mesh/weft/dialect/dialecttest"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/source/files"
)

// shared is the folder of what other people wrote, or the test is skipped.
func shared(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("WEFT_SHARED")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared")
	}
	if _, err := os.Stat(filepath.Join(dir, "corpus")); err != nil {
		t.Skip("../shared is absent")
	}
	return filepath.Join(dir, "corpus")
}

// Every object that other people wrote is read, and each of its fields works, is right not to, or has a finding: nothing is
// dropped in silence.
func TestCorpus(t *testing.T) {
	kinds, dir, count := all.Kinds("cluster.local"), shared(t), 0
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".yaml" {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		objects, found := files.Parse(kinds, name, data, time.Unix(0, 0))
		for _, f := range found {
			t.Error(f)
		}
		count += len(objects)
		for _, o := range objects {
			_, said := dialect.Read(kinds, o, dialecttest.View(objects))
			nothingIsDropped(t, kinds, o, said)
		}
		return nil
	})
	if err != nil || count == 0 {
		t.Errorf("%d objects, %v", count, err)
	}
}

func nothingIsDropped(t *testing.T, kinds []dialect.Kind, o *dialect.Object, said []mesh.Finding) {
	t.Helper()
	k := dialect.Find(kinds, o.Group, o.Kind)
	for _, f := range said {
		if f.Text == "" || f.Ref.Kind != o.Kind || f.Ref.Name != o.Name || k != nil && f.Ref.Dialect != k.Dialect {
			t.Errorf("%s: %+v", o.Source, f)
		}
		if f.Field == "apiVersion" {
			return // of a version that nobody knows, no field is looked at
		}
	}
	for top, v := range o.Tree {
		if top == "apiVersion" || top == "kind" || top == "metadata" {
			continue
		}
		leaves(dialect.Child("", top), dialect.Child("", top), v, func(path, pattern string) {
			if !spokenOf(said, path) && !(k != nil && known(k, pattern)) {
				t.Errorf("%s: %s %s: %s is dropped in silence", o.At(path), o.Kind, o.Name, path)
			}
		})
	}
}

// leaves calls f for every plain value below v, with its path, and with the path in which indices are "[]".
func leaves(path, pattern string, v any, f func(path, pattern string)) {
	switch v := v.(type) {
	case map[string]any:
		for key, inner := range v {
			leaves(dialect.Child(path, key), dialect.Child(pattern, key), inner, f)
		}
	case []any:
		for i, inner := range v {
			leaves(dialect.Index(path, i), pattern+"[]", inner, f)
		}
	case nil:
	default:
		f(path, pattern)
	}
}

// spokenOf says whether a finding names a path or what is around it.
func spokenOf(said []mesh.Finding, path string) bool {
	return slices.ContainsFunc(said, func(f mesh.Finding) bool {
		rest, ok := strings.CutPrefix(path, f.Field)
		return ok && (f.Field == "" || rest == "" || rest[0] == '.' || rest[0] == '[')
	})
}

// known says whether the kind lists a path; this is the plain way to look, one path after the other.
func known(k *dialect.Kind, pattern string) bool {
	for _, list := range [][]string{k.Fields, slices.Collect(keys(k.Ignored))} {
		for _, path := range list {
			if covers(path, pattern) {
				return true
			}
		}
	}
	return false
}

func keys(m map[string]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// covers compares step by step: "{}" is any key.
func covers(path, pattern string) bool {
	path, below := strings.CutSuffix(path, ".*")
	want, got := split(path), split(pattern)
	elements := len(got) == len(want)+1 // of a list or map of plain values
	if len(got) < len(want) || len(got) > len(want) && !below && !elements {
		return false
	}
	for i := range want {
		if want[i] != got[i] && want[i] != "{}" {
			return false
		}
	}
	return true
}

// split cuts `a.b[].c["x.y"]` into a, b, [], c, x.y.
func split(path string) (out []string) {
	for path != "" {
		switch {
		case strings.HasPrefix(path, `["`):
			var key string
			_, _ = fmt.Sscanf(path, "[%q]", &key)
			out, path = append(out, key), path[len(fmt.Sprintf("[%q]", key)):]
		case strings.HasPrefix(path, "[]") || strings.HasPrefix(path, "{}"):
			out, path = append(out, path[:2]), path[2:]
		default:
			path = strings.TrimPrefix(path, ".")
			end := strings.IndexAny(path, ".[{")
			if end < 0 {
				end = len(path)
			}
			out, path = append(out, path[:end]), path[end:]
		}
	}
	return out
}

// Every kind has its name in its group alone, a version, and what it lists exists.
func TestKinds(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range all.Kinds("example.org") {
		name := k.Group + "/" + k.Name
		if seen[name] || len(k.Versions) == 0 || k.Dialect == decision.Weft {
			t.Errorf("%s is listed twice, or without a version or dialect", name)
		}
		seen[name] = true
		if k.Lower == nil && k.Ignored[""] == "" && k.Unsupported[""] == "" {
			t.Errorf("%s has no effect, and nothing says why", name)
		}
		if k.Schema == nil {
			continue
		}
		for _, list := range [][]string{k.Fields, slices.Collect(keys(k.Ignored)), slices.Collect(keys(k.Unsupported))} {
			for _, path := range list {
				if at := k.Schema.At(strings.TrimSuffix(path, ".*")); at == nil && !strings.Contains(path, "status") {
					t.Errorf("%s speaks of %s, which it does not have", name, path)
				}
			}
		}
		for path := range k.Renamed {
			if k.Schema.At(path) != nil {
				t.Errorf("%s has %s, and says that it was renamed", name, path)
			}
		}
	}
}

// What the project was created from: each mistake in it is a finding that names it.
func TestSeeds(t *testing.T) {
	dir, kinds := filepath.Join(shared(t), "seeds"), all.Kinds("cluster.local")
	objects, found := files.Load(files.Options{Paths: []string{dir}, Kinds: kinds})
	set := dialect.NewSet(kinds)
	set.Report("files", found)
	set.Apply(objects, nil)
	for _, f := range set.Findings() {
		t.Log(strings.TrimPrefix(f.String(), dir+"/"))
	}
}

// Whatever stands in a file, every kind's reader takes it: it says what is wrong and does not fail.
func FuzzRead(f *testing.F) {
	kinds := all.Kinds("cluster.local")
	for _, k := range kinds {
		version := strings.TrimPrefix(k.Group+"/"+k.Versions[0], "/")
		f.Add([]byte("apiVersion: " + version + "\nkind: " + k.Name + "\nmetadata: {name: a}\nspec: {rules: [{}], selector: {a: b}, ports: [{port: 1}], host: a}"))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		objects, _ := files.Parse(kinds, "a.yaml", data, time.Unix(0, 0))
		set := dialect.NewSet(kinds)
		kept, _ := dialect.Unique(kinds, objects)
		set.Apply(kept, nil)
		for _, l := range set.Findings() {
			if l.Text == "" || l.Ref.Kind == "" {
				t.Errorf("%+v", l)
			}
		}
		for _, o := range kept {
			_, said := dialect.Read(kinds, o, dialecttest.View(kept))
			nothingIsDropped(t, kinds, o, said)
		}
	})
}

func BenchmarkKinds(b *testing.B) {
	for b.Loop() {
		all.Kinds("cluster.local")
	}
}
