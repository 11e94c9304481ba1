package sniff

import (
	"io"
	"reflect"
	"testing"
	"testing/synctest"

	"github.com/weft-mesh/weft/traffic"
	"github.com/weft-mesh/weft/wire/http2"
)

func TestSniff(t *testing.T) {
	for _, x := range []struct {
		in    string
		proto traffic.Proto
		ok    bool
	}{
		{"GET / HTTP/1.1", traffic.HTTP1, true},
		{"OPTIONS * HTTP/1.1", traffic.HTTP1, true},
		{"GET http://x/ HTTP/1.1", traffic.HTTP1, true},
		{"CONNECT x:1", traffic.HTTP1, true},
		{"", traffic.TCP, false},
		{"GE", traffic.TCP, false},
		{"GET ", traffic.TCP, false},
		{"P", traffic.TCP, false},
		{"PR", traffic.TCP, false},
		{http2.Preface[:10], traffic.HTTP2, false},
		{http2.Preface, traffic.HTTP2, true},
		{http2.Preface + "x", traffic.HTTP2, true},
		{"PRI x", traffic.TCP, true},
		{"\x16\x03\x01", traffic.TCP, true},              // TLS (RFC 8446 section 5.1)
		{"*1\r\n$4\r\nPING\r\n", traffic.TCP, true},      // Redis
		{"GET key\r\n", traffic.TCP, true},               // Redis, inline
		{"EHLO mail.example.org\r\n", traffic.TCP, true}, // SMTP
		{"get / HTTP/1.1", traffic.TCP, true},            // "The method token is case-sensitive" (RFC 9110 section 9.1)
		{"GETX", traffic.TCP, true},
	} {
		if proto, ok := Proto([]byte(x.in)); ok != x.ok || ok && proto != x.proto {
			t.Errorf("%q: %v %v", x.in, proto, ok)
		}
	}
}

// FuzzSniff: what is decided of the first bytes stays so with more, and is decided before the buffer is full.
func FuzzSniff(f *testing.F) {
	for _, s := range []string{"GET / HTTP/1.1\r\n", http2.Preface, "\x16\x03", "PROPFIND /", "NOTIFY *"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		was, decided := traffic.TCP, false
		for n := range len(b) + 1 {
			proto, ok := Proto(b[:n])
			if decided && (!ok || proto != was) {
				t.Fatalf("%q: %v at first, then %v", b[:n], was, proto)
			}
			if was, decided = proto, ok; !ok && n > firstBytes/2 {
				t.Fatalf("%q: undecided after %d bytes", b, n)
			}
		}
	})
}

func TestGate(t *testing.T) {
	for _, x := range []struct {
		name   string
		do     func(g *Gate) string
		want   string
		undone bool
	}{
		{"HTTP is held back", func(g *Gate) string { return passed(g, "GET ", nil) + passed(g, "/ HTTP/1.1", nil) }, "[][!]", true},
		{"TCP passes whole, once it is clear", func(g *Gate) string { return passed(g, "GE", nil) + passed(g, "X", nil) + passed(g, "GET / ", nil) }, "[][GEX][GET / ]", false},
		{"the callee was first", func(g *Gate) string { g.CalleeSpoke(nil); return passed(g, "GET / ", nil) }, "[GET / ]", false},
		{"the callee was first, after a part", func(g *Gate) string { p := passed(g, "GE", nil); g.CalleeSpoke(nil); return p + passed(g, "T / ", nil) }, "[][GET / ]", false},
		{"an end makes it clear", func(g *Gate) string { return passed(g, "GE", io.EOF) + passed(g, "", io.EOF) }, "[GE][!]", false},
	} {
		g := &Gate{}
		got, is := x.do(g), g.Outcome()
		if got != x.want || is.Undone != x.undone {
			t.Errorf("%s: %s, undone %v", x.name, got, is.Undone)
		}
		if is.Undone && (g.CalleeSpoke(nil) || string(is.Read) != "GET / HTTP/1.1") {
			t.Errorf("%s: %q is held", x.name, is.Read)
		}
	}
}

func passed(g *Gate, s string, end error) string {
	b, err := g.Pass([]byte(s), end)
	if err != nil {
		return "[!]"
	}
	return "[" + string(b) + "]"
}

// TestServerOfHTTP2: a callee that begins with SETTINGS is no reason to take a caller that is slow for one of TCP.
func TestServerOfHTTP2(t *testing.T) {
	hello := http2.AppendSettings(nil, http2.Setting{ID: http2.SettingMaxConcurrentStreams, Value: 100})
	for name, x := range map[string]struct {
		hello []byte
		then  func(g *Gate)
		want  Outcome
		pass  bool
	}{
		"HTTP/2":                 {hello, func(g *Gate) { g.Pass([]byte(http2.Preface), nil) }, Outcome{Undone: true, Proto: traffic.HTTP2}, false},
		"HTTP/1.1":               {hello, func(g *Gate) { g.Pass([]byte("GET / HTTP/1.1"), nil) }, Outcome{Undone: true, Proto: traffic.HTTP1}, false},
		"something else":         {hello, func(g *Gate) { g.Pass([]byte{1, 2, 3}, nil) }, Outcome{Open: true}, true},
		"the end":                {hello, func(g *Gate) { g.Pass(nil, io.EOF) }, Outcome{Open: true}, true},
		"nothing, and it leaves": {hello, func(g *Gate) { g.Leave(true) }, Outcome{Open: true}, true},
		"an acknowledgement":     {[]byte{0, 0, 0, 4, 1, 0, 0, 0, 0}, func(*Gate) {}, Outcome{Open: true, Callee: true}, true},
		"a greeting":             {[]byte("220 mail.example ready"), func(*Gate) {}, Outcome{Open: true, Callee: true}, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, pass := &Gate{}, make(chan bool, 1)
				go func() { pass <- g.CalleeSpoke(x.hello) }()
				synctest.Wait()
				if waits := len(pass) == 0; waits != !x.want.Callee {
					t.Errorf("it waits: %v", waits)
				}
				x.then(g)
				if got := <-pass; got != x.pass {
					t.Errorf("its bytes pass: %v", got)
				}
				is := g.Outcome()
				is.Read = nil
				if !reflect.DeepEqual(is, x.want) {
					t.Errorf("%+v", is)
				}
			})
		})
	}
}
