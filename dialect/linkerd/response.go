package linkerd

import (
	"cmp"
	"fmt"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/feature/classify"
)

// responseClass is a class of answers of a ServiceProfile's route.
type responseClass struct {
	Condition *responseMatch `json:"condition"`
	IsFailure bool           `json:"isFailure"`
}

// responseMatch is a condition on an answer (ServiceProfile's ResponseMatch): all of its fields that are set.
type responseMatch struct {
	Status *struct {
		Min int64 `json:"min"`
		Max int64 `json:"max"`
	} `json:"status"`
	All []responseMatch `json:"all"`
	Any []responseMatch `json:"any"`
	Not *responseMatch  `json:"not"`
}

// classes lowers the response classes of a route; nil: none of them says anything.
func (r *reader) classes(field string, ref decision.Ref, list []responseClass) *classify.Policy {
	out := &classify.Policy{Ref: ref}
	for i, c := range list {
		at := dialect.Index(".responseClasses", i)
		if cond, ok := r.response(field+at+".condition", c.Condition); ok {
			out.Classes = append(out.Classes, classify.Class{Ref: ref.At(ref.Rule + at), Match: cond, Success: !c.IsFailure})
		}
	}
	if len(out.Classes) == 0 {
		return nil
	}
	return out
}

// response lowers a condition on an answer; false: no answer meets it, and a finding says why.
func (r *reader) response(field string, m *responseMatch) (out classify.Condition, ok bool) {
	if m == nil || m.Status == nil && m.All == nil && m.Any == nil && m.Not == nil {
		r.Warn(field, "it has none of status, all, any and not: the class matches no answer", "write condition: {status: {min: 500, max: 599}}")
		return out, false
	}
	if m.Status != nil {
		if out.Status, ok = r.statuses(field+".status", m.Status.Min, m.Status.Max); !ok {
			return out, false
		}
	}
	if out.All, ok = r.responses(field+".all", m.All); !ok {
		return out, false
	}
	if out.Any, ok = r.responses(field+".any", m.Any); !ok {
		return out, false
	}
	if m.Not != nil {
		x, ok := r.response(field+".not", m.Not)
		if !ok {
			return out, false
		}
		out.Not = []classify.Condition{x}
	}
	return out, true
}

// responses lowers a list of conditions. One that is there and empty is met by nothing, all as well as any.
func (r *reader) responses(field string, list []responseMatch) (out []classify.Condition, ok bool) {
	if list != nil && len(list) == 0 {
		r.Warn(field, "the list is empty: the class matches no answer", "")
		return nil, false
	}
	for i := range list {
		x, ok := r.response(dialect.Index(field, i), &list[i])
		if !ok {
			return nil, false
		}
		out = append(out, x)
	}
	return out, true
}

// statuses lowers a range; of one end alone, it is that one status, as Linkerd's reference says.
func (r *reader) statuses(field string, low, high int64) (*classify.Statuses, bool) {
	if low == 0 && high == 0 {
		r.Warn(field, "it has neither min nor max: the class matches no answer", "write both, as {min: 500, max: 599}")
		return nil, false
	}
	r.status(field+".min", low)
	r.status(field+".max", high)
	if low != 0 && high != 0 && high < low {
		r.Refuse(field+".max", fmt.Sprintf("%d is less than min, %d", high, low), "")
	}
	return &classify.Statuses{Min: int(cmp.Or(low, high)), Max: int(cmp.Or(high, low))}, true
}

func (r *reader) status(field string, n int64) {
	if n != 0 && (n < 100 || n > 599) {
		r.Refuse(field, fmt.Sprintf("%d is not a status: one is from 100 to 599", n), "")
	}
}
