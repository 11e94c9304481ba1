package h1

import (
	"testing"
	"unsafe"
)

// TestSize: what a connection costs while it idles, beside its socket and goroutine.
func TestSize(t *testing.T) {
	for name, s := range map[string][2]uintptr{
		"Conn":     {unsafe.Sizeof(Conn{}), 512},
		"Client":   {unsafe.Sizeof(Client{}), 1024},
		"exchange": {unsafe.Sizeof(exchange{}), 2048},
	} {
		if t.Logf("%s: %d bytes", name, s[0]); s[0] > s[1] {
			t.Errorf("a %s takes %d bytes, more than %d", name, s[0], s[1])
		}
	}
}
