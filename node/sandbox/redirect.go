package sandbox

import (
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"github.com/weft-mesh/weft/node/nft"
	"github.com/weft-mesh/weft/traffic"
)

const dnsPort = 53

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
	add := func(chain *nftables.Chain, parts ...nft.Part) {
		c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: nft.Rule(parts...)})
	}
	own := [][]nft.Part{
		{nft.To(netip.PrefixFrom(s.Address, 32)), nft.Accept},
		{nft.To(netip.MustParsePrefix("127.0.0.0/8")), nft.NotTo(s.Mesh), nft.Accept},
		{nft.To(netip.PrefixFrom(netip.IPv6Loopback(), 128)), nft.Accept},
	}
	for _, parts := range own {
		add(nat, parts...)
	}
	add(nat, nft.Proto(nft.UDP), nft.ToPort(dnsPort), nft.RedirectTo(traffic.DNSPort))
	add(nat, nft.Proto(nft.TCP), nft.ToPort(dnsPort), nft.RedirectTo(traffic.DNSPort))
	add(nat, nft.Proto(nft.TCP), nft.RedirectTo(traffic.OutboundPort))
	add(filter, nft.State(expr.CtStateBitESTABLISHED|expr.CtStateBitRELATED), nft.Accept)
	add(filter, nft.Status(nft.DestNAT), nft.Accept)
	for _, parts := range own {
		add(filter, parts...)
	}
	return c.Flush()
}
