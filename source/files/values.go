package files

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/weft-mesh/weft/dialect"
)

const (
	maxDepth  = 100     // of maps and lists inside each other
	maxCopies = 100_000 // values that aliases may stand for, in one document
)

// values turns YAML nodes into JSON values as Kubernetes' own reader does, and notes the line of each field.
type values struct {
	above  int // lines before the document
	lines  map[string]int
	copies int                 // values made from aliases
	inside int                 // how many aliases are around
	within map[*yaml.Node]bool // what they stand for
	errors []lineError
}

type lineError struct {
	line         int
	text, remedy string
}

func (v *values) fail(n *yaml.Node, text, remedy string) {
	if len(v.errors) < 20 {
		v.errors = append(v.errors, lineError{v.above + n.Line, text, remedy})
	}
}

func (v *values) value(n *yaml.Node, path string, depth int) any {
	if depth > maxDepth {
		v.fail(n, fmt.Sprintf("more than %d maps and lists stand inside each other", maxDepth), "")
		return nil
	}
	if v.inside > 0 {
		if v.copies++; v.copies > maxCopies {
			if v.copies == maxCopies+1 {
				v.fail(n, fmt.Sprintf("the aliases stand for more than %d values", maxCopies), "write fewer of them, or split the document")
			}
			return nil
		}
	}
	switch n.Kind {
	case yaml.AliasNode:
		return v.alias(n, path, depth)
	case yaml.MappingNode:
		m := map[string]any{}
		v.mapping(n, path, depth, m)
		return m
	case yaml.SequenceNode:
		list := make([]any, 0, len(n.Content))
		for i, e := range n.Content {
			at := dialect.Index(path, i)
			v.line(at, e)
			list = append(list, v.value(e, at, depth+1))
		}
		return list
	}
	return v.scalar(n)
}

func (v *values) alias(n *yaml.Node, path string, depth int) any {
	if v.within[n.Alias] {
		v.fail(n, "*"+n.Value+" stands inside of what it stands for", "")
		return nil
	}
	v.within[n.Alias] = true
	v.inside++
	defer func() { v.inside--; delete(v.within, n.Alias) }()
	return v.value(n.Alias, path, depth+1)
}

// line notes where a field stands; of fields that come out of an alias, the place of the alias is noted around them.
func (v *values) line(path string, n *yaml.Node) {
	if v.inside == 0 {
		v.lines[path] = v.above + n.Line
	}
}

// mapping fills m. Keys that are written win over merged ones ("<<"), wherever they stand.
func (v *values) mapping(n *yaml.Node, path string, depth int, m map[string]any) {
	first := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.ShortTag() == "!!merge" {
			continue
		}
		name, ok := v.key(key)
		if !ok {
			continue
		}
		if line, twice := first[name]; twice {
			v.fail(key, fmt.Sprintf("the key %q stands in line %d already", name, line), "keep one of them")
			continue
		}
		first[name] = v.above + key.Line
		at := dialect.Child(path, name)
		v.line(at, key)
		m[name] = v.value(value, at, depth+1)
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].ShortTag() == "!!merge" {
			v.merge(n.Content[i+1], path, depth, m)
		}
	}
}

// merge adds to m what it lacks of a map, or of each of a list of maps (YAML's merge key; the first of the list wins).
func (v *values) merge(n *yaml.Node, path string, depth int, m map[string]any) {
	from := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		from = n.Content
	}
	for _, f := range from {
		v.inside++
		extra, ok := v.value(f, path, depth+1).(map[string]any)
		v.inside--
		if !ok {
			v.fail(f, "only maps can be merged by \"<<\"", "")
			return
		}
		for _, name := range slices.Collect(maps.Keys(extra)) {
			if _, has := m[name]; !has {
				m[name] = extra[name]
			}
		}
	}
}

func (v *values) key(n *yaml.Node) (string, bool) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind != yaml.ScalarNode {
		v.fail(n, "a map's key has to be a plain value", "")
		return "", false
	}
	switch s := v.scalar(n).(type) {
	case nil:
		v.fail(n, "a map's key is nothing here", "")
		return "", false
	case string:
		return s, true
	case float64:
		return strconv.FormatFloat(s, 'g', -1, 64), true
	default:
		return fmt.Sprint(s), true
	}
}

// old are the words for true and false that YAML 1.1, and with it Kubernetes, knows beside those of 1.2.
var old = map[string]bool{"y": true, "Y": true, "yes": true, "Yes": true, "YES": true, "on": true, "On": true, "ON": true,
	"n": false, "N": false, "no": false, "No": false, "NO": false, "off": false, "Off": false, "OFF": false}

func (v *values) scalar(n *yaml.Node) any {
	switch n.ShortTag() {
	case "!!null":
		return nil
	case "!!bool":
		b, ok := old[n.Value]
		if !ok {
			v.decode(n, &b)
		}
		return b
	case "!!int":
		return v.integer(n)
	case "!!float":
		return v.float(n)
	case "!!str":
		if b, ok := old[n.Value]; ok && n.Style == 0 {
			return b
		}
	case "!!binary":
		var text string
		v.decode(n, &text)
		return text
	}
	return n.Value // a date is text to JSON
}

func (v *values) integer(n *yaml.Node) any {
	var i int64
	if err := n.Decode(&i); err == nil {
		return i
	}
	return v.float(n)
}

func (v *values) float(n *yaml.Node) any {
	var f float64
	v.decode(n, &f)
	if math.IsInf(f, 0) || math.IsNaN(f) {
		v.fail(n, n.Value+" is not a number that configuration can hold", "")
	}
	return f
}

func (v *values) decode(n *yaml.Node, into any) {
	if err := n.Decode(into); err != nil {
		_, text := syntax(err, nil)
		v.fail(n, strings.TrimSpace(strings.TrimPrefix(text, "unmarshal errors:")), "")
	}
}
