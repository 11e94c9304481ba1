// Package upgrade has a new process take the place of a running proxy's without a connection being refused or lost. It is what the
// processes say to each other; what a proxy does about it stands in cmd/weft-proxy, and what its starter does in cli.
//
//	starter             old process               new process
//	   |<---- start -------|                           |          the old one is asked to, and hands the starter one end of a
//	   |------------------ starts it ----------------->|          conversation, which the new process inherits
//	   |                   |---- legacy -------------->|          configuration, certificate, every open listener
//	   |                   |                           |          it checks itself, and begins to accept
//	   |                   |<--- serves ---------------|
//	   |                   | stops accepting           |
//	   |<---- handed over -|                           |
//	   |                   |---- counts -------------->|          all so far, then again and again what has come since, and the
//	   |                   |   finishes what it has    |          rest at the end
//	   |                   |   and ends                |
//
// The starter has one thing to say itself, when the workload ends: leave, and the process answers that it has left.
//
// Until the new process serves, the old one does as if nothing had been: whatever goes wrong is its reason to go on, and the starter
// ends the new process. From then on the new process needs the old one for nothing but its counts. Wherever one of the two is
// killed, the other serves, or the starter, which keeps the listeners open too, starts another process.
//
// All goes over Unix sockets that nobody else has: the legacy holds a private key. Fields that one side does not know it skips, so
// that neighbouring versions understand each other.
package upgrade

import (
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/weft-mesh/weft/internal/sys"
)

// kind is what a message of a conversation says.
type kind byte

const (
	legacy kind = 'l' // old to new
	serves kind = 's' // new to old
	failed kind = 'f' // to old, from the new process or from the starter: why there will be no new one
	counts kind = 'c' // old to new
)

// A message travels in packets: its kind, whether more packets follow, and a part of it.
const (
	packet      = 32 << 10  // bytes; a Unix socket takes 200 KB at a time
	mostBytes   = 256 << 20 // of a message
	mostFDs     = 1 << 16   // of a message
	packetStart = 2
)

// send says a message, with duplicates of descriptors.
func send(c *net.UnixConn, k kind, b []byte, fds ...int) error {
	for more := byte(1); more > 0; {
		n, m := min(len(b), packet), min(len(fds), sys.MaxFDs)
		if n == len(b) && m == len(fds) {
			more = 0
		}
		if err := sys.SendRawFDs(c, append([]byte{byte(k), more}, b[:n]...), fds[:m]...); err != nil {
			return err
		}
		b, fds = b[n:], fds[m:]
	}
	return nil
}

var errNonsense = errors.New("it says what this version of weft does not understand")

// receive hears a message. io.EOF: there are no more.
func receive(c *net.UnixConn) (k kind, b []byte, fds []int, err error) {
	defer func() {
		if err != nil {
			closeAll(fds)
			fds = nil
		}
	}()
	part := make([]byte, packetStart+packet)
	for {
		n, more, err := sys.RecvRawFDs(c, part, sys.MaxFDs)
		fds = append(fds, more...)
		switch {
		case err != nil:
			return 0, nil, fds, err
		case n < packetStart, k != 0 && k != kind(part[0]), len(b)+n > mostBytes, len(fds) > mostFDs:
			return 0, nil, fds, errNonsense
		}
		k, b = kind(part[0]), append(b, part[packetStart:n]...)
		if part[1] == 0 {
			return k, b, fds, nil
		}
	}
}

func closeAll(fds []int) {
	for _, fd := range fds {
		sys.CloseFD(fd)
	}
}

// gone makes an end an error that says whose.
func gone(err error, who string) error {
	if errors.Is(err, io.EOF) {
		return errors.New(who)
	}
	return fmt.Errorf("%s: %w", who, err)
}
