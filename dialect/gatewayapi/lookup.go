package gatewayapi

import (
	"cmp"
	"slices"

	"k8s.io/utils/ptr"
	v1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/weft-mesh/weft/dialect"
)

// Who is attached to what, by what stands in the objects: each of 200 Gateways that read all of 200 routes for its status took 0.7 s at every
// change. What is found so is read in earnest by who asked for it.

// routeKinds are those of routes that gateways have.
var routeKinds = []string{"HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute"}

var (
	byParent  = lookups(parentsOf, append([]string{"ListenerSet"}, routeKinds...)...)
	byBackend = lookups(backendsOf, routeKinds...)
	byTarget  = lookups(targetsOf, "BackendTLSPolicy")["BackendTLSPolicy"]
)

func lookups(keys func(*dialect.Object) []string, kinds ...string) map[string]*dialect.Lookup {
	out := map[string]*dialect.Lookup{}
	for _, k := range kinds {
		out[k] = &dialect.Lookup{Group: group, Kind: k, Keys: keys}
	}
	return out
}

// referred is a reference's key, with what is meant where nothing is written.
func referred(ofGroup, kind, namespace, name string) string {
	return ofGroup + " " + kind + " " + namespace + "/" + name
}

// mapsIn are the elements of a list that are maps.
func mapsIn(v any) (out []map[string]any) {
	for _, x := range listIn(v) {
		if m, ok := x.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

// textOf is a field's, or what is meant where there is none.
func textOf(m map[string]any, field, otherwise string) string {
	s, ok := m[field].(string)
	if !ok {
		return otherwise
	}
	return s
}

// parentsOf are the keys of an object's parents: a route has several, a ListenerSet one.
func parentsOf(o *dialect.Object) (keys []string) {
	spec, _ := o.Tree["spec"].(map[string]any)
	for _, p := range mapsIn(append(slices.Clone(listIn(spec["parentRefs"])), spec["parentRef"])) {
		keys = append(keys, referred(textOf(p, "group", group), textOf(p, "kind", "Gateway"), cmp.Or(textOf(p, "namespace", ""), o.Namespace), textOf(p, "name", "")))
	}
	return keys
}

func listIn(v any) []any { l, _ := v.([]any); return l }

// backendsOf are the keys of the Services that a route's rules lead to.
func backendsOf(o *dialect.Object) (keys []string) {
	spec, _ := o.Tree["spec"].(map[string]any)
	for _, rule := range mapsIn(spec["rules"]) {
		for _, b := range mapsIn(rule["backendRefs"]) {
			keys = append(keys, referred("", textOf(b, "kind", "Service"), cmp.Or(textOf(b, "namespace", ""), o.Namespace), textOf(b, "name", "")))
		}
	}
	return keys
}

// targetsOf are the keys of what a BackendTLSPolicy is for.
func targetsOf(o *dialect.Object) (keys []string) {
	spec, _ := o.Tree["spec"].(map[string]any)
	for _, t := range mapsIn(spec["targetRefs"]) {
		keys = append(keys, target(o.Namespace, textOf(t, "group", ""), textOf(t, "kind", ""), textOf(t, "name", ""), textOf(t, "sectionName", "")))
	}
	return keys
}

func target(namespace, ofGroup, kind, name, section string) string {
	return referred(ofGroup, kind, namespace, name) + " " + section
}

// parents are the keys by which routes are attached to a Gateway: its own, and those of its ListenerSets.
func (g *gateway) parents() []string {
	keys := []string{referred(group, "Gateway", g.object.Namespace, g.object.Name)}
	for _, l := range g.listeners {
		if k := referred(group, l.owner.Kind, l.owner.Namespace, l.owner.Name); !slices.Contains(keys, k) {
			keys = append(keys, k)
		}
	}
	return keys
}

// routesOf are the routes of a kind that name a Gateway or one of its ListenerSets, each once, in the order in which they go before each other.
func (r *reader) routesOf(kind string, g *gateway) (out []*dialect.Object) {
	keys := g.parents()
	for _, k := range keys {
		out = append(out, r.View.Find(byParent[kind], k)...)
	}
	if len(keys) == 1 {
		return out
	}
	slices.SortFunc(out, func(a, b *dialect.Object) int {
		switch {
		case a == b:
			return 0
		case goesBefore(a, b):
			return -1
		}
		return 1
	})
	return slices.Compact(out)
}

// isOneOf says whether a reference of an object is to one of the keys.
func isOneOf(ref *v1.ParentReference, o *dialect.Object, keys []string) bool {
	return slices.Contains(keys, referred(string(ptr.Deref(ref.Group, group)), string(ptr.Deref(ref.Kind, "Gateway")),
		string(cmp.Or(ptr.Deref(ref.Namespace, ""), v1.Namespace(o.Namespace))), string(ref.Name)))
}
