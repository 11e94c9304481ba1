package proctest

import (
	"net"
	"testing"
)

// TestFreePort: a port that was named is there to be listened on, also when one has listened there before.
func TestFreePort(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		at, err := FreePort()
		if err != nil {
			t.Fatal(err)
		}
		if seen[at] {
			t.Errorf("%s is given twice", at)
		}
		seen[at] = true
		for range 2 {
			l, err := net.Listen("tcp", at)
			if err != nil {
				t.Fatal(err)
			}
			c, err := net.Dial("tcp", at)
			if err != nil {
				t.Fatal(err)
			}
			if c.LocalAddr().String() == at {
				t.Error("a client has the port itself")
			}
			s, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			s.Close()
			c.Close()
			l.Close()
		}
		if c, err := net.Dial("tcp", at); err == nil {
			c.Close()
			t.Errorf("somebody listens on %s", at)
		}
	}
}
