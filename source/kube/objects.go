package kube

import (
	"iter"

	"github.com/weft-mesh/weft/dialect"
)

// objects are those of one kind, by namespace and name: of 100,000 pods the keys in one map would be twice as long as in one for each namespace.
type objects map[string]map[string]*dialect.Object

func (m objects) get(n name) *dialect.Object { return m[n.namespace][n.name] }

func (m objects) put(o *dialect.Object) {
	if m[o.Namespace] == nil {
		m[o.Namespace] = map[string]*dialect.Object{}
	}
	m[o.Namespace][o.Name] = o
}

func (m objects) delete(n name) {
	if delete(m[n.namespace], n.name); len(m[n.namespace]) == 0 {
		delete(m, n.namespace)
	}
}

// names yields what they are called, in no order; they may be deleted meanwhile.
func (m objects) names() iter.Seq[name] {
	return func(yield func(name) bool) {
		for namespace, of := range m {
			for n := range of {
				if !yield(name{namespace, n}) {
					return
				}
			}
		}
	}
}
