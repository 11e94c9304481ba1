package sys

import (
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// NewNamespaces are the clone flags of a sandbox: users, mounts, network, processes and host name of its own.
const NewNamespaces = unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWPID | unix.CLONE_NEWUTS

// NewUsers is the clone flag of a user namespace alone.
const NewUsers = unix.CLONE_NEWUSER

// NoNewPrivileges makes the calling thread, and what it executes, unable to gain any (set-user-ID and file capabilities
// have no effect), for good.
func NoNewPrivileges() error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no new privileges: %w", err)
	}
	return nil
}

// DropCapabilities takes all capabilities from the calling thread, and from what it executes, also as user 0: the bounding
// and ambient sets are emptied first. The caller has locked the thread.
func DropCapabilities() error {
	for c := uintptr(0); ; c++ {
		err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0)
		if errors.Is(err, unix.EINVAL) && c > 0 { // past the last one that this kernel knows
			break
		}
		if err != nil {
			return fmt.Errorf("drop capability %d: %w", c, err)
		}
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("clear ambient capabilities: %w", err)
	}
	var none [2]unix.CapUserData
	if err := unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &none[0]); err != nil {
		return fmt.Errorf("drop capabilities: %w", err)
	}
	return nil
}

// CloseOnExecFrom marks each descriptor from first on, so that what is executed next does not inherit it.
func CloseOnExecFrom(first int) error {
	if err := unix.CloseRange(uint(first), ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("keep descriptors from a new program: %w (needs Linux 5.11)", err)
	}
	return nil
}

// Undumpable hides this process's memory and descriptors from others of the same user (PR_SET_DUMPABLE).
func Undumpable() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("hide from ptrace: %w", err)
	}
	return nil
}

// SetHostname names the calling process's UTS namespace.
func SetHostname(name string) error {
	if err := unix.Sethostname([]byte(name)); err != nil {
		return fmt.Errorf("host name %q: %w", name, err)
	}
	return nil
}

// Reap waits for any child. A nil error comes with its pid; syscall.ECHILD says that there is none.
func Reap() (pid int, status syscall.WaitStatus, err error) {
	for {
		var s unix.WaitStatus
		pid, err = unix.Wait4(-1, &s, 0, nil)
		if !errors.Is(err, unix.EINTR) {
			return pid, syscall.WaitStatus(s), err
		}
	}
}
