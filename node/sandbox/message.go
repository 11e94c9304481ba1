package sandbox

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"github.com/weft-mesh/weft/internal/sys"
)

// message is what the caller and the init say to each other: one of the fields is set. On the wire it is four bytes of
// length, big endian, with which the files travel, and JSON.
type message struct {
	Setup  *Spec          `json:",omitempty"` // to the init: make the sandbox
	Start  *Command       `json:",omitempty"` // to the init: run it, with three files
	Signal syscall.Signal `json:",omitempty"` // to the init: for the application

	Ready   *ready      `json:",omitempty"` // from the init: the sandbox stands, with the doors
	Failed  *setupError `json:",omitempty"` // from the init: it does not, or the application can't be executed
	Started bool        `json:",omitempty"` // from the init: it was
	Exited  *Exit       `json:",omitempty"` // from the init: it ended
}

// ready says how many files of each group of node.Handoff there are: Outbound, DNS, DNSStream.
type ready struct {
	Doors  [3]int
	Limits []string
}

func (r *ready) doors() int { return r.Doors[0] + r.Doors[1] + r.Doors[2] }

// mostMessage bounds a message. The kernel's own bound for arguments and environment is 2 MB by default.
const mostMessage = 8 << 20

func send(c *net.UnixConn, m message, files ...*os.File) error {
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if len(body) > mostMessage {
		return fmt.Errorf("arguments and environment of %d bytes: %w", len(body), syscall.E2BIG)
	}
	if err := sys.SendFDs(c, binary.BigEndian.AppendUint32(nil, uint32(len(body))), files...); err != nil {
		return err
	}
	_, err = c.Write(body)
	return err
}

func receive(c *net.UnixConn) (m message, files []*os.File, err error) {
	var head [4]byte
	n, files, err := sys.RecvFDs(c, head[:], 16)
	if err != nil {
		return m, nil, err
	}
	if _, err := io.ReadFull(c, head[n:]); err != nil {
		return m, files, err
	}
	size := binary.BigEndian.Uint32(head[:])
	if size > mostMessage {
		return m, files, fmt.Errorf("message of %d bytes", size)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(c, body); err != nil {
		return m, files, err
	}
	return m, files, json.Unmarshal(body, &m)
}

// setupError is a step that failed inside, as it travels.
type setupError struct {
	Step  string
	Text  string
	Errno syscall.Errno
}

func (e *setupError) Error() string { return "sandbox: " + e.Step + ": " + e.Text }

// Unwrap lets callers ask for the errno.
func (e *setupError) Unwrap() error {
	if e.Errno == 0 {
		return nil
	}
	return e.Errno
}

// failed puts err, of a step, in the form that travels.
func failed(step string, err error) *setupError {
	return &setupError{Step: step, Text: err.Error(), Errno: errno(err)}
}

func errno(err error) (e syscall.Errno) {
	errors.As(err, &e)
	return e
}
