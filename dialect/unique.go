package dialect

import "github.com/weft-mesh/weft/mesh"

// Unique keeps the first object of each key. For every other one there is an Error finding that names both places.
func Unique(kinds []Kind, objects []*Object) (kept []*Object, found []Located) {
	first := make(map[Key]*Object, len(objects))
	for _, o := range objects {
		one, twice := first[o.Key()]
		if !twice {
			first[o.Key()], kept = o, append(kept, o)
			continue
		}
		found = append(found, Located{o.Source, again(kinds, o, one)})
	}
	return kept, found
}

func again(kinds []Kind, o, first *Object) mesh.Finding {
	f := mesh.Finding{Ref: o.Ref(dialectOf(kinds, o.Group)), Level: mesh.Error}
	if o.Name == "" {
		f.Field, f.Text = "metadata.name", "required, and not there"
		return f
	}
	f.Text = "the object at " + first.Source.String() + " has the same name, is read first, and stays in force"
	f.Remedy = "remove one of them, or give it another name"
	return f
}
