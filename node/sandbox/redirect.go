package sandbox

import (
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"

	"github.com/weft-mesh/weft/node"
)

// The numbers of protocols and families that rules compare with (linux/in.h, linux/netfilter.h).
const (
	protoTCP  = 6
	protoUDP  = 17
	nfIPv4    = 2
	nfIPv6    = 10
	dnsPort   = 53
	ctDestNAT = 1 << 5 // IPS_DST_NAT
)

// redirect loads the rules that bring what the workload sends to its proxy, and reject the rest. In nft's words:
//
//	chain redirect { type nat hook output priority dstnat
//	    ip daddr ADDRESS accept                             # to itself
//	    ip daddr 127.0.0.0/8 ip daddr != MESH accept
//	    ip6 daddr ::1 accept
//	    udp dport 53 redirect to :15053
//	    tcp dport 53 redirect to :15053
//	    meta l4proto tcp redirect to :15001
//	}
//	chain allow { type filter hook output priority filter; policy drop    # the sender gets EPERM
//	    ct state established,related accept
//	    ct status dnat accept
//	    ip daddr ADDRESS accept
//	    ip daddr 127.0.0.0/8 ip daddr != MESH accept
//	    ip6 daddr ::1 accept
//	}
func redirect(s *Spec) error {
	c, err := nftables.New()
	if err != nil {
		return err
	}
	table := c.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: "weft"})
	drop := nftables.ChainPolicyDrop
	nat := c.AddChain(&nftables.Chain{Name: "redirect", Table: table, Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookOutput, Priority: nftables.ChainPriorityNATDest})
	filter := c.AddChain(&nftables.Chain{Name: "allow", Table: table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookOutput, Priority: nftables.ChainPriorityFilter, Policy: &drop})
	add := func(chain *nftables.Chain, parts ...[]expr.Any) {
		c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: rule(parts...)})
	}
	own := [][][]expr.Any{
		{to(nfIPv4, netip.PrefixFrom(s.Address, 32), expr.CmpOpEq), accept},
		{to(nfIPv4, netip.MustParsePrefix("127.0.0.0/8"), expr.CmpOpEq), to(nfIPv4, s.Mesh, expr.CmpOpNeq), accept},
		{to(nfIPv6, netip.PrefixFrom(netip.IPv6Loopback(), 128), expr.CmpOpEq), accept},
	}
	for _, parts := range own {
		add(nat, parts...)
	}
	add(nat, proto(protoUDP), toPort(dnsPort), redirectTo(node.DNSPort))
	add(nat, proto(protoTCP), toPort(dnsPort), redirectTo(node.DNSPort))
	add(nat, proto(protoTCP), redirectTo(node.OutboundPort))
	add(filter, tracked(expr.CtKeySTATE, expr.CtStateBitESTABLISHED|expr.CtStateBitRELATED), accept)
	add(filter, tracked(expr.CtKeySTATUS, ctDestNAT), accept)
	for _, parts := range own {
		add(filter, parts...)
	}
	return c.Flush()
}

// rule puts parts one after the other: each goes on only if it matches.
func rule(parts ...[]expr.Any) (all []expr.Any) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

var accept = []expr.Any{&expr.Verdict{Kind: expr.VerdictAccept}}

// to matches packets of a family by their destination: in the range or, with CmpOpNeq, outside.
func to(family byte, p netip.Prefix, op expr.CmpOp) []expr.Any {
	addr := p.Masked().Addr().AsSlice()
	offset := uint32(16) // of the destination in an IPv4 header; RFC 791 section 3.1
	if family == nfIPv6 {
		offset = 24 // RFC 8200 section 3
	}
	size := uint32(len(addr))
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{family}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: size},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: size, Mask: mask(p.Bits(), int(size)), Xor: make([]byte, size)},
		&expr.Cmp{Op: op, Register: 1, Data: addr},
	}
}

func mask(bits, size int) []byte {
	m := make([]byte, size)
	for i := range bits {
		m[i/8] |= 0x80 >> (i % 8)
	}
	return m
}

func proto(number byte) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{number}},
	}
}

// toPort matches the destination port of TCP and UDP.
func toPort(port uint16) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.BigEndian.PutUint16(port)},
	}
}

// tracked matches packets whose connection has one of the bits.
func tracked(key expr.CtKey, bits uint32) []expr.Any {
	return []expr.Any{
		&expr.Ct{Key: key, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: binaryutil.NativeEndian.PutUint32(bits), Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: make([]byte, 4)},
	}
}

// redirectTo sends a connection to a port of the loopback address of its family.
func redirectTo(port uint16) []expr.Any {
	return []expr.Any{
		&expr.Immediate{Register: 1, Data: binaryutil.BigEndian.PutUint16(port)},
		&expr.Redir{RegisterProtoMin: 1},
	}
}
