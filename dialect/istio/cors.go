package istio

import (
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/feature/cors"
	"github.com/weft-mesh/weft/match"
)

// cors lowers corsPolicy. A preflight request of an origin that is not listed goes on to the application unless it says otherwise.
func (r *reader) cors(field string, x *networking.CorsPolicy) *cors.Policy {
	if x == nil {
		return nil
	}
	ref := r.Rule(field)
	field += ".corsPolicy"
	p := &cors.Policy{Ref: ref, Methods: apart(x.AllowMethods), Headers: apart(x.AllowHeaders), Expose: apart(x.ExposeHeaders), Credentials: x.GetAllowCredentials().GetValue(),
		Forward: x.UnmatchedPreflights != networking.CorsPolicy_IGNORE}
	if x.MaxAge != nil {
		s := int(x.MaxAge.AsDuration().Seconds())
		if p.MaxAge = &s; s < 0 || x.MaxAge.Nanos != 0 {
			r.Refuse(field+".maxAge", "it is a whole number of seconds, 0 or more", "")
		}
	}
	for i, o := range x.AllowOrigins {
		at := dialect.Index(field+".allowOrigins", i)
		if present(o) {
			r.Refuse(at, "the origin says nothing to compare with", "set exact, prefix or regex")
			continue
		}
		p.Origins = append(p.Origins, anyOrigin(r.stringMatch(at, o)))
	}
	for _, o := range x.AllowOrigin { //nolint:staticcheck // deprecated, and still written
		p.Origins = append(p.Origins, anyOrigin(match.String{Value: o}))
	}
	if len(p.Origins) == 0 {
		r.Warn(field+".allowOrigins", "no origin is listed, so that no script of another origin may call", "list some")
	}
	return p
}

// anyOrigin: "Wildcard * will allow all origins" (CorsPolicy.allow_origin), and Envoy takes an exact one for the same.
func anyOrigin(s match.String) match.String {
	if s.Kind == match.Exact && s.Value == cors.All {
		return match.String{Kind: match.Present}
	}
	return s
}

// apart takes lists in one text apart, as some write them: what Istio does is join all with commas.
func apart(list []string) (out []string) {
	for _, text := range list {
		for x := range strings.SplitSeq(text, ",") {
			out = append(out, strings.TrimSpace(x))
		}
	}
	return out
}
