package proxy

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/identity"
	"github.com/weft-mesh/weft/identity/cert"
)

// Certify asks an authority for a certificate: a request in, a chain out, both DER, leaf first.
type Certify func(ctx context.Context, csr []byte) (chain [][]byte, err error)

// Pauses between failed attempts to renew, doubling.
const (
	firstRenewPause = 200 * time.Millisecond
	lastRenewPause  = 30 * time.Second
)

// renewer keeps the store's certificate fresh: at half of its life, and at once when the root that signs has changed.
type renewer struct {
	id      identity.ID
	store   *cert.Store
	certify Certify
	clock   func() time.Time
	failed  func(error)   // hears why an attempt failed
	changed chan struct{} // stirred when the roots have changed

	issuer atomic.Pointer[identity.RootID] // the root that signs now, as far as is known
	issued atomic.Pointer[issued]
	saved  func() // hears of a new certificate
}

func newRenewer(o *Options) *renewer {
	return &renewer{id: o.ID, store: o.Cert, certify: o.Certify, clock: o.Clock, failed: o.Warn, changed: make(chan struct{}, 1), saved: func() {}}
}

// run renews until ctx ends. Between two attempts there is always a pause: a certificate that is due again at once, because the
// authority does not sign with the new root yet, must not make a flood of requests.
func (r *renewer) run(ctx context.Context) {
	pause := firstRenewPause
	for ctx.Err() == nil {
		if r.due() <= 0 {
			if err := r.renew(ctx); err != nil && ctx.Err() == nil {
				r.failed(fmt.Errorf("renew the certificate of %s (the one in use stays until it expires): %w", r.id, err))
			}
		}
		wait := r.due()
		if wait > 0 {
			pause = firstRenewPause
		} else {
			wait, pause = pause, min(2*pause, lastRenewPause)
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-t.C:
		case <-r.changed:
		}
		t.Stop()
	}
}

// due says how long the certificate may stay.
func (r *renewer) due() time.Duration {
	own := r.store.Identity()
	if own == nil {
		return 0
	}
	if issuer := r.issuer.Load(); issuer != nil && r.store.OwnRoot() != *issuer {
		return 0
	}
	now := r.clock()
	return own.RenewAt(now, spread(own.Serial)).Sub(now)
}

// spread is in [0, 1) and the same for one certificate, so that a due time stands still.
func spread(serial string) float64 {
	var h uint64 = 14695981039346656037
	for i := range len(serial) {
		h = (h ^ uint64(serial[i])) * 1099511628211
	}
	return rand.New(rand.NewPCG(h, h)).Float64()
}

func (r *renewer) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, renewTimeout)
	defer cancel()
	key, csr, err := cert.NewRequest(r.id)
	if err != nil {
		return err
	}
	chain, err := r.certify(ctx, csr)
	if err != nil {
		return err
	}
	own, err := cert.ParseIdentity(chain, key)
	if err != nil {
		return err
	}
	if err := r.store.SetIdentity(own); err != nil {
		return err
	}
	r.issued.Store(&issued{chain, key})
	r.saved()
	return nil
}

const renewTimeout = 10 * time.Second

// trust takes the roots of a trust domain into use.
func (r *renewer) trust(t *config.Trust) error {
	var raw []byte
	for _, root := range t.Roots {
		raw = append(raw, root...)
	}
	b, err := cert.ParseBundle(t.Domain, t.Sequence, raw)
	if err != nil {
		return err
	}
	if err := r.store.SetBundles(b); err != nil {
		return err
	}
	if len(t.Issuer) == len(identity.RootID{}) {
		id := identity.RootID(t.Issuer)
		r.issuer.Store(&id)
	}
	select {
	case r.changed <- struct{}{}:
	default:
	}
	return nil
}
