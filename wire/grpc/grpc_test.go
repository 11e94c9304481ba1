package grpc

import (
	"slices"
	"testing"
)

func TestReader(t *testing.T) {
	var stream []byte
	want := []string{"one", "", "three"}
	for i, m := range want {
		stream = AppendMessage(stream, i == 1, []byte(m))
	}
	for piece := 1; piece <= len(stream); piece++ {
		r := Reader{Limit: 5}
		var got []string
		for b := stream; len(b) > 0; b = b[min(piece, len(b)):] {
			r.Feed(b[:min(piece, len(b))])
			for {
				m, compressed, ok, err := r.Next()
				if err != nil {
					t.Fatal(err)
				}
				if !ok {
					break
				}
				if compressed != (len(got) == 1) {
					t.Errorf("message %d: compressed %v", len(got), compressed)
				}
				got = append(got, string(m))
			}
		}
		if len(got) != 3 || got[0] != "one" || got[1] != "" || got[2] != "three" || r.Rest() != 0 {
			t.Errorf("in pieces of %d: %q, %d left", piece, got, r.Rest())
		}
	}
	r := Reader{Limit: 2}
	r.Feed(stream)
	if _, _, _, err := r.Next(); err != ErrTooLarge {
		t.Errorf("a message above the limit: %v", err)
	}
	r = Reader{}
	r.Feed([]byte{2, 0, 0, 0, 0})
	if _, _, _, err := r.Next(); err == nil {
		t.Error("flag 2 was read")
	}
}

func TestStatusMessage(t *testing.T) {
	for s, want := range map[string]string{"plain": "plain", "%C3%a4": "ä", "%": "%", "%2": "%2", "%zz%41": "%zzA", "100%": "100%"} {
		if got := string(AppendDecodedMessage(nil, s)); got != want {
			t.Errorf("%q: %q, want %q", s, got, want)
		}
	}
}

func FuzzStatusMessage(f *testing.F) {
	f.Add("50%25 %C3%a4%")
	f.Fuzz(func(t *testing.T, s string) {
		got := AppendDecodedMessage(nil, s)
		if len(got) > len(s) || !slices.Contains([]byte(s), '%') && string(got) != s {
			t.Fatalf("%q became %q", s, got)
		}
	})
}

func FuzzReader(f *testing.F) {
	f.Add(AppendMessage(nil, true, []byte("x")), 2)
	f.Fuzz(func(t *testing.T, b []byte, piece int) {
		r, total := Reader{Limit: 1 << 16}, 0
		for len(b) > 0 {
			n := min(max(piece, 1), len(b))
			r.Feed(b[:n])
			b = b[n:]
			for {
				m, _, ok, err := r.Next()
				if err != nil {
					return
				}
				if !ok {
					break
				}
				total += len(m)
			}
		}
	})
}
