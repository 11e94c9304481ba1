package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/weft-mesh/weft/internal/proctest"
)

// The proxies have one core to themselves; callers, application and everything else have the other.
const (
	otherCore = "0"
	proxyCore = "1"
)

// process is one that the bench has started.
type process struct {
	name string
	cmd  *exec.Cmd
	out  *proctest.Tail
	done chan struct{}
	err  error // after done
}

// spawn says what to start.
type spawn struct {
	name  string
	core  string
	argv  []string
	env   []string
	files []*os.File // from descriptor 3
}

func (s spawn) start() (*process, error) {
	p := &process{name: s.name, out: &proctest.Tail{}, done: make(chan struct{})}
	p.cmd = exec.Command("taskset", append([]string{"-c", s.core}, s.argv...)...)
	p.cmd.Env, p.cmd.ExtraFiles = append(os.Environ(), s.env...), s.files
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	if err := begin(p.cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", s.name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// priority is the nice value of all that is measured, and of what measures.
var priority int

// begin starts a program with that priority. Linux shares a core between sessions before it looks at nice values in one (sched(7),
// autogroup), so each program has a session of its own, with a nice value too. Without the right to, things are as they are.
func begin(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return err
	}
	pid := cmd.Process.Pid
	_ = syscall.Setpriority(syscall.PRIO_PROCESS, pid, priority)
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/autogroup", pid), fmt.Append(nil, priority), 0)
	return nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// stop asks the process to end, and makes it after a while.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
		return
	case <-time.After(time.Second):
	}
	_ = syscall.Kill(-p.pid(), syscall.SIGKILL)
	<-p.done
}

// await waits until try succeeds.
func (p *process) await(try func() error) error {
	for end := time.Now().Add(20 * time.Second); ; {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s ended (%v): %s", p.name, p.err, p.out)
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s is not ready after 20 s: %w: %s", p.name, err, p.out)
		}
	}
}

// listening waits until somebody listens on a port.
func (p *process) listening(port uint16) error {
	return p.await(func() error {
		c, err := net.DialTimeout("tcp", local(port), time.Second)
		if err == nil {
			c.Close()
		}
		return err
	})
}
