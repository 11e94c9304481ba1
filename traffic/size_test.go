package traffic

import (
	"testing"
	"unsafe"
)

// TestSize: a call is memory per connection.
func TestSize(t *testing.T) {
	if n := unsafe.Sizeof(Call{}); n > 1152 {
		t.Errorf("a Call takes %d bytes", n)
	} else {
		t.Logf("a Call takes %d bytes", n)
	}
}
