package meshtest

import (
	"runtime/pprof"
	"sync"
	"testing"
)

// TestLeaks: a goroutine that a mesh has started, or that one of those has started, is found as long as it lives; others are not.
func TestLeaks(t *testing.T) {
	ctx := labelled(t.Name())
	id, _ := pprof.Label(ctx, label)
	var tasks sync.WaitGroup
	stop, ended := make(chan struct{}), make(chan struct{})
	goes(ctx, &tasks, func() { go lasts(stop, ended) })
	tasks.Wait()
	if left := goroutines(id); left == "" {
		t.Error("the goroutine is not found")
	}
	if left := goroutines(id + "0"); left != "" {
		t.Errorf("it is taken for another mesh's: %s", left)
	}
	close(stop)
	<-ended
	checkLeaks(t, ctx)
}

func lasts(stop, ended chan struct{}) {
	<-stop
	close(ended)
}
