package record

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/fips140"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"hash"
	"slices"

	"golang.org/x/crypto/chacha20poly1305" //nolint:depguard // the standard library has this cipher, and keeps it to itself
)

// Key seals or opens the records of one direction of a connection. It is for one goroutine at a time.
type Key struct {
	suite  *suite
	secret [maxSecret]byte // the traffic secret
	seq    uint64          // of the next record
	aead   cipher.AEAD     // nil: it is made from the secret when it is needed
	iv     [nonceLen]byte
	nonce  [nonceLen]byte // of the record at hand: a slice of it is passed on without an allocation
}

const (
	maxSecret = 48
	nonceLen  = 12
)

// suite is what a cipher suite of RFC 8446 appendix B.4 means for records.
type suite struct {
	name    string
	keyLen  int
	hashLen int
	expand  func(secret []byte, info string, n int) ([]byte, error)
	aead    func(key []byte) (cipher.AEAD, error)
}

var suites = map[uint16]*suite{
	0x1301: {"TLS_AES_128_GCM_SHA256", 16, sha256.Size, expand(sha256.New), gcm},
	0x1302: {"TLS_AES_256_GCM_SHA384", 32, sha512.Size384, expand(sha512.New384), gcm},
	0x1303: {"TLS_CHACHA20_POLY1305_SHA256", chacha20poly1305.KeySize, sha256.Size, expand(sha256.New), chacha20poly1305.New},
}

func expand(h func() hash.Hash) func([]byte, string, int) ([]byte, error) {
	return func(secret []byte, info string, n int) ([]byte, error) { return hkdf.Expand(h, secret, info, n) }
}

func gcm(key []byte) (cipher.AEAD, error) {
	b, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(b)
}

// ErrUnsupported is wrapped by Init's errors: the connection stays with who made the handshake.
var ErrUnsupported = errors.New("records of this connection are not ours to protect")

// Init makes a key of a traffic secret that no record has been protected with. It keeps a copy of the secret. Keys are made where they stay:
// a copy would not be overwritten.
func (k *Key) Init(id uint16, secret []byte) error {
	s := suites[id]
	switch {
	case fips140.Enabled():
		return fmt.Errorf("%w: the process runs in FIPS 140-3 mode", ErrUnsupported)
	case s == nil:
		return fmt.Errorf("%w: cipher suite %#04x", ErrUnsupported, id)
	case len(secret) != s.hashLen:
		return fmt.Errorf("%w: a secret of %d bytes, %s has one of %d", ErrUnsupported, len(secret), s.name, s.hashLen)
	}
	*k = Key{suite: s}
	copy(k.secret[:], secret)
	return k.derive()
}

// String is the cipher suite's name, and no secret.
func (k *Key) String() string {
	if k.suite == nil {
		return "no key"
	}
	return k.suite.name
}

// Format has every verb print String: no secret gets into a text by accident.
func (k *Key) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, k.String()) }

// label is HKDF-Expand-Label with an empty context (RFC 8446 section 7.1).
func (k *Key) label(name string, n int) ([]byte, error) {
	const prefix = "tls13 "
	info := append([]byte{byte(n >> 8), byte(n), byte(len(prefix) + len(name))}, prefix+name...)
	return k.suite.expand(k.secret[:k.suite.hashLen], string(append(info, 0)), n)
}

// derive makes the cipher of the secret (section 7.3).
func (k *Key) derive() error {
	key, err := k.label("key", k.suite.keyLen)
	if err != nil {
		return err
	}
	defer clear(key)
	iv, err := k.label("iv", nonceLen)
	if err != nil {
		return err
	}
	defer clear(iv)
	copy(k.iv[:], iv)
	k.aead, err = k.suite.aead(key)
	return err
}

// Update goes on with the next secret (section 7.2), and overwrites the one before.
func (k *Key) Update() error {
	next, err := k.label("traffic upd", k.suite.hashLen)
	if err != nil {
		return err
	}
	defer clear(next)
	copy(k.secret[:], next)
	k.seq = 0
	return k.derive()
}

// Rest lets go of the cipher, some 800 bytes. It is made again for the next record, which costs a few microseconds.
func (k *Key) Rest() { k.aead = nil }

// Forget overwrites all that is secret. The key is of no use any more.
func (k *Key) Forget() {
	clear(k.secret[:])
	clear(k.iv[:])
	clear(k.nonce[:])
	k.aead, k.suite = nil, nil
}

// most is how many records one key seals. AES-GCM is good for 2^24.5 full ones (section 5.5); for ChaCha20-Poly1305 there is no such bound.
const most = 1 << 24

// Worn says whether a KeyUpdate is due. It is asked before each few records.
func (k *Key) Worn() bool { return k.seq >= most }

var errForgotten = errors.New("tls: the key was given up")

// ready makes the nonce of the next record (section 5.3), and the cipher if it rests.
func (k *Key) ready() error {
	if k.suite == nil {
		return errForgotten
	}
	if k.aead == nil {
		if err := k.derive(); err != nil {
			return err
		}
	}
	if k.seq == 1<<64-1 {
		return errors.New("tls: the record numbers of a key are used up") // section 5.3
	}
	k.nonce = k.iv
	for i := range 8 {
		k.nonce[nonceLen-1-i] ^= byte(k.seq >> (8 * i))
	}
	k.seq++
	return nil
}

// Seal appends a record with content, of MaxContent bytes at most. It copies the content once, and allocates nothing where dst has room for
// Overhead bytes more than it.
func (k *Key) Seal(dst []byte, typ byte, content []byte) ([]byte, error) {
	if len(content) > MaxContent {
		return dst, &Error{InternalError, "a record's content is too long"}
	}
	if err := k.ready(); err != nil {
		return dst, err
	}
	n, at := len(content)+1+tagLen, len(dst)
	dst = slices.Grow(dst, HeaderLen+n)
	dst = append(dst, Application, 3, 3, byte(n>>8), byte(n))
	dst = append(append(dst, content...), typ)
	plain := dst[at+HeaderLen:]
	return dst[:at+HeaderLen+len(k.aead.Seal(plain[:0], k.nonce[:], plain, dst[at:at+HeaderLen]))], nil
}

// Open opens a whole record (see Size) where it stands, and returns its content, which is part of it. Padding is taken off (section 5.4).
// After an error the record's bytes mean nothing.
func (k *Key) Open(record []byte) (typ byte, content []byte, err error) {
	if err := k.ready(); err != nil {
		return 0, nil, err
	}
	sealed := record[HeaderLen:]
	content, err = k.aead.Open(sealed[:0], k.nonce[:], sealed, record[:HeaderLen])
	if err != nil {
		return 0, nil, &Error{BadRecordMAC, "a record is not the peer's, or was changed on its way"}
	}
	if len(content) > MaxContent+1 { // "the full encoded TLSInnerPlaintext MUST NOT exceed 2^14 + 1 octets" (section 5.4)
		return 0, nil, &Error{RecordOverflow, "a record's content is too long"}
	}
	for i := len(content) - 1; i >= 0; i-- {
		if content[i] != 0 {
			return content[i], content[:i], nil
		}
	}
	return 0, nil, &Error{UnexpectedMessage, "a record without a content type"}
}
