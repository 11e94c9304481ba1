package traffic

import (
	"strings"
	"testing"
)

// TestLend: what was lent stays as it was while the room grows, and the room is used again.
func TestLend(t *testing.T) {
	var h Header
	buf := []byte("value-0")
	var lent []string
	for i := range 200 {
		buf[6] = byte('0' + i%10)
		lent = append(lent, h.Lend(string(buf)))
	}
	for i, s := range lent {
		if want := "value-" + string(byte('0'+i%10)); s != want {
			t.Fatalf("string %d is %q, want %q", i, s, want)
		}
	}
	h.reset()
	long := strings.Repeat("x", 100)
	if n := testing.AllocsPerRun(100, func() { h.reset(); h.Lend(long); h.Lend("") }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestLendKeepsLittle: one call with large headers does not make its memory large for all that follow.
func TestLendKeepsLittle(t *testing.T) {
	var h Header
	h.Lend(strings.Repeat("x", 2*maxRoom))
	if h.reset(); cap(h.room) > maxRoom {
		t.Errorf("%d bytes are kept", cap(h.room))
	}
}

func TestSecret(t *testing.T) {
	var h Header
	h.Receive("a", "1")
	h.ReceiveSecret("b", "2")
	h.Del("a")
	h.Set("c", "3")
	got := ""
	for f := range h.Fields {
		if got += f.Name; f.Secret {
			got += "!"
		}
	}
	if got != "b!c" {
		t.Error(got)
	}
}
