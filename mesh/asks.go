package mesh

import (
	"strings"

	"github.com/weft-mesh/weft/match"
)

// Asks is what a service's rules and policies ask of callers.
type Asks struct {
	Namespace bool
	Place     bool            // node and zone
	Labels    map[string]bool // by key
}

// Asks says what svc's callers can be told apart by.
func (s *Snapshot) Asks(svc *Service) Asks {
	a := Asks{Labels: map[string]bool{}}
	for _, r := range s.routes(svc.Host) {
		a.Namespace = a.Namespace || r.Consumer != ""
		for i := range r.Rules {
			a.caller(r.Rules[i].Caller)
		}
	}
	for _, p := range s.profiles(svc.Host) {
		a.Namespace = a.Namespace || p.Consumer != ""
	}
	for _, b := range s.backends(svc.Host) {
		a.Namespace = a.Namespace || !b.Root && b.Ref.Namespace != svc.Namespace || len(b.Exports) > 0 || b.Selector != nil
		if b.Selector != nil {
			a.selector(b.Selector)
		}
	}
	for _, set := range s.slices.Get(svc.Host) {
		a.Place = a.Place || set.Hints
	}
	a.Place = (a.Place || svc.Local) && !svc.Headless // who calls one by an endpoint's address has chosen it
	return a
}

func (a *Asks) caller(c *match.Caller) {
	if c == nil {
		return
	}
	a.Namespace = a.Namespace || len(c.Namespaces) > 0
	a.selector(&c.Selector)
}

func (a *Asks) selector(s *match.Selector) {
	for _, l := range s.Labels {
		k, _, _ := strings.Cut(l, "=")
		a.Labels[k] = true
	}
	for _, e := range s.Exprs {
		a.Labels[e.Key] = true
	}
}
