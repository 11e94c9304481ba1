// Package tlshello reads the first bytes that a TLS client sends: whether they are TLS at all, the server name it asks for, and
// the protocols it offers (RFC 8446 section 4.1.2, RFC 6066 section 3, RFC 7301 section 3.1). It decides nothing about the
// handshake: it is for routing a connection that somebody else will terminate.
//
// The bytes may come in pieces; ErrMore says that no decision can be taken yet, and that more is worth waiting for.
package tlshello

import (
	"encoding/binary"
	"errors"
	"strings"
)

// Hello is what a ClientHello says in the clear.
type Hello struct {
	ServerName string   // in lower case; empty: none was sent
	Protocols  []string // of ALPN, in the client's order; empty: none were sent
}

var (
	// ErrMore is a ClientHello that is not complete yet.
	ErrMore = errors.New("tlshello: more bytes are needed")
	// ErrNotTLS is a first record that no TLS client sends.
	ErrNotTLS = errors.New("tlshello: the first bytes are not a TLS handshake")
	// ErrMalformed is a handshake record whose ClientHello breaks its own lengths, or is longer than MaxHello.
	ErrMalformed = errors.New("tlshello: the ClientHello is malformed")
)

// MaxHello is the longest ClientHello, all records together, that is read. Post-quantum key shares and session tickets make
// some 2 KB usual.
const MaxHello = 16 << 10

const (
	recordHeader    = 5
	handshakeRecord = 22
	clientHello     = 1
	maxRecord       = 16 << 10

	extServerName = 0
	extALPN       = 16
)

// IsTLS says whether b can be the begin of a TLS connection: a handshake record of any version from SSL 3.0 on, whose first
// message is a ClientHello. sure: it can be nothing else, or cannot be TLS; if not, more bytes would tell.
func IsTLS(b []byte) (is, sure bool) {
	for i, ok := range []func(byte) bool{
		func(c byte) bool { return c == handshakeRecord },
		func(c byte) bool { return c == 3 },
		func(c byte) bool { return c <= 4 },
		func(c byte) bool { return c <= maxRecord>>8 },
		func(byte) bool { return true },
		func(c byte) bool { return c == clientHello },
	} {
		if i == len(b) {
			return true, false
		}
		if !ok(b[i]) {
			return false, true
		}
	}
	return true, true
}

// Parse reads a ClientHello from the first bytes of a connection. The Hello's strings are its own.
func Parse(b []byte) (*Hello, error) {
	if is, _ := IsTLS(b); !is {
		return nil, ErrNotTLS
	}
	msg, err := handshake(b)
	if err != nil {
		return nil, err
	}
	return parseHello(msg)
}

// handshake gathers the body of the first handshake message, which may span records (RFC 8446 section 5.1).
func handshake(b []byte) ([]byte, error) {
	var msg []byte
	for {
		if len(b) < recordHeader {
			return nil, ErrMore
		}
		n := int(binary.BigEndian.Uint16(b[3:]))
		if b[0] != handshakeRecord || b[1] != 3 || n == 0 || n > maxRecord {
			return nil, ErrMalformed
		}
		part := b[recordHeader:min(recordHeader+n, len(b))]
		if msg == nil {
			msg = part[:len(part):len(part)]
		} else {
			msg = append(msg, part...)
		}
		if body, err := complete(msg); err != ErrMore {
			return body, err
		}
		if len(part) < n {
			return nil, ErrMore
		}
		b = b[recordHeader+n:]
	}
}

// complete cuts the message out of its header.
func complete(msg []byte) ([]byte, error) {
	if len(msg) < 4 {
		return nil, ErrMore
	}
	n := int(msg[1])<<16 | int(msg[2])<<8 | int(msg[3])
	switch {
	case msg[0] != clientHello:
		return nil, ErrNotTLS
	case n > MaxHello:
		return nil, ErrMalformed
	case len(msg) < 4+n:
		return nil, ErrMore
	}
	return msg[4 : 4+n], nil
}

// reader takes length-prefixed parts off the front; bad stays set once one does not fit.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if n > len(r.b) {
		r.bad, r.b = true, nil
		return nil
	}
	p := r.b[:n]
	r.b = r.b[n:]
	return p
}

func (r *reader) part8() []byte {
	if p := r.take(1); p != nil {
		return r.take(int(p[0]))
	}
	return nil
}

func (r *reader) uint16() int {
	if p := r.take(2); p != nil {
		return int(binary.BigEndian.Uint16(p))
	}
	return 0
}

func (r *reader) part16() reader { return reader{b: r.take(r.uint16()), bad: r.bad} }

func parseHello(msg []byte) (*Hello, error) {
	r := reader{b: msg}
	r.take(2 + 32) // legacy_version, random
	r.part8()      // legacy_session_id
	r.part16()     // cipher_suites
	r.part8()      // legacy_compression_methods
	h := &Hello{}
	if r.bad {
		return nil, ErrMalformed
	}
	if len(r.b) == 0 { // "extensions" may be absent before TLS 1.3
		return h, nil
	}
	ext := r.part16()
	seen := uint8(0)
	for len(ext.b) > 0 && !ext.bad {
		kind := ext.uint16()
		body := ext.part16()
		switch {
		case ext.bad:
		case kind == extServerName && h.names(body, &seen), kind == extALPN && h.protocols(body, &seen):
		case kind == extServerName, kind == extALPN:
			ext.bad = true
		}
	}
	if r.bad || ext.bad || len(r.b) > 0 {
		return nil, ErrMalformed
	}
	return h, nil
}

// names reads server_name: "the ServerNameList MUST NOT contain more than one name of the same name_type" (RFC 6066 section 3).
// False: malformed, or sent twice ("there MUST NOT be more than one extension of the same type", RFC 8446 section 4.2).
func (h *Hello) names(r reader, seen *uint8) bool {
	list := r.part16()
	if *seen&1 != 0 || list.bad || r.bad || len(r.b) > 0 {
		return false
	}
	*seen |= 1
	for len(list.b) > 0 {
		kind := list.take(1)
		name := list.part16()
		if list.bad || name.bad {
			return false
		}
		if kind[0] != 0 {
			continue
		}
		if h.ServerName != "" || !validName(name.b) {
			return false
		}
		h.ServerName = strings.ToLower(string(name.b))
	}
	return true
}

// validName says whether b is a host name as it may stand in SNI: ASCII, no trailing dot, no address literal's colon.
func validName(b []byte) bool {
	if len(b) == 0 || len(b) > 255 || b[len(b)-1] == '.' {
		return false
	}
	for _, c := range b {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '.', c == '_':
		default:
			return false
		}
	}
	return true
}

// protocols reads application_layer_protocol_negotiation: names are not empty (RFC 7301 section 3.1).
func (h *Hello) protocols(r reader, seen *uint8) bool {
	list := r.part16()
	if *seen&2 != 0 || list.bad || r.bad || len(r.b) > 0 || len(list.b) == 0 {
		return false
	}
	*seen |= 2
	for len(list.b) > 0 {
		p := list.part8()
		if list.bad || len(p) == 0 {
			return false
		}
		h.Protocols = append(h.Protocols, string(p))
	}
	return true
}
