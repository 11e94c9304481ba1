package ca

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"time"
)

// State keeps an authority: one piece of bytes that contains private keys, swapped as a whole. String names it in errors.
type State interface {
	fmt.Stringer
	// Load returns what was saved last; the error wraps fs.ErrNotExist only if nothing ever was.
	Load() ([]byte, error)
	// Create saves for the first time; the error wraps fs.ErrExist if there is something already.
	Create(data []byte) error
	// Replace saves, so that a crash leaves either the old or the new whole. It returns when it is on stable storage. Where
	// replicas share the state and another one has saved since the last Load or Replace here, nothing is saved and the
	// error wraps ErrChanged.
	Replace(data []byte) error
}

// format is raised when an older program could misread the state.
const format = 1

type savedRoots struct {
	Format      int        `json:"format"`
	TrustDomain string     `json:"trustDomain"`
	Sequence    uint64     `json:"sequence"`
	Active      *savedRoot `json:"active"`
	Next        *savedRoot `json:"next,omitempty"`
	Retiring    *savedRoot `json:"retiring,omitempty"`
	Settled     time.Time  `json:"settled,omitzero"`
}

// savedRoot is PEM, for the sake of whoever has to look at it with other tools.
type savedRoot struct {
	Chain string `json:"chain"`
	Key   string `json:"key"`
}

func (r Roots) encode() ([]byte, error) {
	s := savedRoots{Format: format, TrustDomain: r.TrustDomain, Sequence: r.Sequence, Settled: r.Settled}
	for _, p := range []struct {
		to   **savedRoot
		root *Root
	}{{&s.Active, r.Active}, {&s.Next, r.Next}, {&s.Retiring, r.Retiring}} {
		var err error
		if *p.to, err = p.root.encode(); err != nil {
			return nil, fmt.Errorf("ca: encoding a root: %w", err)
		}
	}
	return json.MarshalIndent(s, "", "  ")
}

func (r *Root) encode() (*savedRoot, error) {
	if r == nil {
		return nil, nil
	}
	key, err := x509.MarshalPKCS8PrivateKey(r.key)
	if err != nil {
		return nil, err
	}
	var chain []byte
	for _, c := range r.chain {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return &savedRoot{string(chain), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))}, nil
}

// decode reads what encode wrote, and believes nothing: a state is usable as a whole or not at all.
func decode(data []byte) (r Roots, err error) {
	if len(bytes.TrimSpace(data)) == 0 {
		return r, errors.New("it is empty")
	}
	var s savedRoots
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return r, fmt.Errorf("it is not the JSON that this version writes: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return r, errors.New("something follows the JSON object")
	}
	if s.Format != format {
		return r, fmt.Errorf("its format is %d, this version reads %d", s.Format, format)
	}
	r = Roots{TrustDomain: s.TrustDomain, Sequence: s.Sequence, Settled: s.Settled}
	for _, p := range []struct {
		name string
		to   **Root
		root *savedRoot
	}{{"active", &r.Active, s.Active}, {"next", &r.Next, s.Next}, {"retiring", &r.Retiring, s.Retiring}} {
		if *p.to, err = p.root.decode(s.TrustDomain); err != nil {
			return Roots{}, fmt.Errorf("field %q: %w", p.name, err)
		}
	}
	return r, r.check()
}

func (s *savedRoot) decode(trustDomain string) (*Root, error) {
	if s == nil {
		return nil, nil
	}
	r, err := parseRoot([]byte(s.Key), []byte(s.Chain))
	if err != nil {
		return nil, err
	}
	return r, r.belongsTo(trustDomain)
}

// check refuses what no step leads to.
func (r Roots) check() error {
	switch {
	case r.Active == nil:
		return errors.New(`field "active" is missing`)
	case r.Sequence == 0:
		return errors.New(`field "sequence" is missing`)
	case r.Next != nil && r.Retiring != nil:
		return errors.New(`both "next" and "retiring" are set`)
	case r.Retiring != nil && r.Settled.IsZero():
		return errors.New(`field "settled" is missing`)
	}
	return nil
}
