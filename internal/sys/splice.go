package sys

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// pipeSize lets one splice take what a socket's buffer has in a stream that is in full flow.
const pipeSize = 256 << 10

// Splice moves bytes from one socket to another through a pipe, without copying them. It is for streams: a small message costs as
// much as by Read and Write. One goroutine uses it.
type Splice struct {
	to, from syscall.RawConn
	r, w     int // of the pipe
	n        int // bytes in it
	errno    error
	fill     func(fd uintptr) bool // done; false: wait until the descriptor is ready
	empty    func(fd uintptr) bool
}

// NewSplice makes one; Close gives its two descriptors back. It is an error where half of the process' descriptors are in use already:
// the rest is for connections that cannot do without.
func NewSplice(to, from Conn) (*Splice, error) {
	s := &Splice{}
	var err error
	if s.to, err = to.SyscallConn(); err != nil {
		return nil, err
	}
	if s.from, err = from.SyscallConn(); err != nil {
		return nil, err
	}
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return nil, fmt.Errorf("splice: %w", os.NewSyscallError("pipe2", err))
	}
	if most, err := FileLimit(); err == nil && most > 0 && uint64(max(p[0], p[1])) >= most/2 {
		unix.Close(p[0])
		unix.Close(p[1])
		return nil, errors.New("splice: half of the descriptors are in use")
	}
	s.r, s.w = p[0], p[1]
	_, _ = unix.FcntlInt(uintptr(s.w), unix.F_SETPIPE_SZ, pipeSize) // a user who has many gets small ones, which do too
	s.fill, s.empty = s.fillPipe, s.emptyPipe
	return s, nil
}

// Move waits for bytes, and writes all that it took; n may be 0. Deadlines are those of the connections. io.EOF is no error here:
// n is 0 and nothing failed. read is what reading failed with, write what writing did: bytes are lost then.
func (s *Splice) Move() (n int, read, write error) {
	if read = s.from.Read(s.fill); read == nil {
		read = s.failed()
	}
	if read != nil || s.n == 0 {
		return 0, read, nil
	}
	took := s.n
	if write = s.to.Write(s.empty); write == nil {
		write = s.failed()
	}
	return took - s.n, nil, write
}

func (s *Splice) failed() error {
	err := s.errno
	s.errno = nil
	return os.NewSyscallError("splice", err)
}

func (s *Splice) fillPipe(fd uintptr) (done bool) {
	s.n, done = s.once(int(fd), s.w, pipeSize)
	return done
}

func (s *Splice) emptyPipe(fd uintptr) bool {
	for s.n > 0 && s.errno == nil {
		n, done := s.once(s.r, int(fd), s.n)
		if s.n -= n; !done {
			return false
		}
	}
	return true
}

// once moves what can be moved at once; false: nothing can.
func (s *Splice) once(from, to, most int) (int, bool) {
	for {
		n, err := unix.Splice(from, nil, to, nil, most, unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
		switch err {
		case nil:
			return int(n), true
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, false
		default:
			s.errno = err
			return 0, true
		}
	}
}

// Close ends it, and loses nothing that Move has not told to be lost.
func (s *Splice) Close() {
	unix.Close(s.r)
	unix.Close(s.w)
}
