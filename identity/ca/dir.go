package ca

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Dir is a State in one file of a directory that only its owner may enter. It belongs to one process at a time.
type Dir string

const file = "authority.json"

func (d Dir) path() string { return filepath.Join(string(d), file) }

// String is the path of the file.
func (d Dir) String() string { return d.path() }

// Load reads the file, unless others could read it too.
func (d Dir) Load() ([]byte, error) {
	for _, p := range []string{string(d), d.path()} {
		if err := private(p); err != nil {
			return nil, err
		}
	}
	return os.ReadFile(d.path())
}

func private(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("%s has mode %#o, so others may know the authority's key; run chmod go= %s, and rotate the root "+
			"if this machine has other users", path, mode, path)
	}
	return nil
}

// Create makes the directory and the file. A hard link, unlike a rename, never takes the place of a file.
func (d Dir) Create(data []byte) error {
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return err
	}
	if err := private(string(d)); err != nil {
		return err
	}
	return d.write(data, func(temp string) error {
		err := os.Link(temp, d.path())
		return errors.Join(err, os.Remove(temp))
	})
}

// Replace puts a new file in place of the old one.
func (d Dir) Replace(data []byte) error {
	return d.write(data, func(temp string) error { return os.Rename(temp, d.path()) })
}

// write makes a complete file beside the real one, and places it. A temporary file that a crash has left behind holds
// keys; it goes the next time.
func (d Dir) write(data []byte, place func(temp string) error) error {
	temp := d.path() + ".tmp"
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	if err := place(temp); err != nil {
		return err
	}
	return d.sync()
}

// sync makes the directory's own change last through a loss of power.
func (d Dir) sync() error {
	f, err := os.Open(string(d))
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
