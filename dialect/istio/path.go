package istio

import (
	"fmt"
	"regexp"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/match"
)

// paths lowers paths, some of which may be templates.
func (r *authorization) paths(field string, list []string) (out []match.String) {
	for i, v := range list {
		at := dialect.Index(field, i)
		if strings.ContainsAny(v, "{}") {
			out = append(out, r.template(at, v))
		} else {
			out = append(out, r.glob(at, v, false))
		}
		if g := glob(v); v != "*" && g.Kind != match.Suffix && !strings.HasPrefix(g.Value, "/") {
			r.Warn(at, "no path begins like this", "begin it with /")
		}
	}
	return out
}

// template lowers a path with {*}, for one segment, and at last {**}, for any text; they stand for segments as a whole.
func (r *authorization) template(field, v string) match.String {
	var re []string
	last := false
	for _, seg := range strings.Split(v, "/") {
		switch {
		case last && (seg == "{*}" || seg == "{**}"):
			r.Refuse(field, "{**} is not the last operator", "")
		case seg == "{*}":
			re = append(re, "[^/]+")
		case seg == "{**}":
			re, last = append(re, ".*"), true
		case strings.ContainsAny(seg, "{}*"):
			r.Refuse(field, fmt.Sprintf("%q cannot be part of a template", seg), "a segment is {*}, {**} or plain text")
		default:
			re = append(re, regexp.QuoteMeta(seg))
		}
	}
	return match.String{Kind: match.Regex, Value: strings.Join(re, "/")}
}

// isEmpty says whether a message sets nothing.
func isEmpty(m protoreflect.Message) bool {
	empty := true
	m.Range(func(protoreflect.FieldDescriptor, protoreflect.Value) bool { empty = false; return false })
	return empty
}
