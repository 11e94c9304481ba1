// Package leaktest finds what tests leave behind: goroutines, descriptors, and buffers of package buffer.
// Check is for one test, Main for all of a package. What ends late has a moment.
package leaktest

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/weft-mesh/weft/proxy/buffer"
)

// bound is how long what ends late may take, on a machine that does other things.
const bound = 5 * time.Second

// state is what there was at a time.
type state struct {
	goroutines int
	open       map[string]string // descriptors: number, and what each leads to
	lent       int64
}

// lent is how many buffers are on loan.
var lent = func() *atomic.Int64 {
	n := new(atomic.Int64)
	buffer.Watch(func(more int) { n.Add(int64(more)) })
	return n
}()

// Lent is how many buffers are on loan.
func Lent() int { return int(lent.Load()) }

func now() state {
	return state{runtime.NumGoroutine(), descriptors(), lent.Load()}
}

// Main runs a package's tests, and fails if they leave something behind.
func Main(m *testing.M) {
	poll()
	before := now()
	code := m.Run()
	if f := flag.Lookup("test.fuzz"); f != nil && f.Value.String() != "" { // what fuzzes has goroutines of its own
		os.Exit(code)
	}
	if left := before.left(bound); left != "" && code == 0 {
		fmt.Fprintln(os.Stderr, "the tests of this package leave something behind: "+left)
		code = 1
	}
	os.Exit(code)
}

// Check fails a test at its end, after what it cleans up itself, if it leaves something behind. Tests that run at the same time
// would be taken for it.
func Check(t testing.TB) {
	t.Helper()
	check(t, bound)
}

func check(t testing.TB, most time.Duration) {
	poll()
	before := now()
	t.Cleanup(func() {
		if left := before.left(most); left != "" {
			t.Error("the test leaves something behind: " + left)
		}
	})
}

// poll has the runtime's own poller be there, which is made at the first need.
func poll() {
	if r, w, err := os.Pipe(); err == nil {
		r.Close()
		w.Close()
	}
}

// left waits until all is as it was; else it says what is not.
func (s *state) left(most time.Duration) string {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(most); ; <-tick.C {
		left := s.more()
		if left == "" || time.Now().After(end) {
			return left
		}
	}
}

func (s *state) more() string {
	var out []string
	is := now()
	if n := is.goroutines - s.goroutines; n > 0 {
		b := make([]byte, 1<<20)
		out = append(out, fmt.Sprintf("%d goroutines, among these:\n%s", n, b[:runtime.Stack(b, true)]))
	}
	var files []string
	for fd, to := range is.open {
		// Package net keeps some pipes to splice with.
		if s.open[fd] != to && !strings.HasPrefix(to, "pipe:") {
			files = append(files, fd+" "+to)
		}
	}
	if slices.Sort(files); len(files) > 0 {
		out = append(out, fmt.Sprintf("%d descriptors: %q", len(files), files))
	}
	if is.lent != s.lent {
		out = append(out, fmt.Sprintf("%d buffers are lent, and were %d", is.lent, s.lent))
	}
	return strings.Join(out, "; ")
}

func descriptors() map[string]string {
	list, _ := os.ReadDir("/proc/self/fd")
	open := map[string]string{}
	for _, e := range list {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil { // else: that of the directory itself
			open[e.Name()] = to
		}
	}
	return open
}
