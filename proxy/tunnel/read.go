package tunnel

import "net"

// readConn is a connection of which the first bytes were read already.
type readConn struct {
	net.Conn
	read []byte
}

// WithRead is a connection that gives again what was read of it.
func WithRead(c net.Conn, read []byte) net.Conn {
	if len(read) == 0 {
		return c
	}
	return &readConn{Conn: c, read: read}
}

func (c *readConn) Read(b []byte) (int, error) {
	if len(c.read) > 0 {
		n := copy(b, c.read)
		c.read = c.read[n:]
		return n, nil
	}
	return c.Conn.Read(b)
}

// NetConn is the connection below.
func (c *readConn) NetConn() net.Conn { return c.Conn }

// CloseWrite half-closes.
func (c *readConn) CloseWrite() error { return CloseWrite(c.Conn) }
