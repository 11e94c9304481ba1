package observe_test

import (
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"

	"github.com/weft-mesh/weft/observe"
)

func TestBounded(t *testing.T) {
	var b observe.Bounded[observe.Name, int]
	if b.Peek("a") != nil || len(b.All()) != 0 || b.Drop(func(*int) bool { return true }) != 0 {
		t.Error("a zero Bounded is not empty")
	}
	one := b.Get("a", 2)
	*one = 1
	*b.Get("b", 2) = 2
	if b.Get("c", 2) != nil || b.Get("a", 2) != one || b.Peek("a") != one || b.Peek("c") != nil {
		t.Error("the bound does not hold")
	}
	if n := b.Drop(func(n *int) bool { return *n == 2 }); n != 1 || b.Peek("b") != nil || b.Peek("a") != one || b.Get("c", 2) == nil {
		t.Errorf("%d dropped of %v", n, b.All())
	}
}

func TestBoundedOwnsItsKeys(t *testing.T) {
	var b observe.Bounded[observe.Name, int]
	text := []byte("lent")
	b.Get(observe.Name(unsafe.String(&text[0], 4)), 10)
	copy(text, "gone")
	if b.Peek("lent") == nil {
		t.Errorf("a key was kept: %v", b.All())
	}
}

// TestBoundedAtOnce: many add the same and other keys while others read and drop; no count is lost and the bound holds.
func TestBoundedAtOnce(t *testing.T) {
	const most, workers, each = 50, 8, 400
	var b observe.Bounded[observe.Name, atomic.Int64]
	var lost atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := range each {
				if v := b.Get(observe.Name(strconv.Itoa(i%100)), most); v != nil {
					v.Add(1)
				} else {
					lost.Add(1)
				}
				if n := len(b.All()); n > most {
					t.Errorf("%d entries", n)
				}
				b.Drop(func(*atomic.Int64) bool { return false })
			}
		})
	}
	wg.Wait()
	sum := lost.Load()
	for _, v := range b.All() {
		sum += v.Load()
	}
	if sum != workers*each || len(b.All()) != most {
		t.Errorf("%d counted with %d keys", sum, len(b.All()))
	}
}

func TestBoundedAllocatesNothing(t *testing.T) {
	var b observe.Bounded[observe.Name, int]
	if n := testing.AllocsPerRun(100, func() { b.Get("a", 1); b.Get("b", 1); b.Peek("b") }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
