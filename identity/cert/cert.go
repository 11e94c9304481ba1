// Package cert holds a proxy's own certificate and the roots it believes, checks peers against them, and changes both
// while connections are open.
//
// What it promises: a peer is who its certificate says before a byte of the application passes, in either direction;
// every connection knows on which two roots it rests (the peer's and our own), so that those which rest on a retired
// root can be found; nothing is verified once and believed for ever, since sessions are never resumed. Time comes from
// a function that is passed in. Errors wrap one of the sentinels below and say what, when, and what to look at; Reason
// turns them into a label.
//
// Checked are RFC 5280 paths, by crypto/x509, and the X509-SVID standard on top of it.
package cert

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/weft-mesh/weft/identity"
)

// Why a handshake or a certificate is refused; errors wrap one of them.
var (
	ErrNoIdentity  = errors.New("no certificate of our own")
	ErrExpired     = errors.New("certificate expired")
	ErrNotYetValid = errors.New("certificate not yet valid")
	ErrUntrusted   = errors.New("certificate not signed by a trusted root")
	ErrNotSVID     = errors.New("not an X.509-SVID")
	ErrWrongPeer   = errors.New("wrong peer")
	ErrStale       = errors.New("stale trust bundle")
)

// WrongPeerError is a peer whose certificate is good, but of another account than the one that was called. It is
// ErrWrongPeer.
type WrongPeerError struct{ Want, Got identity.ID }

func (e *WrongPeerError) Error() string {
	return fmt.Sprintf("cert: wrong peer: wanted %s, got %s; does another workload have the endpoint's address by now, or a Service select Pods of several accounts?",
		orNone(e.Want), orNone(e.Got))
}

func orNone(id identity.ID) string {
	if id.IsZero() {
		return "no identity"
	}
	return id.String()
}

// Is makes the error ErrWrongPeer.
func (e *WrongPeerError) Is(target error) bool { return target == ErrWrongPeer }

// Reason is one of a closed list, for a metric's label: why a handshake failed.
func Reason(err error) string {
	for _, r := range []struct {
		is   error
		name string
	}{{ErrNoIdentity, "no_identity"}, {ErrExpired, "expired"}, {ErrNotYetValid, "not_yet_valid"},
		{ErrUntrusted, "untrusted"}, {ErrNotSVID, "not_svid"}, {ErrWrongPeer, "wrong_peer"}} {
		if errors.Is(err, r.is) {
			return r.name
		}
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" { // crypto/tls: an alert
		return "refused_by_peer"
	}
	return "handshake"
}

// inTime says why a certificate is not valid now, or nil. Both ends of the validity belong to it (RFC 5280 section 4.1.2.5).
func inTime(who string, c *x509.Certificate, now time.Time) error {
	switch {
	case now.Before(c.NotBefore):
		return fmt.Errorf("cert: certificate of %s is valid from %s, and it is %s here; is the clock right?: %w",
			who, stamp(c.NotBefore), stamp(now), ErrNotYetValid)
	case now.After(c.NotAfter):
		return fmt.Errorf("cert: certificate of %s expired at %s, and it is %s here; is the clock right, is the control plane running?: %w",
			who, stamp(c.NotAfter), stamp(now), ErrExpired)
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
