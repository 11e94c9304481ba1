package dialect

import (
	"slices"
	"strings"
)

// place is a path that is written out only when somebody asks: nearly all fields of nearly all objects are as they should be.
type place struct {
	up    *place
	key   string
	index int // of a list's element, from 0; -1: key
}

func (p *place) child(key string) *place { return &place{p, key, -1} }
func (p *place) elem(i int) *place       { return &place{p, "", i} }

// below says whether the place is inside of a field of one of these names.
func (p *place) below(names ...string) bool {
	for up := p.up; up != nil; up = up.up {
		if up.index < 0 && slices.Contains(names, up.key) {
			return true
		}
	}
	return false
}

// path is the places from the object's own fields down to p.
func (p *place) path() (all []*place) {
	for ; p != nil; p = p.up {
		all = append(all, p)
	}
	slices.Reverse(all)
	return all
}

// String is the path from the object down, as Child and Index write it.
func (p *place) String() string {
	switch {
	case p == nil:
		return ""
	case p.index >= 0:
		return Index(p.up.String(), p.index)
	}
	return Child(p.up.String(), p.key)
}

// pattern replaces every index of a path by "[]", and leaves keys as they are.
func pattern(path string) string {
	var b strings.Builder
	for path != "" {
		i := strings.IndexByte(path, '[')
		if i < 0 {
			break
		}
		end := strings.IndexByte(path[i:], ']')
		if end < 0 {
			break
		}
		b.WriteString(path[:i])
		if step := path[i : i+end+1]; closes(step) && !strings.Contains(step, `"`) {
			b.WriteString("[]")
		} else {
			b.WriteString(step)
		}
		path = path[i+end+1:]
	}
	b.WriteString(path)
	return b.String()
}
