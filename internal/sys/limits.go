package sys

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// Number is the descriptor of a connection: as many are open at least, since the kernel gives the lowest that is free. It is of the
// moment: whoever closes the connection frees it.
func Number(c Conn) (n int, err error) {
	err = control(c, func(fd int) error {
		n = fd
		return nil
	})
	return n, err
}

// Short says whether an error tells that this process or machine is short of something, which says nothing of who was called:
// descriptors, memory, ports to call from.
func Short(err error) bool {
	for _, e := range [...]error{unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM, unix.EADDRNOTAVAIL} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// FileLimit is how many descriptors this process may have (RLIMIT_NOFILE, which the Go runtime raises as far as it may); 0: no
// bound.
func FileLimit() (uint64, error) {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return 0, os.NewSyscallError("getrlimit", err)
	}
	if l.Cur == unix.RLIM_INFINITY {
		return 0, nil
	}
	return l.Cur, nil
}
