package files

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/mesh"
)

// MaxSize is the most bytes that a file may have.
const MaxSize = 8 << 20

// Parse reads the objects of one file: YAML documents, of which JSON is one way to write, each an object or a List of them.
// kinds tells which objects have a namespace, so that one that names none gets "default"; now is the creation time of
// objects that name none. A document that can't be read is an Error finding, and the others are read all the same; one that is no
// object, as Helm's values.yaml, is a Warning. Name is for positions only: nothing is opened.
func Parse(kinds []dialect.Kind, name string, data []byte, now time.Time) ([]*dialect.Object, []dialect.Located) {
	p := parser{kinds: kinds, file: name, now: now}
	if len(data) > MaxSize {
		p.fail(0, fmt.Sprintf("the file has %d bytes, and at most %d are read", len(data), MaxSize), "split it")
		return nil, p.found
	}
	data, err := text(data)
	if err != nil {
		p.fail(1, err.Error(), "")
		return nil, p.found
	}
	for _, d := range Documents(data) {
		p.document(d)
	}
	return p.objects, p.found
}

type parser struct {
	kinds   []dialect.Kind
	file    string
	now     time.Time
	objects []*dialect.Object
	found   []dialect.Located
}

// fail adds an Error finding about the file itself: there is no object to speak of.
func (p *parser) fail(line int, text, remedy string) { p.tell(mesh.Error, line, text, remedy) }

func (p *parser) tell(level mesh.Level, line int, text, remedy string) {
	p.found = append(p.found, dialect.Located{
		Position: dialect.Position{File: p.file, Line: line},
		Finding:  mesh.Finding{Ref: decision.Ref{Kind: dialect.FileKind, Name: p.file}, Text: text, Remedy: remedy, Level: level},
	})
}

// Document is the bytes of one YAML document and the number of lines before it.
type Document struct {
	Text  []byte
	Above int
}

// Documents cuts a file before lines that begin with "---" and after those that begin with "...", which YAML allows inside no
// content (YAML 1.2.2 section 9.1.2): so one bad document leaves the others readable. Joined, they are the file.
func Documents(data []byte) (out []Document) {
	start, above, line := 0, 0, 0
	for at := 0; at < len(data); line++ {
		end := len(data)
		if i := bytes.IndexByte(data[at:], '\n'); i >= 0 {
			end = at + i + 1
		}
		switch text := data[at:end]; {
		case at > start && marker(text, "---"):
			out = append(out, Document{data[start:at], above})
			start, above = at, line
		case marker(text, "..."):
			out = append(out, Document{data[start:end], above})
			start, above = end, line+1
		}
		at = end
	}
	return append(out, Document{data[start:], above})
}

func marker(line []byte, mark string) bool {
	return bytes.HasPrefix(line, []byte(mark)) && (len(line) == 3 || strings.IndexByte(" \t\r\n", line[3]) >= 0)
}

// bare says whether a document holds comments and directives alone.
func bare(text []byte) bool {
	for line := range bytes.Lines(text) {
		line = bytes.TrimSpace(line)
		if len(line) > 0 && line[0] != '#' && line[0] != '%' && !bytes.Equal(line, []byte("---")) && !bytes.Equal(line, []byte("...")) {
			return false
		}
	}
	return true
}

func (p *parser) document(d Document) {
	if bare(d.Text) {
		return
	}
	var root, more yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(d.Text))
	err := decoder.Decode(&root)
	if err == nil && decoder.Decode(&more) != io.EOF {
		err = errMore
	}
	if err != nil {
		line, text := syntax(err, d.Text)
		p.fail(d.Above+line, "not YAML: "+text, "")
		return
	}
	if len(root.Content) == 0 {
		return
	}
	v := values{above: d.Above, lines: map[string]int{}, within: map[*yaml.Node]bool{}}
	value := v.value(root.Content[0], "", 0)
	for _, e := range v.errors {
		p.fail(e.line, e.text, e.remedy)
	}
	if len(v.errors) > 0 || value == nil {
		return
	}
	p.item(value, "", v.lines, d.Above+root.Content[0].Line)
}

// errMore is of documents that some line break divides which nobody uses: the library would read the first alone.
var errMore = errors.New("more follows the document: begin the next one with a line ---")

// item reads an object, or the items of a List, which stand at path in the document.
func (p *parser) item(value any, path string, lines map[string]int, line int) {
	tree, ok := value.(map[string]any)
	if !ok {
		p.fail(line, "a document of configuration is an object with apiVersion and kind, and this is none", "")
		return
	}
	version, _ := tree["apiVersion"].(string)
	kind, _ := tree["kind"].(string)
	if !objectLike(tree) {
		p.tell(mesh.Warning, line, "it has no kind and no metadata, so it is no object, and has no effect", "")
		return
	}
	if version == "" || kind == "" {
		p.fail(line, "apiVersion and kind are required: nothing else says what this is", spelling(tree))
		return
	}
	if items, isList := tree["items"].([]any); isList && strings.HasSuffix(kind, "List") {
		for i, item := range items {
			at := dialect.Index(dialect.Child(path, "items"), i)
			p.item(ofList(item, version, kind), at, lines, lines[at])
		}
		return
	}
	p.objects = append(p.objects, p.object(tree, version, kind, below(lines, path), line))
}

// objectLike says whether something may be meant as an object, or hold one: each has a kind, and metadata with its name. What has
// neither is another program's, as Chart.yaml and values.yaml are Helm's.
func objectLike(tree map[string]any) bool {
	for key, value := range tree {
		switch strings.ToLower(key) {
		case "kind", "metadata", "spec":
			return true
		case "items":
			list, _ := value.([]any)
			if slices.ContainsFunc(list, func(v any) bool { m, ok := v.(map[string]any); return ok && objectLike(m) }) {
				return true
			}
		}
	}
	return false
}

// spelling says which key was meant to be apiVersion or kind.
func spelling(tree map[string]any) string {
	for _, key := range slices.Sorted(maps.Keys(tree)) {
		for _, name := range []string{"apiVersion", "kind"} {
			if key != name && strings.EqualFold(key, name) {
				return "write " + name + " for " + key
			}
		}
	}
	return ""
}

// ofList gives an item of a typed list, as a PodList, the version and kind that the list says for all (items that
// come out of an API server have none of their own).
func ofList(item any, version, kind string) any {
	tree, ok := item.(map[string]any)
	if of := strings.TrimSuffix(kind, "List"); ok && of != "" && tree["apiVersion"] == nil && tree["kind"] == nil {
		tree["apiVersion"], tree["kind"] = version, of
	}
	return item
}

// below returns the lines of all fields below path, by their paths from there.
func below(lines map[string]int, path string) map[string]int {
	if path == "" {
		return lines
	}
	out := map[string]int{}
	for at, line := range lines {
		if rest, ok := strings.CutPrefix(at, path); ok && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			out[strings.TrimPrefix(rest, ".")] = line
		}
	}
	return out
}

func (p *parser) object(tree map[string]any, version, kind string, lines map[string]int, line int) *dialect.Object {
	group, _, ok := strings.Cut(version, "/")
	if !ok {
		group = ""
	}
	o := dialect.NewObject(dialect.Find(p.kinds, group, kind), version, kind, tree, p.now)
	o.Lines, o.Source = lines, dialect.Position{File: p.file, Line: line}
	return o
}
