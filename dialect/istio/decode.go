package istio

import (
	"reflect"

	"google.golang.org/protobuf/proto"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/dialect/schema"
)

// decode fills into with the object's spec; false: it could not, and a finding says why. Fields that the kind does not have are
// left out first: Istio's types would also read them by the names that they have inside, as "fixed_delay".
func (r *reader) decode(into proto.Message) bool {
	tree := map[string]any{}
	if spec, ok := r.Object.Tree["spec"]; ok && spec != nil {
		tree["spec"] = known(schemas[reflect.TypeOf(into)].Fields["spec"], spec)
	}
	clean := *r.Object
	clean.Tree = tree
	if err := dialect.DecodeField(&clean, "spec", into); err != nil {
		r.Refuse("spec", err.Error(), "")
		return false
	}
	return true
}

// known copies what s has a place for.
func known(s *schema.Schema, v any) any {
	switch v := v.(type) {
	case map[string]any:
		if s.Type == schema.AnyType {
			return v
		}
		out := make(map[string]any, len(v))
		for key, x := range v {
			if inner := child(s, key); inner != nil && x != nil {
				out[key] = known(inner, x)
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = known(s.Elem, x)
		}
		return out
	}
	return v
}

func child(s *schema.Schema, key string) *schema.Schema {
	if s.Type == schema.MapType {
		return s.Elem
	}
	return s.Fields[key]
}
