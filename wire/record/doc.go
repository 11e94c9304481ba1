// Package record is the record protocol of TLS 1.3 (RFC 8446 section 5) and what may come on it once the handshake is over: application
// data, alerts, KeyUpdate, tickets.
//
// It never makes a handshake, and knows nothing of I/O: another implementation proves who the peer is, and hands over the two traffic
// secrets. A Key seals or opens the records of one direction; Messages reads the handshake messages that may still come.
//
// # What it keeps secret
//
// A Key holds its traffic secret, since the next one is made from it (section 7.2), and overwrites it when that has been done; so does it
// with the key and the bytes that it makes the cipher of. The ciphers' own schedules are Go's, which gives no way to overwrite them: the
// collector has them once they are let go of, see Rest. However a *Key is
// printed, its text is its cipher suite's name.
//
// # FIPS 140-3
//
// crypto/tls has a GCM that counts the nonces inside of Go's validated module; programs outside of it can't have that one. So this package is
// not for processes with GODEBUG=fips140, where Init fails: their connections stay with crypto/tls.
//
// # Errors
//
// What a peer does wrong is an *Error, which says the alert that it gets. Nothing is opened after one.
package record

// Sizes of RFC 8446 section 5.
const (
	HeaderLen  = 5
	tagLen     = 16
	Overhead   = HeaderLen + 1 + tagLen // that a record has beyond its content, without padding
	MaxContent = 1 << 14                // of a record (section 5.1)
	MaxLen     = HeaderLen + MaxContent + 256
)

// Content types (section 5.1).
const (
	ChangeCipherSpec byte = 20
	AlertType        byte = 21
	Handshake        byte = 22
	Application      byte = 23
)

// Size is the length of the record that b begins with, header included; 0: b is too short to say. Only protected records are known: what is
// in the clear has no place after a handshake. The version is not looked at, as section 5.1 has it; it is authenticated.
func Size(b []byte) (n int, err error) {
	if len(b) < HeaderLen {
		return 0, nil
	}
	if b[0] != Application { // section 5.2; a change_cipher_spec too, after the peer's Finished (section 5)
		return 0, &Error{UnexpectedMessage, "a record that is not protected"}
	}
	n = HeaderLen + int(b[3])<<8 + int(b[4])
	if n > MaxLen { // section 5.2
		return 0, &Error{RecordOverflow, "a record is too long"}
	}
	return n, nil
}
