package linkerd

import (
	"fmt"
	"net/netip"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/mesh"
)

// network is a part of the addresses that there are.
type network struct {
	CIDR   string   `json:"cidr"`
	Except []string `json:"except"`
}

// networkFields are those of networks at path.
func networkFields(path string) []string { return []string{path + "[].cidr", path + "[].except"} }

func networkKind(trustDomain string) dialect.Kind {
	s := shape[networkSpec]().Require("spec", "spec.networks", "spec.networks[].cidr")
	return dialect.Kind{Dialect: decision.Linkerd, Group: policyGroup, Name: "NetworkAuthentication", Versions: []string{"v1alpha1"},
		Schema: s, Fields: networkFields("spec.networks"), Lower: lowering(trustDomain, func(r *reader) mesh.Part {
			r.networkAuthentication()
			return mesh.Part{}
		}),
		Renamed: map[string]string{"spec.cidrs": "networks[].cidr", "spec.ipBlocks": "networks[].cidr", "spec.networks[].ip": "cidr"}}
}

// networkSpec is NetworkAuthentication.spec.
type networkSpec struct {
	Networks []network `json:"networks"`
}

// networkAuthentication lowers a NetworkAuthentication to the sources that it means, one of which a client has to be.
func (r *reader) networkAuthentication() []match.Source {
	var spec networkSpec
	if !r.Spec(&spec) {
		return nil
	}
	if len(spec.Networks) == 0 {
		r.Refuse("spec.networks", "the list is empty", "write networks: [{cidr: 0.0.0.0/0}, {cidr: \"::/0\"}] for all addresses")
	}
	out := r.networks("spec.networks", spec.Networks)
	if r.strays() {
		return nil
	}
	return out
}

// networks lowers networks to sources: those without exceptions are one.
func (r *reader) networks(field string, list []network) (out []match.Source) {
	var plain []netip.Prefix
	for i, n := range list {
		at := dialect.Index(field, i)
		p, ok := r.prefix(at+".cidr", n.CIDR)
		not := r.exceptions(at, p, n.Except)
		switch {
		case !ok:
		case len(not) == 0:
			plain = append(plain, p)
		default:
			out = append(out, match.Source{Networks: []netip.Prefix{p}, NotNetworks: not})
		}
	}
	if len(plain) > 0 {
		out = append([]match.Source{{Networks: plain}}, out...)
	}
	return out
}

func (r *reader) exceptions(field string, p netip.Prefix, list []string) (not []netip.Prefix) {
	for i, e := range list {
		at := dialect.Index(field+".except", i)
		x, ok := r.prefix(at, e)
		switch {
		case !ok || !p.IsValid():
		case x.Bits() <= p.Bits() && x.Contains(p.Addr()):
			r.Refuse(at, fmt.Sprintf("%s leaves nothing of %s", x, p), "")
		case !p.Contains(x.Addr()):
			r.Refuse(at, fmt.Sprintf("%s is no part of %s", x, p), "")
		default:
			not = append(not, x)
		}
	}
	return not
}

// prefix reads a network, or a single address.
func (r *reader) prefix(field, text string) (netip.Prefix, bool) {
	p, err := dialect.Network(text)
	if err != nil {
		r.Refuse(field, fmt.Sprintf("%q is %v", text, err), "write it as 10.0.0.0/8 or 10.1.2.3")
	}
	return p, err == nil
}

// cluster is meant where a ServerAuthorization names no network, and by accessPolicy: cluster-*.
var cluster = dialect.ClusterNetworks
