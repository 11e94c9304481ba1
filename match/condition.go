package match

import (
	"net/netip"

	"github.com/weft-mesh/weft/traffic"
)

// Key is what a Condition looks at.
type Key uint8

const (
	RequestHeader Key = iota // Name
	SourceIP                 // of the connection's other end
	RemoteIP                 // of the first untrusted hop
	SourceNamespace
	SourceAccount // "namespace/account"
	SourcePrincipal
	DestinationIP
	DestinationPort
	Transport // OverTCP or OverUDP
)

// What a call goes over, as a condition on Transport has it.
const (
	OverTCP = "tcp"
	OverUDP = "udp"
)

// Over is the condition that calls go over a transport.
func Over(transport string) Condition {
	return Condition{Key: Transport, Values: []String{{Value: transport}}}
}

// Condition is one key of a rule and what it may be; an address is compared with Networks, a port with Ports, all else with
// Values (Istio's AuthorizationPolicy.rules[].when).
type Condition struct {
	Key         Key            `pb:"1"`
	Name        string         `pb:"2"`
	Values      []String       `pb:"3"`
	NotValues   []String       `pb:"4"`
	Networks    []netip.Prefix `pb:"5"`
	NotNetworks []netip.Prefix `pb:"6"`
	Ports       []Range        `pb:"7"`
	NotPorts    []Range        `pb:"8"`
}

// http says whether the condition needs a head.
func (c *Condition) http() bool { return c.Key == RequestHeader || c.Key == RemoteIP }

// Compile readies the condition.
func (c *Condition) Compile() error {
	if c.Key > Transport {
		return unknown("key of a condition", uint8(c.Key))
	}
	if err := compile("when", c.Values); err != nil {
		return err
	}
	return compile("when", c.NotValues)
}

// Match says whether the condition holds. wide is as for Request.Match.
func (c *Condition) Match(a *traffic.Attrs, wide bool) bool {
	if c.http() && a.Proto == traffic.TCP {
		return wide
	}
	switch c.Key {
	case SourceIP:
		return c.network(a.Source.Addr.Addr())
	case RemoteIP:
		return c.network(a.Remote())
	case DestinationIP:
		return c.network(a.Original.Addr())
	case DestinationPort:
		p := a.Port()
		return (len(c.Ports) == 0 || InRanges(c.Ports, p)) && !InRanges(c.NotPorts, p)
	}
	v, ok := c.value(a)
	return (len(c.Values) == 0 || ok && any(c.Values, v)) && !(ok && any(c.NotValues, v))
}

func (c *Condition) network(a netip.Addr) bool {
	return (len(c.Networks) == 0 || inNetwork(c.Networks, a)) && !inNetwork(c.NotNetworks, a)
}

func (c *Condition) value(a *traffic.Attrs) (string, bool) {
	id := &a.Source.ID
	switch c.Key {
	case RequestHeader:
		return a.Header.Joined(c.Name)
	case Transport:
		if a.Datagrams {
			return OverUDP, true
		}
		return OverTCP, true
	case SourceNamespace:
		return id.Namespace, !id.IsZero()
	case SourceAccount:
		return id.Account(), !id.IsZero()
	}
	return id.Principal(), !id.IsZero()
}
