// Package saved is what a proxy leaves for the one that comes after it, so that this one needs no control plane to begin: the last good
// configuration, and a certificate with its key, because without one it would have to refuse every call. It is in a file, or told by a
// process to the one that takes its place.
//
// An error of Parse says that nothing of it is to be used; one of Write, that the file is as it was.
package saved

import (
	"crypto"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"

	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/stream"
)

// State is what is left.
type State struct {
	Resources []stream.Resource
	Chain     [][]byte // of the certificate, DER, leaf first; none: there is no certificate
	Key       crypto.Signer
}

type written struct {
	Resources []stream.Resource `pb:"1"`
	Chain     [][]byte          `pb:"2"`
	Key       []byte            `pb:"3"` // PKCS #8
}

// Bytes are what Parse reads.
func (s *State) Bytes() []byte {
	w := written{Resources: s.Resources}
	if len(s.Chain) > 0 {
		if key, err := x509.MarshalPKCS8PrivateKey(s.Key); err == nil {
			w.Chain, w.Key = s.Chain, key
		}
	}
	return config.Append(nil, &w)
}

// Parse reads Bytes, which stay in use.
func Parse(b []byte) (*State, error) {
	var w written
	if err := config.Parse(b, &w); err != nil {
		return nil, err
	}
	s := &State{Resources: w.Resources, Chain: w.Chain}
	if len(w.Chain) == 0 {
		return s, nil
	}
	key, err := x509.ParsePKCS8PrivateKey(w.Key)
	if err != nil {
		return nil, err
	}
	var ok bool
	if s.Key, ok = key.(crypto.Signer); !ok {
		return nil, errors.New("its key cannot sign")
	}
	return s, nil
}

// Write has a whole new file take the place of the one at path. Nobody but its user reads it.
func Write(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}
