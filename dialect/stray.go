package dialect

import (
	"slices"
	"strconv"
	"strings"

	"github.com/weft-mesh/weft/dialect/schema"
)

// Value is what stands at a field, by its path as findings write it; nil: nothing.
func (o *Object) Value(field string) any {
	around, ok := parentPath(field)
	if !ok {
		return o.Whole()
	}
	step := strings.TrimPrefix(field[len(around):], ".")
	switch v := o.Value(around).(type) {
	case map[string]any:
		if inner, quoted := strings.CutPrefix(step, "["); quoted {
			step, _ = strconv.Unquote(strings.TrimSuffix(inner, "]"))
		}
		return v[step]
	case []any:
		if i, err := strconv.Atoi(strings.Trim(step, "[]")); err == nil && i >= 0 && i < len(v) {
			return v[i]
		}
	}
	return nil
}

// Strays says whether below a field, but for some of its own fields, there is one that the kind does not have. Its author meant
// something by it, and nobody knows what: where it may have narrowed whom a policy lets pass, the policy has to take the strictest
// reading there is, which effect tells. s is the kind's.
func (r *Reader) Strays(s *schema.Schema, field, effect string, but ...string) bool {
	if !strays(s.At(pattern(field)), r.Object.Value(field), but) {
		return false
	}
	r.Warn(field, "it holds a field that is not known, which may have narrowed it: "+effect, "correct the field, or remove it")
	return true
}

func strays(s *schema.Schema, v any, but []string) bool {
	switch v := v.(type) {
	case map[string]any:
		for key, x := range v {
			inner := s.Inner(key)
			if s.Type == schema.MapType {
				inner = s.Element()
			}
			if inner == nil || !slices.Contains(but, key) && strays(inner, x, nil) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, func(x any) bool { return strays(s.Element(), x, nil) })
	}
	return false
}
