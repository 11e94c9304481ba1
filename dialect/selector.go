package dialect

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weft-mesh/weft/match"
)

// SelectorFields are those of a label selector at path.
func SelectorFields(path string) []string {
	return Below(path, "matchLabels", "matchExpressions[].key", "matchExpressions[].operator", "matchExpressions[].values")
}

var operators = map[metav1.LabelSelectorOperator]match.Op{
	metav1.LabelSelectorOpIn: match.In, metav1.LabelSelectorOpNotIn: match.NotIn,
	metav1.LabelSelectorOpExists: match.Exists, metav1.LabelSelectorOpDoesNotExist: match.NotExists,
}

// Requirement lowers an element of a selector's matchExpressions, and refuses one that has too many values or too few.
func (r *Reader) Requirement(field string, e metav1.LabelSelectorRequirement) match.Requirement {
	op := operators[e.Operator]
	switch listed := op == match.In || op == match.NotIn; {
	case listed && len(e.Values) == 0:
		r.Refuse(field+".values", fmt.Sprintf("%s needs values", e.Operator), "")
	case !listed && len(e.Values) > 0:
		r.Refuse(field+".values", fmt.Sprintf("%s takes no values", e.Operator), "remove them, or write In or NotIn")
	}
	return match.Requirement{Key: e.Key, Op: op, Values: e.Values}
}
