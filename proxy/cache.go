package proxy

import (
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/proxy/renew"
	"github.com/weft-mesh/weft/stream"
)

// cached is what a proxy leaves for the one that comes after it, so that this one needs no control plane to begin: the last good
// configuration, and a certificate with its key, because without one it would have to refuse every call.
type cached struct {
	Resources []stream.Resource `pb:"1"`
	Chain     [][]byte          `pb:"2"`
	Key       []byte            `pb:"3"` // PKCS #8
}

// State is what another process needs to serve as this one does, for its Options.State: the configuration in use, and the
// certificate with its key.
func (p *Proxy) State() []byte {
	c := cached{Resources: p.store.Dump()}
	if i := p.renew.Issued(); i != nil {
		if key, err := x509.MarshalPKCS8PrivateKey(i.Key); err == nil {
			c.Chain, c.Key = i.Chain, key
		}
	}
	return config.Append(nil, &c)
}

// save writes the cache: a whole new file takes the old one's place, and nobody but its user reads it. Where it can't, no file is
// left: a proxy that began with older policies might let pass what newer ones forbid, and one without any refuses. A proxy that has
// yielded leaves the file to its successor.
func (p *Proxy) save() {
	p.saving.Lock()
	defer p.saving.Unlock()
	if p.opts.Cache == "" || p.yielded {
		return
	}
	if err := replace(p.opts.Cache, p.State()); err != nil {
		if gone := os.Remove(p.opts.Cache); !errors.Is(gone, fs.ErrNotExist) {
			err = errors.Join(err, gone)
		}
		p.opts.Warn(fmt.Errorf("keep the configuration for a restart: %w", err))
	}
}

func replace(path string, b []byte) error {
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

// restore takes another process' state into use, or else the cache. A cache that cannot be read is as good as none.
func (p *Proxy) restore() error {
	if p.opts.State != nil {
		return p.restoreFrom(p.opts.State)
	}
	if p.opts.Cache == "" {
		return nil
	}
	b, err := os.ReadFile(p.opts.Cache)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = p.restoreFrom(b)
	}
	if err != nil {
		p.opts.Warn(fmt.Errorf("take up %s (the control plane will send it again): %w", p.opts.Cache, err))
	}
	return nil
}

func (p *Proxy) restoreFrom(state []byte) error {
	var c cached
	err := config.Parse(state, &c)
	if err == nil {
		err = p.restoreConfig(c.Resources)
	}
	if err == nil && len(c.Chain) > 0 {
		err = p.restoreIdentity(&c)
	}
	return err
}

// restoreConfig hands resources to the store as if they had just come, what does not exist first: rules that lead there need not
// wait.
func (p *Proxy) restoreConfig(all []stream.Resource) error {
	var gone, there []stream.Update
	for _, r := range all {
		p.store.Expect(r.Name, p.now())
		if r.Gone {
			p.opts.Config.Want(r.Name)
			gone = append(gone, stream.Update{Name: r.Name})
			continue
		}
		p.opts.Config.Restore(r.Name, r.Body)
		there = append(there, stream.Update{Name: r.Name, Body: r.Body})
	}
	for name, err := range p.Apply(append(gone, there...)) {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func (p *Proxy) restoreIdentity(c *cached) error {
	key, err := x509.ParsePKCS8PrivateKey(c.Key)
	if err != nil {
		return err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return errors.New("its key cannot sign")
	}
	return p.renew.Restore(&renew.Issued{Chain: c.Chain, Key: signer})
}
