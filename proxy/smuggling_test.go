package proxy_test

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	xhttp2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/proxy"
	"github.com/weft-mesh/weft/traffic"
)

// hidden is the request that an attack hides in another one.
const hidden = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n"

// attack is a POST with fields and a body.
func attack(fields, body string) string {
	return "POST /front HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n" + body
}

// families are the known ways to make two readers of a connection disagree on where a message ends. Each is refused: the caller
// gets one answer, an error, the connection ends, and the application gets nothing.
var families = map[string]string{
	"CL.TE": attack("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"+hidden),
	"TE.CL": attack("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", "29\r\n"+hidden+"\r\n0\r\n\r\n"),
	"CL.0":  attack("Content-Length: 0\r\nContent-Length: 38\r\n", hidden),
	"0.CL":  attack("Content-Length: 38\r\nContent-Length: 0\r\n", hidden),
	"CL.CL": attack("Content-Length: 5\r\nContent-Length: 5\r\n", "abcde"+hidden),

	"TE.TE two lines":               attack("Transfer-Encoding: chunked\r\nTransfer-Encoding: cow\r\n", "0\r\n\r\n"+hidden),
	"TE.TE two lines, unknown one":  attack("Transfer-Encoding: cow\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"+hidden),
	"TE.TE identity":                attack("Transfer-Encoding: identity\r\n", hidden),
	"TE.TE identity, chunked":       attack("Transfer-Encoding: identity, chunked\r\n", "0\r\n\r\n"+hidden),
	"TE.TE chunked, identity":       attack("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"+hidden),
	"TE.TE xchunked":                attack("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"+hidden),
	"TE.TE chunked with parameter":  attack("Transfer-Encoding: chunked;a=b\r\n", "0\r\n\r\n"+hidden),
	"TE.TE quoted":                  attack("Transfer-Encoding: \"chunked\"\r\n", "0\r\n\r\n"+hidden),
	"TE.TE empty":                   attack("Transfer-Encoding:\r\n", "0\r\n\r\n"+hidden),
	"TE.TE space before the colon":  attack("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"+hidden),
	"TE.TE tab before the colon":    attack("Transfer-Encoding\t: chunked\r\n", "0\r\n\r\n"+hidden),
	"TE.TE space before the name":   attack(" Transfer-Encoding: chunked\r\n", "0\r\n\r\n"+hidden),
	"TE.TE vertical tab":            attack("Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n"+hidden),
	"TE.TE form feed behind":        attack("Transfer-Encoding: chunked\x0c\r\n", "0\r\n\r\n"+hidden),
	"TE.TE no-break space":          attack("Transfer-Encoding: \xc2\xa0chunked\r\n", "0\r\n\r\n"+hidden),
	"TE.TE NUL in the value":        attack("Transfer-Encoding: chunked\x00\r\n", "0\r\n\r\n"+hidden),
	"TE.TE NUL in the name":         attack("Transfer-Encoding\x00: chunked\r\n", "0\r\n\r\n"+hidden),
	"TE.TE high byte in the name":   attack("Transfer\xadEncoding: chunked\r\n", "0\r\n\r\n"+hidden),
	"TE.TE colon in the name":       attack("Transfer-Encoding:: chunked\r\n", "0\r\n\r\n"+hidden),
	"TE.TE comma behind":            attack("Transfer-Encoding: chunked,\r\n", "0\r\n\r\n"+hidden),
	"TE.TE comma before":            attack("Transfer-Encoding: , chunked\r\n", "0\r\n\r\n"+hidden),
	"TE.TE hidden by Connection":    attack("Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n", "0\r\n\r\n"+hidden),
	"TE in HTTP/1.0":                strings.Replace(attack("Transfer-Encoding: chunked\r\n", "0\r\n\r\n"+hidden), "HTTP/1.1", "HTTP/1.0", 1),
	"TE in HTTP/1.0, beside CL":     strings.Replace(attack("Connection: keep-alive\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"+hidden), "HTTP/1.1", "HTTP/1.0", 1),
	"TE behind a folded line":       attack("X: y\r\n Transfer-Encoding: chunked\r\n", hidden),
	"TE itself folded":              attack("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n"+hidden),
	"TE folded with a tab":          attack("Transfer-Encoding:\r\n\tchunked\r\n", "0\r\n\r\n"+hidden),
	"TE behind a bare LF":           attack("X: y\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"+hidden),
	"TE behind a bare CR":           attack("X: y\rTransfer-Encoding: chunked\r\n", "0\r\n\r\n"+hidden),
	"CL folded":                     attack("Content-Length:\r\n 5\r\n", "abcde"+hidden),
	"CL plus":                       attack("Content-Length: +5\r\n", "abcde"+hidden),
	"CL minus":                      attack("Content-Length: -5\r\n", hidden),
	"CL hexadecimal":                attack("Content-Length: 0x5\r\n", "abcde"+hidden),
	"CL with a fraction":            attack("Content-Length: 5.0\r\n", "abcde"+hidden),
	"CL with an exponent":           attack("Content-Length: 5e0\r\n", "abcde"+hidden),
	"CL with a space inside":        attack("Content-Length: 5 0\r\n", "abcde"+hidden),
	"CL with an underscore":         attack("Content-Length: 5_0\r\n", "abcde"+hidden),
	"CL as a list":                  attack("Content-Length: 5, 5\r\n", "abcde"+hidden),
	"CL as a list that differs":     attack("Content-Length: 0, 38\r\n", hidden),
	"CL empty":                      attack("Content-Length:\r\n", hidden),
	"CL that wraps at 64 bits":      attack("Content-Length: 18446744073709551621\r\n", "abcde"+hidden),
	"CL beyond an int64":            attack("Content-Length: 9223372036854775808\r\n", "abcde"+hidden),
	"CL with a space before :":      attack("Content-Length : 5\r\n", "abcde"+hidden),
	"CL with a vertical tab":        attack("Content-Length: \x0b5\r\n", "abcde"+hidden),
	"a bare LF ends the head":       "GET /front HTTP/1.1\r\nHost: a\n\n" + hidden,
	"a bare LF as the empty line":   "GET /front HTTP/1.1\r\nHost: a\r\n\n" + hidden,
	"a bare CR as the empty line":   "GET /front HTTP/1.1\r\nHost: a\r\n\r" + hidden,
	"a bare LF in the request line": "GET /front HTTP/1.1\nHost: a\r\n\r\n" + hidden,
	"two empty lines first":         "\r\n\r\n" + hidden,
	"spaces in the request line":    "GET /front /hidden HTTP/1.1\r\nHost: a\r\n\r\n",
	"two spaces before the target":  "GET  /hidden HTTP/1.1\r\nHost: a\r\n\r\n",
	"a tab in the request line":     "GET\t/hidden HTTP/1.1\r\nHost: a\r\n\r\n",
	"a space behind the version":    "GET /hidden HTTP/1.1 \r\nHost: a\r\n\r\n",
	"a version in the target":       "GET /front HTTP/1.1 HTTP/1.1\r\nHost: a\r\n\r\n",
	"HTTP/0.9":                      "GET /hidden\r\n",
	"NUL in the target":             "GET /hidden\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
	"a fragment in the target":      "GET /hidden#x HTTP/1.1\r\nHost: a\r\n\r\n",
	"Host twice":                    "GET /hidden HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
	"Host folded":                   "GET /hidden HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
	"Host with user information":    "GET /hidden HTTP/1.1\r\nHost: a@b\r\n\r\n",
	"Host with a path":              "GET /hidden HTTP/1.1\r\nHost: a/b\r\n\r\n",
	"Host as a list":                "GET /hidden HTTP/1.1\r\nHost: a, b c\r\n\r\n",
	"no Host beside an absolute":    "GET http://b/hidden HTTP/1.1\r\n\r\n",
	"absolute-form, bad Host":       "GET http://b/hidden HTTP/1.1\r\nHost: b c\r\n\r\n",
	"absolute-form, user":           "GET http://a@b/hidden HTTP/1.1\r\nHost: b\r\n\r\n",
	"absolute-form, no host":        "GET http:///hidden HTTP/1.1\r\nHost: b\r\n\r\n",
	"absolute-form, other scheme":   "GET file://b/hidden HTTP/1.1\r\nHost: b\r\n\r\n",
	"CONNECT with a body":           "CONNECT b:80 HTTP/1.1\r\nHost: b:80\r\nContent-Length: 38\r\n\r\n" + hidden,

	"chunk size with a sign":            chunks("+0\r\n\r\n" + hidden),
	"chunk size that is negative":       chunks("-1\r\n\r\n" + hidden),
	"chunk size 0x":                     chunks("0x0\r\n\r\n" + hidden),
	"chunk size with a space before":    chunks(" 0\r\n\r\n" + hidden),
	"chunk size with a space behind":    chunks("0 \r\n\r\n" + hidden),
	"chunk size with a tab behind":      chunks("0\t\r\n\r\n" + hidden),
	"chunk size with an underscore":     chunks("0_0\r\n\r\n" + hidden),
	"chunk size with a comma":           chunks("0,0\r\n\r\n" + hidden),
	"chunk size that is empty":          chunks("\r\n\r\n" + hidden),
	"chunk size that wraps at 64 bits":  chunks("10000000000000000\r\n\r\n" + hidden),
	"chunk size beyond an int64":        chunks("8000000000000000\r\n\r\n" + hidden),
	"chunk size that wraps at 32 bits":  chunks("100000000\r\n" + hidden), // read as it is: the body never comes whole
	"chunk size of many zeros":          chunks(strings.Repeat("0", 40) + "\r\n\r\n" + hidden),
	"chunk size behind a bare LF":       chunks("1\nx\r\n0\r\n\r\n" + hidden),
	"chunk size behind a bare CR":       chunks("1\rx\r\n0\r\n\r\n" + hidden),
	"chunk data longer than its size":   chunks("1\r\nxy\r\n0\r\n\r\n" + hidden),
	"chunk data behind a bare LF":       chunks("1\r\nx\n0\r\n\r\n" + hidden),
	"chunk data without its end":        chunks("1\r\nx0\r\n\r\n" + hidden),
	"chunk extension with a bare LF":    chunks("1;\nx\r\n0\r\n\r\n" + hidden),
	"chunk extension with a bare CR":    chunks("1;a\rb\r\nx\r\n0\r\n\r\n" + hidden),
	"chunk extension without semicolon": chunks("1 a\r\nx\r\n0\r\n\r\n" + hidden),
	"chunk extension that is huge":      chunks("1;" + strings.Repeat("a", 20<<10) + "\r\nx\r\n0\r\n\r\n" + hidden),
	"last chunk behind a bare LF":       chunks("0\r\n\n" + hidden),
	"last chunk cut off":                chunks("0\r\n"),
	"trailers folded":                   chunks("0\r\nX: y\r\n z\r\n\r\n" + hidden),
	"trailers with a bare LF":           chunks("0\r\nX: y\n\r\n" + hidden),
	"trailers with space before :":      chunks("0\r\nX : y\r\n\r\n" + hidden),
	"trailers that are huge":            chunks("0\r\nX: " + strings.Repeat("a", 70<<10) + "\r\n\r\n" + hidden),
}

func chunks(body string) string { return attack("Transfer-Encoding: chunked\r\n", body) }

func TestSmuggling(t *testing.T) {
	app := newRawApp(t)
	for _, w := range ways(t, app) {
		for name, in := range families {
			t.Run(w.name+"/"+name, func(t *testing.T) {
				app.next(okAnswer, false)
				got, _ := talk(t, w.at, in)
				if s := statuses(got); len(s) != 1 || s[0] < "400" {
					t.Errorf("answered with %q: %.500q", s, got)
				}
				if !strings.Contains(got, "connection: close\r\n") {
					t.Errorf("the connection goes on: %.500q", got)
				}
				if all := app.saw(); len(all) > 0 {
					t.Errorf("the application got %q", all)
				}
			})
		}
	}
}

// TestResponseSplitting: a callee cannot make two answers of one, nor have its caller's next request answered by what it sends
// ahead. The caller asks twice, and gets no byte of what is hidden.
func TestResponseSplitting(t *testing.T) {
	const fake = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhidden"
	app := newRawApp(t)
	for _, w := range ways(t, app) {
		for name, answer := range map[string]string{
			"both lengths":               "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + fake,
			"two lengths":                "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 44\r\n\r\n" + fake,
			"a list of lengths":          "HTTP/1.1 200 OK\r\nContent-Length: 0, 44\r\n\r\n" + fake,
			"a length with a sign":       "HTTP/1.1 200 OK\r\nContent-Length: +0\r\n\r\n" + fake,
			"a folded length":            "HTTP/1.1 200 OK\r\nContent-Length:\r\n 0\r\n\r\n" + fake,
			"a coding in HTTP/1.0":       "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + fake,
			"another coding":             "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + fake,
			"space before the colon":     "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n" + fake,
			"a bare LF ends the head":    "HTTP/1.1 200 OK\r\nContent-Length: 0\n\n" + fake,
			"a bare CR in a value":       "HTTP/1.1 200 OK\r\nX: a\rContent-Length: 0\r\n\r\n" + fake,
			"NUL in a value":             "HTTP/1.1 200 OK\r\nX: a\x00\r\nContent-Length: 0\r\n\r\n" + fake,
			"an answer sent ahead":       "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" + fake,
			"an answer behind 204":       "HTTP/1.1 204 No Content\r\nContent-Length: 44\r\n\r\n" + fake,
			"an answer behind 304":       "HTTP/1.1 304 Not Modified\r\n\r\n" + fake,
			"an answer behind chunks":    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + fake,
			"101 that nobody asked for":  "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n" + fake,
			"a status of two digits":     "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n" + fake,
			"another version":            "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n" + fake,
			"no HTTP at all":             "hidden\r\n\r\n" + fake,
			"a chunk size that is wrong": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n" + fake,
		} {
			t.Run(w.name+"/"+name, func(t *testing.T) {
				app.next(answer, false)
				got, _ := talk(t, w.at, g+"\r\n"+g+"\r\n")
				if n := len(statuses(got)); n > 2 || strings.Contains(got, "hidden") {
					t.Errorf("%d answers: %.600q", n, got)
				}
			})
		}
	}
}

// TestDowngrade: what HTTP/2 can carry does not become a second request in HTTP/1.1 (RFC 9113 section 10.3). The peer is a proxy of
// the mesh that has gone bad: callers' own HTTP/2 stays HTTP/2.
func TestDowngrade(t *testing.T) {
	app := newRawApp(t)
	w := newWorld(t)
	b := w.start("callee-1", map[uint16]string{80: app.Addr().String()}, func(n *node, _ *proxy.Options) { n.cfg.Ports[0].Proto = traffic.HTTP1 })
	for _, x := range []struct {
		name   string
		fields []string // beside, or in place of the usual ones
		data   string
		app    string // what the application gets; empty: nothing
	}{
		{"nothing bad", []string{"x-good", "1"}, "", "x-good: 1\r\n"},
		{"a body", []string{"content-length", "3"}, "abc", "content-length: 3\r\n|abc"},
		{"CR LF in a value", []string{"x", "y\r\nTransfer-Encoding: chunked"}, "", ""},
		{"LF in a value", []string{"x", "y\nx-bad: 1"}, "", ""},
		{"CR in a value", []string{"x", "y\rx-bad: 1"}, "", ""},
		{"NUL in a value", []string{"x", "y\x00"}, "", ""},
		{"CR LF in a name", []string{"x: y\r\nx-bad", "1"}, "", ""},
		{"a colon in a name", []string{"x-bad:", "1"}, "", ""},
		{"a space in a name", []string{"transfer-encoding ", "chunked"}, "", ""},
		{"upper case in a name", []string{"Transfer-Encoding", "chunked"}, "", ""},
		{"a high byte in a name", []string{"x\xff", "1"}, "", ""},
		{"an empty name", []string{"", "1"}, "", ""},
		{"transfer-encoding", []string{"transfer-encoding", "chunked"}, "0\r\n\r\n" + hidden, ""},
		{"connection", []string{"connection", "close"}, "", ""},
		{"keep-alive", []string{"keep-alive", "1"}, "", ""},
		{"upgrade", []string{"upgrade", "websocket"}, "", ""},
		{"proxy-connection", []string{"proxy-connection", "close"}, "", ""},
		{"te other than trailers", []string{"te", "trailers, gzip"}, "", ""},
		{"CR LF in the path", []string{":path", "/ HTTP/1.1\r\nHost: a\r\n\r\nGET /hidden"}, "", ""},
		{"a space in the path", []string{":path", "/ HTTP/1.1"}, "", ""},
		{"a path without a slash", []string{":path", "hidden"}, "", ""},
		{"an absolute path", []string{":path", "http://b/hidden"}, "", ""},
		{"an empty path", []string{":path", ""}, "", ""},
		{"CR LF in the method", []string{":method", "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET"}, "", ""},
		{"a space in the method", []string{":method", "GET /hidden"}, "", ""},
		{"CR LF in the authority", []string{":authority", "a\r\nx-bad: 1"}, "", ""},
		{"a path in the authority", []string{":authority", "a/b"}, "", ""},
		{"user information in the authority", []string{":authority", "a@b"}, "", ""},
		{"what is no host in the authority", []string{":authority", "a:b:c"}, "", ""},
		{"host that differs from the authority", []string{"host", "b"}, "", ""},
		{"CR LF in the scheme", []string{":scheme", "http\r\nx-bad: 1"}, "", ""},
		{"a pseudo-header field twice", []string{":path", "/a", ":path", "/hidden"}, "", ""},
		{"a pseudo-header field that is not known", []string{":x", "1"}, "", ""},
		{"a content-length that is too short", []string{"content-length", "1"}, "x" + hidden, ""},
		{"a content-length that is too long", []string{"content-length", "99"}, "x", ""},
		{"a content-length without content", []string{"content-length", "1"}, "", ""},
		{"two content-lengths", []string{"content-length", "0", "content-length", "38"}, hidden, ""},
		{"a content-length that is none", []string{"content-length", "+38"}, hidden, ""},
		{"CR LF in the port", []string{"weft-port", "80\r\nx-bad: 1"}, "", ""},
	} {
		t.Run(x.name, func(t *testing.T) {
			app.next(okAnswer, false)
			status := downgraded(t, w, b, x.fields, x.data)
			all := app.saw()
			if x.app == "" {
				if len(all) > 0 || status == "200" {
					t.Errorf("answered with %s; the application got %q", status, all)
				}
				return
			}
			if status != "200" || len(all) != 1 {
				t.Fatalf("answered with %s; the application got %q", status, all)
			}
			hold(t, "the request", all[0], x.app)
		})
	}
}

// downgraded makes a call of HTTP/1.1 as another proxy does, with fields that replace the usual ones or come beside them.
func downgraded(t *testing.T, w *world, b *node, fields []string, data string) (status string) {
	t.Helper()
	c, err := w.stranger(identity.Of(domain, "default", "caller"), b.tunnel, "weft/1")
	must(t, err)
	defer c.Close()
	must(t, c.SetDeadline(time.Now().Add(bound)))
	_, err = io.WriteString(c, xhttp2.ClientPreface)
	must(t, err)
	f := xhttp2.NewFramer(c, c)
	must(t, f.WriteSettings())
	all := fields
	for _, usual := range [][2]string{{"weft-proto", "http/1.1"}, {"weft-port", "80"}, {":path", "/"}, {":authority", "a"}, {":scheme", "http"}, {":method", "POST"}} {
		switch given := slices.Contains(fields, usual[0]); {
		case given:
		case usual[0][0] == ':':
			all = append(usual[:], all...)
		default:
			all = append(all[:len(all):len(all)], usual[:]...)
		}
	}
	must(t, f.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: block(t, all), EndHeaders: true, EndStream: data == ""}))
	if data != "" {
		must(t, f.WriteData(1, true, []byte(data)))
	}
	return statusOf(t, f)
}

// block encodes names and values.
func block(t *testing.T, fields []string) []byte {
	t.Helper()
	var b bytes.Buffer
	enc := hpack.NewEncoder(&b)
	for i := 0; i < len(fields); i += 2 {
		must(t, enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}))
	}
	return b.Bytes()
}
