package meshtest

import (
	"bytes"
	"context"
	"fmt"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Goroutines inherit the labels of those that start them, so that what a mesh left over can be told from what other tests run.
const label = "meshtest"

var meshes atomic.Int64

func labelled(test string) context.Context {
	return pprof.WithLabels(context.Background(), pprof.Labels(label, fmt.Sprintf("%s #%d", test, meshes.Add(1))))
}

func goes(ctx context.Context, tasks *sync.WaitGroup, f func()) {
	tasks.Add(1)
	go pprof.Do(ctx, pprof.Labels(), func(context.Context) {
		defer tasks.Done()
		f()
	})
}

// checkLeaks fails the test if a goroutine of ctx's label does not end.
func checkLeaks(t testing.TB, ctx context.Context) {
	t.Helper()
	id, _ := pprof.Label(ctx, label)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	left := ""
	for end := time.Now().Add(bound); time.Now().Before(end); <-tick.C {
		if left = goroutines(id); left == "" {
			return
		}
	}
	t.Errorf("meshtest: goroutines are left:\n%s", left)
}

// goroutines are the stacks of those whose label is id.
func goroutines(id string) string {
	var b bytes.Buffer
	_ = pprof.Lookup("goroutine").WriteTo(&b, 1) // a buffer takes everything
	var mine []string
	for stack := range strings.SplitSeq(b.String(), "\n\n") {
		if strings.Contains(stack, fmt.Sprintf("%q:%q", label, id)) {
			mine = append(mine, stack)
		}
	}
	return strings.Join(mine, "\n\n")
}
