package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/weft-mesh/weft/control"
	"github.com/weft-mesh/weft/dialect"
	"github.com/weft-mesh/weft/identity/ca"
	"github.com/weft-mesh/weft/proxy/plane"
	"github.com/weft-mesh/weft/source/kube"
	"github.com/weft-mesh/weft/stream"
)

// audience is that of the tokens that pods prove themselves by: one that was made for another service is worth nothing here.
const audience = "weft"

func (r *replica) attest(ctx context.Context, token string) (control.Proof, error) {
	p, err := r.cluster.Attest(ctx, token, audience)
	if errors.Is(err, kube.ErrToken) {
		err = fmt.Errorf("%w: %w", control.ErrToken, err)
	}
	return control.Proof(p), err
}

// get returns an object, or nothing where there is none.
func (r *replica) get(ctx context.Context, k dialect.Key) (map[string]any, error) {
	o, err := r.cluster.Get(ctx, k)
	return o, absentIsFine(err)
}

func absentIsFine(err error) error {
	if errors.Is(err, kube.ErrAbsent) {
		return nil
	}
	return err
}

// trustDomainOf is that of the identities: the authority's, or the one that it is to have. What was said beside an authority that is there is for
// whoever leads, see brought: the mesh goes on as it is.
func trustDomainOf(chart string, a kube.Authority) (string, error) {
	if a.Kept.Domain != "" {
		a.Domains = nil
	}
	domain, err := a.TrustDomain(chart)
	if err != nil {
		err = fmt.Errorf("%w: %s", err, kube.DomainRemedy)
	}
	return domain, err
}

// brought is an authority that somebody else keeps in the Secret where the mesh's own is otherwise. One of another trust domain is none for this mesh.
func (r *replica) brought() (*ca.Root, error) {
	a, err := r.state.Authority()
	if err != nil {
		return nil, err
	}
	root, err := broughtIn(a, r.trustDomain, time.Now())
	if err != nil {
		err = fmt.Errorf("%s %w", r.state, err)
	}
	return root, err
}

func broughtIn(a kube.Authority, trustDomain string, now time.Time) (*ca.Root, error) {
	there, err := a.Brought()
	if err != nil {
		return nil, err
	}
	if a.Kept.Domain == "" { // the mesh begins now, and the Secret may have come after this replica asked for it
		a.Kept = ca.Said{Where: "weft-control as it started", Domain: trustDomain}
	}
	if _, err := a.TrustDomain(""); err != nil {
		return nil, fmt.Errorf("is not followed: %w: %s", err, kube.DomainRemedy)
	}
	if !there {
		return nil, nil
	}
	root, err := ca.Import(trustDomain, a.Key, a.Chain, now)
	if err != nil {
		return nil, fmt.Errorf("cannot sign: %w", err)
	}
	return root, nil
}

// expired says, by an annotation of the authority's Secret, from when on a root has to be.
func (r *replica) expired() (t time.Time, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), askTime)
	defer cancel()
	o, err := r.get(ctx, dialect.Key{Kind: "Secret", Namespace: r.namespace, Name: r.authority})
	if err != nil {
		return t, err
	}
	return expiredOf(o)
}

// rootsExpired is a time of RFC 3339: roots that were made before it are replaced.
const rootsExpired = "weft.dev/roots-expired"

func expiredOf(secret map[string]any) (t time.Time, err error) {
	meta, _ := secret["metadata"].(map[string]any)
	text := texts(meta["annotations"])[rootsExpired]
	if text == "" {
		return t, nil
	}
	if t, err = time.Parse(time.RFC3339, text); err != nil {
		return t, fmt.Errorf("annotation %s of the authority's Secret: %w", rootsExpired, err)
	}
	return t, nil
}

// ask asks another replica, which has to prove itself as it does to proxies. The roots to know it by are those that are published.
func (r *replica) ask(ctx context.Context, at netip.Addr, q *stream.StandingRequest) ([]string, error) {
	_, port, err := net.SplitHostPort(r.streams)
	if err != nil {
		return nil, err
	}
	roots, err := r.control.RootsPEM()
	if err != nil {
		return nil, err
	}
	p := plane.Plane{Address: net.JoinHostPort(at.String(), port), Name: r.names()[0], RootsPEM: func() []byte { return roots }, TokenFile: r.token}
	return p.Standing(ctx, q.Trust, q.Root)
}
