package sys

import (
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// PeerCred returns who is at the other end of a Unix socket, as the kernel noted it when they connected: user and group
// as this process's user namespace numbers them (65534 for one that it does not know), process as its pid namespace does.
func PeerCred(c *net.UnixConn) (uid, gid, pid int, err error) {
	err = control(c, func(fd int) error {
		cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
		if err != nil {
			return fmt.Errorf("who is at the other end of a Unix socket: %w", err)
		}
		uid, gid, pid = int(cred.Uid), int(cred.Gid), int(cred.Pid)
		return nil
	})
	return uid, gid, pid, err
}
