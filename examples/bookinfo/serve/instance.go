// Package serve runs the servers of the sample applications: it names the instance that answers, breaks it on request,
// and ends it without losing a call that was accepted.
//
// It promises that [HTTP] and [Conns.Drain] return nil only when every accepted call was finished; what had to be cut
// after the grace period is an error.
package serve

import (
	"fmt"
	"net/http"
	"os"
)

// Headers that every answer of a sample application carries, so that a caller can see which instance gave it.
const (
	ServiceHeader  = "X-Bookinfo-Service"
	VersionHeader  = "X-Bookinfo-Version"
	InstanceHeader = "X-Bookinfo-Instance"
)

// Instance says which running process answers.
type Instance struct {
	Service string // reviews
	Version string // v2
	Name    string // unique among the instances of the service: the pod's name on Kubernetes
	Cluster string // empty: not known
}

// NewInstance reads the instance's own description: SERVICE_VERSION when version is empty (v1 without both); POD_NAME,
// else HOSTNAME, when name is empty (service-version-pid without them); CLUSTER_NAME.
func NewInstance(service, version, name string, env func(string) string) Instance {
	version = first(version, env("SERVICE_VERSION"), "v1")
	return Instance{
		Service: service,
		Version: version,
		Name:    first(name, env("POD_NAME"), env("HOSTNAME"), fmt.Sprintf("%s-%s-%d", service, version, os.Getpid())),
		Cluster: env("CLUSTER_NAME"),
	}
}

// Mark adds the instance's headers to every answer of next.
func (i Instance) Mark(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set(ServiceHeader, i.Service)
		h.Set(VersionHeader, i.Version)
		h.Set(InstanceHeader, i.Name)
		next.ServeHTTP(w, r)
	})
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
