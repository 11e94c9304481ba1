package gateway

import (
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/mesh"
)

// Joins says to which services of its namespace, that are not the gateway's, its pods would belong because of labels that its object asks for, and
// by which labels: who may write a Gateway could take the calls to any service that selects pods by labels that he knows. A service to which they
// belong by what weft itself puts on them is none of those. The labels are not just left out: policies may select the proxies by them. (Istio has
// all labels on its pods; GEP-1867 has them on all objects, and leaves it to an implementation whether pods have them too.)
func Joins(g *mesh.Gateway, services []*mesh.Service) (joined, keys []string) {
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
		joined = append(joined, s.Namespace+"/"+s.Name)
		for _, l := range s.Selector.Labels {
			if key, _, _ := strings.Cut(l, "="); pods[key] == "" {
				keys = append(keys, key)
			}
		}
	}
	slices.Sort(keys)
	slices.Sort(joined)
	return joined, slices.Compact(keys)
}

// Beside are the services that select pods, by namespace, of the namespaces of gateways that ask for labels.
func Beside(gateways map[string]*mesh.Gateway, services iter.Seq2[string, *mesh.Service]) map[string][]*mesh.Service {
	out := map[string][]*mesh.Service{}
	for _, g := range gateways {
		if len(g.Made.Labels) > 0 {
			out[g.Namespace] = nil
		}
	}
	if len(out) == 0 {
		return out
	}
	for _, s := range services {
		if list, ok := out[s.Namespace]; ok && s.Selector != nil {
			out[s.Namespace] = append(list, s)
		}
	}
	return out
}
