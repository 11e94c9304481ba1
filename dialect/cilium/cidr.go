package cilium

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/mesh"
)

var everyIPv4, everyIPv6 = netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0)

// cidr reads a block of addresses.
func (r *reader) cidr(field, text string) (netip.Prefix, bool) {
	n, err := dialect.Network(text)
	switch {
	case err != nil:
		r.Refuse(field, fmt.Sprintf("%q is not a block of addresses", text), "")
	case !strings.Contains(text, "/"):
		r.Refuse(field, fmt.Sprintf("%q is not a block of addresses", text), "write "+n.String())
	default:
		return n, true
	}
	return n, false
}

// cidrSet lowers a block without its exceptions, or groups of blocks. A rule that denies a group which is not there denies all that
// it might hold.
func (r *reader) cidrSet(field string, c *cidrRule, deny bool) (out []match.Source) {
	set := 0
	for _, is := range []bool{c.CIDR != "", c.CIDRGroupRef != "", c.CIDRGroupSelector != nil} {
		if is {
			set++
		}
	}
	if set != 1 {
		r.Refuse(field, "one of cidr, cidrGroupRef and cidrGroupSelector is required, and no other beside it", "")
		return nil
	}
	var blocks []netip.Prefix
	switch {
	case c.CIDRGroupRef != "":
		blocks = r.groupBlocks(field+".cidrGroupRef", c.CIDRGroupRef, deny)
	case c.CIDRGroupSelector != nil:
		blocks = r.selectedBlocks(field+".cidrGroupSelector", c.CIDRGroupSelector)
	default:
		if n, ok := r.cidr(field+".cidr", c.CIDR); ok {
			blocks = []netip.Prefix{n}
		}
	}
	if len(blocks) == 0 {
		return nil
	}
	src := match.Source{Unauthenticated: true, Networks: blocks}
	for i, text := range c.Except {
		at := dialect.Index(field+".except", i)
		n, ok := r.cidr(at, text)
		if ok && c.CIDR != "" && (blocks[0].Bits() > n.Bits() || !blocks[0].Contains(n.Addr())) {
			r.Refuse(at, fmt.Sprintf("%s is not inside of %s", text, c.CIDR), "")
		}
		src.NotNetworks = append(src.NotNetworks, n)
	}
	return []match.Source{src}
}

func (r *reader) groupBlocks(field, name string, deny bool) []netip.Prefix {
	switch o := r.View.Get(group, "CiliumCIDRGroup", "", name); {
	case o != nil:
		return blocksOf(o)
	case deny:
		r.Warn(field, "there is no CiliumCIDRGroup "+name+": the rule denies all addresses outside of the mesh", "")
		return []netip.Prefix{everyIPv4, everyIPv6}
	}
	r.Warn(field, "there is no CiliumCIDRGroup "+name+": no address is meant", "")
	return nil
}

func (r *reader) selectedBlocks(field string, s *labelSelector) (out []netip.Prefix) {
	sel := match.Selector{}
	for _, q := range r.requirements(field, s) {
		sel.Exprs = append(sel.Exprs, q.Requirement)
	}
	for _, o := range r.View.List(group, "CiliumCIDRGroup", "") {
		if sel.Match(dialect.Labels(o.Labels)) {
			out = append(out, blocksOf(o)...)
		}
	}
	if len(out) == 0 {
		r.Warn(field, "it selects no CiliumCIDRGroup: no address is meant", "")
	}
	return out
}

func blocksOf(o *dialect.Object) (out []netip.Prefix) {
	var g cidrGroup
	if dialect.Decode(o, &g) != nil {
		return nil
	}
	for _, text := range g.Spec.ExternalCIDRs {
		if n, err := dialect.Network(text); err == nil {
			out = append(out, n)
		}
	}
	return out
}

// lowerGroup checks a CiliumCIDRGroup: policies that name it look at it themselves.
func lowerGroup(o *dialect.Object, v dialect.View) (part mesh.Part, found []mesh.Finding) {
	r := &reader{Reader: dialect.NewReader(decision.Cilium, o, v)}
	var g cidrGroup
	r.Decode(&g)
	for i, text := range g.Spec.ExternalCIDRs {
		r.cidr(dialect.Index("spec.externalCIDRs", i), text)
	}
	return part, r.Found
}
