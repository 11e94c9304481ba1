package dialect

import "strings"

// clusterSuffix ends the full name of every Service.
const clusterSuffix = ".svc.cluster.local"

// Host is a Service's full name.
func Host(name, namespace string) string { return name + "." + namespace + clusterSuffix }

// ServiceOf takes a full name apart; false: it is none.
func ServiceOf(host string) (name, namespace string, ok bool) {
	short, full := strings.CutSuffix(host, clusterSuffix)
	name, namespace, two := strings.Cut(short, ".")
	if !full || !two || strings.Contains(namespace, ".") {
		return "", "", false
	}
	return name, namespace, true
}

// Elsewhere returns the namespace of the Services of a name, if there is just one; empty: there is none, or it would be a guess.
func (r *Reader) Elsewhere(name string) (namespace string) {
	for _, o := range r.View.List("", "Service", "") {
		if o.Name != name {
			continue
		}
		if namespace != "" {
			return ""
		}
		namespace = o.Namespace
	}
	return namespace
}
