// Package profile tells what this process spends time and memory on, in the format that go tool pprof reads. A profile is asked for
// by a call, so that whoever has the proxy's admin socket needs nothing else.
package profile

import (
	"bytes"
	"fmt"
	"runtime"
	"runtime/pprof"
	"strconv"
	"time"

	"github.com/weft-mesh/weft/traffic"
)

// Bounds of a CPU profile, in seconds.
const (
	Usual   = 10 // where none are given
	Longest = 300
)

// Kinds are those that Take knows.
var Kinds = []string{"cpu", "heap", "allocs", "goroutine"}

const textPlain = "text/plain; charset=utf-8"

// lookEvery is how often a CPU profile asks whether it should end before its time.
const lookEvery = 50 * time.Millisecond

// Take answers a call. Its parameter kind is one of
//
//	cpu        where time goes, 100 samples a second, for as many seconds as the parameter of that name says
//	heap       what memory holds that is in use, after a collection
//	allocs     what allocated since the process began
//	goroutine  where each goroutine stands
//
// One CPU profile at a time: another is refused (409). It ends early, with what it has so far, when leaving says so, and when the
// caller has left.
func Take(c *traffic.Call, leaving func() bool) (status int, contentType string, body []byte) {
	kind, given := c.Param("kind")
	if !given {
		kind = "cpu"
	}
	switch kind {
	case "cpu":
		return takeCPU(c, leaving)
	case "heap":
		runtime.GC()
	case "allocs", "goroutine":
	default:
		return 400, textPlain, fmt.Appendf(nil, "kind %q: want cpu, heap, allocs or goroutine\n", kind)
	}
	if _, given := c.Param("seconds"); given {
		return 400, textPlain, fmt.Appendf(nil, "seconds: a %s profile is of the moment; cpu alone takes time\n", kind)
	}
	var b bytes.Buffer
	if err := pprof.Lookup(kind).WriteTo(&b, 0); err != nil {
		return 500, textPlain, fmt.Appendln(nil, err)
	}
	return 200, "application/octet-stream", b.Bytes()
}

func takeCPU(c *traffic.Call, leaving func() bool) (status int, contentType string, body []byte) {
	seconds := Usual
	if text, given := c.Param("seconds"); given {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > Longest {
			return 400, textPlain, fmt.Appendf(nil, "seconds %q: want 1 to %d\n", text, Longest)
		}
		seconds = n
	}
	var b bytes.Buffer
	if err := pprof.StartCPUProfile(&b); err != nil { // there is no other reason
		return 409, textPlain, []byte("another CPU profile is being taken, and there can be one at a time; try again when it has ended\n")
	}
	wait(time.Duration(seconds)*time.Second, c.Gone, leaving)
	pprof.StopCPUProfile()
	return 200, "application/octet-stream", b.Bytes()
}

func wait(d time.Duration, gone <-chan struct{}, leaving func() bool) {
	over := time.NewTimer(d)
	defer over.Stop()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for !leaving() {
		select {
		case <-over.C:
			return
		case <-gone:
			return
		case <-look.C:
		}
	}
}
