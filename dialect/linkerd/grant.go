package linkerd

import "github.com/weft-mesh/weft/match"

// grant is who may pass: clients that are of who and come from one of networks.
type grant struct {
	who      *who           // nil: whoever, authenticated or not
	networks []match.Source // any of
	bound    bool           // to networks
}

// sources lowers a grant; none: everybody passes. false: nobody does.
func (g *grant) sources() ([]match.Source, bool) {
	var base match.Source
	switch {
	case g.who == nil:
	case g.who.nobody():
		return nil, false
	case g.who.anybody:
		base.Authenticated = true
	default:
		base.Principals = g.who.principals
	}
	if !g.bound {
		if g.who == nil {
			return nil, true
		}
		return []match.Source{base}, true
	}
	var out []match.Source
	for _, n := range g.networks {
		n.Principals, n.Authenticated = base.Principals, base.Authenticated
		out = append(out, n)
	}
	return out, len(out) > 0
}
