package http1

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
)

// decode feeds in pieces of at most step bytes and returns the body, the trailers, and what was left over.
func decode(f Framing, in string, step int) (body, trailer, rest string, err error) {
	d := &Decoder{}
	d.Begin(f, Limits{Head: 100, Fields: 3})
	var buf []byte
	for {
		b, n, err := d.Next(buf)
		body += string(b)
		buf = buf[n:]
		switch {
		case err == io.EOF:
			for _, f := range d.Trailer {
				trailer += f.Name + "=" + f.Value + " "
			}
			return body, trailer, string(buf) + in, nil
		case err != nil:
			return body, "", "", err
		case b == nil && n == 0 && in == "":
			return body, "", "", d.Closed()
		case b == nil && n == 0:
			k := min(step, len(in))
			buf, in = append(buf[:len(buf):len(buf)], in[:k]...), in[k:]
		}
	}
}

func TestChunkedRules(t *testing.T) {
	for _, c := range []struct {
		name, in, want string
	}{
		{"7.1: chunks", "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\nrest", "abcde||rest"},
		{"7.1: no data", "0\r\n\r\n", "||"},
		{"7.1: hexadecimal in any case, leading zeros", "00a\r\n0123456789\r\n0A\r\n0123456789\r\n000\r\n\r\n", "01234567890123456789||"},
		{"7.1.1: extensions are ignored", "1;a=b;c=\"d;e\"\r\nx\r\n0;f\r\n\r\n", "x||"},
		{"7.1.1: bad white space before one", "1 \t;a\r\nx\r\n0\r\n\r\n", "x||"},
		{"7.1.2: trailers", "0\r\nA: b\r\nC:d\r\n\r\nrest", "|a=b c=d |rest"},
		{"9110 6.5.1: what frames or routes is no trailer", "0\r\nContent-Length: 5\r\nHost: x\r\nA: b\r\n\r\n", "|a=b |"},

		{"7.1: not a digit", "g\r\n", ErrChunkSize.Error()},
		{"7.1: no size", "\r\n", ErrChunkSize.Error()},
		{"7.1: no size but an extension", ";a\r\nx", ErrChunkSize.Error()},
		{"7.1: a sign", "+1\r\nx\r\n", ErrChunkSize.Error()},
		{"7.1: a negative size", "-1\r\nx\r\n", ErrChunkSize.Error()},
		{"7.1: 0x", "0x1\r\nx\r\n", ErrChunkSize.Error()},
		{"7.1: an underscore", "1_0\r\nx\r\n", ErrChunkSize.Error()},
		{"7.1: white space before the size", " 1\r\nx\r\n", ErrChunkSize.Error()},
		{"7.1: white space after the size", "1 \r\nx\r\n", ErrExtension.Error()},
		{"7.1: a size that overflows 64 bits", "10000000000000001\r\nx", ErrChunkSize.Error()},
		{"7.1: a size that overflows an int64", "8000000000000000\r\nx", ErrChunkSize.Error()},
		{"7.1: endless zeros", strings.Repeat("0", 17), ErrChunkSize.Error()},
		{"7.1: bare LF after the size", "1\nx\r\n0\r\n\r\n", ErrBareLF.Error()},
		{"7.1: bare CR after the size", "1\rx\r\n", ErrBareCR.Error()},
		{"7.1: data longer than the size", "1\r\nxy\r\n", ErrChunkEnd.Error()},
		{"7.1: data shorter than the size", "3\r\nx\r\n0\r\n\r\n", ErrChunkEnd.Error()},
		{"7.1: bare LF after the data", "1\r\nx\n0\r\n\r\n", ErrChunkEnd.Error()},
		{"7.1: bare CR after the data", "1\r\nx\r0\r\n\r\n", ErrChunkEnd.Error()},
		{"7.1.1: bare LF in an extension", "1;a\nb\r\nx\r\n", ErrBareLF.Error()},
		{"7.1.1: bare CR in an extension", "1;a\rb\r\nx\r\n", ErrBareCR.Error()},
		{"7.1.1: NUL in an extension", "1;a\x00\r\nx\r\n", ErrExtension.Error()},
		{"7.1.1: extensions are bounded", "1;" + strings.Repeat("a", MaxExtensions) + "\r\n", ErrExtensions.Error()},
		{"7.1.1: over all chunks together", strings.Repeat("1;"+strings.Repeat("a", 1000)+"\r\nx\r\n", 17), ErrExtensions.Error()},
		{"7.1.2: bare LF ends no trailer section", "0\r\n\n", ErrBareLF.Error()},
		{"7.1.2: bare CR ends no trailer section", "0\r\n\rx", ErrBareCR.Error()},
		{"7.1.2: a folded trailer", "0\r\nA: b\r\n c\r\n\r\n", ErrFold.Error()},
		{"7.1.2: a trailer with a space before the colon", "0\r\nA : b\r\n\r\n", ErrColon.Error()},
		{"7.1.2: trailers are bounded", "0\r\nA: " + strings.Repeat("b", 200) + "\r\n\r\n", ErrHeadLimit.Error()},
		{"7.1.2: also in number", "0\r\nA:b\r\nA:b\r\nA:b\r\nA:b\r\n\r\n", ErrFieldLimit.Error()},
		{"8: a body cut off in a chunk", "5\r\nab", ErrTruncated.Error()},
		{"8: a body cut off before the last chunk", "1\r\na\r\n", ErrTruncated.Error()},
		{"8: a body cut off in its end", "0\r\n", ErrTruncated.Error()},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, step := range []int{1, 2, 3, 1 << 20} {
				body, trailer, rest, err := decode(Framing{Kind: Chunked}, c.in, step)
				got := body + "|" + trailer + "|" + rest
				if err != nil {
					got = err.Error()
				}
				if got != c.want {
					t.Errorf("in steps of %d: %q, want %q", step, got, c.want)
				}
			}
		})
	}
}

func TestOtherFramings(t *testing.T) {
	for _, c := range []struct {
		name, in, want string
		f              Framing
	}{
		{"6.3 (6): a length", "abcdef", "abc||def", Framing{Sized, 3}},
		{"6.3 (6): cut off", "ab", ErrTruncated.Error(), Framing{Sized, 3}},
		{"6.3 (7): none", "abc", "||abc", Framing{}},
		{"6.3 (8): until the connection is closed", "abc", "", Framing{Kind: UntilClose}},
	} {
		for _, step := range []int{1, 100} {
			body, trailer, rest, err := decode(c.f, c.in, step)
			got := body + "|" + trailer + "|" + rest
			switch {
			case err == io.EOF:
				got = ""
			case err != nil:
				got = err.Error()
			}
			if got != c.want {
				t.Errorf("%s: %q, want %q", c.name, got, c.want)
			}
		}
	}
}

func TestAppend(t *testing.T) {
	b, ok := AppendRequestLine(nil, "GET", "/a", "b=c")
	if string(b) != "GET /a?b=c HTTP/1.1\r\n" || !ok {
		t.Errorf("%q", b)
	}
	// What HTTP/2 can carry and HTTP/1.1 cannot (RFC 9113 section 10.3): it must not become a second line or request.
	for _, c := range [][3]string{{"G T", "/", ""}, {"", "/", ""}, {"GET", "", ""}, {"GET", "/ HTTP/1.1\r\nX: y", ""}, {"GET", "/a b", ""},
		{"GET", "/", "a b"}, {"GET", "/", "a\r\nb"}, {"GET / HTTP/1.1\r\nx", "/", ""}, {"GET", "/#", ""}} {
		if b, ok := AppendRequestLine(nil, c[0], c[1], c[2]); ok || len(b) > 0 {
			t.Errorf("%q: %q", c, b)
		}
	}
	for _, c := range [][2]string{{"a", "b\r\nc: d"}, {"a", "b\x00"}, {"a: b\r\nc", "d"}, {"", "x"}, {"a b", "c"}, {"a:", "c"}, {"a", "12345678\n"}} {
		if b, ok := AppendField(nil, c[0], c[1]); ok || len(b) > 0 {
			t.Errorf("%q: %q", c, b)
		}
	}
	for _, a := range []string{"a b", "a\r\nx: y", "u@h", "a:99999", "[x]"} {
		if b, ok := AppendHost(nil, a); ok {
			t.Errorf("%q: %q", a, b)
		}
	}
	got := string(AppendChunkSize(AppendLength(AppendStatusLine(nil, 404), 12), 255))
	if got != "HTTP/1.1 404 Not Found\r\ncontent-length: 12\r\nff\r\n" {
		t.Errorf("%q", got)
	}
	if got := string(AppendStatusLine(nil, 299)); got != "HTTP/1.1 299 \r\n" {
		t.Errorf("a status without a phrase keeps its space (RFC 9112 section 4): %q", got)
	}
	if b, ok := AppendField(nil, "x", "a\tb \xff"); !ok || string(b) != "x: a\tb \xff\r\n" {
		t.Errorf("%q", b)
	}
}

// TestControl compares the fast search with a plain one.
func TestControl(t *testing.T) {
	for c := range 256 {
		for at := range 20 {
			for fill := range 256 {
				if fill < ' ' || fill == 0x7f {
					continue
				}
				b := bytes.Repeat([]byte{byte(fill)}, 20)
				b[at] = byte(c)
				want := 20
				if c < ' ' || c == 0x7f {
					want = at
				}
				if got := control(b); got != want {
					t.Fatalf("%d at %d among %d: %d", c, at, fill, got)
				}
			}
		}
	}
}

func BenchmarkChunked(b *testing.B) {
	var in []byte
	for range 16 {
		in = append(AppendChunkSize(in, 1024), bytes.Repeat([]byte("x"), 1024)...)
		in = append(in, "\r\n"...)
	}
	in = append(in, "0\r\n\r\n"...)
	d := &Decoder{}
	b.ReportAllocs()
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		d.Begin(Framing{Kind: Chunked}, Limits{})
		for src, err := in, error(nil); err == nil; {
			var n int
			_, n, err = d.Next(src)
			src = src[n:]
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	r, err := head(typical)
	if err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		out, _ := AppendRequestLine(buf, r.Method, r.Path, r.Query)
		out, _ = AppendHost(out, r.Authority)
		for _, f := range r.Fields {
			out, _ = AppendField(out, f.Name, f.Value)
		}
	}
}

func Example() {
	r, err := head("GET /reviews/7?full HTTP/1.1\r\nHost: reviews:9080\r\nEnd-User: jason\r\n\r\n")
	fmt.Println(r.Method, r.Authority, r.Path, r.Query, r.Fields, err)
	// Output: GET reviews:9080 /reviews/7 full [{end-user jason}] <nil>
}
