package mesh

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/feature/authz"
	"github.com/weft-mesh/weft/feature/mtls"
	"github.com/weft-mesh/weft/match"
)

// Inbound merges all that is said of calls into w.
func (s *Snapshot) Inbound(w *Workload) Inbound {
	return Inbound{MTLS: s.mode(w), Authz: s.engines(w, false)}
}

// Egress merges all that is said of calls out of w.
func (s *Snapshot) Egress(w *Workload) []authz.Engine { return s.engines(w, true) }

// TakesDatagrams says whether w's proxy is that of a gateway with a listener for UDP. The rules of other workloads say nothing
// of it: to them all is TCP, and a proxy that is older than the condition, and refuses it, has its rules all the same.
func (s *Snapshot) TakesDatagrams(w *Workload) bool {
	for _, g := range s.Gateways.All() {
		if g.Runs(w) && slices.ContainsFunc(g.Listeners, func(l Listener) bool { return l.Entry.Datagrams() }) {
			return true
		}
	}
	return false
}

// engines makes an engine of each dialect, and of each port that a dialect names; tiers of one stage are joined.
func (s *Snapshot) engines(w *Workload, out bool) (engines []authz.Engine) {
	taken := map[slot]bool{} // of exclusive authorizations
	datagrams := s.TakesDatagrams(w)
	for _, a := range s.authorizations(w.Namespace) {
		if a.Out != out || !a.selects(w) {
			continue
		}
		ports, ok := portRange(w.Ports, a.Port)
		if !ok {
			continue
		}
		if a.Exclusive {
			at := slot{dialect: a.engine()}
			if len(ports) > 0 {
				at.ports = ports[0]
			}
			if taken[at] {
				continue
			}
			taken[at] = true
		}
		i := slices.IndexFunc(engines, func(e authz.Engine) bool {
			return e.Dialect == a.engine() && slices.Equal(e.Ports, ports)
		})
		if i < 0 {
			i = len(engines)
			engines = append(engines, authz.Engine{Dialect: a.engine(), Ports: ports})
		}
		engines[i] = join(engines[i], a, w, datagrams)
	}
	if a := w.Extras().Otherwise; a != nil && !out {
		var held []match.Range
		for at := range taken {
			if at.dialect == a.engine() {
				held = append(held, at.ports)
			}
		}
		engines = append(engines, join(authz.Engine{Dialect: a.engine(), Ports: match.OtherPorts(held)}, a, w, datagrams))
	}
	slices.SortStableFunc(engines, func(a, b authz.Engine) int { return cmp.Compare(a.Dialect, b.Dialect) })
	return engines
}

// slot is what one exclusive authorization alone may hold: a port, by whichever name it was called.
type slot struct {
	dialect decision.Dialect
	ports   match.Range
}

// portRange resolves a port's number, or its name among those of a workload; false: there is no such port.
func portRange(named []WorkloadPort, port string) ([]match.Range, bool) {
	if port == "" {
		return nil, true
	}
	if n, err := strconv.ParseUint(port, 10, 16); err == nil {
		return []match.Range{match.OnePort(uint16(n))}, true
	}
	for _, p := range named {
		if p.Name == port {
			return []match.Range{match.OnePort(p.Number)}, true
		}
	}
	return nil, false
}

func (a *Authorization) engine() decision.Dialect { return cmp.Or(a.Engine, a.Ref.Dialect) }

// selects says whether the authorization is one of w's.
func (a *Authorization) selects(w *Workload) bool {
	return within(a.Namespaces, a.NotNamespaces, w.Namespace) && within(a.Accounts, a.NotAccounts, w.ID().ServiceAccount) &&
		a.Selector.Match(w.Labels)
}

func within(in, not []string, v string) bool {
	return (len(in) == 0 || slices.Contains(in, v)) && !slices.Contains(not, v)
}

// tiers are the tiers for w, with the rules for ports by name at the numbers that w has them.
func (a *Authorization) tiers(w *Workload) []authz.Tier {
	tiers := slices.Clip(a.Tiers)
	for _, n := range a.Named {
		named := w.Ports
		if n.Datagrams {
			named = w.Extras().Datagrams
		}
		if ports, ok := portRange(named, n.Port); ok {
			n.Rule.To = onPorts(n.Rule.To, ports)
			tiers = append(tiers, authz.Tier{Effect: n.Effect, Rules: []authz.Rule{n.Rule}})
		}
	}
	return tiers
}

func onPorts(requests []match.Request, ports []match.Range) []match.Request {
	out := slices.Clone(requests)
	if len(out) == 0 {
		out = []match.Request{{}}
	}
	for i := range out {
		out[i].Ports = ports
	}
	return out
}

func join(e authz.Engine, a *Authorization, w *Workload, datagrams bool) authz.Engine {
	if e.Closed == nil {
		e.Closed = a.Closes
	}
	for _, t := range a.tiers(w) {
		if !datagrams {
			if t.Rules = authz.OverTCP(t.Rules); len(t.Rules) == 0 {
				continue
			}
		}
		if a.Exclusive { // it has the port for itself, and may say in which order its tiers are asked
			e.Tiers = append(e.Tiers, t)
			continue
		}
		at, same := slices.BinarySearchFunc(e.Tiers, t, authz.Order)
		if !same {
			e.Tiers = slices.Insert(e.Tiers, at, authz.Tier{Effect: t.Effect})
		}
		e.Tiers[at].Rules = append(e.Tiers[at].Rules, t.Rules...)
	}
	return e
}

// mode is mutual TLS's at w: the workload's own word, else its namespace's, else the mesh's; across dialects the strictest.
func (s *Snapshot) mode(w *Workload) *mtls.Policy {
	var out *mtls.Policy
	modes := s.peerModes(w)
	for d := range slices.Values(dialects(modes)) {
		p := &mtls.Policy{Mode: mtls.Permissive}
		for level := range 3 { // workload, namespace, mesh
			if m := oldestOf(modes, d, level); m != nil {
				if level == 0 {
					p.Ports = effective(m.Ports)
				}
				if m.Mode != mtls.Unset {
					p.Ref, p.Mode = m.Ref, m.Mode
					break
				}
			}
		}
		out = strictest(out, p)
	}
	return out
}

func effective(ports []mtls.Port) []mtls.Port {
	return slices.DeleteFunc(slices.Clone(ports), func(p mtls.Port) bool { return p.Mode == mtls.Unset })
}

func levelOf(m *PeerMode) int {
	switch {
	case m.Selector != nil:
		return 0
	case m.Namespace != "":
		return 1
	}
	return 2
}

func oldestOf(modes []*PeerMode, dialect, level int) (won *PeerMode) {
	for _, m := range modes {
		if int(m.Ref.Dialect) == dialect && levelOf(m) == level && (won == nil || age(m.Created, m.Ref, won.Created, won.Ref) < 0) {
			won = m
		}
	}
	return won
}

func dialects(modes []*PeerMode) (out []int) {
	for _, m := range modes {
		out = append(out, int(m.Ref.Dialect))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// strictest joins the words of two dialects, port by port.
func strictest(a, b *mtls.Policy) *mtls.Policy {
	if a == nil {
		return b
	}
	out := &mtls.Policy{Ref: a.Ref, Mode: a.Mode}
	if b.Mode > a.Mode {
		out.Ref, out.Mode = b.Ref, b.Mode
	}
	for _, p := range slices.Concat(a.Ports, b.Ports) {
		i := slices.IndexFunc(out.Ports, func(x mtls.Port) bool { return x.Port == p.Port })
		x, y := a.On(p.Port), b.On(p.Port)
		if y.Mode > x.Mode {
			x = y
		}
		if i < 0 {
			out.Ports = append(out.Ports, x)
		}
	}
	return out
}
