package linkerd

import "strings"

// reference names another object.
type reference struct {
	Group     string `json:"group"`
	Kind      string `json:"kind"`
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
}

// target is a reference to an object of the same namespace.
type target struct {
	Group string `json:"group"`
	Kind  string `json:"kind"`
	Name  string `json:"name"`
}

// referenceFields are those of a target at path.
func referenceFields(path string) []string {
	return []string{path + ".group", path + ".kind", path + ".name"}
}

// is compares a kind as Linkerd does: without case, and "core" is no group.
func (t *target) is(group, kind string) bool {
	g := t.Group
	if strings.EqualFold(g, "core") {
		g = ""
	}
	return strings.EqualFold(g, group) && strings.EqualFold(t.Kind, kind)
}

func (t *target) String() string {
	if t.Group == "" {
		return t.Kind
	}
	return t.Kind + " of " + t.Group
}

func (x *reference) target() *target { return &target{x.Group, x.Kind, x.Name} }

func (x *reference) is(group, kind string) bool { return x.target().is(group, kind) }

func (x *reference) String() string { return x.target().String() }

// in is the namespace that is meant, from one.
func (x *reference) in(namespace string) string {
	if x.Namespace != "" {
		return x.Namespace
	}
	return namespace
}
