package linkerd

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/match"
)

// infix stands in Linkerd's names of identities: ACCOUNT.NAMESPACE.serviceaccount.identity.CONTROL-PLANE-NAMESPACE.TRUST-DOMAIN.
// Which namespace a control plane is in makes no difference here.
const infix = ".serviceaccount.identity."

var (
	dnsForm    = regexp.MustCompile(`^(\*|[a-z0-9]([-a-z0-9]*[a-z0-9])?)(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)
	spiffeForm = regexp.MustCompile(`^spiffe://[a-z0-9._-]+(/[A-Za-z0-9._-]+)*$`)
)

// who is a set of clients: of the principals, or everybody who is authenticated.
type who struct {
	principals []match.String
	anybody    bool
}

func (w *who) nobody() bool { return !w.anybody && len(w.principals) == 0 }

// identities adds those of a list of names.
func (r *reader) identities(field string, list []string, w *who) {
	for i, id := range list {
		at := dialect.Index(field, i)
		switch {
		case id == "*":
			w.anybody = true
		case strings.HasPrefix(id, "spiffe://"):
			r.spiffe(at, id, w)
		case !dnsForm.MatchString(id):
			r.Refuse(at, fmt.Sprintf("%q is neither a name, as account.namespace%slinkerd.%s, nor a SPIFFE ID", id, infix, r.trustDomain), likeID(id))
		case strings.HasPrefix(id, "*."):
			w.principals = append(w.principals, r.suffix(at, strings.TrimPrefix(id, "*")))
		default:
			r.named(at, id, w)
		}
	}
}

// likeID says what an identity that is written as Istio does would be here.
func likeID(id string) string {
	if _, err := identity.Parse("spiffe://" + id); err == nil {
		return "write spiffe://" + id
	}
	return ""
}

func (r *reader) spiffe(field, id string, w *who) {
	_, path, _ := strings.Cut(strings.TrimPrefix(id, "spiffe://"), "/")
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			r.Refuse(field, fmt.Sprintf("%q has a segment %q", id, segment), "")
			return
		}
	}
	if !spiffeForm.MatchString(id) {
		r.Refuse(field, fmt.Sprintf("%q is not a SPIFFE ID", id), "")
		return
	}
	x, err := identity.Parse(id)
	if err != nil {
		r.Warn(field, "no workload has such an identity: each is of an account in a namespace", "write spiffe://"+r.trustDomain+"/ns/NAMESPACE/sa/ACCOUNT")
		return
	}
	r.domain(field, x.TrustDomain)
	w.principals = append(w.principals, match.String{Value: x.Principal()})
}

// named adds the identity of a name in full.
func (r *reader) named(field, id string, w *who) {
	of, rest, ok := strings.Cut(id, infix)
	dot := strings.LastIndexByte(of, '.') // an account's name may have dots, a namespace's has none
	_, domain, deep := strings.Cut(rest, ".")
	if !ok || dot < 1 || !deep {
		r.Warn(field, "no workload has such an identity: each is of an account in a namespace", "write account.namespace"+infix+"linkerd."+r.trustDomain)
		return
	}
	r.domain(field, domain)
	w.principals = append(w.principals, match.String{Value: identity.Of(domain, of[dot+1:], of[:dot]).Principal()})
}

// suffix is the principals whose name in Linkerd ends with a text that begins with a dot.
func (r *reader) suffix(field, end string) match.String {
	of, rest, ok := strings.Cut(end, infix)
	if !ok {
		of = ""
		if rest, ok = strings.CutPrefix(end, ".identity."); !ok {
			return r.domainSuffix(field, end[1:])
		}
	}
	_, domain, _ := strings.Cut(rest, ".")
	r.domain(field, domain)
	switch dot := strings.LastIndexByte(of, '.'); { // of is empty, .NAMESPACE, or .END-OF-ACCOUNT.NAMESPACE
	case of == "":
		return match.String{Kind: match.Prefix, Value: domain + "/"}
	case dot == 0:
		return match.String{Kind: match.Prefix, Value: domain + "/ns/" + of[1:] + "/sa/"}
	default:
		return match.String{Kind: match.Regex, Value: regexp.QuoteMeta(domain+"/ns/"+of[dot+1:]+"/sa/") + ".+" + regexp.QuoteMeta(of[:dot])}
	}
}

// domainSuffix is the principals of trust domains that end so: this mesh's, written with the control plane's namespace or
// without, or others.
func (r *reader) domainSuffix(field, end string) match.String {
	if _, domain, _ := strings.Cut(end, "."); end == r.trustDomain || domain == r.trustDomain {
		return match.String{Kind: match.Prefix, Value: r.trustDomain + "/"}
	}
	r.domain(field, end)
	return match.String{Kind: match.Regex, Value: `([^/]+\.)?` + regexp.QuoteMeta(end) + "/.+"}
}

// domain says so where a trust domain is another mesh's.
func (r *reader) domain(field, domain string) {
	if domain != r.trustDomain {
		r.Info(field, fmt.Sprintf("the trust domain %q is not this mesh's, %s: no workload of this mesh is meant", domain, r.trustDomain), "")
	}
}

// account is the principal of a service account of this mesh.
func (r *reader) account(namespace, name string) match.String {
	return match.String{Value: identity.Of(r.trustDomain, namespace, name).Principal()}
}
