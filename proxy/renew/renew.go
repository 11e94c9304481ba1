// Package renew keeps a workload's certificate fresh. The key is made here and leaves only with Issued, for a proxy that begins again.
package renew

import (
	"context"
	"crypto"
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
	firstPause = 200 * time.Millisecond
	lastPause  = 30 * time.Second
)

// Options configures a Renewer. All fields are required.
type Options struct {
	ID      identity.ID
	Store   *cert.Store // whose certificate it is
	Certify Certify
	Clock   func() time.Time
	Failed  func(error) // hears why an attempt failed
	Renewed func()      // hears of each new certificate
}

// Renewer keeps the store's certificate fresh: at half of its life, and at once when the root that signs has changed.
type Renewer struct {
	o       Options
	changed chan struct{} // stirred when the roots have changed

	issuer atomic.Pointer[identity.RootID] // the root that signs now, as far as is known
	issued atomic.Pointer[Issued]

	planned *cert.Identity // the certificate that at is of; of Run alone, as is
	at      time.Time      // when it is to be renewed
}

// Issued is a certificate as it came, leaf first, and its key.
type Issued struct {
	Chain [][]byte
	Key   crypto.Signer
}

// New readies a renewer. Run begins.
func New(o Options) *Renewer { return &Renewer{o: o, changed: make(chan struct{}, 1)} }

// Issued is the certificate in use; nil: none has come so far.
func (r *Renewer) Issued() *Issued { return r.issued.Load() }

// Restore takes a certificate of an earlier run into use.
func (r *Renewer) Restore(i *Issued) error {
	own, err := cert.ParseIdentity(i.Chain, i.Key)
	switch {
	case err != nil:
		return err
	case own.ID != r.o.ID:
		return fmt.Errorf("the certificate is of %s, and not of %s", own.ID, r.o.ID)
	}
	return r.take(i, own)
}

func (r *Renewer) take(i *Issued, own *cert.Identity) error {
	if err := r.o.Store.SetIdentity(own); err != nil {
		return err
	}
	r.issued.Store(i)
	return nil
}

// Run renews until ctx ends. Between two attempts there is always a pause: a certificate that is due again at once, because the
// authority does not sign with the new root yet, must not make a flood of requests.
func (r *Renewer) Run(ctx context.Context) {
	pause := firstPause
	for ctx.Err() == nil {
		if r.due() <= 0 {
			if err := r.renew(ctx); err != nil && ctx.Err() == nil {
				r.o.Failed(fmt.Errorf("renew the certificate of %s (the one in use stays until it expires): %w", r.o.ID, err))
			}
		}
		wait := r.due()
		if wait > 0 {
			pause = firstPause
		} else {
			wait, pause = pause, min(2*pause, lastPause)
		}
		t := time.NewTimer(min(wait, lookAgain))
		select {
		case <-ctx.Done():
		case <-t.C:
		case <-r.changed:
		}
		t.Stop()
	}
}

// due says how long the certificate may stay.
func (r *Renewer) due() time.Duration {
	own := r.o.Store.Identity()
	if own == nil {
		return 0
	}
	if issuer := r.issuer.Load(); issuer != nil && r.o.Store.OwnRoot() != *issuer {
		return 0
	}
	now := r.o.Clock()
	if own != r.planned { // once for each: asked again after the half, RenewAt moves on, and nothing would ever be due
		r.planned, r.at = own, own.RenewAt(now, spread(own.Serial))
	}
	return r.at.Sub(now)
}

// spread is in [0, 1) and the same for one certificate.
func spread(serial string) float64 {
	var h uint64 = 14695981039346656037
	for i := range len(serial) {
		h = (h ^ uint64(serial[i])) * 1099511628211
	}
	return rand.New(rand.NewPCG(h, h)).Float64()
}

func (r *Renewer) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	key, csr, err := cert.NewRequest(r.o.ID)
	if err != nil {
		return err
	}
	chain, err := r.o.Certify(ctx, csr)
	if err != nil {
		return err
	}
	own, err := cert.ParseIdentity(chain, key)
	if err != nil {
		return err
	}
	if err := r.take(&Issued{chain, key}, own); err != nil {
		return err
	}
	r.o.Renewed()
	return nil
}

const timeout = 10 * time.Second

// lookAgain is after how long the clock is looked at again: that of timers stands still while a machine sleeps, and stays where it was
// when the other one is set, by which certificates expire.
const lookAgain = time.Minute

// Trust takes the roots of a trust domain into use.
func (r *Renewer) Trust(t *config.Trust) error {
	var raw []byte
	for _, root := range t.Roots {
		raw = append(raw, root...)
	}
	b, err := cert.ParseBundle(t.Domain, t.Sequence, raw)
	if err != nil {
		return err
	}
	if err := r.o.Store.SetBundles(b); err != nil {
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
