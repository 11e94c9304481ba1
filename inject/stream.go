package inject

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	corev1 "k8s.io/api/core/v1"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/mesh"
	"github.com/weft-mesh/weft/source/files"
)

// Item is what was made of one object that has pods.
type Item struct {
	dialect.Position
	Object  string            // Kind namespace/name
	Inject  bool              //
	Because string            //
	Found   []dialect.Located // by the field of the object
}

// templates are where the kinds that have pods keep their pods' template.
var templates = map[string][]string{
	"Pod": {}, "PodTemplate": {"template"}, "ReplicationController": {"spec", "template"},
	"apps/Deployment": {"spec", "template"}, "apps/StatefulSet": {"spec", "template"}, "apps/DaemonSet": {"spec", "template"},
	"apps/ReplicaSet": {"spec", "template"}, "batch/Job": {"spec", "template"}, "batch/CronJob": {"spec", "jobTemplate", "spec", "template"},
}

// Stream injects into every pod template of a file of manifests, and leaves all other documents as they are, byte for byte. Objects
// that name no namespace are of the one given. The errors, joined, name file and line; then there is no output.
func Stream(name string, data []byte, namespace string, o Options) (out []byte, items []Item, err error) {
	s := &stream{name: name, namespace: namespace, o: o, namespaces: map[string]Namespace{}}
	documents := files.Documents(data)
	for _, d := range documents {
		s.meet(d)
	}
	for _, d := range documents {
		text, err := s.document(d)
		if err != nil {
			s.errs = append(s.errs, err)
		}
		out = append(out, text...)
	}
	for _, i := range s.items {
		for _, f := range i.Found {
			if f.Level == mesh.Error {
				s.errs = append(s.errs, errors.New(f.String()))
			}
		}
	}
	if err := errors.Join(s.errs...); err != nil {
		return nil, s.items, err
	}
	return out, s.items, nil
}

type stream struct {
	name, namespace string
	o               Options
	namespaces      map[string]Namespace // those of the file
	items           []Item
	errs            []error
}

// meet notes namespaces, wherever in the file they stand, and what cannot be read.
func (s *stream) meet(d files.Document) {
	objects, found := files.Parse(nil, s.name, d.Text, time.Time{})
	for _, f := range found {
		if f.Line += d.Above; f.Level == mesh.Error {
			s.errs = append(s.errs, errors.New(f.String()))
		}
	}
	for _, o := range objects {
		if o.Group == "" && o.Kind == "Namespace" {
			s.namespaces[o.Name] = Namespace{o.Name, o.Labels, o.Annotations}
		}
	}
}

// document returns a document with proxies, or its own bytes.
func (s *stream) document(d files.Document) ([]byte, error) {
	objects, _ := files.Parse(nil, s.name, d.Text, time.Time{})
	var ops []Op
	for i, o := range objects {
		path, ok := templates[strings.TrimPrefix(o.Group+"/"+o.Kind, "/")]
		if !ok {
			s.strange(o, d.Above)
			continue
		}
		if len(objects) > 1 || inList(d.Text) {
			path = append([]string{"items", fmt.Sprint(i)}, path...)
		}
		o.Source.Line += d.Above
		more, err := s.workload(o, d.Above)
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", o.Source, o.Kind, err)
		}
		for _, op := range more {
			op.Path = "/" + strings.Join(path, "/") + op.Path
			ops = append(ops, op)
		}
	}
	if len(ops) == 0 {
		return d.Text, nil
	}
	for i := range ops {
		ops[i].Path = "/" + strings.TrimLeft(ops[i].Path, "/") // a Pod's template is the whole object
	}
	out, err := rewrite(d.Text, ops)
	if err != nil {
		return nil, fmt.Errorf("%s:%d: %w", s.name, d.Above+1, err)
	}
	return out, nil
}

// strange tells of an object that seems to have pods, of a kind whose template is not known.
func (s *stream) strange(o *dialect.Object, above int) {
	var at any = o.Tree
	for _, step := range []string{"spec", "template", "spec", "containers"} {
		m, _ := at.(map[string]any)
		at = m[step]
	}
	if at == nil {
		return
	}
	place := o.Source
	place.Line += above
	namespace := o.Namespace
	if namespace == "" {
		namespace = s.namespace
	}
	s.items = append(s.items, Item{Position: place, Object: o.Kind + " " + namespace + "/" + o.Name,
		Because: "pods of " + o.Group + " are injected as they are made, by the webhook: label their namespace, or spec.template, " + Label + ": " + enabled})
}

// inList says whether a document of one object is a list of it.
func inList(text []byte) bool {
	var head struct {
		Kind  string      `yaml:"kind"`
		Items []yaml.Node `yaml:"items"`
	}
	return yaml.Unmarshal(text, &head) == nil && strings.HasSuffix(head.Kind, "List") && len(head.Items) > 0
}

// workload decides on an object's template.
func (s *stream) workload(o *dialect.Object, above int) ([]Op, error) {
	steps := templates[strings.TrimPrefix(o.Group+"/"+o.Kind, "/")]
	var at any = o.Tree
	for i, step := range steps {
		m, _ := at.(map[string]any)
		if at = m[step]; at == nil {
			return nil, fmt.Errorf("%s is missing, and the pods' template with it", strings.Join(steps[:i+1], "."))
		}
	}
	raw, err := json.Marshal(at)
	if err != nil {
		return nil, err
	}
	var t corev1.PodTemplateSpec
	if err := json.Unmarshal(raw, &t); err != nil {
		return nil, mistyped(steps, err)
	}
	if o.Namespace == "" {
		o.Namespace = s.namespace
	}
	namespace, ok := s.namespaces[o.Namespace]
	if !ok {
		namespace.Name = o.Namespace
	}
	t.Name = o.Name
	d := Decide(&corev1.Pod{ObjectMeta: t.ObjectMeta, Spec: t.Spec}, namespace, s.o)
	item := Item{Position: o.Source, Object: o.Kind + " " + o.Namespace + "/" + o.Name, Inject: d.Inject, Because: d.Because}
	if len(d.Refused()) > 0 {
		item.Inject, item.Because = false, "it asks for the mesh and cannot be in it"
	}
	for _, f := range d.Found {
		f.Ref = o.Ref(decision.Core)
		if prefix := strings.Join(steps, "."); prefix != "" && f.Field != "" {
			f.Field = prefix + "." + f.Field
		}
		item.Found = append(item.Found, dialect.Located{Position: dialect.Position{File: s.name, Line: s.line(o, f.Field, above)}, Finding: f})
	}
	s.items = append(s.items, item)
	return d.Ops, nil
}

// mistyped says in the words of YAML what a template has of another type.
func mistyped(steps []string, err error) error {
	var t *json.UnmarshalTypeError
	if !errors.As(err, &t) {
		return fmt.Errorf("its pods' template: %w", err)
	}
	why := strings.Join(append(slices.Clone(steps), t.Field), ".") + ": want " + cmp.Or(goKinds[t.Type.Kind()], t.Type.String()) + ", and it is " + cmp.Or(jsonKinds[t.Value], "a "+t.Value)
	if t.Type.Kind() == reflect.String {
		why += "; put it in quotes, without which YAML takes y, n, on, off and numbers for something else"
	}
	return errors.New(why)
}

var (
	goKinds = map[reflect.Kind]string{reflect.String: "text", reflect.Slice: "a list", reflect.Struct: "a map", reflect.Map: "a map", reflect.Bool: "true or false",
		reflect.Int32: "a number", reflect.Int64: "a number"}
	jsonKinds = map[string]string{"bool": "true or false", "array": "a list", "object": "a map", "string": "text"}
)

// line is where a field stands in the file. The lines of an object's fields are those of its document.
func (s *stream) line(o *dialect.Object, field string, above int) int {
	line := o.Line(field)
	if line == o.Source.Line {
		return line
	}
	return line + above
}

// rewrite applies a patch to the text of a document, in JSON or YAML.
func rewrite(text []byte, ops []Op) ([]byte, error) {
	if t := bytes.TrimSpace(text); len(t) > 0 && t[0] == '{' && json.Valid(t) {
		raw, err := apply(t, ops)
		if err != nil {
			return nil, err
		}
		var out bytes.Buffer
		err = json.Indent(&out, raw, "", "    ")
		return append(out.Bytes(), '\n'), err
	}
	var root yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil {
		return nil, err
	}
	for _, op := range ops {
		if err := edit(root.Content[0], strings.Split(op.Path[1:], "/"), op); err != nil {
			return nil, fmt.Errorf("%s: %w", op.Path, err)
		}
	}
	var out bytes.Buffer
	if bytes.HasPrefix(text, []byte("---")) {
		out.WriteString("---\n")
	}
	e := yaml.NewEncoder(&out)
	e.SetIndent(2)
	err := e.Encode(&root)
	return out.Bytes(), errors.Join(err, e.Close())
}

var errAlias = errors.New("it is written with an alias or a merge key, which cannot be changed in one place alone: write it out")

var unescape = strings.NewReplacer("~1", "/", "~0", "~")

// edit applies a step of a patch to YAML, so that its comments and its order stay.
func edit(at *yaml.Node, steps []string, op Op) error {
	last := len(steps) == 1
	if at.Anchor != "" {
		return errAlias
	}
	switch at.Kind {
	case yaml.MappingNode:
		value := member(at, unescape.Replace(steps[0]))
		switch {
		case last:
			return set(at, value, unescape.Replace(steps[0]), op)
		case value == nil && steps[0] == "metadata": // a template may have none
			value = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
			at.Content = append([]*yaml.Node{scalar(steps[0]), value}, at.Content...)
		case value == nil:
			return errAlias
		}
		return edit(value, steps[1:], op)
	case yaml.SequenceNode:
		i := len(at.Content)
		if steps[0] != "-" {
			if _, err := fmt.Sscan(steps[0], &i); err != nil || i > len(at.Content) || !last && i == len(at.Content) {
				return fmt.Errorf("there is no element %s", steps[0])
			}
		}
		if !last {
			return edit(at.Content[i], steps[1:], op)
		}
		value, err := node(op.Value)
		if err == nil {
			at.Content = append(at.Content[:i], append([]*yaml.Node{value}, at.Content[i:]...)...)
		}
		return err
	}
	return errAlias
}

// member is a key's value; nil: there is none.
func member(m *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == key {
			return m.Content[i+1]
		}
	}
	return nil
}

func set(m, old *yaml.Node, key string, op Op) error {
	value, err := node(op.Value)
	switch {
	case err != nil:
		return err
	case old == nil:
		m.Content = append(m.Content, scalar(key), value)
	default:
		*old = *value
	}
	return nil
}

func scalar(text string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}
}

// node is JSON as one would write it in YAML.
func node(raw json.RawMessage) (*yaml.Node, error) {
	var n yaml.Node
	if err := yaml.Unmarshal(raw, &n); err != nil {
		return nil, err
	}
	plain(n.Content[0])
	return n.Content[0], nil
}

// plain drops the style of JSON but for strings that YAML 1.1, which Kubernetes reads, takes for something else; the encoder quotes
// what YAML 1.2 does.
func plain(n *yaml.Node) {
	if n.Kind != yaml.ScalarNode || !oldBool.MatchString(n.Value) {
		n.Style = 0
	}
	for _, c := range n.Content {
		plain(c)
	}
}

var oldBool = regexp.MustCompile(`^(?i:y|n|yes|no|on|off)$`)
