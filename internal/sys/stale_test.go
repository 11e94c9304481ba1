package sys_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/weft-mesh/weft/internal/sys"
)

func TestRemoveSocket(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: at("socket"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := errors.Join(l.Close(), os.Symlink(at("gone"), at("link")), os.WriteFile(at("file"), nil, 0o600), os.Mkdir(at("dir"), 0o700)); err != nil {
		t.Fatal(err)
	}
	for name, goes := range map[string]bool{"socket": true, "link": true, "none": true, "file": false, "dir": false} {
		err := sys.RemoveSocket(at(name))
		if _, there := os.Lstat(at(name)); (err == nil) != goes || (there != nil) != goes {
			t.Errorf("%s: %v, %v, want it gone %v", name, err, there, goes)
		}
	}
}
