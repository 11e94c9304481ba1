package grpc

import (
	"bytes"
	"testing"
	"time"
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

func TestTimeout(t *testing.T) {
	for s, want := range map[string]time.Duration{"1n": 1, "20u": 20 * time.Microsecond, "99999999m": 99999999 * time.Millisecond,
		"3S": 3 * time.Second, "4M": 4 * time.Minute, "1H": time.Hour, "0S": 0, "99999999H": 1<<63 - 1} {
		if d, ok := ParseTimeout(s); !ok || d != want {
			t.Errorf("%s: %v %v", s, d, ok)
		}
	}
	for _, s := range []string{"", "S", "1", "1s", "-1S", "+1S", "123456789S", "1.5S", "1 S"} {
		if d, ok := ParseTimeout(s); ok {
			t.Errorf("%q was read as %v", s, d)
		}
	}
	for d, want := range map[time.Duration]string{time.Second: "1000000u", 0: "1n", -5: "1n", 99999999: "99999999n", 100000001: "100001u",
		time.Hour: "3600000m", 1<<63 - 1: "2562048H", 30 * time.Hour: "108000S"} {
		if got := string(AppendTimeout(nil, d)); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}

func FuzzTimeout(f *testing.F) {
	f.Add("15S")
	f.Add("99999999H")
	f.Fuzz(func(t *testing.T, s string) {
		d, ok := ParseTimeout(s)
		if !ok {
			return
		}
		again, ok := ParseTimeout(string(AppendTimeout(nil, d)))
		if !ok || again < d && d > 0 {
			t.Fatalf("%q is %v and came back as %v", s, d, again)
		}
	})
}

func TestStatusMessage(t *testing.T) {
	for s, want := range map[string]string{"plain text": "plain text", "50%": "50%25", "ä\n": "%C3%A4%0A", "\x7f~": "%7F~"} {
		if got := string(AppendStatusMessage(nil, s)); got != want {
			t.Errorf("%q: %q, want %q", s, got, want)
		}
	}
	for s, want := range map[string]string{"%C3%a4": "ä", "%": "%", "%2": "%2", "%zz%41": "%zzA", "100%": "100%"} {
		if got := string(AppendDecodedMessage(nil, s)); got != want {
			t.Errorf("%q: %q, want %q", s, got, want)
		}
	}
}

func FuzzStatusMessage(f *testing.F) {
	f.Add("50% ä")
	f.Fuzz(func(t *testing.T, s string) {
		coded := AppendStatusMessage(nil, s)
		for _, c := range coded {
			if c < ' ' || c > '~' {
				t.Fatalf("%q became %q", s, coded)
			}
		}
		if got := AppendDecodedMessage(nil, string(coded)); !bytes.Equal(got, []byte(s)) {
			t.Fatalf("%q came back as %q", s, got)
		}
		AppendDecodedMessage(nil, s)
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

func TestCodes(t *testing.T) {
	for c := OK; c <= Unauthenticated; c++ {
		if got, ok := ParseCode(string(AppendCode(nil, c))); !ok || got != c {
			t.Errorf("%v: %v %v", c, got, ok)
		}
	}
	for _, s := range []string{"", "-1", "00", "01", "x", "1 ", "9999999999"} {
		if c, ok := ParseCode(s); ok {
			t.Errorf("%q was read as %v", s, c)
		}
	}
	if Unavailable.String() != "UNAVAILABLE" || Code(99).String() != "CODE(99)" {
		t.Error("names")
	}
	for status, want := range map[int]Code{400: Internal, 401: Unauthenticated, 403: PermissionDenied, 404: Unimplemented, 429: Unavailable,
		502: Unavailable, 503: Unavailable, 504: Unavailable, 418: Unknown, 500: Unknown} {
		if got := FromHTTP(status); got != want {
			t.Errorf("%d: %v, want %v", status, got, want)
		}
	}
	for code, want := range map[uint32]Code{0: Internal, 1: Internal, 7: Unavailable, 8: Canceled, 11: ResourceExhausted, 12: PermissionDenied} {
		if got := FromReset(code); got != want {
			t.Errorf("%#x: %v, want %v", code, got, want)
		}
	}
}

func BenchmarkTimeout(b *testing.B) {
	b.ReportAllocs()
	var buf []byte
	for b.Loop() {
		buf = AppendTimeout(buf[:0], 1234567*time.Microsecond)
		if _, ok := ParseTimeout(string(buf)); !ok {
			b.Fatal()
		}
	}
}
