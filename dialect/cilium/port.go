package cilium

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/match"
)

// over is the transport of a port.
type over uint8

const (
	anyhow over = iota // TCP or UDP
	overTCP
	overUDP
	transports // how many there are above
)

// when are the conditions that a call goes so.
func (o over) when() []match.Condition {
	switch o {
	case overTCP:
		return []match.Condition{match.Over(match.OverTCP)}
	case overUDP:
		return []match.Condition{match.Over(match.OverUDP)}
	}
	return nil
}

// requests are what a rule matches: on ports by number, and on ports that have a name only.
type requests struct {
	numbered [transports][]match.Request
	named    []namedRequests
}

type namedRequests struct {
	port     string
	over     over // overTCP or overUDP: a workload may call ports of either so
	requests []match.Request
}

// ports are those of one element of toPorts, over one transport.
type ports struct {
	over   over
	all    bool
	ranges []match.Range
	names  []string
}

func (p *ports) none() bool { return !p.all && len(p.ranges)+len(p.names) == 0 }

// add puts requests on ports.
func (q *requests) add(on []ports, list []match.Request) {
	for i := range on {
		q.put(&on[i], list)
	}
}

func (q *requests) put(p *ports, list []match.Request) {
	if p.all || len(p.ranges) > 0 {
		for _, x := range list {
			if !p.all {
				x.Ports = p.ranges
			}
			q.numbered[p.over] = append(q.numbered[p.over], x)
		}
	}
	for _, name := range p.names {
		if p.over != overUDP && !p.all {
			q.named = append(q.named, namedRequests{name, overTCP, list})
		}
		if p.over != overTCP && !p.all {
			q.named = append(q.named, namedRequests{name, overUDP, list})
		}
	}
}

// requests lowers toPorts; any of its elements may match. rest is all calls on the ports where rules for HTTP decide, or rules that
// weft cannot judge.
func (r *reader) requests(s *section) (q, rest requests) {
	for i := range s.ports {
		x, field := &s.ports[i], dialect.Index(s.field+".toPorts", i)
		on := r.ports(field+".ports", s, x.Ports)
		if len(x.Ports) == 0 {
			r.Warn(field+".ports", "no port is named, so that the rule matches nothing by it, in Cilium neither", `write port: "0" for all ports`)
		}
		looks := r.checkRules(field, s, x)
		on = slices.DeleteFunc(on, func(p ports) bool { return p.none() })
		if !looks && !x.unknowable() {
			q.add(on, []match.Request{{}})
			continue
		}
		if rest.add(on, []match.Request{{}}); !x.unknowable() && len(on) > 0 {
			q.add(on, r.asked(field+".rules.http", x.Rules.HTTP))
		}
	}
	return q, rest
}

// asked lowers rules for HTTP.
func (r *reader) asked(field string, list []http) (out []match.Request) {
	for j := range list {
		if h, ok := r.http(dialect.Index(field, j), &list[j]); ok {
			out = append(out, h)
		}
	}
	return out
}

// unknowable says whether an element asks for what weft cannot look at, so that it must allow nothing.
func (x *portRule) unknowable() bool {
	return x.TerminatingTLS != nil || x.OriginatingTLS != nil || len(x.ServerNames) > 0 || x.Listener != nil ||
		x.Rules != nil && (len(x.Rules.DNS)+len(x.Rules.Kafka)+len(x.Rules.L7) > 0 || x.Rules.L7Proto != "")
}

// checkRules says whether an element has rules for HTTP, and refuses what Cilium's agent does.
func (r *reader) checkRules(field string, s *section, x *portRule) (looks bool) {
	if x.Rules == nil {
		return false
	}
	kinds := 0
	for _, set := range []bool{x.Rules.HTTP != nil, x.Rules.DNS != nil, x.Rules.Kafka != nil, x.Rules.L7Proto != ""} {
		if set {
			kinds++
		}
	}
	if kinds > 1 {
		r.Refuse(field+".rules", "there are rules for several protocols", "write one element of toPorts for each")
	}
	if len(x.Rules.DNS) > 0 && !s.out {
		r.Refuse(field+".rules.dns", "calls in have no rules for DNS", "")
	}
	if x.Rules.HTTP != nil && len(x.Rules.HTTP) == 0 {
		r.Info(field+".rules.http", "the list is empty: every call on these ports is allowed, HTTP or not", "leave out rules to say so plainly")
	}
	if len(x.Rules.HTTP) == 0 {
		return false
	}
	for j, p := range x.Ports {
		at := dialect.Index(field+".ports", j)
		if strings.ToUpper(p.Protocol) != "TCP" {
			r.Refuse(at+".protocol", "beside rules for HTTP the protocol has to be TCP, and "+orWord(p.Protocol, "nothing")+" is not", "write protocol: TCP")
		}
		if p.Port == "0" {
			r.Refuse(at+".port", "rules for HTTP need ports, and 0 means all", "name the ports")
		}
	}
	return true
}

func orWord(s, unset string) string {
	if s == "" {
		return unset
	}
	return s
}

// portName: RFC 6335 section 5.1, without regard to case. What has a letter in it is a name: 0x10 is no number.
var portName = regexp.MustCompile(`^([a-zA-Z0-9]-?)*[a-zA-Z](-?[a-zA-Z0-9])*$`)

// maxPorts is how many ports Cilium's agent takes in one element of toPorts (PortRule, "too many ports").
const maxPorts = 40

// ports lowers ports, by their transport. Names are those of the workload that is called.
func (r *reader) ports(field string, s *section, list []port) []ports {
	on := make([]ports, transports)
	for o := range on {
		on[o].over = over(o)
	}
	if len(list) > maxPorts {
		r.Refuse(field, fmt.Sprintf("%d ports, and Cilium takes %d at most", len(list), maxPorts), "write further elements of toPorts, or ranges by endPort")
	}
	for i := range list {
		p, at := &list[i], dialect.Index(field, i)
		if o, ok := r.transport(at, s, p); ok {
			r.port(at, s, p, &on[o])
		}
	}
	return on
}

// port lowers one.
func (r *reader) port(at string, s *section, p *port, out *ports) {
	name := len(p.Port) <= 15 && portName.MatchString(p.Port)
	n, err := strconv.ParseUint(p.Port, 0, 16)
	switch {
	case p.Port == "":
		r.Refuse(at+".port", "required, and not there", `write port: "0" for all ports`)
	case name && s.out:
		r.outName(at+".port", s, out)
	case name:
		out.names = append(out.names, strings.ToLower(p.Port))
	case err != nil:
		r.Refuse(at+".port", fmt.Sprintf("%q is neither a port nor the name of one", p.Port), "")
	case n == 0:
		out.all = true
	default:
		out.ranges = append(out.ranges, r.span(at, p, uint16(n)))
		if p.EndPort == 0 && out.over != overUDP {
			r.tellTranslation(at+".port", s, uint16(n))
		}
	}
}

// outName: a proxy does not know how other workloads call their ports.
func (r *reader) outName(field string, s *section, out *ports) {
	if s.deny {
		r.Warn(field, "weft cannot follow names of ports for calls out yet: the rule denies calls to every port", "write the number")
		out.all = true
		return
	}
	r.Warn(field, "weft cannot follow names of ports for calls out yet: the rule allows nothing by it", "write the number")
}

func (r *reader) span(at string, p *port, first uint16) match.Range {
	switch {
	case p.EndPort < 0 || p.EndPort > 65535:
		r.Refuse(at+".endPort", fmt.Sprintf("%d is not a port", p.EndPort), "")
	case p.EndPort > int32(first):
		return match.Range{First: first, Last: uint16(p.EndPort)}
	case p.EndPort != 0 && p.EndPort < int32(first):
		r.Warn(at+".endPort", fmt.Sprintf("%d is below the port: only port %d is meant, in Cilium too", p.EndPort, first), "")
	}
	return match.OnePort(first)
}

// transport reads a port's protocol: none, or ANY, is every one. false: calls go through proxies by none of it.
func (r *reader) transport(at string, s *section, p *port) (o over, ok bool) {
	switch strings.ToUpper(p.Protocol) {
	case "", "ANY":
		return anyhow, true
	case "TCP":
		return overTCP, true
	case "UDP":
		switch {
		case s.out && (p.Port == "53" || p.Port == "dns"):
			r.Info(at, "names are looked up at the workload's own proxy, which no policy judges: this is not needed for that, and counts at gateways alone", "")
		case s.deny:
			r.Warn(at+".protocol", "what is sent over UDP goes through gateways, and between services past the mesh: this denies nothing but at gateways", "")
		default:
			r.Info(at+".protocol", "what is sent over UDP goes through gateways, and between services past the mesh: this counts at gateways alone", "")
		}
		return overUDP, true
	}
	r.Warn(at+".protocol", p.Protocol+" does not go through proxies: it is neither allowed nor denied", "")
	return 0, false
}
