package match

import (
	"slices"
	"strings"
)

// Op is how a Requirement compares.
type Op uint8

const (
	In Op = iota
	NotIn
	Exists
	NotExists
)

// Requirement is one condition on a label (meta/v1 LabelSelectorRequirement).
type Requirement struct {
	Key    string   `pb:"1"`
	Op     Op       `pb:"2"`
	Values []string `pb:"3"`
}

// Selector is a conjunction on labels; the empty one selects everything. Labels are "key=value".
type Selector struct {
	Labels []string      `pb:"1"`
	Exprs  []Requirement `pb:"2"`
}

// Match says whether have, any order, is selected.
func (s *Selector) Match(have []string) bool {
	for _, l := range s.Labels {
		if !slices.Contains(have, l) {
			return false
		}
	}
	for i := range s.Exprs {
		if !s.Exprs[i].match(have) {
			return false
		}
	}
	return true
}

// Empty says whether everything is selected.
func (s *Selector) Empty() bool { return len(s.Labels)+len(s.Exprs) == 0 }

// match: NotIn is also true of a label that is not there, as in Kubernetes.
func (r *Requirement) match(have []string) bool {
	v, ok := Label(have, r.Key)
	switch r.Op {
	case In:
		return ok && slices.Contains(r.Values, v)
	case NotIn:
		return !ok || !slices.Contains(r.Values, v)
	case Exists:
		return ok
	}
	return !ok
}

func (s *Selector) compile() error {
	for i := range s.Exprs {
		if op := s.Exprs[i].Op; op > NotExists {
			return unknown("operator", uint8(op))
		}
	}
	return nil
}

// Label returns the value of a key among "key=value" labels.
func Label(have []string, key string) (string, bool) {
	for _, l := range have {
		if k, v, _ := strings.Cut(l, "="); k == key {
			return v, true
		}
	}
	return "", false
}

// Caller is a predicate on the workload that calls; compile evaluates it for each class of callers.
type Caller struct {
	Namespaces []string
	Selector   Selector
}

// Match says whether a workload of this namespace and with these labels is meant; a nil Caller means all.
func (c *Caller) Match(namespace string, labels []string) bool {
	return c == nil || (len(c.Namespaces) == 0 || slices.Contains(c.Namespaces, namespace)) && c.Selector.Match(labels)
}
