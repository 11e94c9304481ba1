package upgrade

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/internal/sys"
)

// Limit is how long connections of an old process may go on, where nobody says another time.
const Limit = 10 * time.Minute

// Legacy is what the old process leaves to the new one.
type Legacy struct {
	Config []byte      // a launch.Config
	State  []byte      // proxy.Proxy.State
	FDs    map[int]int // open descriptors, by the number that Config has for each
}

// told is a Legacy as it travels, with the names of the descriptors in their order.
type told struct {
	Config []byte   `pb:"1"`
	State  []byte   `pb:"2"`
	Names  []uint32 `pb:"3"`
}

// Starter is who started a process, as that process sees it. A nil Starter starts no other.
type Starter struct{ c *net.UnixConn }

// Reach takes the socket that the starter left open for a process.
func Reach(f *os.File) (*Starter, error) {
	c, err := sys.UnixConn(f)
	if err != nil {
		return nil, err
	}
	return &Starter{c}, nil
}

var errAlone = errors.New("nobody who could start a new process has started this one (weft run does)")

// Start has a new process started. The old one goes on meanwhile.
func (s *Starter) Start() (*Successor, error) {
	ours, theirs, err := sys.SocketPair("conversation")
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	if err := s.say(Start, theirs); err != nil {
		ours.Close()
		return nil, err
	}
	return &Successor{ours}, nil
}

// Serving says, of a new process, that it serves: it is needed from now on, also if the old one is killed.
func (s *Starter) Serving() error { return s.say(Serving) }

// HandedOver says, of an old one, that the new process serves.
func (s *Starter) HandedOver() error { return s.say(HandedOver) }

// GiveUp says that the new process is to be ended.
func (s *Starter) GiveUp() error { return s.say(GiveUp) }

// Orders calls do when the starter wants the process to leave, until the starter has gone.
func (s *Starter) Orders(do func()) {
	if s == nil {
		return
	}
	for {
		var b [1]byte
		_, files, err := sys.RecvFDs(s.c, b[:], 1)
		for _, f := range files {
			f.Close()
		}
		switch {
		case err != nil:
			return
		case b[0] == leave:
			do()
		}
	}
}

// Left says that nothing comes to the application by this process any more.
func (s *Starter) Left() error { return s.say(Left) }

func (s *Starter) say(r Request, files ...*os.File) error {
	if s == nil {
		return errAlone
	}
	if err := sys.SendFDs(s.c, []byte{byte(r)}, files...); err != nil {
		return fmt.Errorf("tell who started this process: %w", err)
	}
	return nil
}

// Successor is the new process, as the old one sees it.
type Successor struct{ c *net.UnixConn }

// Await gives the new process its legacy and returns when it serves. An error says why it does not: it may be alive then.
func (s *Successor) Await(ctx context.Context, l *Legacy) error {
	defer context.AfterFunc(ctx, func() { _ = s.c.SetDeadline(time.Unix(1, 0)) })()
	t := told{Config: l.Config, State: l.State}
	var fds []int
	for name, fd := range l.FDs {
		t.Names, fds = append(t.Names, uint32(name)), append(fds, fd)
	}
	// Who does not listen may have said why.
	sent := send(s.c, legacy, config.Append(nil, &t), fds...)
	k, why, more, err := receive(s.c)
	if errors.Is(err, syscall.ECONNRESET) { // the other end was closed with something unread; what it said before is still to come
		k, why, more, err = receive(s.c)
	}
	closeAll(more)
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("the new process does not serve in time: %w", ctx.Err())
	case err != nil:
		return gone(err, "the new process has ended before it served; what it had to say stands in the log")
	case k == failed:
		return errors.New(string(why))
	case k != serves:
		return errNonsense
	}
	return sent
}

// Count hands counts over.
func (s *Successor) Count(b []byte) error {
	_ = s.c.SetWriteDeadline(time.Now().Add(patience))
	return send(s.c, counts, b)
}

// patience is how long the new process may take to hear.
const patience = 5 * time.Second

// Close says that there is no more to come.
func (s *Successor) Close() error { return s.c.Close() }
