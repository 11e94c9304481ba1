package linkerd

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/match"
)

var operators = map[metav1.LabelSelectorOperator]match.Op{
	metav1.LabelSelectorOpIn: match.In, metav1.LabelSelectorOpNotIn: match.NotIn,
	metav1.LabelSelectorOpExists: match.Exists, metav1.LabelSelectorOpDoesNotExist: match.NotExists,
}

// selectorFields are those of a selector at path.
func selectorFields(path string) []string {
	return []string{path + ".matchLabels", path + ".matchExpressions[].key", path + ".matchExpressions[].operator", path + ".matchExpressions[].values"}
}

// checkSelector adds to a schema what the Go type of a selector at path does not say.
func checkSelector(s *dialect.Schema, path string) {
	s.Require(path+".matchExpressions[].key", path+".matchExpressions[].operator")
	s.SetEnum(path+".matchExpressions[].operator", "In", "NotIn", "Exists", "DoesNotExist")
}

// selector lowers a label selector; an empty one selects everything.
func (r *reader) selector(field string, s *metav1.LabelSelector) (out match.Selector) {
	out.Labels = dialect.Labels(s.MatchLabels)
	for i, e := range s.MatchExpressions {
		at := dialect.Index(field+".matchExpressions", i) + ".values"
		switch op := operators[e.Operator]; {
		case (op == match.In || op == match.NotIn) && len(e.Values) == 0:
			r.refuse(at, fmt.Sprintf("%s needs values", e.Operator), "")
		case (op == match.Exists || op == match.NotExists) && len(e.Values) > 0:
			r.refuse(at, fmt.Sprintf("%s takes no values", e.Operator), "remove them, or write In or NotIn")
		default:
			out.Exprs = append(out.Exprs, match.Requirement{Key: e.Key, Op: op, Values: e.Values})
		}
	}
	return out
}
