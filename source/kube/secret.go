package kube

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/weft-mesh/weft/identity/ca"
)

// State keeps an authority in a Secret. A replica that has not seen the last change never overwrites it: it gets
// ca.ErrChanged, and sees the change with Load. Other keys of the Secret stay as they are.
type State struct {
	secrets         corev1client.SecretInterface
	cluster         *Cluster
	namespace, name string

	mu      sync.Mutex
	version string // resourceVersion of what was last seen; empty: nothing was
	seen    []byte
}

var _ ca.State = (*State)(nil)

// stateKey is the Secret's key that holds the state. It is as in a directory of ca.Dir.
const stateKey = "authority.json"

// stateTime bounds each request: its caller has no context.
const stateTime = 15 * time.Second

// Secret returns the authority's state in a Secret, which need not be there.
func (c *Cluster) Secret(namespace, name string) *State {
	return &State{secrets: c.typed.CoreV1().Secrets(namespace), cluster: c, namespace: namespace, name: name}
}

func (s *State) String() string { return "Secret " + s.namespace + "/" + s.name }

// Load reads the state. The error wraps fs.ErrNotExist where there is no Secret, or one without a state.
func (s *State) Load() ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	secret, err := s.get()
	if err != nil {
		return nil, err
	}
	data, ok := secret.Data[stateKey]
	if !ok {
		return nil, fmt.Errorf("%s has no key %s: %w", s, stateKey, fs.ErrNotExist)
	}
	s.saw(secret)
	return data, nil
}

// Authority is what a Secret says of an authority beside its state.
type Authority struct {
	Key, Chain []byte    // PEM, for ca.Import: of a signing authority that somebody brought, if Brought says so
	Kept       ca.Said   // the trust domain of the state
	Domains    []ca.Said // where else the Secret may say the trust domain
}

// Brought says whether somebody has put a signing authority there, as cert-manager lays it out: tls.key, and tls.crt, which ca.crt follows.
func (a Authority) Brought() (bool, error) {
	if (len(a.Key) == 0) != (len(a.Chain) == 0) {
		return false, fmt.Errorf("has one of %s and %s, and both are needed", corev1.TLSPrivateKeyKey, corev1.TLSCertKey)
	}
	return len(a.Key) > 0, nil
}

// Where a Secret says the trust domain besides by a certificate: by an annotation, which cert-manager writes where a Certificate has it in its
// secretTemplate, or by a key.
const (
	domainNote = "weft.dev/trust-domain"
	domainKey  = "trust-domain"
)

// defaultDomain is the trust domain of a mesh of which nobody says another.
const defaultDomain = "cluster.local"

// DomainRemedy says what to do about an error of Authority.TrustDomain.
const DomainRemedy = "a mesh keeps its trust domain: have all say the one that it has, or leave the chart's empty; for another one, " +
	"delete the Secret, restart weft-control, and then every pod of the mesh"

// TrustDomain is the one that the Secret says, and the chart, if they say any. The error names two that differ.
func (a Authority) TrustDomain(chart string) (string, error) {
	said := append([]ca.Said{a.Kept}, a.Domains...)
	return ca.OneDomain(defaultDomain, append(said, ca.Said{Where: "the chart's value trustDomain", Domain: chart})...)
}

// Authority reads the Secret. Where there is none, it says nothing.
func (s *State) Authority() (Authority, error) {
	secret, err := s.get()
	if errors.Is(err, fs.ErrNotExist) {
		return Authority{}, nil
	}
	if err != nil {
		return Authority{}, err
	}
	return AuthorityIn(secret.Annotations, secret.Data), nil
}

// AuthorityIn is State.Authority of what a Secret holds.
func AuthorityIn(annotations map[string]string, data map[string][]byte) Authority {
	chain := data[corev1.TLSCertKey]
	if above := data[corev1.ServiceAccountRootCAKey]; len(chain) > 0 && len(above) > 0 && !bytes.Contains(chain, bytes.TrimSpace(above)) {
		chain = bytes.Join([][]byte{bytes.TrimSpace(chain), bytes.TrimSpace(above), nil}, []byte("\n"))
	}
	return Authority{Key: data[corev1.TLSPrivateKeyKey], Chain: chain,
		Kept: ca.Said{Where: "its " + stateKey, Domain: ca.DomainOfState(data[stateKey])},
		Domains: []ca.Said{
			{Where: "its annotation " + domainNote, Domain: annotations[domainNote]},
			{Where: "its key " + domainKey, Domain: strings.TrimSpace(string(data[domainKey]))},
			{Where: "its certificate", Domain: ca.DomainOfChain(chain)},
		}}
}

func (s *State) get() (*corev1.Secret, error) {
	ctx, cancel := context.WithTimeout(context.Background(), stateTime)
	defer cancel()
	secret, err := s.secrets.Get(ctx, s.name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("%s: %w", s, fs.ErrNotExist)
	}
	return secret, s.cluster.explain("reading "+s.String(), err)
}

func (s *State) saw(secret *corev1.Secret) {
	s.version, s.seen = secret.ResourceVersion, secret.Data[stateKey]
}

// Create writes the first state, into a Secret of its own or one that has none yet. The error wraps fs.ErrExist if there is one.
func (s *State) Create(data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), stateTime)
	defer cancel()
	secret, err := s.secrets.Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: s.name,
		Labels: map[string]string{"app.kubernetes.io/managed-by": manager}}, Data: map[string][]byte{stateKey: data}}, metav1.CreateOptions{FieldManager: manager})
	if apierrors.IsAlreadyExists(err) {
		if secret, err = s.get(); err != nil {
			return err
		}
		if _, taken := secret.Data[stateKey]; taken {
			return fmt.Errorf("%s: %w", s, fs.ErrExist)
		}
		secret, err = s.patch(secret.ResourceVersion, data)
		if apierrors.IsConflict(err) {
			return fmt.Errorf("%s: somebody was faster: %w", s, fs.ErrExist)
		}
	}
	if err != nil {
		return s.cluster.explain("writing "+s.String(), err)
	}
	s.saw(secret)
	return nil
}

// patch sets the state, if the Secret is still that version.
func (s *State) patch(version string, data []byte) (*corev1.Secret, error) {
	ctx, cancel := context.WithTimeout(context.Background(), stateTime)
	defer cancel()
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"resourceVersion": version}, "data": map[string][]byte{stateKey: data}})
	if err != nil {
		return nil, err
	}
	return s.secrets.Patch(ctx, s.name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: manager})
}

// Replace writes the state that follows the one that was last loaded or written here.
func (s *State) Replace(data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.version == "" {
		return fmt.Errorf("%s: its state has not been read: %w", s, ca.ErrChanged)
	}
	secret, err := s.patch(s.version, data)
	if err == nil {
		s.saw(secret)
		return nil
	}
	if apierrors.IsForbidden(err) || apierrors.IsInvalid(err) {
		return s.cluster.explain("writing "+s.String(), err)
	}
	return s.settle(data, err)
}

// settle finds out what came of a write that failed: an answer may be lost whose write was not, and a conflict may be about other fields.
func (s *State) settle(data []byte, failed error) error {
	secret, err := s.get()
	switch {
	case err != nil:
		return s.cluster.explain("writing "+s.String(), failed)
	case bytes.Equal(secret.Data[stateKey], data):
		s.saw(secret)
		return nil
	case !bytes.Equal(secret.Data[stateKey], s.seen):
		return fmt.Errorf("%s: %w", s, ca.ErrChanged)
	case !apierrors.IsConflict(failed):
		return s.cluster.explain("writing "+s.String(), failed)
	}
	if secret, err = s.patch(secret.ResourceVersion, data); err != nil {
		return s.cluster.explain("writing "+s.String(), err)
	}
	s.saw(secret)
	return nil
}
