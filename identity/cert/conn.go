package cert

import (
	"bytes"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"

	"github.com/weft-mesh/weft/wire/record"
)

// Conn is a connection whose handshake is over. It goes on as crypto/tls has it, or by who asks for its Keys.
type Conn struct {
	*tls.Conn
	raw *tap
}

// Keys hands over the connection below, and makes what its records are protected with from now on: nothing has been sent or received under these
// keys, and every byte that follows the handshake is still to be read. The Conn is of no use afterwards. An error that wraps
// record.ErrUnsupported: it goes on as if it had not been asked.
//
// That this is so follows from how crypto/tls works in TLS 1.3. A client sends its Finished last, and installs the keys of both directions
// before it returns; a server sends its last flight before it reads the client's certificate, and nothing after it, since there are no session
// tickets (base). Neither keeps a part of a handshake message across a change of keys, and neither has bytes beyond the last record that it
// needed, because tap has given it none.
func (c *Conn) Keys(in, out *record.Key) (raw net.Conn, err error) {
	state := c.ConnectionState()
	t := c.raw
	defer t.secrets.forget()
	switch {
	case !state.HandshakeComplete || state.Version != tls.VersionTLS13:
		return nil, fmt.Errorf("%w: %s", record.ErrUnsupported, tls.VersionName(state.Version))
	case t.have > 0:
		return nil, errors.New("cert: crypto/tls has read a part of a record")
	}
	client, server := in, out
	if t.client {
		client, server = out, in
	}
	if err := client.Init(state.CipherSuite, t.secrets.client[:t.secrets.clientLen]); err != nil {
		return nil, err
	}
	return t.Conn, server.Init(state.CipherSuite, t.secrets.server[:t.secrets.serverLen])
}

// Client says which side of the connection this is.
func (c *Conn) Client() bool { return c.raw.client }

// tap is the connection under crypto/tls. It gives no more than the rest of one record at a time, so that crypto/tls never has bytes of a
// record that it did not need; and it is where the traffic secrets are until they are asked for.
type tap struct {
	net.Conn
	client  bool
	head    [record.HeaderLen]byte
	have    int // of head
	left    int // bytes of the record's body
	secrets secrets
}

func (t *tap) Read(p []byte) (n int, err error) {
	if t.have < len(t.head) {
		n, err = t.Conn.Read(p[:min(len(p), len(t.head)-t.have)])
		t.have += copy(t.head[t.have:], p[:n])
		t.left = int(t.head[3])<<8 | int(t.head[4]) // right as soon as the head is whole
	} else {
		n, err = t.Conn.Read(p[:min(len(p), t.left)])
		t.left -= n
	}
	if t.have == len(t.head) && t.left == 0 {
		t.have = 0
	}
	return n, err
}

// secrets takes the two first traffic secrets from what crypto/tls writes for KeyLogWriter, the one way that it gives them out. They get into
// no file, and each line is overwritten as soon as it was read. What it cannot reach is what the collector has not yet reused of crypto/tls'
// own copies, and of package fmt's buffer for the line, with or without us.
//
// crypto/tls holds one lock for all writers of the process meanwhile: Write takes no time.
type secrets struct {
	client, server       [maxSecret]byte
	clientLen, serverLen int
}

const maxSecret = 48

// Write takes a line of the NSS key log: a label, the client's random and a secret in hexadecimal digits.
func (s *secrets) Write(line []byte) (int, error) {
	defer clear(line) // crypto/tls made it for this call alone
	f := bytes.Fields(line)
	if len(f) != 3 {
		return 0, errors.New("cert: a key log of another form")
	}
	var into *[maxSecret]byte
	var size *int
	switch string(f[0]) {
	case "CLIENT_TRAFFIC_SECRET_0":
		into, size = &s.client, &s.clientLen
	case "SERVER_TRAFFIC_SECRET_0":
		into, size = &s.server, &s.serverLen
	default: // those of the handshake
		return len(line), nil
	}
	if len(f[2]) > 2*maxSecret {
		return 0, errors.New("cert: a traffic secret of another size")
	}
	n, err := hex.Decode(into[:], f[2])
	*size = n
	return len(line), err
}

func (s *secrets) forget() { *s = secrets{} }
