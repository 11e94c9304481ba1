package istio

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/match"
)

// ways lowers a rule's matches: any of them is enough. They are split where the caller or the port differs, which the model
// keeps beside the request, and where another prefix is rewritten. all: one of them is for every call.
func (r *reader) ways(field string, h *networking.HTTPRoute) (ways []way, all bool) {
	if len(h.Match) == 0 {
		return []way{{prefix: "/"}}, true
	}
	for i, m := range h.Match {
		w, ok := r.way(dialect.Index(field+".match", i), m)
		if !ok {
			continue
		}
		if n := len(ways) - 1; n >= 0 && ways[n].joins(&w, h.Rewrite.GetUri() != "" || h.Redirect.GetPrefixRewrite() != "") {
			ways[n].requests = append(ways[n].requests, w.requests...)
		} else {
			ways = append(ways, w)
		}
		all = all || w.all()
	}
	return ways, all
}

// joins says whether o may become part of w.
func (w *way) joins(o *way, rewrites bool) bool {
	return w.port == o.port && reflect.DeepEqual(w.caller, o.caller) && (!rewrites || w.prefix == o.prefix && w.whole == o.whole)
}

// all says whether the match just made is for every call, by Istio's reading: the path "/" as prefix or ".*", and nothing else.
func (w *way) all() bool { return w.caller == nil && w.port == 0 && w.requests[0].Everything() }

// way lowers one match; false: no call that comes to the place can be meant.
func (r *reader) way(field string, m *networking.HTTPMatchRequest) (w way, ok bool) {
	w.port = r.port(field+".port", m.Port)
	if len(m.Gateways) > 0 && (len(m.SourceLabels) > 0 || m.SourceNamespace != "") {
		r.Warn(field+".gateways", "beside gateways, sourceLabels and sourceNamespace do not count", "leave out gateways")
	}
	switch {
	case r.place != nil && (w.port != 0 && w.port != r.place.port || !r.here(m.Gateways, m.SourceLabels, m.SourceNamespace)):
		return w, false
	case r.place != nil:
		w.port = 0
	case len(m.Gateways) == 0:
		w.caller = caller(m)
	case !r.at(m.Gateways):
		return w, false
	}
	var q match.Request
	w.prefix, w.whole = r.uri(field+".uri", m, &q)
	r.single(field+".method", m.Method, &q.Methods)
	r.single(field+".scheme", m.Scheme, &q.Schemes)
	r.single(field+".authority", m.Authority, &q.Hosts)
	ok = r.headerMatches(field+".headers", m.Headers, false, &q)
	ok = r.headerMatches(field+".withoutHeaders", m.WithoutHeaders, true, &q) && ok
	for _, name := range slices.Sorted(maps.Keys(m.QueryParams)) {
		q.Params = append(q.Params, match.Param{Name: name,
			Values: r.values(dialect.Child(field+".queryParams", name), m.QueryParams[name])})
	}
	w.requests = []match.Request{q}
	return w, ok
}

func caller(m *networking.HTTPMatchRequest) *match.Caller {
	if len(m.SourceLabels) == 0 && m.SourceNamespace == "" {
		return nil
	}
	c := &match.Caller{Selector: match.Selector{Labels: dialect.Labels(m.SourceLabels)}}
	if m.SourceNamespace != "" {
		c.Namespaces = []string{m.SourceNamespace}
	}
	return c
}

// uri lowers a match on the path: a prefix is text, so that "/foo" matches "/foobar" (the Gateway API's ends at a segment). It
// returns what a rewrite has to take away: the prefix, or the whole path.
func (r *reader) uri(field string, m *networking.HTTPMatchRequest, q *match.Request) (prefix string, whole bool) {
	switch x := m.Uri.GetMatchType().(type) {
	case nil:
		return "/", false
	case *networking.StringMatch_Prefix:
		prefix = x.Prefix
	default:
		whole = true
	}
	s := r.stringMatch(field, m.Uri)
	if s.Fold = m.IgnoreUriCase && s.Kind != match.Regex; m.IgnoreUriCase && !s.Fold {
		r.Info(strings.TrimSuffix(field, "uri")+"ignoreUriCase", "it does not count for regular expressions", "begin the expression with (?i)")
	}
	q.Paths = []match.String{s}
	return prefix, whole
}

// single lowers a match on something that every request has.
func (r *reader) single(field string, m *networking.StringMatch, into *[]match.String) {
	if m != nil {
		*into = r.values(field, m)
	}
}

// headerMatches lowers headers, or withoutHeaders; false: no call can match.
func (r *reader) headerMatches(field string, m map[string]*networking.StringMatch, invert bool, q *match.Request) bool {
	ok := true
	for _, name := range slices.Sorted(maps.Keys(m)) {
		at := dialect.Child(field, name)
		values := r.values(at, m[name])
		switch {
		case name == "":
			r.Refuse(at, "the header's name is empty", "")
		case strings.HasPrefix(name, "@request.auth.claims"):
			r.Warn(at, "claims of tokens cannot be matched yet: no call matches", "")
			ok = false
		case strings.HasPrefix(name, ":"):
			ok = r.pseudo(at, name, values, invert, q) && ok
		default:
			r.plainName(at, name)
			q.Headers = append(q.Headers, match.Header{Name: strings.ToLower(name), Values: values, Invert: invert})
		}
	}
	return ok
}

// plainName says so where a header's name is likely to be a field of the match in the wrong place.
func (r *reader) plainName(field, name string) {
	if slices.Contains([]string{"uri", "scheme", "method", "authority"}, name) {
		r.Info(field, "this asks for a header of the name "+name, "to match the request's "+name+", write it beside headers, not below")
	}
}

// pseudo lowers a match on ":method" and its like, which are no headers here.
func (r *reader) pseudo(field, name string, values []match.String, invert bool, q *match.Request) bool {
	into := map[string][2]*[]match.String{":method": {&q.Methods, &q.NotMethods}, ":authority": {&q.Hosts, &q.NotHosts},
		":scheme": {&q.Schemes, nil}, ":path": {&q.Targets, nil}}[name]
	list := into[0]
	if invert {
		list = into[1]
	}
	if list == nil || len(*list) > 0 || values == nil && invert {
		r.Warn(field, "weft cannot match "+name+" here: no call matches", "use the fields method, authority, scheme and uri")
		return false
	}
	*list = values
	return true
}
