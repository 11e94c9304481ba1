package mesh

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/weft-mesh/weft/decision"
	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/traffic"
)

// Conflicts returns a finding for each object that takes no effect because another one speaks of the same thing, naming the
// winner.
func (s *Snapshot) Conflicts() (out []Finding) {
	out = slices.Concat(s.routesLost(), s.overridden(), s.policiesLost(), s.subsetsLost(), s.profilesLost(), s.modesLost(), s.connectionsLost())
	slices.SortStableFunc(out, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Ref.String(), b.Ref.String()), cmp.Compare(a.Text, b.Text))
	})
	return out
}

func (s *Snapshot) routesLost() (out []Finding) {
	for _, host := range s.routedHosts() {
		svc := s.Services.Get(host)
		if svc == nil {
			continue
		}
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
			out = append(out, routeLost(lost, host)...)
		}
	}
	return out
}

// routedHosts are the hosts that routes may be for.
func (s *Snapshot) routedHosts() []string {
	if len(s.routed.Get("*")) > 0 {
		return slices.Sorted(s.Services.Keys())
	}
	return slices.Sorted(s.routed.Keys())
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

func routeLost(lost map[*Route]*Route, host string) (out []Finding) {
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

// overridden: what a profile says of retries and timeouts counts for the rules that say nothing of them. A VirtualService's always
// say something of retries.
func (s *Snapshot) overridden() (out []Finding) {
	for _, host := range slices.Sorted(s.profiled.Keys()) {
		svc, routes := s.Services.Get(host), s.routes(host)
		if svc == nil || len(routes) == 0 {
			continue
		}
		for _, consumer := range consumers(routes) {
			p := known(s.profiles(host), consumer)
			if p == nil {
				continue
			}
			for i := range svc.Ports {
				for _, r := range winners(routes, svc.Ports[i].Number, consumer) {
					out = append(append(out, p.retriesLost(r)...), p.timeoutsLost(r)...)
				}
			}
		}
	}
	return eachOnce(out)
}

func (p *Profile) retriesLost(by *Route) (out []Finding) {
	if !slices.ContainsFunc(p.Rules, func(r Rule) bool { return r.Retry != nil }) {
		return nil
	}
	for i := range by.Rules {
		if x := by.Rules[i].Retry; x != nil {
			out = append(out, Finding{Ref: p.Ref, Level: p.lossOf(by), Text: fmt.Sprintf("what it says of retries takes no effect for some calls to %s: %v says which of them are made again", p.Host, &x.Ref),
				Remedy: "say it there, as retries of the VirtualService"})
		}
	}
	return out
}

func (p *Profile) timeoutsLost(by *Route) (out []Finding) {
	if !slices.ContainsFunc(p.Rules, func(r Rule) bool { return r.Timeout != nil }) {
		return nil
	}
	for i := range by.Rules {
		if x := by.Rules[i].Timeout; x != nil {
			out = append(out, Finding{Ref: p.Ref, Level: p.lossOf(by), Text: fmt.Sprintf("what it says of timeouts takes no effect for some calls to %s: %v says how long they may take", p.Host, &x.Ref),
				Remedy: "say it in one of the two"})
		}
	}
	return out
}

// lossOf is how bad it is that a route's word counts in place of the profile's: what annotations of a Service say is for calls of which its
// routes say nothing.
func (p *Profile) lossOf(by *Route) Level {
	if p.Layer == LayerAnnotation && by.Rank <= RankLinkerdRoute {
		return Info
	}
	return Warning
}

// eachOnce leaves each finding once; Conflicts sorts them.
func eachOnce(list []Finding) (out []Finding) {
	seen := map[Finding]bool{}
	for _, f := range list {
		if !seen[f] {
			seen[f] = true
			out = append(out, f)
		}
	}
	return out
}

// place is what backend policies of one namespace have in common.
type place struct {
	host, namespace, callers string
	layer                    Layer
}

func (p *BackendPolicy) place() place {
	return place{p.Host, p.Ref.Namespace, words(p.Selector), p.Layer}
}

func (p *BackendPolicy) dated() dated { return dated{p.Created, p.Ref} }

// policiesLost: of several backend policies for one host the oldest is in force.
func (s *Snapshot) policiesLost() []Finding {
	return lost(s.called.All(), func(p *BackendPolicy) (place, bool) { return p.place(), p.Policy != (Outbound{}) || len(p.Ports) > 0 },
		(*BackendPolicy).dated, "its policy takes no effect for %[2]s: %[1]v, which is older, says how to call it", func(p *BackendPolicy) string { return p.Host })
}

// subsetsLost: the subsets of all backend policies for one host are joined; of several of one name the oldest's counts.
func (s *Snapshot) subsetsLost() []Finding {
	type subset struct {
		of   *BackendPolicy
		name string
	}
	all := map[string][]*subset{}
	for p := range everyOf(s.called.All()) {
		for _, x := range p.Subsets {
			all[x.Name] = append(all[x.Name], &subset{p, x.Name})
		}
	}
	type subject struct {
		place
		name string
	}
	return lost(maps.All(all), func(x *subset) (subject, bool) { return subject{x.of.place(), x.name}, true }, func(x *subset) dated { return x.of.dated() },
		"its subset %[2]s takes no effect: %[1]v, which is older, has one of that name", func(x *subset) string { return x.name })
}

// profilesLost: of several profiles of one host, for the same callers, the oldest counts, and goes before annotations if it has rules.
func (s *Snapshot) profilesLost() []Finding {
	type subject struct {
		host, consumer string
		layer          Layer
	}
	out := lost(s.profiled.All(), func(p *Profile) (subject, bool) { return subject{p.Host, p.Consumer, p.Layer}, true },
		func(p *Profile) dated { return dated{p.Created, p.Ref} },
		"takes no effect: %v is an older profile of %s", func(p *Profile) string { return p.Host })
	for _, all := range s.profiled.All() {
		if p, by := firstProfile(all, "", LayerAnnotation), known(all, ""); p != nil && by != p {
			out = append(out, Finding{Ref: p.Ref, Level: Warning, Text: fmt.Sprintf("what its annotations say of retries and timeouts takes no effect: %v has routes, which say it", &by.Ref),
				Remedy: "say it in the routes of the ServiceProfile, or delete that"})
		}
	}
	return out
}

// modesLost: of several modes for the mesh, a namespace or the same workloads of it the oldest counts.
func (s *Snapshot) modesLost() []Finding {
	type subject struct {
		dialect              decision.Dialect
		namespace, workloads string
	}
	return lost(s.moded.All(), func(m *PeerMode) (subject, bool) { return subject{m.Ref.Dialect, m.Namespace, words(m.Selector)}, true },
		func(m *PeerMode) dated { return dated{m.Created, m.Ref} },
		"takes no effect: %v is older and for %s", func(m *PeerMode) string {
			switch {
			case m.Selector != nil:
				return "the same workloads"
			case m.Namespace != "":
				return "the same namespace"
			}
			return "the mesh too"
		})
}

// dated is what age compares.
type dated struct {
	at  time.Time
	ref decision.Ref
}

// lost makes a finding for all but the oldest of those that have a subject in common. text gets the winner and what is said of it.
func lost[K comparable, T any](index iter.Seq2[string, []*T], subject func(*T) (K, bool), of func(*T) dated, text string, said func(*T) string) (out []Finding) {
	won := map[K]*T{}
	for x := range everyOf(index) {
		k, speaks := subject(x)
		if w := won[k]; speaks && (w == nil || before(of(x), of(w))) {
			won[k] = x
		}
	}
	for x := range everyOf(index) {
		if k, speaks := subject(x); speaks && won[k] != x {
			winner := of(won[k]).ref
			out = append(out, Finding{Ref: of(x).ref, Level: Warning, Text: fmt.Sprintf(text, &winner, said(x)), Remedy: "join them in one object"})
		}
	}
	return out
}

func before(a, b dated) bool { return age(a.at, a.ref, b.at, b.ref) < 0 }

func everyOf[T any](index iter.Seq2[string, []*T]) iter.Seq[*T] {
	return func(yield func(*T) bool) {
		for _, list := range index {
			for _, x := range list {
				if !yield(x) {
					return
				}
			}
		}
	}
}

// words are those of a selector, to compare it by; nil is another than the empty one.
func words(s *match.Selector) string {
	if s == nil {
		return ""
	}
	return fmt.Sprint(*s)
}
