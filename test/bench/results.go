package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
)

// results are what a run has found.
type results struct {
	Groups   []*group  `json:"groups"`
	Verdicts []verdict `json:"verdicts,omitempty"`
}

func (r *results) failed() (n int) {
	for _, v := range r.Verdicts {
		if !v.Passed {
			n++
		}
	}
	return n
}

// write writes the files that the flags name.
func (r *results) write(f *flags, t *tools) error {
	if f.raw != "" {
		if err := r.writeRaw(f.raw); err != nil {
			return err
		}
	}
	if f.docs == "" {
		return nil
	}
	page, err := r.page(f, t)
	if err != nil {
		return err
	}
	return errors.Join(r.writeRaw(filepath.Join(f.docs, "performance.json")),
		os.WriteFile(filepath.Join(f.docs, "performance.svg"), r.picture(), 0o644),
		os.WriteFile(filepath.Join(f.docs, "performance.md"), page, 0o644))
}

func (r *results) writeRaw(path string) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}
