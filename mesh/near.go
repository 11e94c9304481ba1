package mesh

import "slices"

// Near returns those of a service port's endpoints that are for callers on a node in a zone, as kube-proxy chooses them (KEP-2433, KEP-3015):
// if every endpoint that takes new calls has hints of nodes, and one of them is of this node, those of this node; else the same by zones;
// else all. Endpoints that are draining stay: they are called if there is nobody else.
func Near(all []Endpoint, node, zone string) []Endpoint {
	for _, x := range []struct {
		at    string
		hints func(*Endpoint) []string
	}{{node, func(e *Endpoint) []string { return e.Nodes }}, {zone, func(e *Endpoint) []string { return e.Zones }}} {
		if near, ok := hinted(all, x.at, x.hints); ok {
			return near
		}
	}
	return all
}

// OnNode returns those of a service port's endpoints that are workloads of a node: of a service whose calls stay on their caller's node, which
// go nowhere where there are none (core/v1 ServiceSpec.internalTrafficPolicy).
func OnNode(all []Endpoint, node string) (on []Endpoint) {
	for i := range all {
		if w := all[i].Workload; w != nil && w.Node == node {
			on = append(on, all[i])
		}
	}
	return on
}

func hinted(all []Endpoint, at string, hints func(*Endpoint) []string) (near []Endpoint, ok bool) {
	for i := range all {
		e := &all[i]
		switch meant := hints(e); {
		case e.Draining:
		case len(meant) == 0:
			return nil, false
		case !slices.Contains(meant, at):
			continue
		default:
			ok = true
		}
		near = append(near, *e)
	}
	return near, ok
}
