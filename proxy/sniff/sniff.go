// Package sniff tells protocols by first bytes: what a caller speaks on a port that declares nothing, and who is the first to speak
// there.
package sniff

import (
	"errors"
	"net"
	"strings"
	"time"

	"github.com/weft-mesh/weft/traffic"
	"github.com/weft-mesh/weft/wire/http2"
)

// methods are those that HTTP/1.1 requests on undeclared ports are known by (RFC 9110 section 9, RFC 5789, RFC 4918, and those of
// the UPnP and WebDAV families that are in use).
var methods = strings.Fields(`GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH PROPFIND PROPPATCH MKCOL COPY MOVE LOCK UNLOCK
	REPORT SEARCH MERGE MKCALENDAR SUBSCRIBE UNSUBSCRIBE NOTIFY PURGE QUERY`)

// Proto says what a caller speaks from its first bytes; ok false: more are needed. HTTP/2 begins with its preface (RFC 9113 section
// 3.4), HTTP/1.1 with a method, a space, and the target's first character. Everything else is TCP, TLS too.
func Proto(b []byte) (proto traffic.Proto, ok bool) {
	if n := min(len(b), len(http2.Preface)); string(b[:n]) == http2.Preface[:n] {
		return traffic.HTTP2, n == len(http2.Preface)
	}
	more := false
	for _, m := range methods {
		n := min(len(b), len(m)+1)
		switch {
		case string(b[:n]) != (m + " ")[:n]:
		case n < len(m)+1 || len(b) == n:
			more = true
		case b[n] == '/' || b[n] == 'h' || b[n] == '*' || m == "CONNECT":
			return traffic.HTTP1, true
		}
	}
	return traffic.TCP, !more
}

// First reads behind have until it is clear what the caller speaks. An error with no bytes read: the caller is silent, or gone.
func First(c net.Conn, wait time.Duration, have []byte) (read []byte, proto traffic.Proto, err error) {
	read = append(make([]byte, 0, firstBytes), have...)
	err = c.SetReadDeadline(time.Now().Add(wait))
	for err == nil {
		var n int
		n, err = c.Read(read[len(read):cap(read)])
		if n > 0 {
			if len(read) == 0 {
				err = errors.Join(err, c.SetReadDeadline(time.Now().Add(undecided)))
			}
			read = read[:len(read)+n]
			if proto, ok := Proto(read); ok {
				return read, proto, nil
			}
		}
	}
	return read, traffic.TCP, err
}

// firstBytes is more than Proto ever wants.
const firstBytes = 512

// undecided is how long a caller may take from its first byte to what tells its protocol.
const undecided = 10 * time.Second
