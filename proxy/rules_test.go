package proxy_test

import (
	"strings"
	"testing"
)

// rule is a sentence of RFC 9110 or RFC 9112 that a proxy has to obey, and what shows that it does. Rules of what is a message at
// all are in wire/http1's tests.
type rule struct {
	name   string // number and section of the RFC, and the rule in short
	send   string // what the caller sends; it half-closes behind that
	answer string // what the application answers; empty: 200 with the body "ok"
	leave  bool   // and it closes the connection then
	again  bool   // a GET like that may be sent again (9110 9.2.2): the mesh's own retries
	want   string // the statuses of the answers
	app    string // what each request has to hold as the application gets it, separated by |; !x: not x; empty: it gets none
	back   string // what the caller has to get, in the same way
	only   string // way that it holds for; empty: all
}

const (
	g = "GET /a HTTP/1.1\r\nHost: a.example\r\n"
	p = "POST /a HTTP/1.1\r\nHost: a.example\r\n"
)

var rules = []rule{
	// Request targets and Host.
	{name: "9112 3.2.1 origin-form: path and query as they came", send: "GET /a%20b/c;d?b=c&d=/../ HTTP/1.1\r\nHost: a.example:80\r\n\r\n", want: "200", app: "GET /a%20b/c;d?b=c&d=/../ HTTP/1.1\r\n|host: a.example:80\r\n"},
	{name: "9110 7.7 MUST NOT modify the path, but to what a policy has judged", send: "GET /a/%2e%2e/b//c HTTP/1.1\r\nHost: a\r\n\r\n", want: "200", app: "!.."},
	{name: "9112 3.2.2 MUST ignore the received Host of an absolute-form", send: "GET http://b.example/x?y HTTP/1.1\r\nHost: a.example\r\n\r\n", want: "200", app: "GET /x?y HTTP/1.1\r\n|host: b.example\r\n|!a.example"},
	{name: "9112 3.2.1 an absent path is sent as /", send: "GET http://b.example HTTP/1.1\r\nHost: a\r\n\r\n", want: "200", app: "GET / HTTP/1.1\r\n"},
	{name: "9112 3.2.4 OPTIONS *", send: "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", want: "200", app: "OPTIONS * HTTP/1.1\r\n"},
	{name: "9112 3.2.4 the last proxy MUST send * for an OPTIONS without path", send: "OPTIONS http://b.example HTTP/1.1\r\nHost: a\r\n\r\n", want: "200", app: "OPTIONS * HTTP/1.1\r\n|host: b.example"},
	{name: "9112 3.2 MUST respond 400 to a request without Host", send: "GET / HTTP/1.1\r\n\r\n", want: "400", back: "connection: close"},
	{name: "9112 3.2 MUST respond 400 to two Hosts", send: g + "Host: b\r\n\r\n", want: "400"},
	{name: "9112 3.2 MUST respond 400 to an invalid Host", send: "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", want: "400"},
	{name: "9110 7.2 Host of what HTTP/1.0 leaves out", send: "GET / HTTP/1.0\r\n\r\n", want: "200", app: "host: "},
	{name: "9110 4.2.4 user information SHOULD be an error", send: "GET http://u:p@b/ HTTP/1.1\r\nHost: b\r\n\r\n", want: "400"},
	{name: "9110 7.4 https that came in the clear MUST be rejected", send: "GET https://b/ HTTP/1.1\r\nHost: b\r\n\r\n", want: "421"},

	// Versions and methods.
	{name: "9110 2.5 an intermediary MUST send its own version", send: "GET / HTTP/1.0\r\nHost: a\r\n\r\n", want: "200", app: " HTTP/1.1\r\n"},
	{name: "9110 2.5 also in responses", send: g + "\r\n", answer: "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", leave: true, want: "200", app: "GET", back: "HTTP/1.1 200"},
	{name: "9110 15.6.6 another major version", send: "GET / HTTP/3.0\r\nHost: a\r\n\r\n", want: "505"},
	{name: "9110 9.1 methods are case-sensitive", send: "get / HTTP/1.1\r\nHost: a\r\n\r\n", want: "200", app: "get / HTTP/1.1\r\n"},
	{name: "9110 16.1 unknown methods pass", send: "BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n", want: "200", app: "BREW /pot HTTP/1.1\r\n"},

	// Fields.
	{name: "9110 5.1 a proxy MUST forward unknown fields", send: g + "X-Unknown: 1\r\n\r\n", want: "200", app: "x-unknown: 1\r\n"},
	{name: "9110 5.3 a proxy MUST NOT change the order of values of one name", send: g + "X: 1\r\nY: 2\r\nX: 3\r\n\r\n", want: "200", app: "x: 1\r\ny: 2\r\nx: 3\r\n"},
	{name: "9110 5.3 also in responses, Set-Cookie first of all", send: g + "\r\n", answer: "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n", want: "200", app: "GET", back: "set-cookie: a=1\r\nset-cookie: b=2\r\n"},
	{name: "9110 5.5 obs-text is opaque", send: g + "X: \xe4\xff\r\n\r\n", want: "200", app: "x: \xe4\xff\r\n"},
	{name: "9110 5.5 NUL", send: g + "X: a\x00\r\n\r\n", want: "400"},
	{name: "9112 5.1 MUST reject white space before the colon", send: g + "X : 1\r\n\r\n", want: "400"},
	{name: "9112 5.1 white space around a value is no part of it", send: g + "X: \t 1 \t\r\n\r\n", want: "200", app: "x: 1\r\n"},
	{name: "9112 5.2 MUST reject a folded line, or undo it", send: g + "X: 1\r\n 2\r\n\r\n", want: "400"},
	{name: "9112 2.2 MUST reject white space before the first field", send: "GET / HTTP/1.1\r\n X: 1\r\nHost: a\r\n\r\n", want: "400"},
	{name: "9112 2.2 SHOULD ignore an empty line before the request", send: "\r\n" + g + "\r\n", want: "200", app: "GET /a"},
	{name: "9112 3 MUST respond 414 or so to a long target", send: "GET /" + strings.Repeat("a", 9000) + " HTTP/1.1\r\nHost: a\r\n\r\n", want: "414"},
	{name: "9110 5.4 MUST respond 4xx to large fields", send: g + "X: " + strings.Repeat("a", 70<<10) + "\r\n\r\n", want: "431"},

	// What is for one hop.
	{name: "9110 7.6.1 MUST remove Connection and what it names", send: g + "Connection: X-Hop, keep-alive\r\nX-Hop: 1\r\nX-End: 2\r\n\r\n", want: "200", app: "x-end: 2|!x-hop|!keep-alive|!connection"},
	{name: "9110 7.6.1 SHOULD remove what is known to be of the hop", send: g + "Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nTE: gzip\r\nHTTP2-Settings: AA\r\n\r\n", want: "200", app: "!keep-alive|!proxy-connection|!te:|!http2-settings"},
	{name: "9110 7.6.1 also in responses", send: g + "\r\n", answer: "HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: x\r\nProxy-Connection: x\r\nX-End: 2\r\nContent-Length: 2\r\n\r\nok", want: "200", app: "GET", back: "x-end: 2|!x-hop|!keep-alive|!proxy-connection"},
	{name: "9110 7.6.1 Connection cannot take a length away", send: p + "Connection: content-length\r\nContent-Length: 3\r\n\r\nabc", want: "200", app: "abc|!connection: content-length"},
	{name: "9110 7.6.1 nor what the proxy adds", send: g + "Connection: x-request-id, x-forwarded-for, host\r\n\r\n", want: "200", app: "x-request-id: |host: a.example"},
	{name: "9110 10.1.4 TE is for the hop, but trailers can be passed on", send: g + "Connection: TE\r\nTE: deflate, trailers;q=1, Trailers\r\n\r\n", want: "200", app: "te: trailers\r\n|connection: te\r\n|!deflate"},
	{name: "9110 7.6.2 MUST NOT forward OPTIONS with Max-Forwards 0", send: "OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n", want: "200", back: "content-length: 0\r\n"},
	{name: "9110 7.6.2 MUST NOT forward TRACE with Max-Forwards 0", send: "TRACE / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n", want: "501"},
	{name: "9110 7.6.2 MUST send Max-Forwards less one", send: "OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 9\r\n\r\n", want: "200", app: "max-forwards: 8\r\n", only: "caller's proxy"},
	{name: "9110 7.6.2 each of two", send: "TRACE / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 9\r\n\r\n", want: "200", app: "max-forwards: 7\r\n", only: "both proxies"},
	{name: "9110 7.6.2 the second MUST NOT forward either", send: "OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 1\r\n\r\n", want: "200", back: "content-length: 0\r\n", only: "both proxies"},
	{name: "9110 7.6.2 MAY be ignored in other methods", send: g + "Max-Forwards: 0\r\n\r\n", want: "200", app: "max-forwards: 0\r\n"},
	{name: "9110 7.6.2 a count that is none is no limit", send: "OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: x\r\n\r\n", want: "200", app: "max-forwards: x\r\n"},
	{name: "9110 7.6.3 Via passes; weft is transparent and adds none", send: g + "Via: 1.0 fred\r\n\r\n", answer: "HTTP/1.1 200 OK\r\nVia: 1.1 barney\r\nContent-Length: 0\r\n\r\n", want: "200", app: "via: 1.0 fred\r\n", back: "via: 1.1 barney\r\n|!weft"},
	{name: "9110 7.7 MUST NOT transform content or its fields", send: p + "Content-Encoding: gzip\r\nContent-Type: a/b\r\nContent-Length: 3\r\n\r\n\x00\xffz", answer: "HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 3\r\n\r\n\x00\xfez", want: "200", app: "content-encoding: gzip|content-type: a/b|\r\n\r\n\x00\xffz", back: "content-encoding: br\r\n|\x00\xfez"},

	// Framing.
	{name: "9112 6.2 Content-Length is passed on", send: p + "Content-Length: 3\r\n\r\nabc", want: "200", app: "content-length: 3\r\n|\r\n\r\nabc|!transfer-encoding"},
	{name: "9110 8.6 a POST without content says so", send: p + "\r\n", want: "200", app: "content-length: 0\r\n"},
	{name: "9112 7.1 MUST decode chunked; extensions are ignored", send: p + "Transfer-Encoding: chunked\r\n\r\n3;x=\"y\"\r\nabc\r\n0\r\n\r\n", want: "200", app: "transfer-encoding: chunked\r\n|abc\r\n|0\r\n\r\n|!x=|!content-length"},
	{name: "9110 6.5 trailers are passed on, apart from the fields", send: p + "TE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n", want: "200", app: "0\r\nx-sum: 1\r\n\r\n"},
	{name: "9110 6.5.1 what frames, routes or proves a request is no trailer", send: p + "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nContent-Length: 4\r\nHost: b\r\nAuthorization: x\r\nTransfer-Encoding: gzip\r\n\r\n", want: "200", app: "!content-length|!host: b|!authorization|!gzip"},
	{name: "9112 6.1 a coding that is not known is 501", send: p + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", want: "501"},
	{name: "9112 6.3 (4) chunked is not last: MUST respond 400 and close", send: p + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", want: "400", back: "connection: close"},
	{name: "9112 6.1 a coding and a length", send: p + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + g + "\r\n", want: "400"},
	{name: "9112 6.1 MUST treat a coding in HTTP/1.0 as faulty framing", send: "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", want: "400"},
	{name: "9112 6.3 (5) MUST respond 400 to an invalid length", send: p + "Content-Length: 1x\r\n\r\na", want: "400"},
	{name: "9112 8 an incomplete request MUST NOT look whole", send: p + "Content-Length: 9\r\n\r\nabc", want: "400"},
	{name: "9112 8 nor an incomplete chunked one", send: p + "Transfer-Encoding: chunked\r\n\r\n5\r\nabc", want: "400"},

	// Responses.
	{name: "9112 6.3 (3) both lengths in a response: discard, close, 502", send: g + "\r\n", answer: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", again: true, want: "502", app: "GET"},
	{name: "9112 6.3 (5) two lengths in a response", send: g + "\r\n", answer: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc", again: true, want: "502", app: "GET"},
	{name: "9112 5.1 white space before a colon never leaves", send: g + "\r\n", answer: "HTTP/1.1 200 OK\r\nX : 1\r\nContent-Length: 0\r\n\r\n", again: true, want: "502", app: "GET"},
	{name: "9112 5.2 a folded line never leaves", send: g + "\r\n", answer: "HTTP/1.1 200 OK\r\nX: 1\r\n 2\r\nContent-Length: 0\r\n\r\n", again: true, want: "502", app: "GET"},
	{name: "9110 5.5 a bare CR never leaves", send: g + "\r\n", answer: "HTTP/1.1 200 OK\r\nX: 1\rSet-Cookie: x\r\nContent-Length: 0\r\n\r\n", again: true, want: "502", app: "GET"},
	{name: "9110 15 status codes that are none", send: g + "\r\n", answer: "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n", again: true, want: "502", app: "GET"},
	{name: "9112 6.3 (8) a response without length ends with its connection", send: g + "\r\n", answer: "HTTP/1.1 200 OK\r\n\r\nuntil", leave: true, want: "200", app: "GET", back: "transfer-encoding: chunked|until|0\r\n\r\n"},
	{name: "9112 6.1 MUST NOT send chunked to HTTP/1.0", send: "GET / HTTP/1.0\r\nHost: a\r\n\r\n", answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", want: "200", app: "GET", back: "\r\n\r\nok|!chunked|!transfer"},
	{name: "9112 7.1.2 trailers of a response", send: g + "TE: trailers\r\n\r\n", answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\nContent-Length: 7\r\n\r\n", want: "200", app: "GET", back: "0\r\nx-sum: 1\r\n\r\n|!content-length"},
	{name: "9112 8 an incomplete response is cut off", send: g + "\r\n", answer: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", leave: true, again: true, want: "*", app: "GET", back: "!0\r\n\r\n"},
	{name: "9110 9.3.2 HEAD has no content, and the length that GET has", send: "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", answer: "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", want: "200", app: "HEAD / ", back: "content-length: 7\r\n|!transfer-encoding"},
	{name: "9110 8.6 MUST NOT send a length in 204", send: g + "\r\n", answer: "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", want: "204", app: "GET", back: "!content-length|!transfer-encoding"},
	{name: "9110 15.4.5 304 keeps what describes the 200", send: g + "\r\n", answer: "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 7\r\n\r\n", want: "304", app: "GET", back: "etag: \"x\"\r\n|content-length: 7\r\n"},
	{name: "9110 6.6.1 MUST date what comes without a date", send: g + "\r\n", want: "200", app: "GET", back: "date: "},
	{name: "9110 6.6.1 a date that is there stays", send: g + "\r\n", answer: "HTTP/1.1 200 OK\r\nDate: Tue, 15 Nov 1994 08:12:31 GMT\r\nContent-Length: 0\r\n\r\n", want: "200", app: "GET", back: "date: Tue, 15 Nov 1994 08:12:31 GMT\r\n"},

	// Interim responses.
	{name: "9110 15.2 a proxy MUST forward 1xx", send: g + "\r\n", answer: "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + okAnswer, want: "200", app: "GET", back: "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200"},
	{name: "9110 15.2 MUST NOT send 1xx to HTTP/1.0", send: "GET / HTTP/1.0\r\nHost: a\r\n\r\n", answer: "HTTP/1.1 103 Early Hints\r\n\r\n" + okAnswer, want: "200", app: "GET", back: "!103"},
	{name: "9110 15.2.1 100 that nobody waits for need not be passed on", send: g + "\r\n", answer: "HTTP/1.1 100 Continue\r\n\r\n" + okAnswer, want: "200", app: "GET", back: "!100 Continue"},
	{name: "9110 15.2.2 101 that nobody asked for", send: g + "\r\n", answer: "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", again: true, want: "502", app: "GET"},
	{name: "9110 10.1.1 an expectation that is not known MAY be 417", send: g + "Expect: x\r\n\r\n", want: "417"},
	{name: "9110 10.1.1 MUST ignore Expect of HTTP/1.0", send: "POST / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\na", want: "200", app: "!expect", back: "!100 Continue"},
	{name: "9110 10.1.1 Expect without content means nothing", send: g + "Expect: 100-continue\r\n\r\n", want: "200", app: "!expect", back: "!100 Continue"},

	// Other protocols.
	{name: "9110 7.8 Upgrade is for the hop that Connection names it on", send: g + "Upgrade: websocket\r\n\r\n", want: "200", app: "!upgrade"},
	{name: "9110 7.8 MUST ignore Upgrade of HTTP/1.0", send: "GET / HTTP/1.0\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", want: "200", app: "!upgrade"},
	{name: "9113 3.1 h2c is obsolete", send: g + "Connection: upgrade, http2-settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n", want: "200", app: "!upgrade|!h2c|!http2-settings"},
	{name: "9110 7.8 an upgrade that is asked for and not made", send: g + "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n", want: "200", app: "connection: upgrade\r\n|upgrade: websocket\r\n", back: "!upgrade"},
	{name: "9110 7.8 a request of another method that asks for it stays what it is", send: "POST /exec HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n", want: "200", app: "POST /exec HTTP/1.1\r\n|upgrade: spdy/3.1\r\n"},
	{name: "9110 7.8 MUST NOT switch to what was not asked for", send: g + "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n", answer: "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: other\r\n\r\n", leave: true, again: true, want: "502", app: "upgrade: websocket"},
	{name: "9110 9.3.6 CONNECT without a port", send: "CONNECT b.example HTTP/1.1\r\nHost: b.example\r\n\r\n", want: "400"},
	{name: "9110 9.3.6 a CONNECT that is refused is a response like any other", send: "CONNECT b.example:1 HTTP/1.1\r\nHost: b.example:1\r\n\r\n", answer: "HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno", want: "403", app: "CONNECT b.example:1 HTTP/1.1\r\n|host: b.example:1\r\n", back: "\r\n\r\nno"},

	// Connections.
	{name: "9112 9.3.2 pipelined requests are answered in their order", send: g + "\r\n" + p + "Content-Length: 1\r\n\r\nx" + g + "\r\n", want: "200 200 200", app: "host: a.example"},
	{name: "9112 9.6 MUST NOT process requests behind close", send: g + "Connection: close\r\n\r\n" + g + "\r\n", want: "200", app: "GET", back: "connection: close\r\n"},
	{name: "9112 9.3 HTTP/1.0 closes", send: "GET / HTTP/1.0\r\nHost: a\r\n\r\n" + g + "\r\n", want: "200", app: "GET", back: "connection: close\r\n"},
	{name: "9112 9.3 a callee's close is no matter of the caller's", send: g + "\r\n" + g + "\r\n", answer: "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", leave: true, want: "200 200", app: "GET", back: "!connection: close"},
	{name: "9110 9.2.2 MUST NOT send a POST again by itself", send: p + "Content-Length: 1\r\n\r\nx", answer: "-", leave: true, want: "503", app: "POST"},
}

func TestRules(t *testing.T) {
	app := newRawApp(t)
	for _, w := range ways(t, app) {
		t.Run(w.name, func(t *testing.T) {
			for _, r := range rules {
				if r.only == "" || r.only == w.name {
					t.Run(r.name, func(t *testing.T) { r.check(t, app, w) })
				}
			}
		})
	}
}

func (r rule) check(t *testing.T, app *rawApp, w way) {
	answer := r.answer
	if answer == "" {
		answer = okAnswer
	}
	if answer == "-" {
		answer = ""
	}
	app.next(answer, r.leave)
	got, _ := talk(t, w.at, r.send)
	if s := strings.Join(statuses(got), " "); r.want != "*" && s != r.want {
		t.Errorf("answered with %q, want %q: %.600q", s, r.want, got)
	}
	requests := app.saw()
	switch n := strings.Count(r.want, " ") + 1; {
	case r.app == "" && len(requests) > 0:
		t.Errorf("the application got %q", requests)
	case r.app != "" && len(requests) == 0:
		t.Errorf("the application got nothing whole; the answer is %.600q", got)
	case r.app != "" && len(requests) > n && !r.again:
		t.Errorf("the application got %d requests, want %d: %q", len(requests), n, requests)
	}
	for _, q := range requests {
		hold(t, "the request", q, r.app)
	}
	hold(t, "the answer", got, r.back)
}

// hold checks that text has what want lists.
func hold(t *testing.T, what, text, want string) {
	t.Helper()
	if want == "" {
		return
	}
	for _, s := range strings.Split(want, "|") {
		if rest, not := strings.CutPrefix(s, "!"); not {
			if strings.Contains(strings.ToLower(text), rest) {
				t.Errorf("%s has %q: %.600q", what, rest, text)
			}
		} else if !strings.Contains(text, s) {
			t.Errorf("%s lacks %q: %.600q", what, s, text)
		}
	}
}
