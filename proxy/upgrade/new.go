package upgrade

import (
	"errors"
	"io"
	"net"
	"os"

	"github.com/weft-mesh/weft/config"
	"github.com/weft-mesh/weft/internal/sys"
)

// Predecessor is the old process, as the new one sees it.
type Predecessor struct{ c *net.UnixConn }

// Take hears what the old process leaves, over the conversation that the starter left open. Where it returns a Predecessor and an
// error, it is to be told.
func Take(f *os.File) (*Predecessor, *Legacy, error) {
	c, err := sys.UnixConn(f)
	if err != nil {
		return nil, nil, err
	}
	p := &Predecessor{c}
	k, b, fds, err := receive(c)
	if err != nil {
		return p, nil, gone(err, "the old process has ended before it had said all")
	}
	var t told
	if err = config.Parse(b, &t); k != legacy || len(t.Names) != len(fds) {
		err = errors.Join(errNonsense, err)
	}
	if err != nil {
		closeAll(fds)
		return p, nil, err
	}
	l := &Legacy{Config: t.Config, State: t.State, FDs: map[int]int{}}
	for i, fd := range fds {
		l.FDs[int(t.Names[i])] = fd
	}
	return p, l, nil
}

// Serves says that the new process has checked itself and accepts connections. An error says that the old one is not there any more:
// that is no reason not to serve.
func (p *Predecessor) Serves() error { return send(p.c, serves, nil) }

// Fail says why the new process will not serve.
func (p *Predecessor) Fail(why error) { fail(p.c, why) }

func fail(c *net.UnixConn, why error) {
	_ = send(c, failed, []byte(why.Error())) // who does not hear it sees the end
	c.Close()
}

// Counts hands on the counts that the old process tells, until it has ended.
func (p *Predecessor) Counts(take func([]byte)) error {
	defer p.c.Close()
	for {
		k, b, fds, err := receive(p.c)
		closeAll(fds)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case k == counts:
			take(b)
		}
	}
}
