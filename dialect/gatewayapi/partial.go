package gatewayapi

import (
	"strings"

	v1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/mesh"
)

// lastGood is the version of a refused route that stays in force for a parent; nil: none does, or the route is not one of which that may be said.
// PartiallyInvalid "indicates that the Route contains a combination of both valid and invalid rules", and "MUST NOT be set if a Route is fully
// valid, fully invalid, or not accepted" (RouteConditionPartiallyInvalid).
func lastGood(o *dialect.Object, ref *v1.ParentReference, v dialect.View, found []mesh.Finding) *dialect.Object {
	good := v.Get(o.Group, o.Kind, o.Namespace, o.Name) // what is in force is what others see
	if good == nil || good == o || !partly(o, found) {
		return nil
	}
	x, _ := readRoute(good)
	for i := range x.parents {
		if sameRef(treeOf(&x.parents[i]), treeOf(ref)) {
			if why, _ := newReader(good, v).accepts(x, &x.parents[i]); why.reason == "" {
				return good
			}
		}
	}
	return nil
}

// partly says whether all that is wrong with a route is in some of its rules, and others are as they should be.
func partly(o *dialect.Object, found []mesh.Finding) bool {
	var spec struct {
		Rules []any `json:"rules"`
	}
	if dialect.DecodeField(o, "spec", &spec) != nil {
		return false
	}
	wrong := map[string]bool{}
	for _, f := range found {
		if f.Level != mesh.Error {
			continue
		}
		rule, in := strings.CutPrefix(f.Field, "spec.rules[")
		if !in {
			return false
		}
		rule, _, _ = strings.Cut(rule, "]")
		wrong[rule] = true
	}
	return len(wrong) < len(spec.Rules)
}

// clash is Refuse of filters that are not for one rule together.
func (r *reader) clash(field, text, remedy string) {
	r.Refuse(field, text, remedy)
	r.clashes = append(r.clashes, field)
}
