package dialect

import (
	"maps"
	"slices"
	"strings"

	"github.com/weft-mesh/weft/dialect/schema"
)

// State is what becomes of a field.
type State uint8

const (
	Works   State = iota
	NotYet        // it has no effect, and a finding says so
	NotOurs       // it is right to have no effect here
)

func (s State) String() string { return [...]string{"works", "finding", "not for a mesh"}[s] }

// Row is what becomes of one field of a kind, or of the kind.
type Row struct {
	Path  string // as in Kind.Fields; empty: the whole kind
	State State
	Why   string // of what does not work
}

// Support lists what becomes of every field that the kind has, outermost first: of fields below one that has no effect nothing
// more is said.
func (k *Kind) Support() []Row {
	if k.Lower == nil {
		if why, ok := k.Ignored[""]; ok {
			return []Row{{State: NotOurs, Why: why}}
		}
		return []Row{{State: NotYet, Why: k.Unsupported[""]}}
	}
	s := support{}
	if k.Schema != nil {
		s.below("", k.Schema, fieldsOf(k), k.Unsupported[""])
	}
	return s.rows
}

type support struct{ rows []Row }

func (s *support) add(path string, state State, why string) {
	s.rows = append(s.rows, Row{path, state, why})
}

// below lists what is inside of an object, a list or a map.
func (s *support) below(path string, of *schema.Schema, f *field, why string) {
	switch of.Type {
	case schema.ListType:
		s.field(path+"[]", of.Element(), f.step("[]"), why)
	case schema.MapType:
		s.field(path+"{}", of.Element(), f.step("{}"), why)
	default:
		for _, name := range slices.Sorted(maps.Keys(of.Fields)) {
			if path == "" && (name == "apiVersion" || name == "kind" || name == "metadata") {
				continue
			}
			s.field(strings.TrimPrefix(path+"."+name, "."), of.Fields[name], f.step(name), why)
		}
	}
}

func (s *support) field(path string, of *schema.Schema, f *field, why string) {
	if f != nil && f.why != "" {
		why = f.why
	}
	plain := plainElem(of) // of what has no elements too
	switch {
	case f != nil && f.ignored && (f.all || plain && len(of.Fields) == 0):
		s.add(path, NotOurs, f.reason)
	case f != nil && f.effect && (f.all || plain && len(of.Fields) == 0):
		s.add(path, Works, "")
	case f.lost():
		s.add(path, NotYet, why)
	default:
		s.below(path, of, f, why)
	}
}
