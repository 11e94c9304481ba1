package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// dir is the control plane's state: private to its user, each file replaced as a whole.
type dir string

// prepare makes the directory, or checks that nobody else may look into it.
func (d dir) prepare() error {
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	st, err := os.Stat(string(d))
	if err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	if st.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("state directory %s: others may enter it (mode %o), and it holds keys; chmod 700 %s", d, st.Mode().Perm(), d)
	}
	return nil
}

func (d dir) path(name string) string { return filepath.Join(string(d), name) }

// load reads a file into v; v is left alone if there is none.
func (d dir) load(name string, v any) error {
	b, err := os.ReadFile(d.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	if err != nil {
		return fmt.Errorf("state %s: %w; move the file away to begin without it", d.path(name), err)
	}
	return nil
}

// save replaces a file.
func (d dir) save(name string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("state %s: %w", name, err)
	}
	f, err := os.CreateTemp(string(d), name+".*")
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), d.path(name))
	}
	if err != nil {
		os.Remove(f.Name())
		return fmt.Errorf("state %s: %w", d.path(name), err)
	}
	return nil
}
