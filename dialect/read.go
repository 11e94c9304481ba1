package dialect

import (
	"slices"
	"strings"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/internal/spelling"
	"github.com/weft-mesh/weft/mesh"
)

// Read turns an object into its part of the mesh. It finds o's kind, compares every field of o with the kind's Schema and
// Fields, and lowers an object that fits; of another one it says what there is to say of what fits. A part is empty when a finding
// is an Error. Kinds that nobody knows are a Warning, since they may be another program's.
func Read(kinds []Kind, o *Object, v View) (mesh.Part, []mesh.Finding) {
	k, found := kindOf(kinds, o)
	if k == nil {
		return mesh.Part{}, found
	}
	return judge(k, check(k, fieldsOf(k), o), o, v)
}

// judge lowers an object of which flaws are known already, and returns all that there is to say of it.
func judge(k *Kind, flaws []mesh.Finding, o *Object, v View) (mesh.Part, []mesh.Finding) {
	if anyError(flaws) {
		return mesh.Part{}, append(slices.Clip(flaws), despite(k, flaws, o, v)...)
	}
	part, found := lower(k, o, v)
	return part, append(slices.Clip(flaws), found...)
}

// check returns all that can be said of o without looking at any other object.
func check(k *Kind, fields *field, o *Object) []mesh.Finding {
	o = o.unpacked()
	c := checker{kind: k, ref: o.Ref(k.Dialect)}
	if !slices.Contains(k.Versions, o.Version) {
		c.add(mesh.Error, (*place)(nil).child("apiVersion"), "version "+o.Version+" of "+k.Name+" is not known",
			"write "+accepted(k))
		if k.Lower == nil {
			return c.found
		}
	}
	c.metadata(o)
	if k.Lower == nil {
		c.noLower()
	}
	if k.Schema != nil {
		around := said{known: k.Lower == nil, why: k.Unsupported[""]}
		c.object(nil, k.Schema, fields, o.Tree, around)
	}
	return c.found
}

// noLower says that a whole kind has no effect: as it should be, or not yet.
func (c *checker) noLower() {
	if why, ok := c.kind.Ignored[""]; ok {
		c.add(mesh.Info, nil, "has no part in the mesh: "+why, "")
		return
	}
	text := "not supported yet: " + c.kind.Name + " has no effect"
	if why, ok := c.kind.Unsupported[""]; ok {
		text = "not supported yet: " + why
	}
	c.add(mesh.Warning, nil, text, "")
}

func accepted(k *Kind) string {
	list := slices.Clone(k.Versions)
	for i := range list {
		if k.Group != "" {
			list[i] = k.Group + "/" + list[i]
		}
	}
	return strings.Join(list, " or ")
}

func lower(k *Kind, o *Object, v View) (mesh.Part, []mesh.Finding) {
	if k.Lower == nil {
		return mesh.Part{}, nil
	}
	part, found := k.Lower(o.unpacked(), v)
	for i := range found {
		if found[i].Ref.Kind == "" {
			found[i].Ref = o.Ref(k.Dialect)
		}
	}
	if anyError(found) {
		return mesh.Part{}, found
	}
	return part, found
}

func anyError(found []mesh.Finding) bool {
	return slices.ContainsFunc(found, func(f mesh.Finding) bool { return f.Level == mesh.Error })
}

// kindOf returns o's kind, or what to say of an object whose kind nobody knows.
func kindOf(kinds []Kind, o *Object) (*Kind, []mesh.Finding) {
	if k := Find(kinds, o.Group, o.Kind); k != nil {
		return k, nil
	}
	f := mesh.Finding{Ref: o.Ref(dialectOf(kinds, o.Group)), Level: mesh.Warning,
		Text: "kind " + o.Kind + " of " + groupWord(o.Group) + " is not known: the object has no effect"}
	var guards bool
	if f.Remedy, guards = likeKind(kinds, o); guards {
		f.Level = mesh.Error
	}
	return nil, []mesh.Finding{f}
}

func groupWord(group string) string {
	if group == "" {
		return "the core group"
	}
	return group
}

// dialectOf is the dialect of a group's other kinds, else weft's own.
func dialectOf(kinds []Kind, group string) decision.Dialect {
	for i := range kinds {
		if kinds[i].Group == group {
			return kinds[i].Dialect
		}
	}
	return decision.Weft
}

// likeKind says which kind was probably meant: the same name in another group, a name like it in the same group, or both. In a
// group that is known it may be one that guards calls: then no other system would have taken the object either.
func likeKind(kinds []Kind, o *Object) (remedy string, guards bool) {
	var groups, names []string
	group, known := nearestGroup(kinds, o.Group), false
	for i := range kinds {
		k := &kinds[i]
		if k.Name == o.Kind {
			groups = append(groups, strings.TrimPrefix(k.Group+"/"+k.Versions[0], "/"))
			guards = guards || k.guards(o)
		}
		if k.Group == group {
			names, known = append(names, k.Name), true
		}
	}
	if len(groups) > 0 {
		return "did you mean apiVersion: " + strings.Join(groups, " or ") + "?", known && guards
	}
	if near := spelling.Nearest(o.Kind, names); near != "" {
		return "did you mean " + near + "?", Find(kinds, group, near).guards(o)
	}
	return "", false
}

func nearestGroup(kinds []Kind, group string) string {
	var groups []string
	for i := range kinds {
		groups = append(groups, kinds[i].Group)
	}
	if near := spelling.Nearest(group, groups); near != "" {
		return near
	}
	return group
}
