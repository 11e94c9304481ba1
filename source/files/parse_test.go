package files_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/source/files"
)

var (
	t0    = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	kinds = []dialect.Kind{{Group: "g", Name: "Thing", Versions: []string{"v1"}}, {Group: "g", Name: "Wide", Versions: []string{"v1"}, Cluster: true}}
)

const thing = "apiVersion: g/v1\nkind: Thing\nmetadata:\n  name: "

func one(t *testing.T, data string) *dialect.Object {
	t.Helper()
	objects, found := files.Parse(kinds, "a.yaml", []byte(data), t0)
	if len(objects) != 1 || len(found) > 0 {
		t.Fatalf("%d objects, findings %v", len(objects), found)
	}
	return objects[0]
}

func TestParse(t *testing.T) {
	o := one(t, `# a comment
apiVersion: g/v1
kind: Thing
metadata:
  name: a
  labels: {app: x, app.kubernetes.io/name: z}
  annotations:
    note: |
      two
      ---lines
spec:
  list:
  - one
  - deep:
      int: 3
      float: 1.5
      big: 9223372036854775808
      bool: true
      none: ~
      date: 2026-01-02
`)
	if k := (dialect.Key{Group: "g", Kind: "Thing", Namespace: "default", Name: "a"}); o.Key() != k || o.Version != "v1" || !o.Created.Equal(t0) {
		t.Errorf("%+v", o)
	}
	if o.Source.String() != "a.yaml:2" || o.Labels["app.kubernetes.io/name"] != "z" || o.Annotations["note"] != "two\n---lines\n" {
		t.Errorf("%+v", o)
	}
	deep := o.Tree["spec"].(map[string]any)["list"].([]any)[1].(map[string]any)["deep"]
	want := map[string]any{"int": int64(3), "float": 1.5, "big": float64(1 << 63), "bool": true, "none": nil, "date": "2026-01-02"}
	if !reflect.DeepEqual(deep, want) {
		t.Errorf("got %#v, want %#v", deep, want)
	}
	for path, line := range map[string]int{"": 2, "metadata.name": 5, `metadata.labels["app.kubernetes.io/name"]`: 6, "spec.list": 12,
		"spec.list[0]": 13, "spec.list[1].deep.float": 16, "spec.list[1].deep.nothing": 14} {
		if got := o.Line(path); got != line {
			t.Errorf("%s is in line %d, want %d", path, got, line)
		}
	}
}

func TestParseNames(t *testing.T) {
	for _, c := range []struct{ meta, kind, namespace string }{
		{"{name: a}", "Thing", "default"}, {"{name: a, namespace: b}", "Thing", "b"}, {"{name: a}", "Wide", ""},
		{"{name: a, namespace: b}", "Wide", ""}, {"{name: a, namespace: b}", "Other", "b"}, {"{name: a}", "Other", ""},
	} {
		if o := one(t, "apiVersion: g/v1\nkind: "+c.kind+"\nmetadata: "+c.meta); o.Namespace != c.namespace {
			t.Errorf("%s %s is in %q, want %q", c.kind, c.meta, o.Namespace, c.namespace)
		}
	}
	if o := one(t, "apiVersion: v1\nkind: Pod\nmetadata: {name: a, creationTimestamp: 2025-01-01T00:00:00Z}"); o.Group != "" || o.Version != "v1" ||
		!o.Created.Equal(time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("%+v", o)
	}
}

func TestParseDocuments(t *testing.T) {
	yaml := "%YAML 1.2\n# none here\n---\n" + thing + "a\n--- # the second\n" + thing + "b\n...\n---\n---\nnull\n---\n# empty\n---\n" + thing + "c\n...\n" + thing + "d"
	objects, found := files.Parse(kinds, "a.yaml", []byte(yaml), t0)
	if len(found) > 0 {
		t.Fatal(found)
	}
	var at []string
	for _, o := range objects {
		at = append(at, o.Name+" "+o.Source.String())
	}
	if want := []string{"a a.yaml:4", "b a.yaml:9", "c a.yaml:20", "d a.yaml:25"}; !reflect.DeepEqual(at, want) {
		t.Errorf("got %v, want %v", at, want)
	}
	if line := objects[1].Line("metadata.name"); line != 12 {
		t.Errorf("the name of b is in line %d", line)
	}
}

// "kubectl get -o yaml" writes a List, and a typed list as "ThingList" is one too.
func TestParseLists(t *testing.T) {
	objects, found := files.Parse(kinds, "a.yaml", []byte("apiVersion: v1\nkind: List\nitems:\n- apiVersion: g/v1\n  kind: Thing\n  metadata: {name: a}\n"+
		"- apiVersion: v1\n  kind: List\n  items:\n  - apiVersion: g/v1\n    kind: Thing\n    metadata:\n      name: b\n"+
		"---\n{apiVersion: g/v1, kind: ThingList, items: [{metadata: {name: d}}]}\n---\napiVersion: g/v1\nkind: AllowList\nmetadata: {name: c}\n"), t0)
	if len(objects) != 4 || len(found) > 0 || objects[2].Kind != "Thing" || objects[2].Name != "d" {
		t.Fatalf("%v %v", objects, found)
	}
	if o := objects[1]; o.Name != "b" || o.Source.Line != 10 || o.Line("metadata.name") != 13 || o.Line("spec") != 10 {
		t.Errorf("%+v", o)
	}
}

func TestParseEncodings(t *testing.T) {
	for name, data := range map[string]string{
		"CRLF":                 strings.ReplaceAll(thing+"a\n---\n", "\n", "\r\n"),
		"CR":                   strings.ReplaceAll(thing+"a\n---\n", "\n", "\r"),
		"mark":                 "\ufeff" + thing + "a",
		"UTF-16, little first": "\xff\xfe" + wide(thing+"a", 0, 1), "UTF-16, big first": "\xfe\xff" + wide(thing+"a", 1, 0),
		"JSON":                 "{\"apiVersion\": \"g/v1\",\r\n\t\"kind\": \"Thing\", \"metadata\": {\"name\": \"\\u0061\"}}",
		"JSON, one a document": `{"apiVersion":"g/v1","kind":"Thing","metadata":{"name":"a"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			if o := one(t, data); o.Name != "a" {
				t.Errorf("%+v", o)
			}
		})
	}
}

func wide(s string, low, high int) string {
	out := make([]byte, 2*len(s))
	for i := range s {
		out[2*i+low], out[2*i+high] = s[i], 0
	}
	return string(out)
}

func TestParseErrors(t *testing.T) {
	deep := strings.Repeat("[", 200) + strings.Repeat("]", 200)
	bomb := "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
	for c := 'b'; c <= 'j'; c++ {
		bomb += fmt.Sprintf("%c: &%c [%s*%c]\n", c, c, strings.Repeat(fmt.Sprintf("*%c, ", c-1), 9), c-1)
	}
	for _, c := range []struct{ name, yaml, want string }{
		{"not YAML", thing + "a\nspec: {a: b", "a.yaml:5: not YAML: did not find expected ',' or '}'"},
		{"tab", thing + "a\nspec:\n\ta: b", "a.yaml:6: not YAML: found character that cannot start any token"},
		{"not text", "\x7fELF\x00\x01", "a.yaml:1: not YAML: the file is not text"},
		{"latin 1", thing + "caf\xe9", "a.yaml:1: not YAML: the file is not text"},
		{"second document", thing + "a\n---\n" + thing + "b\n  bad", "a.yaml:10: not YAML: could not find expected ':'"},
		{"twice", thing + "a\nspec:\n  host: a\n  port: 1\n  host: b", `a.yaml:8: the key "host" stands in line 6 already; keep one of them`},
		{"twice, as number and text", thing + "a\nspec: {1: a, \"1\": b}", `a.yaml:5: the key "1" stands in line 5 already`},
		{"divided by a break that nobody uses", thing + "a\u2028---\u2028a: b", "not YAML: more follows the document"},
		{"no kind, and a spec", "replicas: 1\nSpec: {}", "a.yaml:1: apiVersion and kind are required"},
		{"a list of objects without a kind", "items: [{kind: Thing}]", "a.yaml:1: apiVersion and kind are required"},
		{"no kind", "apiVersion: g/v1\nmetadata: {name: a}", "a.yaml:1: apiVersion and kind are required"},
		{"misspelled", "apiversion: g/v1\nkind: Thing", "nothing else says what this is; write apiVersion for apiversion"},
		{"number as kind", "apiVersion: 1\nkind: Thing", "a.yaml:1: apiVersion and kind are required"},
		{"a list", "- a\n- b", "a.yaml:1: a document of configuration is an object"},
		{"text", "just text", "a.yaml:1: a document of configuration is an object"},
		{"item", "apiVersion: v1\nkind: List\nitems:\n- a", "a.yaml:4: a document of configuration is an object"},
		{"infinite", thing + "a\nspec: {a: .inf}", "a.yaml:5: .inf is not a number"},
		{"key", thing + "a\nspec: {[a]: b}", "a.yaml:5: a map's key has to be a plain value"},
		{"no key", thing + "a\nspec: {~: b}", "a.yaml:5: a map's key is nothing here"},
		{"depth", thing + "a\nspec: " + deep, "a.yaml:5: more than 100 maps and lists stand inside each other"},
		{"bomb", thing + "a\nspec:\n  " + strings.ReplaceAll(bomb, "\n", "\n  "), "the aliases stand for more than 100000 values"},
		{"circle", thing + "a\nspec: &s\n  a: *s", "a.yaml:6: *s stands inside of what it stands for"},
		{"merge of no map", thing + "a\nspec:\n  <<: [a]", `a.yaml:6: only maps can be merged by "<<"`},
		{"unknown alias", thing + "a\nspec: *s", "a.yaml:5: not YAML: unknown anchor 's' referenced"},
		{"size", strings.Repeat("#", files.MaxSize+1), "a.yaml: the file has 8388609 bytes, and at most 8388608 are read; split it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, found := files.Parse(kinds, "a.yaml", []byte(c.yaml), t0)
			if len(found) == 0 {
				t.Fatal("no finding")
			}
			if text := found[0].Position.String() + ": " + found[0].Text + "; " + found[0].Remedy; !strings.Contains(text, c.want) {
				t.Errorf("got %s, want %s", text, c.want)
			}
		})
	}
}

// What another program reads in the same directory is no mistake, and does not take the rest of its file along.
func TestParseWhatIsNoObject(t *testing.T) {
	for name, text := range map[string]string{"values.yaml": "replicas: 3\nimage: {tag: v1}", "Chart.yaml": "apiVersion: v2\nname: shop", "package.json": `{"items": [1]}`} {
		objects, found := files.Parse(kinds, name, []byte(text+"\n---\n"+thing+"a"), t0)
		if len(objects) != 1 || len(found) != 1 || found[0].Level != mesh.Warning ||
			found[0].String() != name+":1: warning: it has no kind and no metadata, so it is no object, and has no effect" {
			t.Errorf("%d objects, %v", len(objects), found)
		}
	}
}

func TestFindingsNameTheFile(t *testing.T) {
	_, found := files.Parse(kinds, "mesh/a.yaml", []byte("{"), t0)
	if text := found[0].String(); text != "mesh/a.yaml:1: error: not YAML: did not find expected node content" {
		t.Error(text)
	}
}

// One bad document leaves the others readable.
func TestParseGoesOn(t *testing.T) {
	objects, found := files.Parse(kinds, "a.yaml", []byte(thing+"a\n---\n{\n---\n"+thing+"b"), t0)
	if len(objects) != 2 || len(found) != 1 || found[0].Line < 6 || found[0].Line > 7 {
		t.Errorf("%v %v", objects, found)
	}
}

func TestParseAliases(t *testing.T) {
	o := one(t, thing+"a\nspec:\n  base: &base {x: 1, w: 2}\n  same: *base\n  more:\n    w: 3\n    <<: *base\n    z: 4\n  both:\n    <<: [*base, {v: 5, x: 6}]\n")
	want := map[string]any{"base": map[string]any{"x": int64(1), "w": int64(2)}, "same": map[string]any{"x": int64(1), "w": int64(2)},
		"more": map[string]any{"x": int64(1), "w": int64(3), "z": int64(4)}, "both": map[string]any{"x": int64(1), "w": int64(2), "v": int64(5)}}
	if !reflect.DeepEqual(o.Tree["spec"], want) {
		t.Errorf("got %v, want %v", o.Tree["spec"], want)
	}
	if line := o.Line("spec.same.x"); line != 7 {
		t.Errorf("spec.same.x is in line %d, want that of the alias", line)
	}
	if line := o.Line("spec.more.x"); line != 8 {
		t.Errorf("spec.more.x is in line %d, want that of what it was merged into", line)
	}
}

// Kubernetes' own reader is the judge of what a scalar means.
func TestParseReadsAsKubernetes(t *testing.T) {
	for _, text := range []string{"n", "y", "Y", "on", "yes", "NO", "Off", "true", "True", "0777", "0o777", "0x1f", "1_000", "0b11", "1e3", "1.0", ".5", "5.",
		"2001-01-01", "2001-01-01T00:00:00Z", "~", "null", "Null", "18446744073709551615", "99999999999999999999", "!!binary aGk=", "!!str 1", "!!int '3'",
		"1:30", "+1", "-0", "0o8", "09", "=", "!foo bar", "0777_1", "1__0", "_1", ".1_2", "!!bool yes", "!!float 3", "1e400", `"yes"`, "'1'", "''", `""`,
		"|\n  yes", ">-\n  a\n  b", "1.5s", "100m", "*"} {
		sameAsKubernetes(t, "apiVersion: g/v1\nkind: Thing\nspec:\n  a: "+strings.ReplaceAll(text, "*", "'*'")+"\n")
	}
	for _, k := range []string{"1", "1.5", "true", "on", "y", "'on'", "2001-01-01", "0x10", "a b"} {
		sameAsKubernetes(t, "apiVersion: g/v1\nkind: Thing\nspec:\n  "+k+": x\n")
	}
}

func sameAsKubernetes(t testing.TB, doc string) {
	t.Helper()
	var want any
	theirs, err := yaml.YAMLToJSONStrict([]byte(doc))
	objects, found := files.Parse(kinds, "a.yaml", []byte(doc), t0)
	if err != nil || len(found) > 0 || len(objects) != 1 {
		if err == nil && len(found) > 0 && !stricter(found[0].Text) {
			t.Errorf("%q: Kubernetes reads it, and we say %v", doc, found)
		}
		return
	}
	ours, err := json.Marshal(objects[0].Tree)
	if err != nil {
		t.Fatal(err)
	}
	var got any
	if json.Unmarshal(theirs, &want) != nil || json.Unmarshal(ours, &got) != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%q: got %s, and Kubernetes reads %s", doc, ours, theirs)
	}
}

// stricter says whether a finding is about what Kubernetes lets pass, and we do not.
func stricter(text string) bool {
	return strings.Contains(text, "stand inside each other") || strings.Contains(text, "the aliases stand for") || strings.Contains(text, "stands in line")
}

// FuzzParseReadsAsKubernetes compares what both accept: the value of spec.a.
func FuzzParseReadsAsKubernetes(f *testing.F) {
	for _, s := range []string{"1", "on", "0x1_f", "2001-01-01", "{a: [b, ~], \"c\": 1}", "&x {a: *y}", "|\n   a\n   b", "-.5e-3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.ContainsAny(text, "\r\u0085\u2028\u2029\ufeff") || strings.Contains(text, "\n---") || strings.Contains(text, "\n...") || strings.Contains(text, "<<") || strings.Contains(text, "!") {
			t.Skip("documents, merges and tags are read more strictly")
		}
		sameAsKubernetes(t, "apiVersion: g/v1\nkind: Thing\nspec:\n  a: "+text+"\n")
	})
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{thing + "a", "{}", "a: &a [*a]", "<<: {a: b}", "- - -", "\xff\xfe{\x00}\x00", "apiVersion: v1\nkind: List\nitems: [{apiVersion: g/v1, kind: Thing}]",
		thing + "a\nspec: &x {a: [1, 2.5, yes, null, 2001-01-01]}\nmore: *x\n---\n...\n---\n- a", "? {a: b}\n: c", "%TAG ! !a\n--- !b c"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		objects, found := files.Parse(kinds, "a.yaml", data, t0)
		lines := 1 + strings.Count(string(data), "\n") + strings.Count(string(data), "\r") + strings.Count(string(data), "\u2028") +
			strings.Count(string(data), "\u2029") + strings.Count(string(data), "\u0085")
		for _, o := range objects {
			if o.Kind == "" || o.Tree == nil || o.Source.Line < 1 || o.Source.Line > lines {
				t.Errorf("%+v", o)
			}
			if _, err := json.Marshal(o.Tree); err != nil {
				t.Error(err)
			}
			dialect.Read(kinds, o, nil)
		}
		for _, l := range found {
			if l.Text == "" || l.Ref.Kind != "File" || l.Line < 0 {
				t.Errorf("%+v", l)
			}
		}
	})
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "b.yaml", thing+"b")
	write(t, dir, "a/z.yml", thing+"z")
	write(t, dir, "a/.hidden.yaml", "{")
	write(t, dir, ".git/x.yaml", "{")
	write(t, dir, "notes.txt", "{")
	write(t, dir, "c.json", `{"apiVersion": "g/v1", "kind": "Thing", "metadata": {"name": "b"}}`)
	write(t, dir, "d.yaml", "{")
	objects, found := files.Load(files.Options{Paths: []string{dir, filepath.Join(dir, "b.yaml"), filepath.Join(dir, "none")}, Kinds: kinds})
	var names []string
	for _, o := range objects {
		names = append(names, strings.TrimPrefix(o.Source.File, dir))
	}
	if want := []string{"/a/z.yml", "/b.yaml"}; !reflect.DeepEqual(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
	var texts []string
	for _, f := range found {
		texts = append(texts, strings.ReplaceAll(f.Position.String()+" "+f.Text, dir, ""))
	}
	want := []string{"/none it can't be read: lstat /none: no such file or directory", "/d.yaml:1 not YAML: did not find expected node content",
		"/c.json:1 the object at /b.yaml:1 has the same name, is read first, and stays in force"}
	if !reflect.DeepEqual(texts, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(texts, "\n"), strings.Join(want, "\n"))
	}
}

func write(t testing.TB, dir, name, data string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
}

func BenchmarkParse(b *testing.B) {
	data := []byte(strings.Repeat(thing+"a\nspec:\n  hosts: [reviews]\n  http:\n  - match:\n    - headers:\n        end-user:\n          exact: jason\n    route:\n"+
		"    - destination:\n        host: reviews\n        subset: v2\n---\n", 100))
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		files.Parse(kinds, "a.yaml", data, t0)
	}
}
