package http1

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// head reads a request the way a connection does, all at once.
func head(s string) (*Request, error) {
	var scan Scan
	l := Limits{}.Or()
	b := []byte(s)
	n, err := scan.Head(b, &l)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, errMore
	}
	r := &Request{}
	return r, r.Parse(b[:n])
}

var errMore = errors.New("more is needed")

// TestRequestRules: each row is a sentence of the specification, or an attack that has worked on somebody.
func TestRequestRules(t *testing.T) {
	const host = "Host: a\r\n"
	for _, c := range []struct {
		name, in string
		err      error // nil: accepted
	}{
		{"9112 2.2: a line ends with CRLF", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", nil},
		{"9112 2.2: a bare LF after the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", ErrBareLF},
		{"9112 2.2: a bare LF after a field", "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", ErrBareLF},
		{"9112 2.2: a bare LF as the empty line", "GET / HTTP/1.1\r\nHost: a\r\n\n", ErrBareLF},
		{"9112 2.2: LF CR LF", "GET / HTTP/1.1\r\nHost: a\r\n\n\r\n", ErrBareLF},
		{"9112 2.2: a bare CR in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", ErrBareCR},
		{"9112 2.2: CR CR LF", "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", ErrBareCR},
		{"9112 2.2: a bare CR in a name", "GET / HTTP/1.1\r\nHost: a\r\nX\ra: b\r\n\r\n", ErrName},
		{"9112 2.2: a bare CR in the request line", "GET /\rx HTTP/1.1\r\nHost: a\r\n\r\n", ErrLine},
		{"9112 2.2: one empty line before the request line is ignored", "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", nil},
		{"9112 2.2: two empty lines are not", "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", ErrLine},
		{"9112 2.2: white space between start line and first field", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", ErrFold},

		{"9112 3: a single space between method and target", "GET  / HTTP/1.1\r\n" + host + "\r\n", ErrLine},
		{"9112 3: a tab is no space", "GET\t/ HTTP/1.1\r\n" + host + "\r\n", ErrMethod},
		{"9112 3: two spaces before the version", "GET /  HTTP/1.1\r\n" + host + "\r\n", ErrLine},
		{"9112 3: a space after the version", "GET / HTTP/1.1 \r\n" + host + "\r\n", ErrLine},
		{"9112 3.2: no white space in the target", "GET /a b HTTP/1.1\r\n" + host + "\r\n", ErrLine},
		{"9112 3: no version (HTTP/0.9)", "GET /\r\n\r\n", ErrLine},
		{"9112 2.3: the version's name is case-sensitive", "GET / http/1.1\r\n" + host + "\r\n", ErrLine},
		{"9112 2.3: one digit each", "GET / HTTP/1.10\r\n" + host + "\r\n", ErrLine},
		{"9112 2.3: a sign is no digit", "GET / HTTP/+1.1\r\n" + host + "\r\n", ErrLine},
		{"9110 15.6.6: an unknown major version is 505", "GET / HTTP/2.0\r\n" + host + "\r\n", ErrVersion},
		{"9110 15.6.6: the HTTP/2 preface is 505", "PRI * HTTP/2.0\r\n\r\n", ErrVersion},
		{"9110 15.6.6: HTTP/0.9 with a version is 505", "GET / HTTP/0.9\r\n" + host + "\r\n", ErrVersion},
		{"9110 2.5: a later minor version is read as 1.1", "GET / HTTP/1.7\r\n" + host + "\r\n", nil},
		{"9112 3.1: any token is a method", "M-SEARCH / HTTP/1.1\r\n" + host + "\r\n", nil},
		{"9112 3.1: a method is a token", "GE(T / HTTP/1.1\r\n" + host + "\r\n", ErrMethod},
		{"9112 3.1: an empty method", " / HTTP/1.1\r\n" + host + "\r\n", ErrFold},
		{"not HTTP at all: TLS", "\x16\x03\x01\x02\x00", ErrMethod},

		{"9112 3.2: a fragment has no place in a target", "GET /a#b HTTP/1.1\r\n" + host + "\r\n", ErrTarget},
		{"9112 3.2: a NUL has no place in a target", "GET /a\x00 HTTP/1.1\r\n" + host + "\r\n", ErrLine},
		{"9112 3.2.1: origin form", "GET /a?b=c HTTP/1.1\r\n" + host + "\r\n", nil},
		{"3986 3.3: what many send raw passes", "GET /{a}|\"^ü HTTP/1.1\r\n" + host + "\r\n", nil},
		{"9112 3.2: a target without a slash is of no form", "GET a HTTP/1.1\r\n" + host + "\r\n", ErrForm},
		{"9112 3.2.2: absolute form", "GET http://b:80/c HTTP/1.1\r\n" + host + "\r\n", nil},
		{"9110 4.2.4: user information is refused", "GET http://u@b/c HTTP/1.1\r\n" + host + "\r\n", ErrAuthority},
		{"9110 4.2.1: an empty host is refused", "GET http:///c HTTP/1.1\r\n" + host + "\r\n", ErrAuthority},
		{"9112 3.2.2: another scheme is not ours", "GET ftp://b/c HTTP/1.1\r\n" + host + "\r\n", ErrForm},
		{"9112 3.2.3: authority form", "CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\n", nil},
		{"9112 3.2.3: with IPv6", "CONNECT [::1]:443 HTTP/1.1\r\n" + host + "\r\n", nil},
		{"9110 9.3.6: CONNECT needs a port", "CONNECT b HTTP/1.1\r\n" + host + "\r\n", ErrForm},
		{"9110 9.3.6: an empty or invalid port is refused", "CONNECT b:0 HTTP/1.1\r\n" + host + "\r\n", ErrForm},
		{"9110 9.3.6: a port that does not fit", "CONNECT b:65536 HTTP/1.1\r\n" + host + "\r\n", ErrForm},
		{"9112 3.2.3: CONNECT has no path", "CONNECT / HTTP/1.1\r\n" + host + "\r\n", ErrForm},
		{"9112 3.2.3: authority form is for CONNECT alone", "GET b:443 HTTP/1.1\r\n" + host + "\r\n", ErrForm},
		{"9112 3.2.4: asterisk form", "OPTIONS * HTTP/1.1\r\n" + host + "\r\n", nil},
		{"9112 3.2.4: asterisk form is for OPTIONS alone", "GET * HTTP/1.1\r\n" + host + "\r\n", ErrForm},

		{"9112 3.2: Host is missing", "GET / HTTP/1.1\r\n\r\n", ErrNoHost},
		{"9112 3.2: Host is missing in HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", nil},
		{"9112 3.2: two Hosts", "GET / HTTP/1.1\r\n" + host + host + "\r\n", ErrTwoHosts},
		{"9112 3.2: two Hosts with absolute form", "GET http://a/ HTTP/1.1\r\n" + host + "Host: b\r\n\r\n", ErrTwoHosts},
		{"9112 3.2: an invalid Host with absolute form", "GET http://a/ HTTP/1.1\r\nHost: a b\r\n\r\n", ErrHost},
		{"9112 3.2: an empty Host is valid", "GET / HTTP/1.1\r\nHost:\r\n\r\n", nil},
		{"9110 7.2: a Host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", ErrHost},
		{"9110 7.2: a Host with user information", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", ErrHost},
		{"9110 7.2: a Host with a bad port", "GET / HTTP/1.1\r\nHost: a:x\r\n\r\n", ErrHost},
		{"9110 7.2: IPv6 with a port", "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", nil},
		{"9110 7.2: what is not IPv6 in brackets", "GET / HTTP/1.1\r\nHost: [a]\r\n\r\n", ErrHost},

		{"9112 5.1: a space before the colon", "GET / HTTP/1.1\r\n" + host + "X : y\r\n\r\n", ErrColon},
		{"9112 5.1: a tab before the colon", "GET / HTTP/1.1\r\n" + host + "X\t: y\r\n\r\n", ErrColon},
		{"9112 5.2: a folded line", "GET / HTTP/1.1\r\n" + host + "X: y\r\n z\r\n\r\n", ErrFold},
		{"9112 5.2: a line folded with a tab", "GET / HTTP/1.1\r\n" + host + "X: y\r\n\tz\r\n\r\n", ErrFold},
		{"9112 5: a field without a colon", "GET / HTTP/1.1\r\n" + host + "X\r\n\r\n", ErrName},
		{"9112 5: a field without a name", "GET / HTTP/1.1\r\n" + host + ": y\r\n\r\n", ErrName},
		{"9110 5.1: a name is a token", "GET / HTTP/1.1\r\n" + host + "X@: y\r\n\r\n", ErrName},
		{"9110 5.1: a name is ASCII", "GET / HTTP/1.1\r\n" + host + "Xü: y\r\n\r\n", ErrName},
		{"9110 5.5: NUL in a value", "GET / HTTP/1.1\r\n" + host + "X: a\x00b\r\n\r\n", ErrControl},
		{"9110 5.5: another control character in a value", "GET / HTTP/1.1\r\n" + host + "X: abcdefgh\x0b\r\n\r\n", ErrControl},
		{"9110 5.5: DEL in a value", "GET / HTTP/1.1\r\n" + host + "X: \x7f\r\n\r\n", ErrControl},
		{"9110 5.5: a tab in a value", "GET / HTTP/1.1\r\n" + host + "X: abc\tdefghi\tj\r\n\r\n", nil},
		{"9110 5.5: obs-text in a value", "GET / HTTP/1.1\r\n" + host + "X: \xe4\xff\r\n\r\n", nil},

		{"9110 8.6: a length of digits", "POST / HTTP/1.1\r\n" + host + "Content-Length: 5\r\n\r\n", nil},
		{"9110 8.6: a sign", "POST / HTTP/1.1\r\n" + host + "Content-Length: +5\r\n\r\n", ErrLength},
		{"9110 8.6: a negative length", "POST / HTTP/1.1\r\n" + host + "Content-Length: -5\r\n\r\n", ErrLength},
		{"9110 8.6: hexadecimal", "POST / HTTP/1.1\r\n" + host + "Content-Length: 0x5\r\n\r\n", ErrLength},
		{"9110 8.6: a space inside", "POST / HTTP/1.1\r\n" + host + "Content-Length: 5 5\r\n\r\n", ErrLength},
		{"9110 8.6: an empty length", "POST / HTTP/1.1\r\n" + host + "Content-Length:\r\n\r\n", ErrLength},
		{"9110 8.6: more than fits", "POST / HTTP/1.1\r\n" + host + "Content-Length: 9223372036854775808\r\n\r\n", ErrLength},
		{"9110 8.6: other digits", "POST / HTTP/1.1\r\n" + host + "Content-Length: ٥\r\n\r\n", ErrLength},
		{"9112 6.3: two lengths that differ", "POST / HTTP/1.1\r\n" + host + "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", ErrTwoLengths},
		{"9112 6.3: two lengths that agree", "POST / HTTP/1.1\r\n" + host + "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", ErrTwoLengths},
		{"9112 6.3: a list of lengths", "POST / HTTP/1.1\r\n" + host + "Content-Length: 5, 5\r\n\r\n", ErrLength},

		{"9112 6.1: chunked, in any case", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: Chunked\r\n\r\n", nil},
		{"9112 6.1: a length beside a coding", "POST / HTTP/1.1\r\n" + host + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", ErrBothLengths},
		{"9112 6.1: a coding beside a length", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n", ErrBothLengths},
		{"9112 6.1: a coding in HTTP/1.0", "POST / HTTP/1.0\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n", ErrCodingIn10},
		{"9112 6.3: chunked is not last", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked, gzip\r\n\r\n", ErrCoding},
		{"9112 6.1: chunked twice", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked, chunked\r\n\r\n", ErrCoding},
		{"9112 6.1: chunked twice, in two lines", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", ErrCoding},
		{"9112 6.1: another coding before chunked is 501", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: gzip, chunked\r\n\r\n", ErrOtherCoding},
		{"9112 6.3: identity", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: identity\r\n\r\n", ErrCoding},
		{"9112 7: chunked takes no parameters", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked;q=1\r\n\r\n", ErrCoding},
		{"9112 6.1: an empty coding", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding:\r\n\r\n", ErrCoding},
		{"9110 9.3.6: CONNECT with a length", "CONNECT a:1 HTTP/1.1\r\n" + host + "Content-Length: 5\r\n\r\n", ErrConnectBody},
		{"9110 9.3.6: CONNECT with a coding", "CONNECT a:1 HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n", ErrConnectBody},
		{"9110 10.1.1: an unknown expectation is 417", "GET / HTTP/1.1\r\n" + host + "Expect: wonders\r\n\r\n", ErrExpect},

		{"9112 3: a request line that is too long is 414", "GET /" + strings.Repeat("a", 9000) + " HTTP/1.1\r\n" + host + "\r\n", ErrLineLimit},
		{"9112 3: also before it ends", "GET /" + strings.Repeat("a", 9000), ErrLineLimit},
		{"6585 5: a head that is too large is 431", "GET / HTTP/1.1\r\nX: " + strings.Repeat("a", 70000), ErrHeadLimit},
		{"6585 5: too many fields are 431", "GET / HTTP/1.1\r\n" + strings.Repeat("X: y\r\n", 129), ErrFieldLimit},
		{"6585 5: as many as are allowed", "GET / HTTP/1.1\r\n" + strings.Repeat("Y: y\r\n", 127) + host + "\r\n", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := head(c.in); err != c.err {
				t.Errorf("%.200q: %v, want %v", c.in, err, c.err)
			}
		})
	}
}

// TestSmuggling: the known families of request smuggling. Each has made two readers of the same bytes disagree.
func TestSmuggling(t *testing.T) {
	post := func(fields string) string {
		return "POST / HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n0\r\n\r\nGET /admin"
	}
	for name, in := range map[string]string{
		"CL.TE":                       post("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n"),
		"TE.CL":                       post("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n"),
		"TE.TE: two lines":            post("Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n"),
		"TE.TE: unknown first":        post("Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n"),
		"TE.TE: space before colon":   post("Transfer-Encoding : chunked\r\n"),
		"TE.TE: xchunked":             post("Transfer-Encoding: xchunked\r\n"),
		"TE.TE: vertical tab":         post("Transfer-Encoding: \x0bchunked\r\n"),
		"TE.TE: trailing vertical":    post("Transfer-Encoding: chunked\x0b\r\n"),
		"TE.TE: quoted":               post("Transfer-Encoding: \"chunked\"\r\n"),
		"TE.TE: folded":               post("Transfer-Encoding:\r\n chunked\r\n"),
		"TE.TE: bare LF before":       post("X: y\nTransfer-Encoding: chunked\r\n"),
		"TE.TE: bare CR before":       post("X: y\rTransfer-Encoding: chunked\r\n"),
		"TE.TE: leading space":        post(" Transfer-Encoding: chunked\r\n"),
		"TE.TE: NUL in the name":      post("Transfer\x00-Encoding: chunked\r\n"),
		"TE.TE: trailing comma":       post("Transfer-Encoding: chunked,\r\n"),
		"TE.TE: leading comma":        post("Transfer-Encoding: ,chunked\r\n"),
		"TE.TE: CR in the name":       post("Transfer-Encoding\r: chunked\r\n"),
		"CL.CL":                       post("Content-Length: 6\r\nContent-Length: 0\r\n"),
		"CL.CL: list":                 post("Content-Length: 6, 0\r\n"),
		"CL: plus":                    post("Content-Length: +6\r\n"),
		"CL: leading vertical tab":    post("Content-Length: \x0b6\r\n"),
		"CL: underscore digits":       post("Content-Length: 1_0\r\n"),
		"CL: space before colon":      post("Content-Length : 6\r\n"),
		"CL: folded":                  post("Content-Length:\r\n 6\r\n"),
		"CL: wraps at 64 bits":        post("Content-Length: 18446744073709551622\r\n"),
		"Host twice":                  post("Host: b\r\n"),
		"LF LF ends the head":         "GET / HTTP/1.1\r\nHost: a\n\nGET /admin HTTP/1.1\r\n\r\n",
		"line without CR":             "GET / HTTP/1.1\r\nHost: a\r\nX: y\n\r\n",
		"space in the version":        "GET / HTTP/1.1 HTTP/1.1\r\nHost: a\r\n\r\n",
		"HTTP/1.0 chunked":            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"CONNECT with a body":         "CONNECT a:1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
		"length hidden by Connection": "POST / HTTP/1.1\r\nHost: a\r\nConnection: transfer-encoding\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			var e *Error
			if _, err := head(in); !errors.As(err, &e) {
				t.Errorf("%q: %v, want it refused", in, err)
			}
		})
	}
}

func TestRequestParts(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"origin form: authority is Host's", "GET /a?b HTTP/1.1\r\nHost: h:1\r\n\r\n", "GET  h:1 /a b keep"},
		{"9112 3.2.2: absolute form overrides Host", "GET http://t/a?b HTTP/1.1\r\nHost: h\r\n\r\n", "GET http t /a b keep"},
		{"9110 4.2.3: the scheme is case-insensitive", "GET HTTPS://t HTTP/1.1\r\nHost: h\r\n\r\n", "GET https t /  keep"},
		{"9112 3.2.2: an empty path is a slash", "GET http://t?q=/x HTTP/1.1\r\nHost: h\r\n\r\n", "GET http t / q=/x keep"},
		{"9112 3.2.4: OPTIONS of an absolute form without path", "OPTIONS http://t HTTP/1.1\r\nHost: h\r\n\r\n", "OPTIONS http t *  keep"},
		{"9112 3.2.3: CONNECT's authority is its target", "CONNECT t:1 HTTP/1.1\r\nHost: h\r\n\r\n", "CONNECT  t:1   keep"},
		{"9112 9.3: close", "GET / HTTP/1.1\r\nHost: h\r\nConnection: x, Close\r\n\r\n", "GET  h /  close"},
		{"9112 9.3: HTTP/1.0 closes", "GET / HTTP/1.0\r\nHost: h\r\n\r\n", "GET  h /  close"},
		{"9112 9.3: HTTP/1.0 with keep-alive", "GET / HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n", "GET  h /  keep"},
		{"9112 9.3: close wins", "GET / HTTP/1.0\r\nHost: h\r\nConnection: keep-alive, close\r\n\r\n", "GET  h /  close"},
		{"9110 7.6.1: what is for one hop is left out", "GET / HTTP/1.1\r\nHost: h\r\nConnection: X-A, keep-alive\r\nKeep-Alive: 5\r\n" +
			"Proxy-Connection: x\r\nx-A: 1\r\nX-B: 2\r\n\r\n", "GET  h /  keep x-b=2"},
		{"9110 7.6.1: also if it comes before Connection", "GET / HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nX-A: 2\r\nconnection: x-a\r\n\r\n", "GET  h /  keep"},
		{"9110 10.1.4: TE says trailers or nothing", "GET / HTTP/1.1\r\nHost: h\r\nTE: gzip;q=1, Trailers\r\nConnection: te\r\n\r\n", "GET  h /  keep te=trailers"},
		{"9110 10.1.4: other codings end here", "GET / HTTP/1.1\r\nHost: h\r\nTE: gzip\r\n\r\n", "GET  h /  keep"},
		{"9110 7.8: upgrade", "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n", "GET  h /  keep upgrade WebSocket"},
		{"9110 7.8: Upgrade without Connection", "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\r\n", "GET  h /  keep"},
		{"9110 7.8: Upgrade in HTTP/1.0 is ignored", "GET / HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", "GET   /  close"},
		{"9110 7.8: an upgrade with a body is ignored", "POST / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n\r\n", "POST  h /  keep content-length=1"},
		{"h2c smuggling: HTTP/2 is not passed on", "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n\r\n", "GET  h /  keep"},
		{"h2c smuggling: nor in a list", "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c, HTTP/2.0, websocket\r\n\r\n", "GET  h /  keep upgrade websocket"},
		{"9110 10.1.1: 100-continue", "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\n", "POST  h /  keep expects expect=100-Continue content-length=1"},
		{"9110 10.1.1: without a body there is nothing to wait for", "GET / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n\r\n", "GET  h /  keep expect=100-continue"},
		{"9110 10.1.1: in HTTP/1.0 it is ignored", "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n", "POST   /  close expect=100-continue content-length=1"},
		{"9110 5.5: white space around a value", "GET / HTTP/1.1\r\nHost: \t h \t\r\nX:\r\nY: \t \r\nZ:a  b \r\n\r\n", "GET  h /  keep x= y= z=a  b"},
		{"9110 5.2: fields keep their order", "GET / HTTP/1.1\r\nHost: h\r\nB: 1\r\nA: 2\r\nB: 3\r\n\r\n", "GET  h /  keep b=1 a=2 b=3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := head(c.in)
			if err != nil {
				t.Fatal(err)
			}
			got := fmt.Sprintf("%s %s %s %s %s %s", r.Method, r.Scheme, r.Authority, r.Path, r.Query, map[bool]string{true: "keep", false: "close"}[r.Persists])
			if r.Upgrade != "" {
				got += " upgrade " + r.Upgrade
			}
			if r.Expects {
				got += " expects"
			}
			for _, f := range r.Fields {
				got += " " + f.Name + "=" + f.Value
			}
			if got != c.want {
				t.Errorf("%q\nwant %q", got, c.want)
			}
		})
	}
}

// TestScanInPieces: however a head is cut, it is read as it is in one piece, and what follows is left alone.
func TestScanInPieces(t *testing.T) {
	const one = "\r\nGET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n"
	in := []byte(one + "POST / HTTP/1.1\r\n")
	l := Limits{}.Or()
	for cut := range len(in) {
		var s Scan
		n, err := s.Head(in[:cut], &l)
		if n == 0 && err == nil {
			n, err = s.Head(in, &l)
		}
		if n != len(one) || err != nil {
			t.Errorf("cut at %d: %d, %v", cut, n, err)
		}
	}
	var s Scan
	for i := range in {
		if n, err := s.Head(in[:i], &l); err != nil || n != 0 && i < len(one) {
			t.Fatalf("%d bytes: %d, %v", i, n, err)
		} else if n > 0 {
			break
		}
	}
}

// TestParseAllocatesNothing: the steady state has no garbage.
func TestParseAllocatesNothing(t *testing.T) {
	in := []byte(typical)
	buf := make([]byte, len(in))
	r := &Request{}
	l := Limits{}.Or()
	if n := testing.AllocsPerRun(100, func() {
		copy(buf, in)
		var s Scan
		if n, err := s.Head(buf, &l); err != nil || r.Parse(buf[:n]) != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
	if !slices.Contains(r.Fields, Field{"x-request-id", "7b2f2d0a-5d4e-4f43-9f0a-1c2d3e4f5a6b"}) {
		t.Error(r.Fields)
	}
}

const typical = "GET /api/v1/products/0/reviews?limit=10 HTTP/1.1\r\nHost: reviews.default.svc.cluster.local:9080\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari/537.36\r\n" +
	"Accept: application/json\r\nAccept-Encoding: gzip, deflate\r\nX-Request-Id: 7b2f2d0a-5d4e-4f43-9f0a-1c2d3e4f5a6b\r\n" +
	"Traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\nEnd-User: jason\r\n" +
	"Cookie: session=eyJ1c2VyIjoiamFzb24ifQ.ZZ9Z9Q.abcdefghijklmnopqrstuv\r\nConnection: keep-alive\r\n\r\n"

func BenchmarkRequest(b *testing.B) {
	in := []byte(typical)
	buf := make([]byte, len(in))
	r := &Request{}
	l := Limits{}.Or()
	b.ReportAllocs()
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		copy(buf, in)
		var s Scan
		n, _ := s.Head(buf, &l)
		if r.Parse(buf[:n]) != nil {
			b.Fatal()
		}
	}
}
