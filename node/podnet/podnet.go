// Package podnet brings a pod's TCP to the proxy inside the pod, by nftables rules in the pod's network namespace. They are the same
// whoever loads them: an init container of the pod with NET_ADMIN, or a CNI plugin outside of it.
//
// What is redirected reaches the proxy or nobody: while no proxy listens, connections are refused. UDP and ICMP pass as they are.
// Errors name the step, and what is missing where that is known.
package podnet

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"strconv"
	"strings"
	"syscall"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"github.com/weft-mesh/weft/node/nft"
)

// The ports that the proxy of a pod listens on (DESIGN section 5).
const (
	Outbound  = 15001 // on loopback: what the pod sends
	Inbound   = 15006 // what comes to the pod in the clear
	Tunnel    = 15008 // mutual TLS
	Metrics   = 15020
	Readiness = 15021 // and probes
)

// ProxyUID is the proxy's user in a pod: what it sends itself is not redirected.
const ProxyUID = 15001

// Spec says what of a pod's TCP is redirected. Its zero value: all but the proxy's own.
type Spec struct {
	ProxyUID             uint32         `json:"proxyUID,omitempty"`             // [ProxyUID]
	ExcludeUIDs          []uint32       `json:"excludeUIDs,omitempty"`          // users whose connections go where they would without a mesh
	IncludeInboundPorts  []Ports        `json:"includeInboundPorts,omitempty"`  // [all]
	ExcludeInboundPorts  []Ports        `json:"excludeInboundPorts,omitempty"`  // go before what is included
	ExcludeOutboundPorts []Ports        `json:"excludeOutboundPorts,omitempty"` // of whomever they are
	ExcludeOutboundCIDRs []netip.Prefix `json:"excludeOutboundCIDRs,omitempty"` // addresses that the pod calls
}

// Ports is a port, or all from the first to the last: 80, "80" or "8000-8010" in JSON.
type Ports struct{ First, Last uint16 }

// UnmarshalJSON is json.Unmarshaler's.
func (p *Ports) UnmarshalJSON(b []byte) error {
	text := strings.Trim(string(b), `"`)
	first, last, ranged := strings.Cut(text, "-")
	if !ranged {
		last = first
	}
	from, err := strconv.ParseUint(strings.TrimSpace(first), 10, 16)
	to, err2 := strconv.ParseUint(strings.TrimSpace(last), 10, 16)
	if err != nil || err2 != nil || from == 0 || from > to {
		return fmt.Errorf("%s is neither a port nor a range of ports, as 8000-8010", b)
	}
	p.First, p.Last = uint16(from), uint16(to)
	return nil
}

// MarshalJSON is json.Marshaler's.
func (p Ports) MarshalJSON() ([]byte, error) {
	if p.First == p.Last {
		return strconv.AppendUint(nil, uint64(p.First), 10), nil
	}
	return fmt.Appendf(nil, `"%d-%d"`, p.First, p.Last), nil
}

// Parse reads a Spec as the injector writes it. A field that is not known is an error: what it excludes would be redirected.
func Parse(text string) (*Spec, error) {
	s := new(Spec)
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(s); err != nil {
		return nil, fmt.Errorf("what is to be redirected: %w", err)
	}
	for i, p := range s.ExcludeOutboundCIDRs {
		if !p.IsValid() {
			return nil, fmt.Errorf("what is to be redirected: excludeOutboundCIDRs[%d]: it is empty; write ADDRESS/BITS", i)
		}
	}
	return s, nil
}

// Apply loads the rules into a network namespace, in the place of those that an earlier Apply has loaded there, in one step: there is
// no moment without any. netns is a descriptor of the namespace; 0: it is this process's own. In nft's words:
//
//	table inet weft {
//	    chain inbound { type nat hook prerouting priority dstnat
//	        iifname lo accept
//	        tcp dport { 15008, 15020, 15021 } accept        # the proxy's own
//	        tcp dport EXCLUDED accept
//	        tcp [dport INCLUDED] redirect to :15006
//	    }
//	    chain outbound { type nat hook output priority dstnat
//	        meta skuid { PROXY, EXCLUDED } accept
//	        oifname lo accept                               # the pod calls itself
//	        ip daddr EXCLUDED accept
//	        tcp dport EXCLUDED accept
//	        meta l4proto tcp redirect to :15001
//	    }
//	    chain strays { type filter hook input priority filter
//	        ct state invalid meta l4proto tcp drop
//	    }
//	}
//
// The last chain is for packets that connection tracking cannot tell to which connection they belong, late ones for example. They are
// not redirected, so they would reach the pod as of a connection that it does not know, and its answer, a reset, would end the one
// that they are of (kubernetes issue 74839).
func (s *Spec) Apply(netns int) error {
	var o []nftables.ConnOption
	if netns > 0 {
		o = append(o, nftables.WithNetNSFd(netns))
	}
	c, err := nftables.New(o...)
	if err != nil {
		return fmt.Errorf("nftables: %w", err)
	}
	s.load(c)
	if err := c.Flush(); err != nil {
		return fmt.Errorf("load the redirection: %w%s", err, hint(err))
	}
	return nil
}

func hint(err error) string {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return " (it takes NET_ADMIN: may pods of this namespace have it?)"
	case errors.Is(err, syscall.EOPNOTSUPP), errors.Is(err, fs.ErrNotExist):
		return " (does this kernel have nf_tables with nat and redirect, modules nft_chain_nat and nft_redir?)"
	}
	return ""
}

func (s *Spec) load(c *nftables.Conn) {
	table := &nftables.Table{Family: nftables.TableFamilyINet, Name: "weft"}
	c.AddTable(table) // so that there is one to delete
	c.DelTable(table)
	c.AddTable(table)
	for _, x := range []struct {
		name  string
		kind  nftables.ChainType
		hook  *nftables.ChainHook
		at    *nftables.ChainPriority
		rules [][]nft.Part
	}{
		{"inbound", nftables.ChainTypeNAT, nftables.ChainHookPrerouting, nftables.ChainPriorityNATDest, s.inbound()},
		{"outbound", nftables.ChainTypeNAT, nftables.ChainHookOutput, nftables.ChainPriorityNATDest, s.outbound()},
		{"strays", nftables.ChainTypeFilter, nftables.ChainHookInput, nftables.ChainPriorityFilter,
			[][]nft.Part{{nft.State(expr.CtStateBitINVALID), nft.Proto(nft.TCP), nft.Drop}}},
	} {
		chain := c.AddChain(&nftables.Chain{Name: x.name, Table: table, Type: x.kind, Hooknum: x.hook, Priority: x.at})
		for _, parts := range x.rules {
			c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: nft.Rule(parts...)})
		}
	}
}

func (s *Spec) inbound() [][]nft.Part {
	rules := [][]nft.Part{{nft.From(nft.Loopback), nft.Accept}}
	for _, port := range []uint16{Tunnel, Metrics, Readiness} {
		rules = append(rules, toPorts(Ports{port, port}, nft.Accept))
	}
	for _, p := range s.ExcludeInboundPorts {
		rules = append(rules, toPorts(p, nft.Accept))
	}
	for _, p := range s.IncludeInboundPorts {
		rules = append(rules, toPorts(p, nft.RedirectTo(Inbound)))
	}
	if len(s.IncludeInboundPorts) == 0 {
		rules = append(rules, []nft.Part{nft.Proto(nft.TCP), nft.RedirectTo(Inbound)})
	}
	return rules
}

func (s *Spec) outbound() (rules [][]nft.Part) {
	uid := s.ProxyUID
	if uid == 0 {
		uid = ProxyUID
	}
	for _, u := range append([]uint32{uid}, s.ExcludeUIDs...) {
		rules = append(rules, []nft.Part{nft.Owner(u), nft.Accept})
	}
	rules = append(rules, []nft.Part{nft.By(nft.Loopback), nft.Accept})
	for _, p := range s.ExcludeOutboundCIDRs {
		rules = append(rules, []nft.Part{nft.To(p), nft.Accept})
	}
	for _, p := range s.ExcludeOutboundPorts {
		rules = append(rules, toPorts(p, nft.Accept))
	}
	return append(rules, []nft.Part{nft.Proto(nft.TCP), nft.RedirectTo(Outbound)})
}

func toPorts(p Ports, then nft.Part) []nft.Part {
	return []nft.Part{nft.Proto(nft.TCP), nft.ToPorts(p.First, p.Last), then}
}
