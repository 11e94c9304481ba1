package sys

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// RemoveSocket makes room for a socket at path, where a process that was killed may have left one, or a link to one. What is neither
// stays, and the error says so: it may be dear to somebody.
func RemoveSocket(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode()&(fs.ModeSocket|fs.ModeSymlink) == 0:
		return fmt.Errorf("%s is in the place of a socket, and is none: move it away, or choose another directory", path)
	}
	return os.Remove(path)
}
