package cilium

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/match"
	"github.com/weft-mesh/weft/mesh"
)

// The labels that Cilium gives to endpoints beside their own.
const (
	namespaceLabel  = "io.kubernetes.pod.namespace"
	accountLabel    = "io.cilium.k8s.policy.serviceaccount"
	clusterLabel    = "io.cilium.k8s.policy.cluster"
	namespaceLabels = "io.cilium.k8s.namespace.labels."
	namespaceName   = "kubernetes.io/metadata.name"

	clusterName = "default" // what Cilium calls a cluster that nobody gave a name
)

// requirement is one condition of a selector; its key stands without the source.
type requirement struct {
	match.Requirement
	field, source string
}

// requirements lowers a selector. Keys may begin with the source of the label, as "k8s:app"; "any:" is that of all.
func (r *reader) requirements(field string, s *labelSelector) (out []requirement) {
	for _, key := range slices.Sorted(maps.Keys(s.MatchLabels)) {
		out = append(out, requirementOf(dialect.Child(field+".matchLabels", key), key, match.In, []string{s.MatchLabels[key]}))
	}
	for i, e := range s.MatchExpressions {
		at := dialect.Index(field+".matchExpressions", i)
		q := r.Requirement(at, e)
		out = append(out, requirementOf(at, q.Key, q.Op, q.Values))
	}
	return out
}

func requirementOf(field, key string, op match.Op, values []string) requirement {
	source := "any"
	if rest, ok := strings.CutPrefix(key, "$"); ok {
		source, key = "reserved", rest
	} else if before, after, ok := strings.Cut(key, ":"); ok {
		source, key = before, after
	}
	return requirement{match.Requirement{Key: key, Op: op, Values: values}, field, source}
}

// holds says whether a requirement is met by a label that is not there.
func (q *requirement) absent() bool { return q.Op == match.NotIn || q.Op == match.NotExists }

// names are values that are asked for, one by one.
type names struct {
	in  []string // nil: any
	set bool
	not []string
}

// narrow adds a requirement; false: it can never be met, by what always has a value.
func (n *names) narrow(q *requirement) bool {
	switch q.Op {
	case match.In:
		if !n.set {
			n.in, n.set = slices.Clone(q.Values), true
		} else {
			n.in = slices.DeleteFunc(n.in, func(v string) bool { return !slices.Contains(q.Values, v) })
		}
	case match.NotIn:
		n.not = append(n.not, q.Values...)
	case match.NotExists:
		return false
	}
	n.in = slices.DeleteFunc(n.in, func(v string) bool { return slices.Contains(n.not, v) })
	return !n.set || len(n.in) > 0
}

// split returns the values of which one is wanted, or else those that are not.
func (n *names) split() (in, not []string) {
	if n.set {
		return n.in, nil
	}
	return nil, n.not
}

// choice is what a selector asks of workloads.
type choice struct {
	labels     match.Selector
	namespaces names
	accounts   names
	scoped     bool     // it speaks of namespaces
	reserved   []string // it asks for labels that Cilium gives to what is no workload
	nobody     bool
}

// choose lowers requirements. own: the namespace label of an endpointSelector, which is ignored where it is written as Kubernetes'
// own.
func (r *reader) choose(list []requirement, own bool) (c choice) {
	var ofNamespace []requirement
	for i := range list {
		q := &list[i]
		switch {
		case q.source == "reserved":
			if !q.absent() {
				c.reserved = append(c.reserved, q.Key)
			}
		case q.source != "any" && q.source != "k8s":
			r.foreign(q, &c)
		case q.Key == namespaceLabel && own && q.source == "k8s" && q.Op == match.In:
			if !slices.Equal(q.Values, []string{r.namespace()}) {
				r.Warn(q.field, "the policy is for its own namespace, whatever this says, in Cilium too", "put the policy into the namespace that is meant")
			}
		case q.Key == namespaceLabel:
			c.scoped = true
			c.narrow(c.namespaces.narrow(q))
		case q.Key == accountLabel:
			c.narrow(c.accounts.narrow(q))
		case q.Key == clusterLabel:
			c.narrow(r.inCluster(q))
		case strings.HasPrefix(q.Key, namespaceLabels):
			c.scoped = true
			q.Key = strings.TrimPrefix(q.Key, namespaceLabels)
			ofNamespace = append(ofNamespace, *q)
		case q.Op == match.In && len(q.Values) == 1:
			c.labels.Labels = append(c.labels.Labels, q.Key+"="+q.Values[0])
		default:
			c.labels.Exprs = append(c.labels.Exprs, q.Requirement)
		}
	}
	r.byNamespaceLabels(&c, ofNamespace)
	return c
}

func (c *choice) narrow(possible bool) { c.nobody = c.nobody || !possible }

// foreign: labels of containers, of addresses and so on; no workload has them.
func (r *reader) foreign(q *requirement, c *choice) {
	if !q.absent() {
		r.Warn(q.field, "no workload has labels of the source "+q.source+": nothing is selected", "leave the source out, or write k8s:")
		c.nobody = true
	}
}

// inCluster: there is one cluster, and every workload is in it.
func (r *reader) inCluster(q *requirement) bool {
	switch q.Op {
	case match.Exists:
		return true
	case match.NotExists:
		return false
	}
	here := slices.Contains(q.Values, clusterName)
	if !here {
		r.Warn(q.field, fmt.Sprintf("weft knows one cluster, and calls it %s: no workload is in %s", clusterName, strings.Join(q.Values, ", ")),
			"leave the label out, or ask that it exists")
	}
	return here == (q.Op == match.In)
}

// byNamespaceLabels puts in the place of namespaces' labels the namespaces that have them. One that is no object has no label but its
// own name.
func (r *reader) byNamespaceLabels(c *choice, list []requirement) {
	var sel match.Selector
	unnamed := true
	for i := range list {
		q := &list[i]
		if q.Key == namespaceName {
			c.narrow(c.namespaces.narrow(q))
			continue
		}
		sel.Exprs = append(sel.Exprs, q.Requirement)
		unnamed = unnamed && q.absent()
	}
	if sel.Empty() {
		return
	}
	q := requirement{Requirement: match.Requirement{Op: match.In}}
	if unnamed {
		q.Op = match.NotIn
	}
	for _, o := range r.View.List("", "Namespace", "") {
		if sel.Match(dialect.Labels(o.Labels)) != unnamed {
			q.Values = append(q.Values, o.Name)
		}
	}
	if !unnamed && len(q.Values) == 0 {
		r.Warn(list[0].field, "no namespace has such labels: nothing is selected", "")
	}
	c.narrow(c.namespaces.narrow(&q))
}

// selects lowers the endpointSelector of a rule: workloads of the policy's own namespace, or of all, where the policy is for the
// cluster.
func (r *reader) selects(field string, s *labelSelector, a mesh.Authorization) (mesh.Authorization, bool) {
	c := r.choose(r.requirements(field, s), !r.clusterwide())
	if !r.clusterwide() {
		c.narrow(c.namespaces.narrow(&requirement{Requirement: match.Requirement{Op: match.In, Values: []string{r.namespace()}}}))
	}
	if len(c.reserved) > 0 {
		r.Warn(field, "no workload has the label reserved:"+c.reserved[0]+": the rule has no effect", "")
		return a, false
	}
	if c.nobody {
		r.Warn(field, "it can select no workload: the rule has no effect", "")
		return a, false
	}
	a.Namespaces, a.NotNamespaces = c.namespaces.split()
	a.Accounts, a.NotAccounts = c.accounts.split()
	a.Selector = c.labels
	return a, true
}

// endpoint lowers the i-th selector of peers; false: it selects nobody. One that says nothing of namespaces selects in the policy's
// own alone; that of a policy for the cluster selects in all of them.
func (r *reader) endpoint(field string, s *section, i int) (src match.Source, ok bool) {
	c := r.choose(r.requirements(field, &s.endpoints[i]), false)
	if len(c.reserved) > 0 {
		return r.reserved(field, &c, len(s.endpoints[i].MatchLabels)+len(s.endpoints[i].MatchExpressions), s)
	}
	if !r.clusterwide() && !c.scoped {
		c.namespaces.in, c.namespaces.set = []string{r.namespace()}, true
	}
	in, not := c.namespaces.split()
	of, notOf := c.accounts.split()
	src = match.Source{Authenticated: true, ByAddress: !s.out, Namespaces: exact(in), NotNamespaces: exact(not), Accounts: accounts(of, in),
		NotAccounts: accounts(notOf, in)}
	if !c.labels.Empty() {
		src.Selectors = []match.Selector{c.labels}
	}
	return src, !c.nobody
}

// reserved lowers a selector by a label that Cilium gives to what is no workload, as "reserved:world": it stands for the entity.
func (r *reader) reserved(field string, c *choice, n int, s *section) (src match.Source, ok bool) {
	if n != 1 || !slices.Contains(entities, c.reserved[0]) {
		r.Warn(field, "nothing has the label reserved:"+c.reserved[0]+" and what else is asked for: nobody is selected", "")
		return src, false
	}
	return r.entity(field, c.reserved[0], s)
}

func exact(list []string) (out []match.String) {
	for _, v := range list {
		out = append(out, match.String{Value: v})
	}
	return out
}

// accounts writes service accounts as NAMESPACE/ACCOUNT where one namespace is meant, else of any namespace.
func accounts(list, namespaces []string) (out []match.String) {
	for _, v := range list {
		if len(namespaces) == 1 {
			out = append(out, match.String{Value: namespaces[0] + "/" + v})
		} else {
			out = append(out, match.String{Kind: match.Suffix, Value: "/" + v})
		}
	}
	return out
}
