package gatewayapi

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"k8s.io/utils/ptr"
	v1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/feature/cors"
	"github.com/weft-mesh/weft/match"
)

// maxAge is for how long browsers need not ask again where nothing is written (HTTPCORSFilter.maxAge).
const maxAge = 5

// cors lowers the filter CORS.
func (r *reader) cors(field string, ref decision.Ref, f *v1.HTTPCORSFilter) *cors.Policy {
	p := &cors.Policy{Ref: ref, Credentials: ptr.Deref(f.AllowCredentials, false), MaxAge: ptr.To(maxAge)}
	if f.MaxAge != 0 {
		p.MaxAge = ptr.To(int(f.MaxAge))
	}
	if f.MaxAge < 0 {
		r.Refuse(field+".maxAge", fmt.Sprintf("%d is not a number of seconds", f.MaxAge), "write 1 or more")
	}
	for i, o := range f.AllowOrigins {
		p.Origins = append(p.Origins, r.origin(dialect.Index(field+".allowOrigins", i), string(o)))
	}
	p.Methods = texts(f.AllowMethods)
	p.Headers = texts(f.AllowHeaders)
	p.Expose = texts(f.ExposeHeaders)
	r.checkNames(field+".allowOrigins", texts(f.AllowOrigins), false)
	r.checkNames(field+".allowMethods", p.Methods, true)
	r.checkNames(field+".allowHeaders", p.Headers, true)
	r.checkNames(field+".exposeHeaders", p.Expose, true)
	if p.Credentials && slices.Contains(p.Expose, cors.All) {
		r.Warn(field+".exposeHeaders", `with allowCredentials "*" stands for nothing: no header is exposed`, "name the headers")
	}
	if len(p.Origins) == 0 {
		r.Warn(field+".allowOrigins", "no origin is listed, so that no script of another origin may call", `list some, or "*" for all`)
	}
	return p
}

// checkNames refuses what the API's own validation does.
func (r *reader) checkNames(field string, list []string, names bool) {
	if len(list) > 1 && slices.Contains(list, cors.All) {
		r.Refuse(field, `"*" stands for all: nothing can stand beside it`, `leave out "*", or all others`)
	}
	for i, v := range list {
		if names && !token.MatchString(v) {
			r.Refuse(dialect.Index(field, i), fmt.Sprintf("%q is not a name", v), "")
		}
	}
}

func texts[T ~string](list []T) (out []string) {
	for _, x := range list {
		out = append(out, string(x))
	}
	return out
}

// origin lowers an origin of the filter CORS: "*", or a scheme, a host that "*" may begin, and a port. A port that is the scheme's own may
// be written or not: browsers do not send it.
func (r *reader) origin(field, o string) match.String {
	if o == cors.All {
		return match.String{Kind: match.Present}
	}
	x := origins.FindStringSubmatch(strings.ToLower(o))
	if x == nil {
		r.Refuse(field, fmt.Sprintf("%q is not an origin", o), "write a scheme and a host, as https://shop.example or https://*.example:8443")
		return match.String{Value: o}
	}
	scheme, wild, host, port := x[1], x[2], x[3]+x[4], x[5]
	if port == map[string]string{"http": ":80", "https": ":443"}[scheme] {
		port = ""
	}
	if wild == "" {
		return match.String{Value: scheme + "://" + host + port}
	}
	return match.String{Kind: match.Regex, Value: scheme + "://[^/:]+" + regexp.QuoteMeta(host) + port}
}

// origins are what CORSOrigin is checked by, in its parts.
var origins = regexp.MustCompile(`^(https?)://(?:(\*)(\.[a-z0-9-]+(?:\.[a-z0-9-]+)*)?|([a-z0-9-]+(?:\.[a-z0-9-]+)*))((?::[0-9]{1,5})?)$`)
