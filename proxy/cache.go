package proxy

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/weft-mesh/weft/proxy/renew"
	"github.com/weft-mesh/weft/proxy/saved"
	"github.com/weft-mesh/weft/stream"
)

// State is what another process needs to serve as this one does, for its Options.State: the configuration in use, and the
// certificate with its key.
func (p *Proxy) State() []byte {
	s := saved.State{Resources: p.store.Dump()}
	if i := p.renew.Issued(); i != nil {
		s.Chain, s.Key = i.Chain, i.Key
	}
	return s.Bytes()
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
	if err := saved.Write(p.opts.Cache, p.State()); err != nil {
		if gone := os.Remove(p.opts.Cache); !errors.Is(gone, fs.ErrNotExist) {
			err = errors.Join(err, gone)
		}
		p.opts.Warn(fmt.Errorf("keep the configuration for a restart: %w", err))
	}
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
	s, err := saved.Parse(state)
	if err == nil {
		err = p.restoreConfig(s.Resources)
	}
	if err == nil && len(s.Chain) > 0 {
		err = p.renew.Restore(&renew.Issued{Chain: s.Chain, Key: s.Key})
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
