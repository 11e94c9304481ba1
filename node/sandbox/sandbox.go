// Package sandbox shuts a program up with the mesh: in user, mount, network, process and host-name namespaces of its own,
// without root, where every connection that it makes arrives at a proxy that runs outside.
//
// Main is the first thing in the main function of a program that calls Create. Create makes a sandbox and returns its doors
// for the proxy; Start runs the application in it; Wait says how that ended. README.md, one folder up, shows how it works
// and what it promises.
//
// Errors that say that this machine does not allow sandboxes wrap ErrUnsupported and name the cause and the remedy.
package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"

	"github.com/weft-mesh/weft/internal/sys"
	"github.com/weft-mesh/weft/node"
)

// Sandbox is a set of namespaces and, after Start, an application in them. Its methods may be called from any goroutine.
type Sandbox struct {
	// Doors are for the proxy. They stay open here until Close, for another proxy when the first one dies or is replaced.
	Doors *node.Handoff
	// Limits says, in a sentence each, what this machine does not allow, and the workload has to do without.
	Limits []string

	control *net.UnixConn
	kill    context.CancelFunc
	started chan error // what became of Start
	start   sync.Mutex // one Start at a time
	sending sync.Mutex // one message to the init at a time
	closing sync.Once
	done    chan struct{}
	exit    Exit  // after done
	failure error // after done
}

// Create makes a sandbox; ctx bounds the making and not its life. The caller calls Close in the end.
func Create(ctx context.Context, s Spec) (*Sandbox, error) {
	s, err := s.complete()
	if err != nil {
		return nil, err
	}
	control, controlEnd, err := sys.StreamPair("sandbox-control")
	if err != nil {
		return nil, err
	}
	broker, brokerEnd, err := sys.SocketPair("socket-broker")
	if err != nil {
		return nil, errors.Join(err, control.Close(), controlEnd.Close())
	}
	defer broker.Close()
	b := &Sandbox{control: control, started: make(chan error, 1), done: make(chan struct{}), Doors: &node.Handoff{Address: s.Address}}
	if b.Doors.Broker, err = broker.File(); err != nil {
		return nil, errors.Join(err, control.Close(), controlEnd.Close(), brokerEnd.Close())
	}
	if err := b.boot(ctx, &s, controlEnd, brokerEnd); err != nil {
		control.Close()
		b.Doors.Close()
		return nil, err
	}
	return b, nil
}

// boot starts the init and waits until the sandbox stands.
func (b *Sandbox) boot(ctx context.Context, s *Spec, files ...*os.File) error {
	life, kill := context.WithCancel(context.Background())
	b.kill = kill
	ended := make(chan error, 1)
	err := spawn(life, s, files, ended)
	for _, f := range files { // the init's alone from here on: its death closes them
		f.Close()
	}
	if err != nil {
		kill()
		return explain(err)
	}
	stop := context.AfterFunc(ctx, kill) // which ends the reading below
	err = b.handshake(s)
	if !stop() {
		err = context.Cause(ctx)
	}
	if err != nil {
		kill()
		<-ended
		return explain(err)
	}
	go b.listen(ended)
	return nil
}

// spawn starts the init. A goroutine keeps its thread to itself for as long as the init lives: the signal that the init gets
// when its parent dies is sent when that thread ends.
func spawn(life context.Context, s *Spec, files []*os.File, ended chan<- error) error {
	cmd := exec.CommandContext(life, s.Executable)
	cmd.Args = []string{initName}
	cmd.ExtraFiles = files
	cmd.Stderr = os.Stderr // where a crash of the init shows
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  sys.NewNamespaces,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: s.UID, Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: s.GID, Size: 1}},
		Setsid:      true,
		Pdeathsig:   syscall.SIGKILL,
	}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			ended <- cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return &setupError{Step: "new namespaces", Text: err.Error(), Errno: errno(err)}
	}
	return nil
}

// handshake sends the spec and takes what the init answers.
func (b *Sandbox) handshake(s *Spec) error {
	if err := send(b.control, message{Setup: s}); err != nil {
		return fmt.Errorf("sandbox: %w", err)
	}
	m, files, err := receive(b.control)
	switch {
	case err != nil:
		return fmt.Errorf("the sandbox ended while it was made: %w", err)
	case m.Failed != nil:
		return m.Failed
	case m.Ready == nil || len(files) != m.Ready.doors():
		return fmt.Errorf("sandbox: the init answers %+v with %d files: it is of another version of weft", m, len(files))
	}
	b.Limits = m.Ready.Limits
	for i, to := range []*[]*os.File{&b.Doors.Outbound, &b.Doors.DNS, &b.Doors.DNSStream} {
		n := m.Ready.Doors[i]
		*to, files = files[:n:n], files[n:]
	}
	return nil
}

// listen takes what the init says until it ends.
func (b *Sandbox) listen(ended <-chan error) {
	b.failure = errors.New("the sandbox was closed or killed")
	for {
		m, _, err := receive(b.control)
		if err != nil {
			break
		}
		switch {
		case m.Started:
			b.started <- nil
		case m.Failed != nil:
			b.started <- m.Failed
		case m.Exited != nil:
			b.exit, b.failure = *m.Exited, nil
		}
	}
	b.kill()
	<-ended // and with it every process inside
	b.control.Close()
	close(b.done)
}

// Start runs the application; an error says that it could not be executed. Once it runs, Wait tells how it ended. A sandbox
// starts one application once.
func (b *Sandbox) Start(c Command) error {
	c, err := c.complete()
	if err != nil {
		return err
	}
	b.start.Lock()
	defer b.start.Unlock()
	if err := b.tell(message{Start: &c}, c.Stdin, c.Stdout, c.Stderr); err != nil {
		return err
	}
	select {
	case err := <-b.started:
		return err
	case <-b.done:
		return fmt.Errorf("start %s: %w", c.Args[0], node.ErrGone)
	}
}

// Signal sends sig to the application and all of its process group, as a terminal does.
func (b *Sandbox) Signal(sig syscall.Signal) error {
	return b.tell(message{Signal: sig})
}

func (b *Sandbox) tell(m message, files ...*os.File) error {
	b.sending.Lock()
	defer b.sending.Unlock()
	select {
	case <-b.done:
		return node.ErrGone
	default:
	}
	if err := send(b.control, m, files...); err != nil {
		return fmt.Errorf("%w (%w)", node.ErrGone, err)
	}
	return nil
}

// Wait waits until the application has ended, and with it everything it started, and says how. The error says that it did not
// end by itself: the sandbox was closed or killed.
func (b *Sandbox) Wait() (Exit, error) {
	<-b.done
	return b.exit, b.failure
}

// Close kills what runs inside, waits until it is gone, and closes the doors that are left here.
func (b *Sandbox) Close() error {
	b.kill()
	<-b.done
	var err error
	b.closing.Do(func() { err = b.Doors.Close() })
	return err
}
