package http2

import (
	"strings"
	"testing"
)

func section(text string) *Section {
	s := &Section{}
	for l := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSuffix(l, "\n"), "=")
		s.Fields = append(s.Fields, Field{Name: name, Value: value})
	}
	return s
}

const get = ":method=GET\n:scheme=http\n:authority=a\n:path=/x?y\n"

func TestRequest(t *testing.T) {
	for _, c := range []struct{ rule, fields, want string }{
		{"plain", get + "accept=*/*", "GET http a /x?y - -1: accept: */*\n"},
		{"8.2.3: cookies concatenated using \"; \"", get + "cookie=a=1\nx=y\ncookie=b=2\ncookie=c=3", "GET http a /x?y - -1: cookie: a=1; b=2; c=3\nx: y\n"},
		{"8.3.1: host of a request converted from HTTP/1.1", ":method=GET\n:scheme=http\n:path=/\nhost=b", "GET http b / - -1: "},
		{"8.3.1: host that agrees", get + "host=A", "GET http a /x?y - -1: "},
		{"OPTIONS *", ":method=OPTIONS\n:scheme=http\n:authority=a\n:path=*", "OPTIONS http a * - -1: "},
		{"8.5 CONNECT", ":method=CONNECT\n:authority=a:80", "CONNECT  a:80  - -1: "},
		{"RFC 8441", ":method=CONNECT\n:protocol=websocket\n:scheme=https\n:path=/chat\n:authority=a", "CONNECT https a /chat websocket -1: "},
		{"te: trailers", get + "te=trailers", "GET http a /x?y - -1: te: trailers\n"},
		{"content-length", get + "content-length=12\ncontent-length=12", "GET http a /x?y - 12: content-length: 12\n"},
		{"empty value", get + "x=", "GET http a /x?y - -1: x: \n"},
		{"tab inside a value", get + "x=a\tb", "GET http a /x?y - -1: x: a\tb\n"},
		{"obs-text", get + "x=\xc3\xa9", "GET http a /x?y - -1: x: \xc3\xa9\n"},
		{"IPv6", ":method=GET\n:scheme=http\n:authority=[::1]:80\n:path=/", "GET http [::1]:80 / - -1: "},

		{"8.2.1: A field name MUST NOT contain characters in the ranges 0x00-0x20, 0x41-0x5a, or 0x7f-0xff", get + "Accept=a", ""},
		{"8.2.1, space", get + "a b=a", ""},
		{"8.2.1, colon", get + "a:b=a", ""},
		{"8.2.1, empty name", get + "=a", ""},
		{"8.2.1, NUL", get + "a=x\x00", ""},
		{"8.2.1, CR", get + "a=x\ry", ""},
		{"8.2.1: MUST NOT start or end with an ASCII whitespace", get + "a= x", ""},
		{"8.2.1, at the end", get + "a=x\t", ""},
		{"8.2.2: connection", get + "connection=close", ""},
		{"8.2.2: proxy-connection", get + "proxy-connection=close", ""},
		{"8.2.2: keep-alive", get + "keep-alive=5", ""},
		{"8.2.2: transfer-encoding", get + "transfer-encoding=chunked", ""},
		{"8.2.2: upgrade", get + "upgrade=h2c", ""},
		{"8.2.2: TE ... MUST NOT contain any value other than \"trailers\"", get + "te=gzip", ""},
		{"8.3: All pseudo-header fields MUST appear in a field block before all regular field lines", ":method=GET\nx=y\n:scheme=http\n:path=/", ""},
		{"8.3: the same pseudo-header field name MUST NOT appear more than once", get + ":path=/", ""},
		{"8.3: Endpoints MUST NOT generate pseudo-header fields other than those defined", get + ":foo=/", ""},
		{"8.3: Pseudo-header fields defined for responses MUST NOT appear in requests", get + ":status=200", ""},
		{"8.3.1: exactly one valid value for :method", ":scheme=http\n:authority=a\n:path=/", ""},
		{"8.3.1: :scheme", ":method=GET\n:authority=a\n:path=/", ""},
		{"8.3.1: :path", ":method=GET\n:scheme=http\n:authority=a", ""},
		{"8.3.1: This pseudo-header field MUST NOT be empty for http or https URIs", ":method=GET\n:scheme=http\n:authority=a\n:path=", ""},
		{"8.3.1: :path starts with /", ":method=GET\n:scheme=http\n:authority=a\n:path=x", ""},
		{"* for OPTIONS alone", ":method=GET\n:scheme=http\n:authority=a\n:path=*", ""},
		{"fragment", ":method=GET\n:scheme=http\n:authority=a\n:path=/#x", ""},
		{"request line injection", ":method=GET\n:scheme=http\n:authority=a\n:path=/ HTTP/1.1", ""},
		{"method injection", ":method=GET /\n:scheme=http\n:authority=a\n:path=/", ""},
		{"scheme injection", ":method=GET\n:scheme=http://x/\n:authority=a\n:path=/", ""},
		{"8.3.1: :authority MUST NOT include the deprecated userinfo subcomponent", ":method=GET\n:scheme=http\n:authority=u@a\n:path=/", ""},
		{"8.3.1: host that differs from :authority", get + "host=b", ""},
		{"8.5: The :scheme and :path pseudo-header fields MUST be omitted", ":method=CONNECT\n:authority=a\n:path=/", ""},
		{"8.5 without :authority", ":method=CONNECT", ""},
		{"RFC 8441 without :path", ":method=CONNECT\n:protocol=websocket\n:authority=a", ""},
		{":protocol without CONNECT", get + ":protocol=websocket", ""},
		{"content-length that is no number", get + "content-length=+1", ""},
		{"content-length list", get + "content-length=1, 1", ""},
		{"content-length twice", get + "content-length=1\ncontent-length=2", ""},
	} {
		r, err := section(c.fields).Request()
		if c.want == "" {
			if e, ok := err.(*Error); !ok || e.Code != ProtocolError {
				t.Errorf("%s: %+v %v, want malformed", c.rule, r, err)
			}
			continue
		}
		p := r.Protocol
		if p == "" {
			p = "-"
		}
		got := strings.Join([]string{r.Method, r.Scheme, r.Authority, r.Path, p}, " ") + " " + itoa(r.Length) + ": " + lines(r.Fields)
		if err != nil || got != c.want {
			t.Errorf("%s: %q %v, want %q", c.rule, got, err, c.want)
		}
	}
}

func itoa(n int64) string {
	if n < 0 {
		return "-1"
	}
	return string(appendDigits(nil, n))
}

func appendDigits(b []byte, n int64) []byte {
	if n >= 10 {
		b = appendDigits(b, n/10)
	}
	return append(b, byte('0'+n%10))
}

func TestResponse(t *testing.T) {
	for _, c := range []struct {
		rule, fields string
		status       int
	}{
		{"final", ":status=200\nx=y\ncontent-length=3", 200},
		{"interim", ":status=103\nlink=</a>", 103},
		{"8.3.2: :status MUST be included in all responses", "x=y", 0},
		{"empty", "", 0},
		{"repeated", ":status=200\n:status=200", 0},
		{"late", "x=y\n:status=200", 0},
		{"of requests", ":status=200\n:path=/", 0},
		{"two digits", ":status=20", 0},
		{"letters", ":status=2x0", 0},
		{"below 100", ":status=099", 0},
		{"8.6: HTTP/2 does not support the 101 (Switching Protocols)", ":status=101", 0},
		{"8.2.2", ":status=200\nconnection=close", 0},
		{"8.2.1", ":status=200\nX=close", 0},
		{"content-length", ":status=200\ncontent-length=a", 0},
	} {
		r, err := section(c.fields).Response()
		if c.status == 0 && err == nil || c.status != 0 && (err != nil || r.Status != c.status) {
			t.Errorf("%s: %+v %v", c.rule, r, err)
		}
	}
}

func TestTrailers(t *testing.T) {
	for fields, ok := range map[string]bool{"grpc-status=0\ngrpc-message=x": true, "": true, ":status=200": false, "x=y\n:path=/": false,
		"connection=close": false, "X=y": false, "content-length=4": false, "host=a": false, "transfer-encoding=chunked": false} {
		if err := section(fields).Trailers(); (err == nil) != ok {
			t.Errorf("%q: %v", fields, err)
		}
	}
}

func FuzzRequest(f *testing.F) {
	f.Add(get+"cookie=a\ncookie=b\nhost=a", "x=y")
	f.Add(":method=CONNECT\n:authority=a", "")
	f.Fuzz(func(t *testing.T, fields, trailers string) {
		r, err := section(fields).Request()
		if err == nil && strings.ContainsAny(r.Method+r.Scheme+r.Authority+r.Path+r.Protocol, " \r\n\x00") {
			t.Fatalf("%q let through as %+v", fields, r)
		}
		for _, f := range r.Fields {
			if err == nil && (strings.ContainsAny(f.Name+f.Value, "\r\n\x00") || strings.ContainsAny(f.Name, ": ABCDEFGHIJKLMNOPQRSTUVWXYZ")) {
				t.Fatalf("%q let through %v", fields, f)
			}
		}
		section(fields).Response()
		section(trailers).Trailers()
	})
}

// FuzzResponse: what is taken of a response or of trailers could stand in HTTP/1.1 as it is.
func FuzzResponse(f *testing.F) {
	f.Add(":status=200\nx=y\ncontent-length=3")
	f.Add(":status=103\nlink=</a>")
	f.Add(":status=200\n:status=204")
	f.Add("x=y\ngrpc-status=0")
	f.Add("transfer-encoding=chunked")
	f.Fuzz(func(t *testing.T, text string) {
		if r, err := section(text).Response(); err == nil {
			if r.Status < 100 || r.Status > 999 || r.Status == 101 || r.Length < -1 {
				t.Errorf("%q: %d, length %d", text, r.Status, r.Length)
			}
			checkPlain(t, r.Fields)
		}
		if s := section(text); s.Trailers() == nil {
			checkPlain(t, s.Fields)
		}
	})
}

// checkPlain checks that fields have names and values that no reader could take for anything else.
func checkPlain(t *testing.T, fields []Field) {
	t.Helper()
	for _, f := range fields {
		if f.Name == "" || strings.Trim(f.Name, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz") != "" || strings.ContainsAny(f.Value, "\x00\r\n") || ConnectionSpecific(f.Name) {
			t.Errorf("%q: %q", f.Name, f.Value)
		}
	}
}
