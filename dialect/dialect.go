// Package dialect is what readers of configuration share: objects in, parts of the mesh and findings out. The list of readers
// is dialect/all: it imports them, and they import this.
//
// Nothing is dropped in silence. A Kind has the Schema of all its fields and the list of those that its reader gives an effect;
// Read compares the object with both, so that every other field becomes a finding without the reader's doing.
package dialect

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unique"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect/schema"
	"github.com/weft-mesh/weft/mesh"
)

// Object is one object as its source gave it. It is immutable.
type Object struct {
	Group       string // "networking.istio.io"; empty: Kubernetes' core
	Version     string // "v1"
	Kind        string
	Namespace   string // empty: of the cluster. A source fills in "default" where a namespaced kind names none
	Name        string
	Labels      map[string]string
	Annotations map[string]string
	Created     time.Time      // metadata.creationTimestamp, else when the source first saw it
	Tree        map[string]any // the whole object as JSON values: map[string]any, []any, string, float64, int64, bool, nil
	Packed      string         // the same as abridged text, where Pack has taken the tree out. Readers get objects with a tree; others call Whole
	Source      Position       // where it begins
	Lines       map[string]int // line by field path, as "spec.http[0].match"; nil: unknown
}

// Position is a place in a file.
type Position struct {
	File string
	Line int // from 1; 0: unknown
}

func (p Position) String() string {
	if p.Line == 0 {
		return p.File
	}
	return p.File + ":" + strconv.Itoa(p.Line)
}

// Key names an object among all.
type Key struct{ Group, Kind, Namespace, Name string }

// Key returns o's.
func (o *Object) Key() Key { return Key{o.Group, o.Kind, o.Namespace, o.Name} }

// Ref returns o's name as d's rules carry it.
func (o *Object) Ref(d decision.Dialect) decision.Ref {
	return decision.Ref{Dialect: d, Kind: o.Kind, Namespace: o.Namespace, Name: o.Name}
}

// View is what a reader may see beside the object that it reads. Whoever gives it notes what was asked for, found or not,
// and reads the object again when that changes.
type View interface {
	Get(group, kind, namespace, name string) *Object
	Absent(group, kind, namespace, name string) bool // it is certain that there is none: where not all of a kind are read, somebody has looked
	List(group, kind, namespace string) []*Object    // namespace "": all; sorted by creation, namespace and name
	Find(x *Lookup, key string) []*Object            // those of a List of all namespaces that are under a key, in that order
}

// Lookup finds objects of a kind by what stands in them, so that each of many who look for a few does not read them all. It is a package's
// variable.
type Lookup struct {
	Group, Kind string
	Keys        func(*Object) []string // of one that may not be well formed; a key that is there twice counts once
}

// By puts objects under their keys, in the order that they have.
func (x *Lookup) By(list []*Object) map[string][]*Object {
	by := map[string][]*Object{}
	for _, o := range list {
		for _, k := range x.Keys(o) {
			if there := by[k]; len(there) == 0 || there[len(there)-1] != o {
				by[k] = append(there, o)
			}
		}
	}
	return by
}

// Kind is a kind of object, and how it is read.
type Kind struct {
	Dialect  decision.Dialect
	Group    string
	Name     string
	Versions []string           // accepted, the best first
	Cluster  bool               // objects have no namespace
	Guards   bool               // objects say who may call, or that calls are encrypted: without one, calls may pass that it forbids
	Harmless func(*Object) bool // those of a kind that guards which do not, whatever else is wrong with them. Nil: none
	Hidden   bool               // findings show no values of objects
	Schema   *schema.Schema     // of the whole object below metadata
	// Fields have an effect: paths as "spec.http[].match[].headers{}.exact", where "[]" is a list's element and "{}" a map's;
	// one that ends in ".*" covers all below it. The last "[]" or "{}" of a list or map of plain values may be left out.
	Fields []string
	// Kept fields have their effect elsewhere than in the mesh, as on statuses of other objects: no finding.
	Kept []string
	// Keys are all of data that anybody reads; none: each. Pruner takes out the others.
	Keys []string
	// Ignored fields are right to have none here, with the reason: "status.*" is another controller's word, say. No finding, and Pruner
	// takes out those that end in ".*".
	Ignored map[string]string
	// Unsupported explains, by path, fields that could have an effect and have none yet; those without an entry get a general
	// sentence. The empty path explains a kind without Lower.
	Unsupported map[string]string
	// Renamed says, by the path of a field that does not exist, what its author probably meant, where spelling does not tell.
	// Of the fields inside an unknown one, those that it names get a finding of their own.
	Renamed map[string]string
	// Annotations have an effect. Of the others, those that a mesh reads become a finding.
	Annotations []string
	// CheckName says why a name can't be one of this kind, or nothing. Nil: it is a DNS-1123 subdomain, as most are.
	CheckName func(name string) []string
	// Lower turns an object into its part of the mesh. It is called for objects that fit Schema only. Error findings mean that
	// the object is not in force; findings without a Ref get the object's. Nil: the kind is known and not supported yet, or
	// has no part in a mesh, which Ignored says for the empty path.
	Lower func(o *Object, v View) (mesh.Part, []mesh.Finding)
	// Status says what the status of the newest version of an object is to be. found is what there is to say of it. Nil, or a nil Status:
	// it is not weft's to write.
	Status func(o *Object, v View, found []mesh.Finding) Status
	// Unclaimed kinds do not say who is to write their statuses: those are weft's in the namespaces alone that it has adopted.
	Unclaimed bool
}

// Status makes of the status that an object has, as JSON values, the one that it is to have: what others wrote there stays. It changes
// nothing of what it is given.
type Status func(was map[string]any, now time.Time) map[string]any

// Cluster makes k a kind whose objects have no namespace.
func Cluster(k Kind) Kind {
	k.Cluster = true
	return k
}

// Guard makes k a kind whose objects say who may call.
func Guard(k Kind) Kind {
	k.Guards = true
	return k
}

// Located is a finding and where it is.
type Located struct {
	Position
	mesh.Finding
}

// FileKind is the kind in the Ref of a finding about a file that could not be read: there is no object to name.
const FileKind = "File"

// String is "FILE:LINE: LEVEL: what, and why".
func (l Located) String() string {
	text := l.Finding.String()
	if l.Ref.Kind == FileKind {
		_, text, _ = strings.Cut(text, ": ") // the position names the file
	}
	return l.Position.String() + ": " + l.Level.String() + ": " + text
}

// Find returns the kind of a group and name, or nil.
func Find(kinds []Kind, group, name string) *Kind {
	i := slices.IndexFunc(kinds, func(k Kind) bool { return k.Group == group && k.Name == name })
	if i < 0 {
		return nil
	}
	return &kinds[i]
}

// Labels turns a map into sorted "key=value", which nobody changes: pods of a deployment, which come one after the other, have the same list.
func Labels(m map[string]string) []string {
	if len(m) == 0 {
		return nil
	}
	out := make([]string, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, unique.Make(k+"="+m[k]).Value()) // 100,000 pods have some thousands of them
	}
	if last := lastLabels.Load(); last != nil && slices.Equal(*last, out) {
		return *last
	}
	lastLabels.Store(&out)
	return out
}

var lastLabels atomic.Pointer[[]string] // that Labels has returned
