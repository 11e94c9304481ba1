package linkerd

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/match"
)

// requestMatch is a condition on a request (ServiceProfile's RequestMatch): all of its fields that are set.
type requestMatch struct {
	PathRegex string         `json:"pathRegex"`
	Method    string         `json:"method"`
	All       []requestMatch `json:"all"`
	Any       []requestMatch `json:"any"`
	Not       *requestMatch  `json:"not"`
}

// maxMatches bounds what a condition becomes: alternatives of alternatives multiply.
const maxMatches = 64

var (
	errPaths = errors.New("two different expressions for the path of one call can't be asked for together yet")
	errMany  = fmt.Errorf("it comes to more than %d alternatives", maxMatches)
)

// matches lowers a route's condition to alternatives, each a conjunction. false: no call can match, and a finding says why.
func (r *reader) matches(field string, m *requestMatch) ([]match.Request, bool) {
	if m == nil {
		r.never(field, "required, and not there", "write condition: {pathRegex: /.*} to match all")
		return nil, false
	}
	out, ok := r.alternatives(field, m, true)
	if ok && len(out) == 0 {
		r.never(field, "it contradicts itself", "")
	}
	return out, ok && len(out) > 0
}

// never says why a condition is never met.
func (r *reader) never(field, text, remedy string) {
	r.Warn(field, text+": no call matches the route", remedy)
}

// alternatives of a condition, or of its opposite where want is false (De Morgan's laws). None: nothing matches; one without
// fields: everything does.
func (r *reader) alternatives(field string, m *requestMatch, want bool) ([]match.Request, bool) {
	var parts [][]match.Request
	good := true
	add := func(p []match.Request, ok bool) { parts, good = append(parts, p), good && ok }
	if m.PathRegex != "" {
		add(r.path(field+".pathRegex", m.PathRegex, want))
	}
	if m.Method != "" { // Linkerd reads it in capitals
		add([]match.Request{onMethod(strings.ToUpper(m.Method), want)}, true)
	}
	if m.All != nil {
		add(r.several(field+".all", m.All, want, want))
	}
	if m.Any != nil {
		add(r.several(field+".any", m.Any, want, !want))
	}
	if m.Not != nil {
		add(r.alternatives(field+".not", m.Not, !want))
	}
	if len(parts) == 0 {
		r.never(field, "it has none of pathRegex, method, all, any and not", "")
		return nil, false
	}
	if !good {
		return nil, false
	}
	return r.join(field, parts, want)
}

// several lowers a list, each of whose elements is to hold or, where want is false, not to; together says whether all are.
func (r *reader) several(field string, list []requestMatch, want, together bool) ([]match.Request, bool) {
	parts := make([][]match.Request, len(list))
	for i := range list {
		p, ok := r.alternatives(dialect.Index(field, i), &list[i], want)
		if !ok {
			return nil, false
		}
		parts[i] = p
	}
	return r.join(field, parts, together)
}

// join is the alternatives of all parts together, or of any of them.
func (r *reader) join(field string, parts [][]match.Request, together bool) ([]match.Request, bool) {
	out, err := slices.Concat(parts...), error(nil)
	if together {
		out, err = all(parts)
	}
	if err == nil && len(out) > maxMatches {
		err = errMany
	}
	if err != nil {
		r.never(field, err.Error(), "")
	}
	return out, err == nil
}

// all is the alternatives of a conjunction: one of each part, in all combinations that are possible.
func all(parts [][]match.Request) ([]match.Request, error) {
	out := []match.Request{{}}
	for _, p := range parts {
		var next []match.Request
		for i := range out {
			for j := range p {
				x, ok, err := both(&out[i], &p[j])
				if err != nil {
					return nil, err
				}
				if ok {
					next = append(next, x)
				}
			}
		}
		if out = next; len(out) > maxMatches {
			return nil, errMany
		}
	}
	return out, nil
}

// both is the conjunction of two requests; false: no request is both.
func both(a, b *match.Request) (x match.Request, ok bool, err error) {
	x.NotMethods, x.NotPaths = slices.Concat(a.NotMethods, b.NotMethods), slices.Concat(a.NotPaths, b.NotPaths)
	if x.Methods, ok = common(a.Methods, b.Methods); !ok {
		return x, false, nil
	}
	switch {
	case len(a.Paths) > 0 && len(b.Paths) > 0 && !slices.Equal(a.Paths, b.Paths):
		return x, false, errPaths
	case len(a.Paths) > 0:
		x.Paths = a.Paths
	default:
		x.Paths = b.Paths
	}
	return x, true, nil
}

// common is what two lists of exact values allow, where an empty one allows all; false: nothing.
func common(a, b []match.String) ([]match.String, bool) {
	if len(a) == 0 || len(b) == 0 {
		return slices.Concat(a, b), true
	}
	out := slices.DeleteFunc(slices.Clone(a), func(s match.String) bool { return !slices.Contains(b, s) })
	return out, len(out) > 0
}

func onMethod(m string, want bool) match.Request {
	s := []match.String{{Value: m}}
	if want {
		return match.Request{Methods: s}
	}
	return match.Request{NotMethods: s}
}

// path lowers an expression for the whole path, without the query.
func (r *reader) path(field, re string, want bool) ([]match.Request, bool) {
	re = strings.TrimSpace(re)
	s := match.String{Kind: match.Regex, Value: re}
	if !r.readable(field, s) {
		return nil, false
	}
	switch {
	case regexp.QuoteMeta(re) == re:
		s.Kind = match.Exact
	case alternates(re):
		r.Info(field, "as in Linkerd, the first alternative only has to be how the path begins, and the last how it ends",
			"put the alternatives in parentheses to have them match whole paths")
		s.Value = "(?s:.*)(?:" + anchored(re) + ")(?s:.*)"
	}
	if !r.readable(field, s) {
		return nil, false
	}
	if want {
		return []match.Request{{Paths: []match.String{s}}}, true
	}
	return []match.Request{{NotPaths: []match.String{s}}}, true
}

// readable says whether an expression can be compiled. Whoever had one that cannot would refuse all that stands beside it.
func (r *reader) readable(field string, s match.String) bool {
	err := s.Compile()
	if err != nil {
		r.never(field, err.Error(), "")
	}
	return err == nil
}

// anchored is how Linkerd's proxy makes an expression one for a whole path.
func anchored(re string) string {
	if !strings.HasPrefix(re, "^") {
		re = "^" + re
	}
	if !strings.HasSuffix(re, "$") {
		re += "$"
	}
	return re
}

// alternates says whether an expression that is valid consists of alternatives, outside of any parentheses.
func alternates(re string) bool {
	depth, class := 0, false
	for i := 0; i < len(re); i++ {
		switch c := re[i]; {
		case c == '\\':
			i++
		case class:
			class = c != ']'
		case c == '[':
			class = true
			i += len(re[i+1:]) - len(strings.TrimPrefix(strings.TrimPrefix(re[i+1:], "^"), "]")) // a ] that begins a class is of it
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == '|' && depth == 0:
			return true
		}
	}
	return false
}
