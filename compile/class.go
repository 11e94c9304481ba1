package compile

import (
	"slices"
	"strings"

	"github.com/weft-mesh/weft/feature/authz"
	"github.com/weft-mesh/weft/mesh"
)

// Class is callers that the rules of a service cannot tell apart. All of a class get the same bytes, and nothing that one of
// them may not see.
type Class struct {
	Namespace string // empty: no rule asks for it
	Known     string // the labels that rules ask for, comma-joined "key=value"; empty: none does, or the caller has none of them
	Node      string // empty, with Zone: where callers are decides on no endpoint
	Zone      string
	Labels    bool // the caller's own policies read labels of endpoints
}

// ClassOf returns the class that w is of for svc; a nil w is of the class that nothing is known of.
func ClassOf(s *mesh.Snapshot, svc *mesh.Service, w *mesh.Workload) (c Class) {
	if w == nil {
		return c
	}
	asks := s.Asks(svc)
	if asks.Namespace {
		c.Namespace = w.Namespace
	}
	if asks.Place {
		c.Node, c.Zone = w.Node, w.Zone
	}
	var known []string
	for _, l := range w.Labels {
		if k, _, _ := strings.Cut(l, "="); asks.Labels[k] {
			known = append(known, l)
		}
	}
	c.Known = strings.Join(known, ",")
	c.Labels = readsLabels(s, w)
	return c
}

// readsLabels says whether the policies of a caller read labels of those whom it calls.
func readsLabels(s *mesh.Snapshot, caller *mesh.Workload) bool {
	return caller != nil && slices.ContainsFunc(s.Egress(caller), func(e authz.Engine) bool { return e.LabelledDest() })
}

func (c Class) caller() mesh.Caller {
	out := mesh.Caller{Namespace: c.Namespace}
	if c.Known != "" {
		out.Labels = strings.Split(c.Known, ",")
	}
	return out
}
