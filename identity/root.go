package identity

import (
	"crypto/sha256"
	"encoding/hex"
)

// RootID names a trust anchor: the SHA-256 of its subject and its public key, which are what a chain is verified against
// (RFC 5280 section 6.1.1 d). A root that is issued again with the same name and key is the same root. Comparable; the
// zero RootID is no root.
type RootID [sha256.Size]byte

// RootOf names the root whose certificate has this DER-encoded subject and SubjectPublicKeyInfo.
func RootOf(rawSubject, rawPublicKey []byte) RootID {
	h := sha256.New()
	h.Write(rawSubject) // DER says its own length, so nothing needs to stand between the two
	h.Write(rawPublicKey)
	return RootID(h.Sum(nil))
}

// IsZero reports that there is no root.
func (r RootID) IsZero() bool { return r == RootID{} }

// String is 16 hex digits: enough to tell roots apart in logs and tables.
func (r RootID) String() string {
	if r.IsZero() {
		return "none"
	}
	return hex.EncodeToString(r[:8])
}
