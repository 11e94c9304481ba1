package istio

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/feature/headers"
)

// headers lowers the edits of a rule or of a destination.
func (r *reader) headers(field string, ref decision.Ref, h *networking.Headers) *headers.Policy {
	p := headers.Policy{Ref: ref, Request: r.edit(field+".request", h.GetRequest(), true),
		Response: r.edit(field+".response", h.GetResponse(), false)}
	if len(p.Request.Set)+len(p.Request.Add)+len(p.Request.Remove)+len(p.Response.Set)+len(p.Response.Add)+len(p.Response.Remove) == 0 {
		return nil
	}
	return &p
}

func (r *reader) edit(field string, ops *networking.Headers_HeaderOperations, request bool) (e headers.Edit) {
	e.Set = r.pairs(field+".set", ops.GetSet(), request)
	for _, p := range r.pairs(field+".add", ops.GetAdd(), request) {
		switch {
		case p.Name != "host":
			e.Add = append(e.Add, p)
		case !slices.ContainsFunc(e.Set, isHost): // there is one authority: to add one is to set it
			e.Set = append(e.Set, p)
		}
	}
	for i, name := range ops.GetRemove() {
		if name = strings.ToLower(name); name == "" || name == "host" || name[0] == ':' {
			r.Refuse(dialect.Index(field+".remove", i), fmt.Sprintf("%q cannot be removed", name), "")
			continue
		}
		e.Remove = append(e.Remove, name)
	}
	return e
}

func isHost(p headers.Pair) bool { return p.Name == "host" }

// without returns the pairs of other names.
func without(list []headers.Pair, name string) []headers.Pair {
	return slices.DeleteFunc(list, func(p headers.Pair) bool { return p.Name == name })
}

// pairs lowers a map, sorted; ":authority" is the host of a request.
func (r *reader) pairs(field string, m map[string]string, request bool) (out []headers.Pair) {
	for _, key := range slices.Sorted(maps.Keys(m)) {
		name := strings.ToLower(key)
		if name == ":authority" {
			name = "host"
		}
		switch {
		case name == "":
			r.Refuse(dialect.Child(field, key), "the header's name is empty", "")
		case name[0] == ':', name == "host" && !request:
			r.Refuse(dialect.Child(field, key), fmt.Sprintf("%s cannot be changed", key), "")
		default:
			out = append(out, headers.Pair{Name: name, Value: r.value(dialect.Child(field, key), m[key])})
		}
	}
	return out
}

// operator is one of Envoy's command operators in a header's value, or its escape for a percent sign.
var operator = regexp.MustCompile(`%%|%[A-Z0-9_]+(\([^)]*\))?(:[0-9]+)?%`)

// value lowers a header's value: "%%" is a percent sign.
func (r *reader) value(field, v string) string {
	if strings.ContainsAny(v, "\r\n\x00") {
		r.Refuse(field, "a header's value cannot hold a line break", "")
	}
	return operator.ReplaceAllStringFunc(v, func(op string) string {
		if op == "%%" {
			return "%"
		}
		r.Warn(field, "weft does not fill in "+op+"; the value is sent as it is written", "write the value itself")
		return op
	})
}

// authority is what a rule makes of the request's host; empty: nothing.
func authority(h *networking.HTTPRoute) string {
	if a := h.GetRewrite().GetAuthority(); a != "" {
		return a
	}
	for _, m := range []map[string]string{h.GetHeaders().GetRequest().GetSet(), h.GetHeaders().GetRequest().GetAdd()} {
		for k, v := range m {
			if strings.EqualFold(k, "host") || strings.EqualFold(k, ":authority") {
				return v
			}
		}
	}
	return ""
}
