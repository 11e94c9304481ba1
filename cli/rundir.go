package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// runDir is where a workload's proxy has its admin socket and its cache, which holds the key of its identity. All of a user's are
// below one directory, which every sandbox of that user hides: applications are of the same user, and must not borrow another's
// identity.
type runDir struct {
	path string
	lock *os.File // held as long as this process lives
}

// runParents are the directories that may hold runDirs of this user, the best first. What is beside the control plane's sockets is
// the same for all workloads, however each was started; those of other users cannot write there.
func runParents(state string) []string {
	temp := filepath.Join(os.TempDir(), "weft-"+strconv.Itoa(os.Geteuid()))
	if beside := socketDir(state); own(beside) {
		return []string{filepath.Join(beside, "run"), temp}
	}
	return []string{temp}
}

// socketDir is where the control plane's sockets are, links followed.
func socketDir(state string) string {
	if real, err := filepath.EvalSymlinks(apiSocket(state)); err == nil {
		return filepath.Dir(real)
	}
	return state
}

// own says whether a directory is this user's, and nobody else writes to it.
func own(dir string) bool {
	info, err := os.Lstat(dir)
	if err != nil || !info.IsDir() || info.Mode().Perm()&0o022 != 0 {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Geteuid()
}

// reserve makes the directories that a later workload may have to use, before a process that would be free to make one, and to
// fill it, runs in a sandbox: those that are there are hidden from it. Where one can't be made, none of it is used.
func reserve(parents []string) {
	for _, dir := range parents {
		_ = os.Mkdir(dir, 0o700)
	}
}

// longestSocket bounds a directory whose sockets have names that fit into sockaddr_un (unix(7): 108 bytes with the last zero).
const longestSocket = 107 - len("/1234567890/admin.sock")

// newRunDir makes one, and sweeps away those of processes that were killed.
func newRunDir(state string) (d *runDir, err error) {
	parents := runParents(state)
	reserve(parents)
	for _, parent := range parents {
		if len(parent) > longestSocket {
			err = fmt.Errorf("%s is too long a path for a socket", parent)
			continue
		}
		if d, err = makeRunDir(parent); err == nil {
			return d, nil
		}
	}
	return nil, fmt.Errorf("directory for the proxy: %w; set TMPDIR to a directory of your own", err)
}

func makeRunDir(parent string) (*runDir, error) {
	if err := os.Mkdir(parent, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	if info, err := os.Lstat(parent); err != nil || !own(parent) || info.Mode().Perm()&0o077 != 0 {
		return nil, errors.Join(fmt.Errorf("%s is another's, or others may enter it", parent), err)
	}
	all, err := os.OpenFile(filepath.Join(parent, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	defer all.Close()
	if err := syscall.Flock(int(all.Fd()), syscall.LOCK_EX); err != nil { // nobody sweeps a directory between its making and its lock
		return nil, err
	}
	sweep(parent)
	d := &runDir{}
	if d.path, err = os.MkdirTemp(parent, ""); err != nil {
		return nil, err
	}
	if d.lock, err = lockFile(filepath.Join(d.path, "lock")); err != nil {
		os.RemoveAll(d.path)
		return nil, err
	}
	return d, nil
}

// sweep removes directories whose locks nobody holds.
func sweep(parent string) {
	dirs, _ := filepath.Glob(filepath.Join(parent, "*", "lock"))
	for _, name := range dirs {
		if l, err := lockFile(name); err == nil {
			os.RemoveAll(filepath.Dir(name))
			l.Close()
		}
	}
}

// lockFile locks a file that it makes where there is none; an error says that another has it, or that there can be none.
func lockFile(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (d *runDir) remove() {
	os.RemoveAll(d.path)
	d.lock.Close()
}
