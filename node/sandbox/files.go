package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/weft-mesh/weft/internal/sys"
)

// resolverSockets are where C libraries ask daemons of the machine for names, past resolv.conf.
var resolverSockets = []string{
	"/run/systemd/resolve/io.systemd.Resolve", "/run/nscd/socket", "/var/run/nscd/socket", "/run/avahi-daemon/socket",
}

// resolvConf is what a pod's looks like.
func resolvConf(s *Spec) string {
	var b strings.Builder
	fmt.Fprintf(&b, "nameserver %s\n", s.Nameserver)
	if len(s.Search) > 0 {
		fmt.Fprintf(&b, "search %s\noptions ndots:5\n", strings.Join(s.Search, " "))
	}
	return b.String()
}

// hosts names the loopback addresses and the workload.
func hosts(s *Spec) string {
	h := "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
	if s.Hostname != "" {
		h += s.Address.String() + "\t" + s.Hostname + "\n"
	}
	return h
}

// writeFiles shows the workload files of its own in place of the machine's. They are written to a file system in memory, which
// lies over /tmp until they are bound: nothing of it is left outside, however this ends.
func writeFiles(s *Spec) (errs []error) {
	const desk = "/tmp"
	if err := sys.MountTmpfs(desk); err != nil {
		return []error{err}
	}
	for path, content := range map[string]string{"/etc/resolv.conf": resolvConf(s), "/etc/hosts": hosts(s)} {
		if err := replace(path, desk, content); err != nil {
			errs = append(errs, err)
		}
	}
	if err := sys.Unmount(desk); err != nil {
		errs = append(errs, err)
	}
	return append(errs, hide(resolverSockets))
}

// replace shows content at path, by way of a file in the directory desk.
func replace(path, desk, content string) error {
	f, err := os.CreateTemp(desk, "")
	if err != nil {
		return err
	}
	_, err = f.WriteString(content)
	if err := errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	return sys.Bind(f.Name(), path)
}

// hide puts nothing in the place of each path: an empty directory, or an empty file.
func hide(paths []string) error {
	for _, path := range paths {
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission): // can't be seen inside either
			continue
		case err != nil:
			return err
		case info.IsDir():
			err = sys.Cover(path)
		default:
			err = sys.Bind("/dev/null", path)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// pin makes a mount point of each directory above the paths, for nobody renames or removes one: else what is hidden or protected could
// be moved away, and something else put in its place for those outside. It comes before hide and protect, and each directory after the
// ones above it, because a mount of what is above brings a copy of each that is below: else they double with each level.
func pin(paths []string) error {
	var dirs []string
	for _, path := range paths {
		real, err := filepath.EvalSymlinks(path)
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission): // as in hide and protect
			continue
		case err != nil:
			return err
		}
		for dir := filepath.Dir(real); dir != "/"; dir = filepath.Dir(dir) {
			dirs = append(dirs, dir)
		}
	}
	slices.Sort(dirs) // a directory comes before what is in it
	for _, dir := range slices.Compact(dirs) {
		if err := sys.Pin(dir); err != nil {
			return err
		}
	}
	return nil
}

// protect makes each path read-only.
func protect(paths []string) error {
	for _, path := range paths {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) { // can't be written either
			continue
		}
		if err := sys.ReadOnly(path); err != nil {
			return err
		}
	}
	return nil
}
