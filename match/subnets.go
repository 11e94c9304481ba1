package match

import (
	"cmp"
	"net/netip"
	"slices"
)

// subnets finds rules by an address. Networks are either one in the other or apart, so they are a forest, in the order of where they
// start: the smallest that has an address is the last that starts before it, or around that one.
type subnets []subnet

type subnet struct {
	net    netip.Prefix
	around int32 // the smallest that this one is in; -1: none
	rules  int32 // head of a chain
}

func newSubnets(of map[netip.Prefix]int32) (out subnets) {
	for n, head := range of {
		if n.IsValid() {
			out = append(out, subnet{n, -1, head})
		}
	}
	slices.SortFunc(out, func(a, b subnet) int {
		return cmp.Or(a.net.Addr().Compare(b.net.Addr()), cmp.Compare(a.net.Bits(), b.net.Bits()))
	})
	for i := 1; i < len(out); i++ {
		j := int32(i - 1)
		for j >= 0 && !out[j].net.Overlaps(out[i].net) {
			j = out[j].around
		}
		out[i].around = j
	}
	return out
}

// find tries the rules of all networks that a is in, as Prefix.Contains has it.
func (x subnets) find(s *search, a netip.Addr) {
	a = a.Unmap()
	after, _ := slices.BinarySearchFunc(x, a, func(n subnet, a netip.Addr) int {
		if n.net.Addr().Compare(a) <= 0 {
			return -1
		}
		return 1
	})
	for j := int32(after) - 1; j >= 0; j = x[j].around {
		if x[j].net.Contains(a) {
			s.try(x[j].rules)
		}
	}
}
