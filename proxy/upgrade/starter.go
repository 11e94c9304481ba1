package upgrade

import (
	"fmt"
	"net"
	"os"

	"github.com/weft-mesh/weft/internal/sys"
)

// Request is what a process asks of its starter.
type Request byte

const (
	Start      Request = 's' // start a new process, with one end of a conversation
	Serving    Request = 'n' // this new process serves, and is about to tell the old one
	HandedOver Request = 'h' // the new process serves; this one ends by itself
	GiveUp     Request = 'g' // end the new process
	Left       Request = 'l' // as it was told to Leave: nothing comes to the application by this process any more
)

// leave is the one order that a starter gives.
const leave = 'l'

// Leave has a process let no further call come to the application. It says Left when that is so. One that does not listen yet hears of
// it when it does.
func Leave(c *net.UnixConn) error { return sys.SendFDs(c, []byte{leave}) }

// Requests hands on what a process asks, in its order, until it has ended: c is the other end of what it was given for Reach. The
// conversation, of Start alone, is the caller's: it is for the new process, or Refuse.
func Requests(c *net.UnixConn, take func(r Request, conversation *os.File)) {
	defer c.Close()
	for {
		var b [1]byte
		_, files, err := sys.RecvFDs(c, b[:], 1)
		if err != nil {
			return
		}
		r := Request(b[0])
		if (r == Start) != (len(files) == 1) {
			for _, f := range files {
				f.Close()
			}
			continue // nonsense
		}
		take(r, append(files, nil)[0])
	}
}

// Refuse tells the old process why there is no new one.
func Refuse(conversation *os.File, why error) {
	c, err := sys.UnixConn(conversation)
	if err != nil {
		return // who asked hears of the end
	}
	fail(c, fmt.Errorf("start a new process: %w", why))
}
