package identity

import (
	"fmt"
	"strings"
)

// maxWorkload is a namespace, a slash and a Pod's name at their longest (RFC 1123 label and subdomain).
const maxWorkload = 63 + 1 + 253

// ValidWorkload says why name is not "NAMESPACE/INSTANCE" with the given namespace, or nil. A certificate carries such a
// name beside its ID: an account may be shared, an instance is one. It has to stay in the ID's namespace, since the
// authority that vouches for an account vouches for nothing outside of its namespace.
func ValidWorkload(name, namespace string) error {
	ns, instance, ok := strings.Cut(name, "/")
	if !ok || len(name) > maxWorkload {
		return fmt.Errorf("identity: workload %.80q is not NAMESPACE/INSTANCE of at most %d bytes", name, maxWorkload)
	}
	if ns != namespace {
		return fmt.Errorf("identity: workload %q is not in the namespace %q of its account", name, namespace)
	}
	if err := validSegment(instance); err != nil {
		return fmt.Errorf("identity: workload %q: %w", name, err)
	}
	return nil
}
