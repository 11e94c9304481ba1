package cluster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// lockFile is held by the process that keeps a cluster, and names it. It is not in Dir, since that goes before the lock does.
var lockFile = name("/run/lock/weft-cluster")

// ErrRunning is that this machine has this cluster.
var ErrRunning = errors.New("this cluster is running on this machine already; CLUSTER=1 make cluster starts one beside it")

// Lock is held by whoever starts, keeps or removes a cluster.
type Lock struct{ file *os.File }

// TakeLock says who wants it, and fails with ErrRunning where another has it.
func TakeLock(checkout string) (*Lock, error) {
	if err := os.MkdirAll(filepath.Dir(lockFile), 0o755); err != nil {
		return nil, err
	}
	for range 100 {
		l, err := tryLock()
		if err != nil {
			return nil, err
		}
		if l == nil {
			continue
		}
		if err := l.file.Truncate(0); err == nil {
			_, err = fmt.Fprintf(l.file, "%d %s\n", os.Getpid(), checkout)
		}
		if err != nil {
			l.Release()
			return nil, err
		}
		return l, nil
	}
	return nil, fmt.Errorf("%s: is removed as fast as it is made", lockFile)
}

// tryLock returns nil where the file was removed by who had it until now.
func tryLock() (*Lock, error) {
	f, err := os.OpenFile(lockFile, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, runningError()
	}
	ours, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	if there, err := os.Stat(lockFile); err != nil || !os.SameFile(ours, there) {
		f.Close()
		return nil, nil
	}
	return &Lock{f}, nil
}

// Release removes the file too.
func (l *Lock) Release() {
	os.Remove(lockFile)
	l.file.Close()
}

func runningError() error {
	pid, checkout := holder()
	return fmt.Errorf("%w: process %d keeps it, started from %s; make cluster-down ends it", ErrRunning, pid, checkout)
}

// holder is who wrote the lock file last, which says nothing of whether it still holds it.
func holder() (pid int, checkout string) {
	b, err := os.ReadFile(lockFile)
	if err != nil {
		return 0, "an unknown place"
	}
	_, _ = fmt.Sscanf(string(b), "%d", &pid)
	_, checkout, _ = strings.Cut(strings.TrimSpace(string(b)), " ")
	return pid, checkout
}
