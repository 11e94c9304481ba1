package kube

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
)

// ErrToken is wrapped when a token proves nothing, whoever sends it again.
var ErrToken = errors.New("the token proves no workload")

// Proof is what a token proves: which pod sent it, and the account that the pod runs as.
type Proof struct{ Namespace, Account, Pod, PodUID string }

const (
	accounts = "system:serviceaccount:"                // user names of service accounts begin so
	podName  = "authentication.kubernetes.io/pod-name" // of the pod that a token is bound to
	podUID   = "authentication.kubernetes.io/pod-uid"
)

// maxToken is how many bytes a token may have. Those of a cluster have about 1,000.
const maxToken = 16 << 10

// Attest has the API server check a service account's token that was made for an audience and is bound to a pod. It fails for a pod
// that is gone. An error that wraps ErrToken is about the token, which it does not repeat; others say that nobody could check it.
// No good token is remembered: one is good for as long as the API server says so. One that is not is refused for a while without asking again.
func (c *Cluster) Attest(ctx context.Context, token, audience string) (Proof, error) {
	if token == "" || len(token) > maxToken || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return Proof{}, fmt.Errorf("%w: it is none: %d bytes, or characters that no token has", ErrToken, len(token))
	}
	now := time.Now()
	if err := c.refused.of(token, now); err != nil {
		return Proof{}, err
	}
	select {
	case c.reviews <- struct{}{}:
		defer func() { <-c.reviews }()
	case <-ctx.Done():
		return Proof{}, ctx.Err()
	}
	review := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: []string{audience}}}
	answer, err := c.typed.AuthenticationV1().TokenReviews().Create(ctx, review, metav1.CreateOptions{})
	if err != nil {
		return Proof{}, c.explain("checking a token", err)
	}
	p, err := proofOf(&answer.Status, audience)
	if err != nil {
		c.refused.add(token, err, now)
	}
	return p, err
}

// Of tokens that were refused: how long that is remembered, and of how many.
const (
	refusedFor  = 10 * time.Second
	mostRefused = 4096
)

// refused remembers tokens that prove nothing, by their hashes: who sends one again and again costs the API server one question in a while.
type refused struct {
	mu sync.Mutex
	by map[[sha256.Size]byte]turnedDown
}

type turnedDown struct {
	err error
	at  time.Time
}

func (r *refused) of(token string, now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if is := r.by[sha256.Sum256([]byte(token))]; now.Sub(is.at) < refusedFor {
		return is.err
	}
	return nil
}

func (r *refused) add(token string, err error, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.by) >= mostRefused {
		maps.DeleteFunc(r.by, func(_ [sha256.Size]byte, is turnedDown) bool { return now.Sub(is.at) >= refusedFor })
	}
	if len(r.by) >= mostRefused || r.by == nil { // there are too many: who sends ever others is not slowed by this
		r.by = map[[sha256.Size]byte]turnedDown{}
	}
	r.by[sha256.Sum256([]byte(token))] = turnedDown{err, now}
}

// proofOf reads what the API server says of a token.
func proofOf(s *authenticationv1.TokenReviewStatus, audience string) (p Proof, err error) {
	switch {
	case !s.Authenticated && s.Error != "":
		return p, fmt.Errorf("%w: the API server does not accept it: %s", ErrToken, s.Error)
	case !s.Authenticated:
		return p, fmt.Errorf("%w: the API server does not accept it: it is expired, of another cluster, of a pod that is gone, or not for the audience %q", ErrToken, audience)
	case !slices.Contains(s.Audiences, audience): // TokenReviewStatus.audiences: an API server that says none does not check them
		return p, fmt.Errorf("%w: it is not for the audience %q; project it with that audience", ErrToken, audience)
	}
	if p.Namespace, p.Account, err = accountOf(s.User.Username); err != nil {
		return Proof{}, err
	}
	p.Pod, p.PodUID = one(s.User.Extra[podName]), one(s.User.Extra[podUID])
	if p.Pod == "" || p.PodUID == "" {
		return Proof{}, fmt.Errorf("%w: it is bound to no pod; use the token that is projected into the pod, not one of a Secret", ErrToken)
	}
	if why := validation.IsDNS1123Subdomain(p.Pod); len(why) > 0 {
		return Proof{}, fmt.Errorf("%w: the pod's name is none: %s", ErrToken, why[0])
	}
	return p, nil
}

func one(values authenticationv1.ExtraValue) string {
	if len(values) != 1 {
		return ""
	}
	return values[0]
}

// accountOf takes "system:serviceaccount:NAMESPACE:NAME" apart.
func accountOf(user string) (namespace, account string, err error) {
	rest, ok := strings.CutPrefix(user, accounts)
	namespace, account, parted := strings.Cut(rest, ":")
	if !ok || !parted || len(validation.IsDNS1123Label(namespace)) > 0 || len(validation.IsDNS1123Subdomain(account)) > 0 {
		return "", "", fmt.Errorf("%w: it is of %q, and not of a service account", ErrToken, user)
	}
	return namespace, account, nil
}
