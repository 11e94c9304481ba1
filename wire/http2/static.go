package http2

// staticTable is appendix A of RFC 7541; index 0 is unused. Entries of one name stand together.
var staticTable = [...]Field{{},
	{Name: ":authority"}, {Name: ":method", Value: "GET"}, {Name: ":method", Value: "POST"},
	{Name: ":path", Value: "/"}, {Name: ":path", Value: "/index.html"},
	{Name: ":scheme", Value: "http"}, {Name: ":scheme", Value: "https"},
	{Name: ":status", Value: "200"}, {Name: ":status", Value: "204"}, {Name: ":status", Value: "206"},
	{Name: ":status", Value: "304"}, {Name: ":status", Value: "400"}, {Name: ":status", Value: "404"},
	{Name: ":status", Value: "500"}, {Name: "accept-charset"}, {Name: "accept-encoding", Value: "gzip, deflate"},
	{Name: "accept-language"}, {Name: "accept-ranges"}, {Name: "accept"}, {Name: "access-control-allow-origin"},
	{Name: "age"}, {Name: "allow"}, {Name: "authorization"}, {Name: "cache-control"}, {Name: "content-disposition"},
	{Name: "content-encoding"}, {Name: "content-language"}, {Name: "content-length"}, {Name: "content-location"},
	{Name: "content-range"}, {Name: "content-type"}, {Name: "cookie"}, {Name: "date"}, {Name: "etag"}, {Name: "expect"},
	{Name: "expires"}, {Name: "from"}, {Name: "host"}, {Name: "if-match"}, {Name: "if-modified-since"},
	{Name: "if-none-match"}, {Name: "if-range"}, {Name: "if-unmodified-since"}, {Name: "last-modified"}, {Name: "link"},
	{Name: "location"}, {Name: "max-forwards"}, {Name: "proxy-authenticate"}, {Name: "proxy-authorization"},
	{Name: "range"}, {Name: "referer"}, {Name: "refresh"}, {Name: "retry-after"}, {Name: "server"},
	{Name: "set-cookie"}, {Name: "strict-transport-security"}, {Name: "transfer-encoding"}, {Name: "user-agent"},
	{Name: "vary"}, {Name: "via"}, {Name: "www-authenticate"},
}

const staticLen = uint32(len(staticTable) - 1)

// indexing is how the encoder treats a name.
type indexing uint8

const (
	indexed indexing = iota // repeats: worth a place in the table
	plain                   // differs with each message: it would only push others out
	never                   // secret: no table anywhere may hold it (RFC 7541 section 7.1.3)
)

var neverNames = []string{"authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key"}

var plainNames = []string{"content-length", "etag", "last-modified", "age", "expires", "if-modified-since", "if-none-match",
	"range", "content-range", "location", "x-request-id", "x-correlation-id", "traceparent", "tracestate", "b3",
	"x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid", "grpc-trace-bin", "grpc-timeout", "grpc-message",
	"x-envoy-upstream-service-time", "x-envoy-expected-rq-timeout-ms"}

// known is what the encoder knows of a name beforehand.
type known struct {
	name   string
	static uint8 // index of its first entry in the static table; 0: none
	how    indexing
}

// knownNames is an open-addressed table: a lookup costs about 3 ns, a Go map about 15.
var knownNames = newKnownNames()

func newKnownNames() *[256]known {
	t := &[256]known{}
	at := func(name string) *known {
		i := knownSlot(name)
		for t[i].name != "" && t[i].name != name {
			i++
		}
		t[i].name = name
		return &t[i]
	}
	for i := len(staticTable) - 1; i > 0; i-- {
		at(staticTable[i].Name).static = uint8(i)
	}
	for _, n := range neverNames {
		at(n).how = never
	}
	for _, n := range plainNames {
		at(n).how = plain
	}
	return t
}

func knownSlot(name string) uint8 {
	n := len(name)
	return uint8(n)*13 ^ name[0]*29 ^ name[n-1]*7 ^ name[n/2]*3
}

func lookupName(name string) known {
	if name == "" {
		return known{}
	}
	for i := knownSlot(name); ; i++ {
		if k := knownNames[i]; k.name == name || k.name == "" {
			return k
		}
	}
}
