package dialect

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
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

// NoService says what has no effect since the Service of a name is not there. On one machine a workload that weft run starts makes its Service:
// where there is none at all, as among files that are looked at without a mesh, nothing is wrong yet. Of a cluster, somebody writes it.
// Remedy is for another name that may be meant; empty: none is known.
func (r *Reader) NoService(field, text, namespace, name, remedy string) {
	services := r.View.List("", "Service", "")
	run := "weft run --service " + name
	if namespace != "default" {
		run += " --namespace " + namespace
	}
	run += " --port PORT"
	cluster := ofCluster(r.Object) || slices.ContainsFunc(services, ofCluster)
	switch {
	case len(services) == 0 && cluster:
		r.Info(field, text, "write it; among files there are to be the cluster's Services too: kubectl get services -A -o yaml")
	case len(services) == 0:
		r.Info(field, text, run+" makes it, or write a Service")
	case cluster:
		r.Warn(field, text, cmp.Or(remedy, "correct the name, or write the Service"))
	default:
		r.Warn(field, text, cmp.Or(remedy, "correct the name, write the Service, or make it by "+run))
	}
}

// ofCluster says whether an object comes from an API server: that gives each a UID.
func ofCluster(o *Object) bool {
	var metadata struct {
		UID string `json:"uid"`
	}
	return DecodeField(o, "metadata", &metadata) == nil && metadata.UID != ""
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

// Addresses are those at which a Service of proxies is found from outside.
type Addresses struct {
	There     bool // the Service is
	IPs       []string
	Hostnames []string
}

// AddressesOf looks at a Service: what a load balancer has given it, else its own in the cluster.
func AddressesOf(v View, namespace, name string) (out Addresses) {
	o := v.Get("", "Service", namespace, name)
	var spec corev1.ServiceSpec
	var status corev1.ServiceStatus
	if o == nil || DecodeField(o, "spec", &spec) != nil || DecodeField(o, "status", &status) != nil {
		return out
	}
	out.There = true
	for _, in := range status.LoadBalancer.Ingress {
		if in.IP != "" {
			out.IPs = append(out.IPs, in.IP)
		} else if in.Hostname != "" {
			out.Hostnames = append(out.Hostnames, in.Hostname)
		}
	}
	if spec.Type != corev1.ServiceTypeLoadBalancer {
		out.IPs = append(out.IPs, slices.DeleteFunc(slices.Clone(spec.ClusterIPs), func(ip string) bool { return ip == corev1.ClusterIPNone })...)
	}
	out.IPs = append(out.IPs, spec.ExternalIPs...)
	return out
}

// mostName is how long the name of a Service may be.
const mostName = 63

// Fit makes a name of a Service of what stands for an object and of the object's name. Long names are cut, and made unlike each other by
// a hash of the whole.
func Fit(before, name, after string) string {
	if len(before)+len(name)+len(after) <= mostName && !strings.Contains(name, ".") {
		return before + name + after
	}
	sum := sha256.Sum256([]byte(name))
	hash := "-" + hex.EncodeToString(sum[:4])
	stem := strings.ReplaceAll(name, ".", "-")
	return before + strings.TrimRight(stem[:min(len(stem), mostName-len(hash)-len(before)-len(after))], "-") + hash + after
}
