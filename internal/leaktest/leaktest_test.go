package leaktest

import (
	"net"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/proxy/buffer"
)

// TestLeft: each sort of thing is found as long as it is there, and no longer.
func TestLeft(t *testing.T) {
	poll()
	before := now()
	is := func(want string) {
		t.Helper()
		if got := before.left(0); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%q is left, want %q", got, want)
		}
	}
	is("")
	b := buffer.Get(5000)
	is("1 buffers are lent, and were 0")
	buffer.Put(b)
	is("")
	buffer.Put(make([]byte, 4<<10)) // one that was not lent
	is("-1 buffers are lent, and were 0")
	buffer.Get(0)
	is("")
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() { <-stop; close(stopped) }()
	is("1 goroutines")
	close(stop)
	<-stopped
	if got := before.left(bound); got != "" { // it has a moment to end
		t.Errorf("%q is left", got)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	is("1 descriptors")
	l.Close()
	if got := before.left(bound); got != "" {
		t.Errorf("%q is left", got)
	}
}

func TestCheck(t *testing.T) {
	for _, leaks := range []bool{false, true} {
		x := &fake{TB: t}
		check(x, 0)
		b := buffer.Get(0)
		if !leaks {
			buffer.Put(b)
		}
		x.end()
		if (x.said != "") != leaks {
			t.Errorf("leaks %v: %q", leaks, x.said)
		}
	}
}

// fake is a test that may fail.
type fake struct {
	testing.TB
	end  func()
	said string
}

func (f *fake) Helper()            {}
func (f *fake) Cleanup(end func()) { f.end = end }
func (f *fake) Error(args ...any)  { f.said = args[0].(string) }
