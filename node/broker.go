package node

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/weft-mesh/weft/internal/sys"
)

// The broker's protocol. Who holds the door's end, a socket that keeps the bounds of messages, sends a message of one byte
// with one end of another such socket: a channel of his own, so that an old proxy and a new one, which takes over from it,
// don't read each other's answers. On the channel, a request is two bytes: an address family and how many sockets. The
// answer is the family again, a byte that is 0, and the sockets; or the family, 1, and why not.
const (
	batch     = 16  // sockets to a request: what a broker's turn costs is shared by so many connections
	mostBatch = 64  // what a broker answers at most
	answerLen = 512 // bytes: room for an error
)

// Serve is the broker: it makes sockets in the network namespace of this process for whoever comes through door, until none
// can any more (nil) or the door fails. Channels live on.
func Serve(door *net.UnixConn) error {
	for {
		var hello [1]byte
		_, files, err := sys.RecvFDs(door, hello[:], 1)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, sys.ErrTooLong), err == nil && len(files) == 0:
			continue // nonsense, whose sender waits in vain
		case err != nil:
			return fmt.Errorf("socket broker: %w", err)
		}
		if c, err := sys.UnixConn(files[0]); err == nil { // else: what came is no channel
			go serveChannel(c)
		}
	}
}

// serveChannel answers until the other end is gone or talks nonsense.
func serveChannel(c *net.UnixConn) {
	defer c.Close()
	for {
		var request [2]byte
		n, err := c.Read(request[:])
		if err != nil || n < len(request) {
			return
		}
		if answer(c, sys.Family(request[0]), int(request[1])) != nil {
			return
		}
	}
}

// openChannel comes through the door.
func openChannel(door *os.File) (*net.UnixConn, error) {
	dup, err := net.FileConn(door)
	if err != nil {
		return nil, fmt.Errorf("socket broker: %w", err)
	}
	defer dup.Close()
	u, ok := dup.(*net.UnixConn)
	if !ok {
		return nil, fmt.Errorf("socket broker: descriptor is a %s socket", dup.LocalAddr().Network())
	}
	ours, theirs, err := sys.SocketPair("broker-channel")
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	if err := sys.SendFDs(u, []byte{1}, theirs); err != nil {
		ours.Close()
		return nil, fmt.Errorf("socket broker: %w", err)
	}
	return ours, nil
}

func answer(c *net.UnixConn, f sys.Family, count int) error {
	fds, err := makeSockets(f, min(max(count, 1), mostBatch))
	defer func() {
		for _, fd := range fds {
			sys.CloseFD(fd)
		}
	}()
	if err != nil && len(fds) == 0 {
		return sys.SendRawFDs(c, append([]byte{byte(f), 1}, clip(err.Error(), answerLen-2)...))
	}
	return sys.SendRawFDs(c, []byte{byte(f), 0}, fds...)
}

// makeSockets may make fewer than it should: what there is serves.
func makeSockets(f sys.Family, count int) (fds []int, err error) {
	for range count {
		fd, err := sys.StreamSocket(f)
		if err != nil {
			return fds, err
		}
		fds = append(fds, fd)
	}
	return fds, nil
}

func clip(s string, most int) string { return s[:min(len(s), most)] }
