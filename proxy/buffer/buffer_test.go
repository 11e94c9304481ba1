package buffer

import (
	"bytes"
	"testing"
)

func TestSizes(t *testing.T) {
	for n, want := range map[int]int{0: 4 << 10, 4 << 10: 4 << 10, 4<<10 + 1: 16 << 10, 16 << 10: 16 << 10, 64 << 10: 64 << 10,
		64<<10 + 1: 256 << 10, 1 << 20: 1 << 20, 1<<20 + 1: 1<<20 + 1} {
		b := Get(n)
		if len(b) != 0 || cap(b) != want {
			t.Errorf("Get(%d) has %d bytes and room for %d, want 0 and %d", n, len(b), cap(b), want)
		}
		Put(b)
	}
	Put(nil)
	Put(make([]byte, 7))
}

func TestGrowKeepsWhatThereIs(t *testing.T) {
	b := append(Get(0), "what there is"...)
	if same := Grow(b, 4<<10-len(b)); &same[0] != &b[0] {
		t.Error("a buffer with room enough was replaced")
	}
	b = Grow(b, 4<<10)
	if !bytes.Equal(b, []byte("what there is")) || cap(b) != 16<<10 {
		t.Errorf("%q with room for %d", b, cap(b))
	}
	Put(b)
}

func BenchmarkGetPut(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Put(Get(16 << 10))
	}
}
