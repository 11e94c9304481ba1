package sys

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// MaxFDs is how many descriptors one message carries at most (SCM_MAX_FD of the kernel).
const MaxFDs = 253

// ErrTooLong says that a message, or its descriptors, was more than there was room for. It is lost; the next may be read.
var ErrTooLong = errors.New("message is too long")

// SocketPair returns two connected Unix sockets that keep the bounds of messages (SOCK_SEQPACKET), closed on exec. One is
// meant for a child: give it in exec.Cmd.ExtraFiles, close it here, and let the child call UnixConn.
func SocketPair(name string) (ours *net.UnixConn, theirs *os.File, err error) {
	return socketPair(unix.SOCK_SEQPACKET, name)
}

// StreamPair is SocketPair for a stream of bytes, where a message may be of any length.
func StreamPair(name string) (ours *net.UnixConn, theirs *os.File, err error) {
	return socketPair(unix.SOCK_STREAM, name)
}

func socketPair(kind int, name string) (*net.UnixConn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socket pair %s: %w", name, err)
	}
	theirs := os.NewFile(uintptr(fds[1]), name)
	ours, err := UnixConn(os.NewFile(uintptr(fds[0]), name))
	if err != nil {
		theirs.Close()
		return nil, nil, err
	}
	return ours, theirs, nil
}

// UnixConn makes a connection of f, which is closed in any case. An error says that f is no connected Unix socket.
func UnixConn(f *os.File) (*net.UnixConn, error) {
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("descriptor %s: %w", f.Name(), err)
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return nil, fmt.Errorf("descriptor %s is a %s socket, not a Unix one", f.Name(), c.LocalAddr().Network())
	}
	return u, nil
}

// SendFDs writes p, at least one byte, with duplicates of files (at most MaxFDs). The files stay open here: the receiver's
// share the open file, not the number.
func SendFDs(c *net.UnixConn, p []byte, files ...*os.File) error {
	fds := make([]int, 0, len(files))
	defer func() { closeAll(fds) }()
	for _, f := range files {
		fd, err := Duplicate(f)
		if err != nil {
			return fmt.Errorf("descriptor %s to pass on: %w", f.Name(), err)
		}
		fds = append(fds, fd)
	}
	return SendRawFDs(c, p, fds...)
}

// Duplicate returns a bare descriptor for what c is open on, which the caller closes. It does without c.File and f.Fd, which would
// have whoever shares the open file wait in the kernel.
func Duplicate(c Conn) (fd int, err error) {
	err = control(c, func(from int) (err error) {
		fd, err = unix.FcntlInt(uintptr(from), unix.F_DUPFD_CLOEXEC, 3)
		return err
	})
	return fd, err
}

// DuplicateFile returns a file for what a bare descriptor is open on. The descriptor stays the caller's.
func DuplicateFile(fd int, name string) (*os.File, error) {
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, fmt.Errorf("descriptor %d (%s): %w", fd, name, err)
	}
	return os.NewFile(uintptr(dup), name), nil
}

// SendRawFDs is SendFDs for bare descriptors, which stay the caller's.
func SendRawFDs(c *net.UnixConn, p []byte, fds ...int) error {
	if len(p) == 0 || len(fds) > MaxFDs {
		return fmt.Errorf("passing %d descriptors with %d bytes: want at least a byte and at most %d descriptors", len(fds), len(p), MaxFDs)
	}
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	n, _, err := c.WriteMsgUnix(p, oob, nil)
	if err == nil && n < len(p) { // a stream takes what there is room for; the descriptors went with the first byte
		_, err = c.Write(p[n:])
	}
	return err
}

// RecvFDs reads one message (of a stream: what is there) into p, and up to most descriptors, closed on exec. More of them, or
// more bytes than p holds, is ErrTooLong, and none is kept. io.EOF says that the other end is gone.
func RecvFDs(c *net.UnixConn, p []byte, most int) (n int, files []*os.File, err error) {
	n, fds, err := RecvRawFDs(c, p, most)
	for _, fd := range fds {
		files = append(files, os.NewFile(uintptr(fd), "passed-"+strconv.Itoa(fd)))
	}
	return n, files, err
}

// RecvRawFDs is RecvFDs for bare descriptors: the caller closes them.
func RecvRawFDs(c *net.UnixConn, p []byte, most int) (n int, fds []int, err error) {
	oob := make([]byte, unix.CmsgSpace(4*most))
	n, oobn, flags, _, err := c.ReadMsgUnix(p, oob)
	if err != nil {
		return n, nil, err
	}
	fds, err = rights(oob[:oobn])
	if err == nil && flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
		err = fmt.Errorf("%w: more than %d bytes or %d descriptors", ErrTooLong, len(p), most)
	}
	if err != nil {
		closeAll(fds)
		return 0, nil, err
	}
	return n, fds, nil
}

func rights(oob []byte) (fds []int, err error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, fmt.Errorf("control messages of a Unix socket: %w", err)
	}
	for _, m := range messages {
		more, err := unix.ParseUnixRights(&m)
		if err != nil && !errors.Is(err, unix.EINVAL) { // EINVAL: some other kind of message
			return fds, err
		}
		fds = append(fds, more...)
	}
	return fds, nil
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}
