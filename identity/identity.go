// Package identity names workloads: a SPIFFE ID is a value that is parsed once per connection and then compared.
//
// It is the part of identity that every package may import. What needs crypto/x509, and with it net, is below it:
// identity/cert checks certificates, identity/ca issues them. Everything that Parse refuses is refused because the
// SPIFFE ID specification refuses it, or because it does not name an account in a namespace.
package identity

import (
	"errors"
	"fmt"
	"strings"
)

// ID is a SPIFFE ID that names a service account, as a comparable value. The zero ID is a peer that is not authenticated.
type ID struct {
	TrustDomain, Namespace, ServiceAccount string
	uri                                    string
}

const (
	scheme       = "spiffe://"
	maxDomainLen = 255  // SPIFFE ID section 2.3
	maxURILen    = 2048 // SPIFFE ID section 2.3
)

// ErrMalformed is wrapped by every error of Parse and Validate.
var ErrMalformed = errors.New("malformed SPIFFE ID")

// Of builds an ID with its URI, so that String never allocates. It checks nothing: names that come from outside go
// through Validate before anything is decided by them.
func Of(td, ns, sa string) ID { return ID{td, ns, sa, scheme + td + "/ns/" + ns + "/sa/" + sa} }

// Parse reads "spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/ACCOUNT" strictly (SPIFFE ID section 2): lower-case scheme and trust
// domain, no user, port, query, fragment, percent-encoding, empty or relative segment. Two texts never parse to the
// same ID. The ID holds on to uri; nothing is allocated.
func Parse(uri string) (ID, error) {
	if len(uri) > maxURILen {
		return ID{}, fmt.Errorf("identity: %.40q... has %d bytes, at most %d are allowed: %w", uri, len(uri), maxURILen, ErrMalformed)
	}
	rest, ok := strings.CutPrefix(uri, scheme)
	td, path, _ := strings.Cut(rest, "/")
	ns, isNS := strings.CutPrefix(path, "ns/")
	ns, sa, isSA := strings.Cut(ns, "/sa/")
	if !ok || !isNS || !isSA {
		return ID{}, fmt.Errorf("identity: %q is not spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/ACCOUNT: %w", uri, ErrMalformed)
	}
	if err := ValidTrustDomain(td); err != nil {
		return ID{}, err
	}
	for _, s := range [...]string{ns, sa} {
		if err := validSegment(s); err != nil {
			return ID{}, fmt.Errorf("identity: %q: %w", uri, err)
		}
	}
	return ID{td, ns, sa, uri}, nil
}

// ValidTrustDomain says why a name can't be a trust domain (SPIFFE ID section 2.1), or nil.
func ValidTrustDomain(td string) error {
	if td == "" || len(td) > maxDomainLen {
		return fmt.Errorf("identity: trust domain %.40q has %d bytes, 1 to %d are allowed: %w", td, len(td), maxDomainLen, ErrMalformed)
	}
	for i := range len(td) {
		if c := td[i]; !isLower(c) && !isMark(c) {
			return fmt.Errorf("identity: trust domain %q: %q is not one of a-z, 0-9, '.', '-' and '_': %w", td, c, ErrMalformed)
		}
	}
	return nil
}

// validSegment checks one segment of a path (SPIFFE ID section 2.2).
func validSegment(s string) error {
	if s == "" || s == "." || s == ".." {
		return fmt.Errorf("segment %q is empty or relative: %w", s, ErrMalformed)
	}
	for i := range len(s) {
		if c := s[i]; !isLower(c) && !isMark(c) && (c < 'A' || c > 'Z') {
			return fmt.Errorf("segment %q: %q is not a letter, a digit, '.', '-' or '_': %w", s, c, ErrMalformed)
		}
	}
	return nil
}

func isLower(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }

func isMark(c byte) bool { return c == '.' || c == '-' || c == '_' }

// Validate says why an ID that was put together by Of is not one that Parse would read, or nil.
func (i ID) Validate() error {
	p, err := Parse(i.uri)
	if err == nil && p != i {
		err = fmt.Errorf("identity: %q does not name account %q in namespace %q: %w", i.uri, i.ServiceAccount, i.Namespace, ErrMalformed)
	}
	return err
}

// Principal is the ID without its scheme, as Istio writes it.
func (i ID) Principal() string { return strings.TrimPrefix(i.uri, scheme) }

// IsZero reports a peer that is not authenticated.
func (i ID) IsZero() bool { return i.uri == "" }

// String is the URI; it is empty for the zero ID.
func (i ID) String() string { return i.uri }

// MarshalBinary is the URI's bytes; none for the zero ID.
func (i ID) MarshalBinary() ([]byte, error) { return []byte(i.uri), nil }

// UnmarshalBinary reads what MarshalBinary wrote: no bytes are the zero ID, anything else has to Parse.
func (i *ID) UnmarshalBinary(b []byte) (err error) {
	*i = ID{}
	if len(b) > 0 {
		*i, err = Parse(string(b))
	}
	return err
}
