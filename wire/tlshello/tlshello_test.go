package tlshello

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// hello returns what crypto/tls sends first.
func hello(t testing.TB, c *tls.Config) []byte {
	a, b := net.Pipe()
	defer b.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		tls.Client(a, c).Handshake()
	}()
	buf := make([]byte, 32<<10)
	n, err := b.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	b.Close()
	<-done
	return buf[:n]
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  *tls.Config
	}{
		{"a name and protocols", &tls.Config{ServerName: "reviews.default.svc", NextProtos: []string{"h2", "http/1.1"}}},
		{"TLS 1.2", &tls.Config{ServerName: "a.b", MaxVersion: tls.VersionTLS12}},
		{"no name: an address is none", &tls.Config{ServerName: "10.0.0.1", NextProtos: []string{"weft/1"}}},
	} {
		c.cfg.InsecureSkipVerify = true
		b := hello(t, c.cfg)
		h, err := Parse(b)
		if err != nil {
			t.Fatal(c.name, err)
		}
		want := c.cfg.ServerName
		if net.ParseIP(want) != nil {
			want = ""
		}
		if h.ServerName != want || !slices.Equal(h.Protocols, c.cfg.NextProtos) {
			t.Errorf("%s: %+v", c.name, h)
		}
		for n := range b {
			if _, err := Parse(b[:n]); err != ErrMore {
				t.Fatalf("%s: %d of %d bytes: %v", c.name, n, len(b), err)
			}
		}
		if _, err := Parse(append(b, "more"...)); err != nil {
			t.Errorf("%s: what follows: %v", c.name, err)
		}
	}
}

// TestFragmented: "handshake messages MAY be fragmented over several records" (RFC 8446 section 5.1).
func TestFragmented(t *testing.T) {
	whole := hello(t, &tls.Config{ServerName: "a.b"})
	var cut []byte
	for msg := whole[5:]; len(msg) > 0; {
		n := min(7, len(msg))
		cut = append(append(cut, 22, 3, 1, 0, byte(n)), msg[:n]...)
		msg = msg[n:]
	}
	if h, err := Parse(cut); err != nil || h.ServerName != "a.b" {
		t.Errorf("%+v %v", h, err)
	}
	for n := range cut {
		if _, err := Parse(cut[:n]); err != ErrMore {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
}

func TestIsTLS(t *testing.T) {
	for _, c := range []struct {
		in       string
		is, sure bool
	}{
		{"", true, false}, {"\x16", true, false}, {"\x16\x03\x01", true, false}, {"\x16\x03\x01\x02\x00\x01", true, true},
		{"GET / HTTP/1.1", false, true}, {"\x16\x02", false, true}, {"\x16\x03\x01\xff", false, true},
		{"\x16\x03\x01\x02\x00\x02", false, true}, {"\x17\x03\x03", false, true}, {"PRI * HTTP/2.0", false, true}, {"\x80\x2e\x01", false, true},
	} {
		if is, sure := IsTLS([]byte(c.in)); is != c.is || sure != c.sure {
			t.Errorf("%q: %v %v", c.in, is, sure)
		}
	}
}

// build makes a ClientHello of these extensions.
func build(ext string) []byte {
	body := "\x03\x03" + strings.Repeat("r", 32) + "\x00" + "\x00\x02\x13\x01" + "\x01\x00" + u16(ext)
	msg := "\x01\x00" + u16(body)
	return []byte("\x16\x03\x01" + u16(msg))
}

func u16(s string) string { return string([]byte{byte(len(s) >> 8), byte(len(s))}) + s }

func TestMalformed(t *testing.T) {
	sni := func(list string) string { return "\x00\x00" + u16(u16(list)) }
	name := func(s string) string { return "\x00" + u16(s) }
	alpn := func(list string) string { return "\x00\x10" + u16(u16(list)) }
	for _, c := range []struct{ name, ext, want string }{
		{"6066 3: one name", sni(name("A.b")), "a.b"},
		{"8446 4.2: unknown extensions are ignored", "\xfa\xfa" + u16("x") + sni(name("a")), "a"},
		{"6066 3: names of another type are ignored", sni("\x07" + u16("z") + name("a")), "a"},
		{"no extension", "", ""},
		{"6066 3: two names", sni(name("a") + name("b")), "error"},
		{"6066 3: an empty name", sni(name("")), "error"},
		{"6066 3: a trailing dot", sni(name("a.")), "error"},
		{"6066 3: not ASCII", sni(name("ü")), "error"},
		{"a NUL in the name", sni(name("a\x00b")), "error"},
		{"6066 3: an address", sni(name("::1")), "error"},
		{"8446 4.2: the extension twice", sni(name("a")) + sni(name("a")), "error"},
		{"a list longer than its extension", "\x00\x00" + u16("\x00\x09"+name("a")), "error"},
		{"a list shorter than its extension", "\x00\x00" + u16(u16(name("a"))+"x"), "error"},
		{"an extension longer than the hello", "\x00\x00\x00\x50ab", "error"},
		{"7301 3.1: an empty protocol", alpn("\x00"), "error"},
		{"7301 3.1: no protocol", alpn(""), "error"},
		{"7301 3.1: a protocol longer than the list", alpn("\x05ab"), "error"},
	} {
		h, err := Parse(build(c.ext))
		got := "error"
		if err == nil {
			got = h.ServerName
		}
		if got != c.want {
			t.Errorf("%s: %q %v, want %q", c.name, got, err, c.want)
		}
	}
	for _, in := range []string{"\x16\x03\x01\x00\x00", "\x16\x03\x01\x00\x04\x01\xff\xff\xff", "\x16\x03\x01\x00\x01\x01\x17\x03\x01\x00\x01x"} {
		if _, err := Parse([]byte(in)); err != ErrMalformed && err != ErrNotTLS {
			t.Errorf("%q: %v", in, err)
		}
	}
}

// FuzzParse: nothing crashes it, a decision stands whatever follows, and what crypto/tls reads is what it reads.
func FuzzParse(f *testing.F) {
	f.Add(hello(f, &tls.Config{ServerName: "a.b", NextProtos: []string{"h2"}}))
	f.Add(build("\x00\x00" + u16(u16("\x00"+u16("a")))))
	f.Add([]byte("\x16\x03\x01\x00\x01\x01"))
	f.Add([]byte("GET / HTTP/1.1\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := Parse(b)
		more, merr := Parse(append(slices.Clone(b), 0x16, 3, 1, 0, 9))
		if err == ErrMore {
			return
		}
		if (merr == nil) != (err == nil) || merr == ErrMore || err == nil && (h.ServerName != more.ServerName || !slices.Equal(h.Protocols, more.Protocols)) {
			t.Fatalf("%x: %+v %v, then %+v %v", b, h, err, more, merr)
		}
		if err != nil {
			return
		}
		if q := oracle(b); q != nil && (!strings.EqualFold(q.ServerName, h.ServerName) || !slices.Equal(q.SupportedProtos, h.Protocols)) {
			t.Errorf("%x: %+v, crypto/tls %q %q", b, h, q.ServerName, q.SupportedProtos)
		}
	})
}

// oracle lets crypto/tls read the hello; nil: it refuses it.
func oracle(b []byte) (h *tls.ClientHelloInfo) {
	tls.Server(&once{r: bytes.NewReader(b)}, &tls.Config{GetConfigForClient: func(i *tls.ClientHelloInfo) (*tls.Config, error) {
		h = i
		return nil, ErrMore
	}}).Handshake()
	return h
}

// once is a connection that brings some bytes and ends.
type once struct {
	net.Conn
	r io.Reader
}

func (o *once) Read(p []byte) (int, error)       { return o.r.Read(p) }
func (o *once) Write(p []byte) (int, error)      { return len(p), nil }
func (o *once) Close() error                     { return nil }
func (o *once) SetDeadline(time.Time) error      { return nil }
func (o *once) SetReadDeadline(time.Time) error  { return nil }
func (o *once) SetWriteDeadline(time.Time) error { return nil }

func BenchmarkParse(b *testing.B) {
	in := hello(b, &tls.Config{ServerName: "reviews.default.svc", NextProtos: []string{"h2", "http/1.1"}})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(in); err != nil {
			b.Fatal(err)
		}
	}
}
