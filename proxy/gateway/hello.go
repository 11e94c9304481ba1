package gateway

import (
	"errors"
	"net"

	"github.com/weft-mesh/weft/wire/tlshello"
)

// hellos is how much of a ClientHello is read at first: those of usual clients are below 2 KB.
const hellos = 2 << 10

// Hello reads the first message of TLS from a connection, and returns all that was read, for whoever serves it. The connection's own
// deadline bounds it, and tlshello.MaxHello its length.
func Hello(c net.Conn) (hello *tlshello.Hello, read []byte, err error) {
	read = make([]byte, 0, hellos)
	for {
		if len(read) == cap(read) {
			read = append(read, 0)[:len(read)]
		}
		n, err := c.Read(read[len(read):cap(read)])
		read = read[:len(read)+n]
		if n > 0 {
			switch hello, bad := tlshello.Parse(read); {
			case bad == nil:
				return hello, read, nil
			case !errors.Is(bad, tlshello.ErrMore):
				return nil, read, bad
			}
		}
		if err != nil {
			return nil, read, err
		}
	}
}

// Unrecognized is the alert for a name that no listener is for: fatal, unrecognized_name (RFC 6066 section 3).
var Unrecognized = []byte{21, 3, 1, 0, 2, 2, 112}
