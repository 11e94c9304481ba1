// Package proctest runs the mesh as a user has it, for programs that test it: real processes on this machine, of which nothing is
// left when they stop. They need no root, but for network namespaces (Space).
package proctest

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// Process is one that was started. Its output is kept, for when something goes wrong.
type Process struct {
	Name string
	cmd  *exec.Cmd
	out  *Tail
	done chan struct{}
	err  error // after done
}

// Start runs a program; extra goes to its environment, what it writes to log too, if that is not nil.
func Start(name string, log io.Writer, extra []string, argv ...string) (*Process, error) {
	p := &Process{Name: name, cmd: exec.Command(argv[0], argv[1:]...), out: &Tail{Also: log}, done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	p.cmd.Env = append(os.Environ(), extra...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM} // not hit by the terminal's Ctrl-C; not left behind
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// Pid is the process' number.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Stop asks the process to end, and makes it after a while.
func (p *Process) Stop(wait time.Duration) {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(wait):
		p.Kill()
	}
}

// Kill ends the process at once.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Ended says how the process ended, with the last of its output; nil: it runs.
func (p *Process) Ended() error {
	select {
	case <-p.done:
		return fmt.Errorf("%s ended (%v):\n%s", p.Name, p.err, p.out)
	default:
		return nil
	}
}

// Exit is how an ended process exited, as exec.Cmd.Wait has it.
func (p *Process) Exit() error {
	<-p.done
	return p.err
}

// Output is the last of what the process has written.
func (p *Process) Output() string { return p.out.String() }

// Tail keeps the last of what is written.
type Tail struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	Also io.Writer // nil: nowhere
}

const tailSize = 64 << 10

func (t *Tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf.Write(b)
	if n := t.buf.Len() - tailSize; n > 0 {
		t.buf.Next(n)
	}
	if t.Also != nil {
		_, _ = t.Also.Write(b)
	}
	return len(b), nil
}

func (t *Tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.String()
}
