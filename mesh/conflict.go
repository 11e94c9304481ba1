package mesh

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/weft-mesh/weft/traffic"
)

// Conflicts returns a finding for each object that takes no effect because another one speaks of the same thing, naming the
// winner.
func (s *Snapshot) Conflicts() (out []Finding) {
	for _, host := range slices.Sorted(maps.Keys(s.Services)) {
		svc := s.Services[host]
		routes := s.routes(host)
		for _, consumer := range consumers(routes) {
			lost := map[*Route]*Route{}
			for i := range svc.Ports {
				won := winners(routes, svc.Ports[i].Number, consumer)
				if svc.Ports[i].Proto == traffic.TCP {
					out = append(out, withoutHeads(won, svc, &svc.Ports[i])...)
				}
				for _, r := range routes {
					if (r.Consumer == consumer) && (r.Port == 0 || r.Port == svc.Ports[i].Number) && len(won) > 0 && !slices.Contains(won, r) {
						lost[r] = won[0]
					}
				}
			}
			out = append(out, routesLost(lost, host)...)
		}
	}
	slices.SortStableFunc(out, func(a, b Finding) int { return cmp.Compare(a.Ref.String(), b.Ref.String()) })
	return out
}

// withoutHeads tells of routes of a port whose calls have no head that a rule could look at.
func withoutHeads(routes []*Route, svc *Service, p *Port) (out []Finding) {
	for _, r := range routes {
		out = append(out, Finding{Ref: r.Ref, Level: Warning,
			Text:   fmt.Sprintf("takes no effect for port %d of %s, which is declared as TCP: rules look at requests", p.Number, svc.Host),
			Remedy: "declare the port's protocol, as appProtocol: http or a name that begins with http-, if it speaks HTTP"})
	}
	return out
}

// consumers are the namespaces that have routes of their own, and the empty one for everybody's.
func consumers(routes []*Route) []string {
	set := map[string]bool{}
	for _, r := range routes {
		set[r.Consumer] = true
	}
	return slices.Sorted(maps.Keys(set))
}

func routesLost(lost map[*Route]*Route, host string) (out []Finding) {
	for loser, winner := range lost {
		f := Finding{Ref: loser.Ref, Level: Warning, Text: "takes no effect for " + host + ": " + winner.Ref.String() + " chooses where its calls go"}
		switch {
		case loser.Rank != winner.Rank:
			f.Remedy = "keep one of the two; what each kind gives way to is in docs/concepts.md"
		default:
			f.Remedy = "join them in one object: of several for one host the oldest is in force"
		}
		out = append(out, f)
	}
	return out
}
