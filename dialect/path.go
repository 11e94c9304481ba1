package dialect

import (
	"strconv"
	"strings"
)

// Child is the path of a field or map key below path: "spec" and "http" make "spec.http". A key that a path can't hold as
// it is, as "app.kubernetes.io/name", stands in brackets: spec.selector["app.kubernetes.io/name"].
func Child(path, key string) string {
	switch {
	case key == "" || strings.ContainsAny(key, ".[]\""):
		return path + "[" + strconv.Quote(key) + "]"
	case path == "":
		return key
	}
	return path + "." + key
}

// Index is the path of a list's i-th element: "spec.http" and 0 make "spec.http[0]".
func Index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// parentPath is the path around path's last step; false: there is none.
func parentPath(path string) (string, bool) {
	if path == "" {
		return "", false
	}
	for i := len(path) - 1; i >= 0; i-- {
		switch {
		case path[i] == '.' && !strings.HasSuffix(path, "]"):
			return path[:i], true
		case path[i] == '[' && strings.HasSuffix(path, "]") && closes(path[i:]):
			return path[:i], true
		}
	}
	return "", true
}

// closes says whether a step that begins with a bracket is whole: an index, or a quoted key, which may hold brackets itself.
func closes(step string) bool {
	inner := step[1 : len(step)-1]
	if strings.HasPrefix(inner, `"`) {
		_, err := strconv.Unquote(inner)
		return err == nil
	}
	_, err := strconv.Atoi(inner)
	return err == nil
}

// Line is where the field stands: its own line, else that of the nearest field around it that is known, else the object's.
func (o *Object) Line(field string) int {
	for ok := true; ok; field, ok = parentPath(field) {
		if line, found := o.Lines[field]; found {
			return line
		}
	}
	return o.Source.Line
}

// At is where the field stands.
func (o *Object) At(field string) Position { return Position{o.Source.File, o.Line(field)} }
