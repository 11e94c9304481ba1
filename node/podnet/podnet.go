// Package podnet brings a pod's TCP to the proxy inside the pod, by nftables rules in the pod's network namespace. They are the same
// whoever loads them: an init container of the pod with NET_ADMIN, or a CNI plugin outside of it.
//
// What is redirected reaches the proxy or nobody: while no proxy listens, connections are refused. UDP and ICMP pass as they are.
// Errors name the step, and what is missing where that is known.
package podnet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink" // to size the socket that nftables sends rules by

	"github.com/weft-mesh/weft/internal/sys"
	"github.com/weft-mesh/weft/node/nft"
	"github.com/weft-mesh/weft/traffic"
)

// proved is an address of loopback that nobody listens on: without rules a connection to its ProofPort is refused.
var proved = netip.MustParseAddr("127.0.0.2")

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

// most is how many users, ports and addresses a Spec names. Each is a rule that every new connection is compared with, and who writes a pod's
// annotation has the CNI plugin make them, in memory of the node's and not of the pod's.
const most = 1000

// Parse reads a Spec as the injector writes it. A field that is not known is an error: what it excludes would be redirected.
func Parse(text string) (*Spec, error) {
	s := new(Spec)
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(s); err != nil {
		return nil, fmt.Errorf("what is to be redirected: %w", err)
	}
	if n := len(s.ExcludeUIDs) + len(s.IncludeInboundPorts) + len(s.ExcludeInboundPorts) + len(s.ExcludeOutboundPorts) + len(s.ExcludeOutboundCIDRs); n > most {
		return nil, fmt.Errorf("what is to be redirected: it names %d users, ports and addresses, and %d are the most: write ranges, as 8000-8010", n, most)
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
//	        ip daddr 127.0.0.2 tcp dport 15002 redirect to :15002   # Redirected
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
	c, err := open(netns)
	if err != nil {
		return err
	}
	s.load(c)
	if err := c.Flush(); err != nil {
		return fmt.Errorf("load the redirection: %w%s", err, hint(err))
	}
	return nil
}

// buffers is the room for the rules and their acknowledgements in a netlink socket, in bytes: all go at once. What a socket has otherwise is
// enough for fewer than 256 rules of the longer kind.
const buffers = 4 << 20

func open(netns int) (*nftables.Conn, error) {
	o := []nftables.ConnOption{nftables.WithSockOptions(func(c *netlink.Conn) error {
		return errors.Join(c.SetReadBuffer(buffers), c.SetWriteBuffer(buffers))
	})}
	if netns > 0 {
		o = append(o, nftables.WithNetNSFd(netns))
	}
	c, err := nftables.New(o...)
	if err != nil {
		return nil, fmt.Errorf("nftables: %w", err)
	}
	return c, nil
}

// ExitMissing is the exit code of a pod's proxy that finds no rules.
const ExitMissing = 3

// ErrMissing says that rules are not there, or not all of them.
var ErrMissing = errors.New("nothing redirects what the pod sends and gets to its proxy")

// Check says whether a network namespace has the rules that Apply loads into it. It takes NET_ADMIN, as Apply does.
func (s *Spec) Check(netns int) error {
	c, err := open(netns)
	if err != nil {
		return err
	}
	for _, x := range s.chains() {
		rules, err := c.GetRules(table, &nftables.Chain{Name: x.name, Table: table})
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("%w: there is no chain %s", ErrMissing, x.name)
		case err != nil:
			return fmt.Errorf("look at the redirection: %w%s", err, hint(err))
		case len(rules) != len(x.rules):
			return fmt.Errorf("%w: chain %s has %d rules, not %d", ErrMissing, x.name, len(rules), len(x.rules))
		}
	}
	return nil
}

// Redirected says whether the rules are there, as anybody in the pod can see who has ProofPort for a moment: they are loaded in one
// step, so where one is, all are. The error is ErrMissing if they are not.
func Redirected(ctx context.Context) error {
	l, err := sys.ListenTCP(netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), traffic.ProofPort))
	if err != nil {
		return fmt.Errorf("see whether the pod's calls are redirected: %w", err)
	}
	defer l.Close()
	c, err := sys.DialTCP(ctx, netip.AddrPortFrom(proved, traffic.ProofPort), sys.DialOptions{})
	if errors.Is(err, syscall.ECONNREFUSED) {
		return ErrMissing
	}
	if err != nil {
		return fmt.Errorf("see whether the pod's calls are redirected: %w", err)
	}
	defer c.Close()
	_ = l.SetDeadline(time.Now().Add(time.Second)) // it is there already, or comes never
	for {
		got, err := l.AcceptTCP()
		if err != nil {
			return fmt.Errorf("%w: somebody else took the connection that tries it", ErrMissing)
		}
		got.Close()
		if got.RemoteAddr().String() == c.LocalAddr().String() {
			return nil
		}
	}
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

var table = &nftables.Table{Family: nftables.TableFamilyINet, Name: "weft"}

// chain is one of the table's.
type chain struct {
	name  string
	kind  nftables.ChainType
	hook  *nftables.ChainHook
	at    *nftables.ChainPriority
	rules [][]nft.Part
}

func (s *Spec) chains() []chain {
	return []chain{
		{"inbound", nftables.ChainTypeNAT, nftables.ChainHookPrerouting, nftables.ChainPriorityNATDest, s.inbound()},
		{"outbound", nftables.ChainTypeNAT, nftables.ChainHookOutput, nftables.ChainPriorityNATDest, s.outbound()},
		{"strays", nftables.ChainTypeFilter, nftables.ChainHookInput, nftables.ChainPriorityFilter,
			[][]nft.Part{{nft.State(expr.CtStateBitINVALID), nft.Proto(nft.TCP), nft.Drop}}},
	}
}

func (s *Spec) load(c *nftables.Conn) {
	c.AddTable(table) // so that there is one to delete
	c.DelTable(table)
	c.AddTable(table)
	for _, x := range s.chains() {
		chain := c.AddChain(&nftables.Chain{Name: x.name, Table: table, Type: x.kind, Hooknum: x.hook, Priority: x.at})
		for _, parts := range x.rules {
			c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: nft.Rule(parts...)})
		}
	}
}

func (s *Spec) inbound() [][]nft.Part {
	rules := [][]nft.Part{{nft.From(nft.Loopback), nft.Accept}}
	for _, port := range []uint16{traffic.TunnelPort, traffic.MetricsPort, traffic.ReadyPort} {
		rules = append(rules, toPorts(Ports{port, port}, nft.Accept))
	}
	for _, p := range s.ExcludeInboundPorts {
		rules = append(rules, toPorts(p, nft.Accept))
	}
	for _, p := range s.IncludeInboundPorts {
		rules = append(rules, toPorts(p, nft.RedirectTo(traffic.InboundPort)))
	}
	if len(s.IncludeInboundPorts) == 0 {
		rules = append(rules, []nft.Part{nft.Proto(nft.TCP), nft.RedirectTo(traffic.InboundPort)})
	}
	return rules
}

func (s *Spec) outbound() [][]nft.Part {
	rules := [][]nft.Part{{nft.To(netip.PrefixFrom(proved, proved.BitLen())), nft.Proto(nft.TCP), nft.ToPort(traffic.ProofPort), nft.RedirectTo(traffic.ProofPort)}}
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
	return append(rules, []nft.Part{nft.Proto(nft.TCP), nft.RedirectTo(traffic.OutboundPort)})
}

func toPorts(p Ports, then nft.Part) []nft.Part {
	return []nft.Part{nft.Proto(nft.TCP), nft.ToPorts(p.First, p.Last), then}
}
