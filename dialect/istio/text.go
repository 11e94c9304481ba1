package istio

import (
	"fmt"
	"regexp"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/weft-mesh/weft/match"
)

// maxRegex is the longest regular expression that Istio's validation lets pass.
const maxRegex = 1024

// checkRegex refuses what RE2 cannot read, and what is too long.
func (r *reader) checkRegex(field, re string) {
	if len(re) > maxRegex {
		r.Refuse(field, fmt.Sprintf("the regular expression has %d bytes, at most %d are allowed", len(re), maxRegex), "")
		return
	}
	r.Regex(field, re)
}

// present says whether a StringMatch only asks for the thing to be there: {} or the regular expression "*", which is none.
func present(m *networking.StringMatch) bool {
	x, regex := m.GetMatchType().(*networking.StringMatch_Regex)
	return m.GetMatchType() == nil || regex && x.Regex == "*"
}

// stringMatch lowers a StringMatch that is not present; it compares the whole value (StringMatch.regex: RE2 style, full match).
func (r *reader) stringMatch(field string, m *networking.StringMatch) match.String {
	switch x := m.MatchType.(type) {
	case *networking.StringMatch_Exact:
		return match.String{Value: x.Exact}
	case *networking.StringMatch_Prefix:
		return match.String{Kind: match.Prefix, Value: x.Prefix}
	}
	r.checkRegex(field+".regex", m.GetRegex())
	return match.String{Kind: match.Regex, Value: m.GetRegex()}
}

// values lowers a StringMatch to what match takes for a list of values; none means that the thing has to be there.
func (r *reader) values(field string, m *networking.StringMatch) []match.String {
	if present(m) {
		return nil
	}
	if s, ok := m.MatchType.(*networking.StringMatch_Prefix); ok && s.Prefix == "" {
		r.Refuse(field+".prefix", "an empty prefix matches nothing in Istio", "write {} to ask that the field is there")
	}
	if s, ok := m.MatchType.(*networking.StringMatch_Regex); ok && s.Regex == "" {
		r.Refuse(field+".regex", "the regular expression is empty", "write {} to ask that the field is there")
	}
	return []match.String{r.stringMatch(field, m)}
}

// glob lowers a value of an AuthorizationPolicy: exact, "prefix*", "*suffix", or "*" for anything that is not empty.
func glob(v string) match.String {
	switch {
	case v == "*":
		return match.String{Kind: match.Present}
	case strings.HasPrefix(v, "*"):
		return match.String{Kind: match.Suffix, Value: v[1:]}
	case strings.HasSuffix(v, "*"):
		return match.String{Kind: match.Prefix, Value: v[:len(v)-1]}
	}
	return match.String{Value: v}
}

// anywhere lowers a value in which "*" may stand anywhere, for any text.
func anywhere(v string) match.String {
	if g := glob(v); !strings.Contains(g.Value, "*") {
		return g
	}
	return match.String{Kind: match.Regex, Value: strings.ReplaceAll(regexp.QuoteMeta(v), `\*`, ".*")}
}
