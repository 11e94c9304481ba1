package dialect

import (
	"cmp"
	"strings"
)

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

// NoService says what has no effect since the Service of a name is not there. A workload that weft run starts makes its Service:
// where there is none at all, as among files that are looked at without a mesh, nothing is wrong yet. Remedy is for another name
// that may be meant; empty: none is known.
func (r *Reader) NoService(field, text, namespace, name, remedy string) {
	run := "weft run --service " + name
	if namespace != "default" {
		run += " --namespace " + namespace
	}
	run += " --port PORT"
	if len(r.View.List("", "Service", "")) == 0 {
		r.Info(field, text, run+" makes it, or write a Service")
		return
	}
	r.Warn(field, text, cmp.Or(remedy, "correct the name, write the Service, or make it by "+run))
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
