package cilium

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/match"
)

// requests are what a rule matches: on ports by number, and on ports that have a name only.
type requests struct {
	numbered []match.Request
	named    []namedRequests
}

type namedRequests struct {
	port     string
	requests []match.Request
}

// ports are those of one element of toPorts.
type ports struct {
	all    bool
	ranges []match.Range
	names  []string
}

func (p *ports) none() bool { return !p.all && len(p.ranges)+len(p.names) == 0 }

// add puts requests on ports.
func (q *requests) add(p *ports, list []match.Request) {
	if p.all || len(p.ranges) > 0 {
		for _, x := range list {
			if !p.all {
				x.Ports = p.ranges
			}
			q.numbered = append(q.numbered, x)
		}
	}
	for _, name := range p.names {
		if !p.all {
			q.named = append(q.named, namedRequests{name, list})
		}
	}
}

// requests lowers toPorts; any of its elements may match. rest is all calls on the ports where rules for HTTP decide, or rules that
// weft cannot judge.
func (r *reader) requests(s *section) (q, rest requests) {
	for i := range s.ports {
		x, field := &s.ports[i], dialect.Index(s.field+".toPorts", i)
		p := r.ports(field+".ports", s, x.Ports)
		if len(x.Ports) == 0 {
			r.Warn(field+".ports", "no port is named, so that the rule matches nothing by it, in Cilium neither", `write port: "0" for all ports`)
		}
		looks := r.checkRules(field, s, x)
		switch {
		case p.none():
			continue
		case !looks && !x.unknowable():
			q.add(&p, []match.Request{{}})
			continue
		}
		if rest.add(&p, []match.Request{{}}); x.unknowable() {
			continue
		}
		var list []match.Request
		for j := range x.Rules.HTTP {
			if h, ok := r.http(dialect.Index(field+".rules.http", j), &x.Rules.HTTP[j]); ok {
				list = append(list, h)
			}
		}
		q.add(&p, list)
	}
	return q, rest
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

// ports lowers ports of TCP. Names are those of the workload that is called.
func (r *reader) ports(field string, s *section, list []port) (out ports) {
	if len(list) > maxPorts {
		r.Refuse(field, fmt.Sprintf("%d ports, and Cilium takes %d at most", len(list), maxPorts), "write further elements of toPorts, or ranges by endPort")
	}
	for i := range list {
		p, at := &list[i], dialect.Index(field, i)
		if !r.isTCP(at, p) {
			continue
		}
		name := len(p.Port) <= 15 && portName.MatchString(p.Port)
		n, err := strconv.ParseUint(p.Port, 0, 16)
		switch {
		case p.Port == "":
			r.Refuse(at+".port", "required, and not there", `write port: "0" for all ports`)
		case name && s.out:
			r.outName(at+".port", s, &out)
		case name:
			out.names = append(out.names, strings.ToLower(p.Port))
		case err != nil:
			r.Refuse(at+".port", fmt.Sprintf("%q is neither a port nor the name of one", p.Port), "")
		case n == 0:
			out.all = true
		default:
			out.ranges = append(out.ranges, r.span(at, p, uint16(n)))
			if p.EndPort == 0 {
				r.tellTranslation(at+".port", s, uint16(n))
			}
		}
	}
	return out
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

// isTCP says whether calls go through proxies by a port's protocol.
func (r *reader) isTCP(at string, p *port) bool {
	switch strings.ToUpper(p.Protocol) {
	case "", "ANY", "TCP":
		return true
	case "UDP":
		if p.Port == "53" || p.Port == "dns" {
			r.Info(at, "names are looked up at the workload's own proxy, which no policy judges: this has no effect, and is not needed", "")
			return false
		}
		r.Warn(at+".protocol", "UDP does not go through proxies: it is neither allowed nor denied. What comes to a gateway by it is judged by the rules for TCP", "")
		return false
	}
	r.Warn(at+".protocol", p.Protocol+" does not go through proxies: it is neither allowed nor denied", "")
	return false
}
