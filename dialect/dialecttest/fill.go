package dialecttest

import (
	"strings"

	"github.com/weft-mesh/weft/dialect"
)

// Fill returns an object with values in the places that are called $0, $1 and so on, keys among them: what a fuzz target varies.
func Fill(o *dialect.Object, with ...any) *dialect.Object {
	c := *o
	c.Tree = filled(o.Tree, with).(map[string]any)
	return &c
}

func filled(v any, with []any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for key, inner := range v {
			out[filled(key, with).(string)] = filled(inner, with)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = filled(v[i], with)
		}
		return out
	case string:
		if n, ok := strings.CutPrefix(v, "$"); ok && len(n) == 1 && int(n[0]-'0') < len(with) {
			return with[n[0]-'0']
		}
	}
	return v
}
