package gateway

import (
	"maps"
	"slices"
	"strings"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/mesh"
)

// Apart says which of the labels that a gateway's object asks for its pods must not have, since services of its namespace would lead to them:
// who may write a Gateway could take the calls to any service that selects pods by labels that he knows. because names those services, of which
// none leads there by what weft itself puts on the pods. Istio has all labels on its pods; GEP-1867 has them on all objects, and leaves it to an
// implementation whether pods have them too.
func Apart(g *mesh.Gateway, services []*mesh.Service) (keys, because []string) {
	if len(g.Made.Labels) == 0 {
		return nil, nil
	}
	pods, all := (&maker{g: g}).podLabels(), maps.Clone(g.Made.Labels)
	maps.Copy(all, pods)
	own, with := dialect.Labels(pods), dialect.Labels(all)
	for _, s := range services {
		if s.Namespace != g.Namespace || s.Name == g.Account || s.Selector == nil || !s.Selector.Match(with) || s.Selector.Match(own) {
			continue
		}
		because = append(because, s.Namespace+"/"+s.Name)
		for _, l := range s.Selector.Labels {
			if key, _, _ := strings.Cut(l, "="); pods[key] == "" {
				keys = append(keys, key)
			}
		}
	}
	slices.Sort(keys)
	slices.Sort(because)
	return slices.Compact(keys), because
}
