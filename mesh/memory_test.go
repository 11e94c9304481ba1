package mesh

import (
	"testing"
	"unsafe"
)

// A cluster has a hundred thousand of each.
func TestSizes(t *testing.T) {
	for name, x := range map[string]struct{ size, most uintptr }{
		"Workload": {unsafe.Sizeof(Workload{}), 192}, "EndpointAddr": {unsafe.Sizeof(EndpointAddr{}), 80},
	} {
		if x.size > x.most {
			t.Errorf("a %s has %d bytes; %d are bearable", name, x.size, x.most)
		}
	}
}
