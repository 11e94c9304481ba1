package istio

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/weft-mesh/weft/dialect"
)

// full completes a host as Istio does: a name without a dot is a Service of the namespace that the rule is in, never of the
// caller's (Destination.host); any other name is taken as it is.
func (r *reader) full(host string) string {
	if host == "*" || strings.Contains(host, ".") {
		return host
	}
	return dialect.Host(host, r.Object.Namespace)
}

// service returns the Service of a full host, or nil.
func (r *reader) service(host string) *dialect.Object {
	name, namespace, ok := dialect.ServiceOf(host)
	if !ok {
		return nil
	}
	return r.View.Get("", "Service", namespace, name)
}

// onlyPort returns the number of a Service's port if it has exactly one. Calls that are sent to such a Service go to that port,
// whichever port was called (Istio: GetDestinationCluster).
func (r *reader) onlyPort(host string) uint16 {
	if ports := r.ports(host); len(ports) == 1 {
		return ports[0]
	}
	return 0
}

// ports returns the numbers of a Service's ports; none: there is no such Service.
func (r *reader) ports(host string) (numbers []uint16) {
	o := r.service(host)
	if o == nil {
		return nil
	}
	spec, _ := o.Whole()["spec"].(map[string]any)
	list, _ := spec["ports"].([]any)
	for _, p := range list {
		port, _ := p.(map[string]any)
		switch n := port["port"].(type) {
		case int64:
			numbers = append(numbers, uint16(n))
		case float64:
			numbers = append(numbers, uint16(n))
		}
	}
	return numbers
}

// checkPort says so where a Service has no such port.
func (r *reader) checkPort(field, host string, port uint16) {
	if ports := r.ports(host); len(ports) > 0 && !slices.Contains(ports, port) {
		r.Warn(field, fmt.Sprintf("%s has no port %d: calls that are sent there get 503", host, port),
			"its ports are "+strings.Trim(fmt.Sprint(ports), "[]"))
	}
}

// checkHost says so where nothing in the mesh has the host.
func (r *reader) checkHost(field, host, effect string) {
	full := r.full(host)
	if strings.HasPrefix(full, "*") || r.service(full) != nil || !r.once(full) {
		return
	}
	if entry := r.entry(full); entry != "" {
		r.Warn(field, fmt.Sprintf("%s is the host of ServiceEntry %s, and ServiceEntries have no effect yet: %s; what applications call by this name leaves as they make it", host, entry, effect), "")
		return
	}
	text := fmt.Sprintf("no Service and no ServiceEntry has the host %s: %s", full, effect)
	meant, remedy := r.meant(host), ""
	if meant != "" {
		remedy = fmt.Sprintf("did you mean %s? A name with a dot is taken as it is", meant)
	}
	if name, namespace, ok := dialect.ServiceOf(full); ok {
		r.NoService(field, text, namespace, name, remedy)
		return
	}
	r.Warn(field, text, cmp.Or(remedy, "create the Service, or correct the name"))
}

// meant is the full name that a dotted one probably stands for.
func (r *reader) meant(host string) string {
	name, rest, dotted := strings.Cut(host, ".")
	if !dotted {
		if ns := r.Elsewhere(name); ns != "" {
			return dialect.Host(name, ns)
		}
		return ""
	}
	namespace, tail, _ := strings.Cut(rest, ".")
	if tail == "" || strings.HasPrefix("svc.cluster.local", tail) && tail != "svc.cluster.local" {
		return dialect.Host(name, namespace)
	}
	return ""
}

// entry returns the ServiceEntry that has a host, as NAMESPACE/NAME, or nothing.
func (r *reader) entry(host string) string {
	for _, o := range r.View.List(networkingGroup, "ServiceEntry", "") {
		spec, _ := o.Tree["spec"].(map[string]any)
		hosts, _ := spec["hosts"].([]any)
		if slices.ContainsFunc(hosts, func(h any) bool { s, _ := h.(string); return covers(s, host) }) {
			return o.Namespace + "/" + o.Name
		}
	}
	return ""
}

// covers says whether a host, which may begin with a wildcard, is or contains another.
func covers(pattern, host string) bool {
	suffix, wild := strings.CutPrefix(pattern, "*")
	return pattern == host || wild && pattern != "" && strings.HasSuffix(host, suffix)
}

// checkSubset says so where no DestinationRule that counts for callers of this namespace defines the subset.
func (r *reader) checkSubset(field string, d *networking.Destination) {
	if d.GetSubset() == "" {
		return
	}
	host := r.full(d.Host)
	rules := r.destinationRules(host)
	if slices.ContainsFunc(rules, func(o *dialect.Object) bool { return hasSubset(o, d.Subset) }) || !r.once(host+" "+d.Subset) {
		return
	}
	text := fmt.Sprintf("no DestinationRule for %s defines the subset %s: calls that are sent there get 503", host, d.Subset)
	if len(rules) == 0 {
		text = fmt.Sprintf("there is no DestinationRule for %s, so it has no subset %s: calls that are sent there get 503", host, d.Subset)
	}
	r.Warn(field, text, "define the subset in a DestinationRule of that host")
}

// destinationRules returns those for a host, from where Istio looks: the caller's namespace, here the rule's own, the service's,
// and the root.
func (r *reader) destinationRules(host string) (rules []*dialect.Object) {
	namespaces := []string{r.Object.Namespace, RootNamespace}
	if _, ns, ok := dialect.ServiceOf(host); ok && ns != r.Object.Namespace {
		namespaces = append(namespaces, ns)
	}
	for _, ns := range slices.Compact(namespaces) {
		for _, o := range r.View.List(networkingGroup, "DestinationRule", ns) {
			spec, _ := o.Tree["spec"].(map[string]any)
			h, _ := spec["host"].(string)
			if other := newReader(o, r.View); h != "" && covers(other.full(h), host) {
				rules = append(rules, o)
			}
		}
	}
	return rules
}

func hasSubset(o *dialect.Object, name string) bool {
	spec, _ := o.Tree["spec"].(map[string]any)
	subsets, _ := spec["subsets"].([]any)
	return slices.ContainsFunc(subsets, func(s any) bool {
		m, _ := s.(map[string]any)
		return m["name"] == name
	})
}

// exported returns the namespaces whose callers may use an object, from its exportTo: nil for all, and false for none.
func (r *reader) exported(to []string) (namespaces []string, any bool) {
	for i, t := range to {
		switch t {
		case "*":
			if len(to) > 1 {
				r.Refuse(dialect.Index("spec.exportTo", i), `"*" is for everybody and cannot stand beside other namespaces`, "leave the others out")
			}
			return nil, true
		case "~":
			return nil, false
		case ".":
			t = r.Object.Namespace
		}
		if !slices.Contains(namespaces, t) {
			namespaces = append(namespaces, t)
		}
	}
	return namespaces, true
}
