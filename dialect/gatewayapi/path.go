package gatewayapi

import (
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/utils/ptr"
	v1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/feature/redirect"
	"github.com/weft-mesh/weft/feature/rewrite"
)

// redirect lowers a redirect for one match: 302 unless it says otherwise.
func (r *reader) redirect(field string, ref decision.Ref, f *v1.HTTPRequestRedirectFilter, m matched) *redirect.Policy {
	if f == nil {
		return nil
	}
	p := &redirect.Policy{Ref: ref, Scheme: ptr.Deref(f.Scheme, ""), Host: r.hostname(field+".hostname", f.Hostname), Status: ptr.Deref(f.StatusCode, 302)}
	if f.Port != nil {
		if *f.Port < 1 || *f.Port > 65535 {
			r.Refuse(field+".port", fmt.Sprintf("%d is not a port", *f.Port), "a port is from 1 to 65535")
		}
		p.Port = uint16(*f.Port)
	}
	if !slices.Contains([]int{301, 302, 303, 307, 308}, p.Status) {
		r.Refuse(field+".statusCode", fmt.Sprintf("%d is not a status to redirect with", p.Status), "301, 302, 303, 307 and 308 are")
	}
	p.Path, p.Prefix = r.modifier(field+".path", f.Path, m)
	if p.Prefix != nil {
		p.Strip = m.prefix
	}
	return p
}

// rewrite lowers a rewrite for one match.
func (r *reader) rewrite(field string, ref decision.Ref, f *v1.HTTPURLRewriteFilter, m matched) *rewrite.Policy {
	if f == nil {
		return nil
	}
	p := &rewrite.Policy{Ref: ref, Authority: r.hostname(field+".hostname", f.Hostname)}
	p.Path, p.Prefix = r.modifier(field+".path", f.Path, m)
	if p.Prefix != nil {
		p.Strip, p.Segment = m.prefix, true
	}
	return p
}

// modifier lowers a new path, or what takes the place of the prefix. "ReplacePrefixMatch is only compatible with a PathPrefix
// HTTPRouteMatch" (HTTPPathModifier.replacePrefixMatch).
func (r *reader) modifier(field string, f *v1.HTTPPathModifier, m matched) (path, prefix *string) {
	if f == nil {
		return nil, nil
	}
	full := f.Type == v1.FullPathHTTPPathModifier
	switch {
	case full != (f.ReplaceFullPath != nil) || full == (f.ReplacePrefixMatch != nil):
		r.Refuse(field, "a path of the type "+string(f.Type)+" has the field of that name, and no other one", "")
	case !full && m.whole:
		r.Refuse(field+".replacePrefixMatch", "the rule has a match that is not by a prefix of the path", "match by PathPrefix alone")
	}
	return f.ReplaceFullPath, f.ReplacePrefixMatch
}

// hostname is a name without a wildcard and without a port; "numeric IP addresses are not allowed" (PreciseHostname).
func (r *reader) hostname(field string, h *v1.PreciseHostname) string {
	if h == nil {
		return ""
	}
	if net.ParseIP(string(*h)) != nil {
		r.Refuse(field, fmt.Sprintf("%s is an address, and a name is expected here", *h), "")
	} else if why := validation.IsDNS1123Subdomain(string(*h)); len(why) > 0 {
		r.Refuse(field, strings.Join(why, "; "), "")
	}
	return string(*h)
}

var pathChars = regexp.MustCompile(`^(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|[%][0-9a-fA-F]{2})+$`)

// checkPath refuses what the API's own validation does: paths that no request has, once it is normal.
func (r *reader) checkPath(field, path string) {
	if !strings.HasPrefix(path, "/") {
		r.Refuse(field, fmt.Sprintf("the path %q does not begin with /", path), "write /"+path)
		return
	}
	for _, part := range []string{"//", "/./", "/../", "%2f", "%2F", "#"} {
		if strings.Contains(path, part) {
			r.Refuse(field, fmt.Sprintf("a path cannot contain %s", part), "")
			return
		}
	}
	if strings.HasSuffix(path, "/..") || strings.HasSuffix(path, "/.") || !pathChars.MatchString(path) {
		r.Refuse(field, fmt.Sprintf("%q is not a path", path), "")
	}
}
