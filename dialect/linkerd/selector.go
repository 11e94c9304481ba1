package linkerd

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/match"
)

// selector lowers a label selector; an empty one selects everything.
func (r *reader) selector(field string, s *metav1.LabelSelector) (out match.Selector) {
	out.Labels = dialect.Labels(s.MatchLabels)
	for i, e := range s.MatchExpressions {
		out.Exprs = append(out.Exprs, r.Requirement(dialect.Index(field+".matchExpressions", i), e))
	}
	return out
}
