// Package schema says which fields an object may have, and what they hold. A Schema is made of an API's Go type, or of its protobuf
// message, and objects are compared with it before anything reads them. Nothing here reads an object.
package schema

import (
	"maps"
	"slices"
	"strings"
)

// Type is what a field holds.
type Type uint8

const (
	AnyType Type = iota // anything, not looked into
	ObjectType
	MapType
	ListType
	StringType
	IntType
	NumberType
	BoolType
	DurationType    // "1.5s", "10ms"
	IntOrStringType // a port by number or name
	QuantityType    // "100m", "1Gi", or a number
)

var typeWords = [...]string{"anything", "an object", "a map", "a list", "a string", "a whole number", "a number",
	"true or false", `a duration, as "1.5s"`, "a whole number or a string", `a quantity, as "100m" or 2`}

func (t Type) String() string { return typeWords[t] }

// Schema is the shape of a field and of all below it. Schemas may refer to themselves.
type Schema struct {
	Type     Type
	Fields   map[string]*Schema // of an object
	Elem     *Schema            // of a map's or list's elements
	Enum     []string           // strings that are allowed; nil: any
	Required []string           // of an object
	OneOf    [][]string         // of an object: of each group at most one may be set
	Range    [2]float64         // of a whole number: the least and the most; zero: any
	Numbers  bool               // of a map: its keys are whole numbers of 32 bits without a sign
}

// At returns the schema at path, as "spec.http[].match[].headers{}.exact": "[]" is a list's element and "{}" a map's. Nil:
// the shape has no such field. Objects of one Go type share their schema within one Of.
func (s *Schema) At(path string) *Schema {
	for _, step := range Steps(path) {
		if s = s.step(step); s == nil {
			return nil
		}
	}
	return s
}

func (s *Schema) step(step string) *Schema {
	switch {
	case step == "[]" && s.Type == ListType, step == "{}" && s.Type == MapType:
		return s.Elem
	}
	return s.Fields[step]
}

// Steps cuts "spec.http[].headers{}.exact" into spec, http, [], headers, {}, exact.
func Steps(path string) (out []string) {
	for part := range strings.SplitSeq(path, ".") {
		name := strings.TrimRight(part, "[]{}")
		if name != "" {
			out = append(out, name)
		}
		for rest := part[len(name):]; len(rest) >= 2; rest = rest[2:] {
			out = append(out, rest[:2])
		}
	}
	return out
}

// SetEnum says which strings the field at path may hold. It panics where there is no such field: schemas are built once, from
// constants.
func (s *Schema) SetEnum(path string, values ...string) *Schema {
	s.mustAt(path).Enum = values
	return s
}

// SetSelector says of the label selector at path what its Go type does not. It panics as SetEnum does.
func (s *Schema) SetSelector(path string) *Schema {
	s.Require(path+".matchExpressions[].key", path+".matchExpressions[].operator")
	return s.SetEnum(path+".matchExpressions[].operator", "In", "NotIn", "Exists", "DoesNotExist")
}

// SetType says what the field at path holds, where its Go type does not tell. It panics as SetEnum does.
func (s *Schema) SetType(path string, t Type) *Schema {
	s.mustAt(path).Type = t
	return s
}

// Require says that whoever writes the object around each path has to write the field too. It panics as SetEnum does.
func (s *Schema) Require(paths ...string) *Schema {
	for _, p := range paths {
		s.mustAt(p)
		i := strings.LastIndexByte(p, '.')
		parent := s.mustAt(p[:max(i, 0)])
		parent.Required = append(parent.Required, p[i+1:])
	}
	return s
}

func (s *Schema) mustAt(path string) *Schema {
	if at := s.At(path); at != nil {
		return at
	}
	panic("schema: there is no field " + path)
}

// Whole is the schema of an object that consists of a spec, of another controller's status, and of nothing else.
func Whole(spec *Schema) *Schema {
	return &Schema{Type: ObjectType, Fields: map[string]*Schema{"spec": spec, "status": {}}}
}

// Inner is the schema of an object's field; of what is not looked into, anything. Nil: the object has no such field.
func (s *Schema) Inner(key string) *Schema {
	if s.Type == AnyType && s.Fields == nil {
		return s
	}
	return s.Fields[key]
}

// Element is the schema of a list's or map's elements; of what is not looked into, anything.
func (s *Schema) Element() *Schema {
	if s.Elem == nil {
		return &Schema{}
	}
	return s.Elem
}

// Each calls f for every field at and below s, with its path; a schema inside itself is entered once.
func (s *Schema) Each(path string, inside map[*Schema]bool, f func(string, *Schema)) {
	if s == nil || inside[s] {
		return
	}
	inside[s] = true
	defer delete(inside, s)
	for _, name := range slices.Sorted(maps.Keys(s.Fields)) {
		at := strings.TrimPrefix(path+"."+name, ".")
		f(at, s.Fields[name])
		s.Fields[name].Each(at, inside, f)
	}
	switch s.Type {
	case ListType:
		s.Elem.Each(path+"[]", inside, f)
	case MapType:
		s.Elem.Each(path+"{}", inside, f)
	}
}
