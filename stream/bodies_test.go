package stream

import (
	"runtime"
	"runtime/debug"
	"testing"
)

func TestBodies(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	var b Bodies[string]
	if b.Get("", 0) != nil || b.Get("a", 0) != nil || b.Len() != 0 {
		t.Error("there is something in an empty one")
	}
	all := map[string]*Body{"a": {1, []byte("one")}, "b": {2, []byte("two")}, "c": {3, []byte("three")}}
	for c, body := range all {
		b.Add(c, body)
	}
	for c, body := range all {
		if b.Get(c, 0) != body || b.Get(c, 7) != body {
			t.Errorf("%s: another body", c)
		}
		if is := b.Get(c, body.Version); is == nil || is.Version != body.Version || is.Bytes != nil {
			t.Errorf("%s: %v for whom has it", c, is)
		}
	}
	if b.Len() != 3 || b.Get("d", 0) != nil {
		t.Errorf("there are %d", b.Len())
	}
	other := &Body{4, []byte("four")}
	if b.Add("a", other); b.Get("a", 0) != other || b.Len() != 3 {
		t.Error("a body that was made anew is not the one that counts")
	}
	runtime.KeepAlive(all)
	runtime.GC()
	if b.Get("b", 0) != nil || b.Get("a", 0) != other {
		t.Error("bytes are kept that nobody waits for, or not that somebody does")
	}
	if is := b.Get("b", 2); is == nil || is.Version != 2 {
		t.Error("the version has gone with the bytes")
	}
	runtime.KeepAlive(other)
}
