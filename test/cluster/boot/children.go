package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
)

// children are the processes of one that is the first in its namespace: its own, and all whose parents have ended. One loop waits for
// them all, so nothing here waits for a process by itself.
type children struct {
	logs  string // directory
	mu    sync.Mutex
	own   map[int]func(syscall.WaitStatus) // by process
	ended chan struct{}                    // closed when there are none; nil: there have been none
	err   error                            // why the loop has ended, if not for that
}

func newChildren(logs string) *children {
	return &children{logs: logs, own: map[int]func(syscall.WaitStatus){}}
}

// start starts one that is not meant to end. What it writes is in a log of its name; that it has ended is in the node's.
func (c *children) start(name string, argv ...string) error {
	log, err := os.Create(filepath.Join(c.logs, name+".log"))
	if err != nil {
		return err
	}
	defer log.Close()
	return c.begin(log, argv, func(s syscall.WaitStatus) {
		fmt.Fprintf(os.Stderr, "%s has ended (%s)\n", name, status(s))
	})
}

// run runs one to its end. What it writes is part of the error.
func (c *children) run(ctx context.Context, argv ...string) error {
	out, err := os.CreateTemp(c.logs, "run-")
	if err != nil {
		return err
	}
	defer os.Remove(out.Name())
	defer out.Close()
	ended := make(chan syscall.WaitStatus, 1)
	if err := c.begin(out, argv, func(s syscall.WaitStatus) { ended <- s }); err != nil {
		return err
	}
	select {
	case s := <-ended:
		if s.Exited() && s.ExitStatus() == 0 {
			return nil
		}
		return fmt.Errorf("%s: %s: %s", strings.Join(argv, " "), status(s), tail(out.Name()))
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", strings.Join(argv, " "), context.Cause(ctx))
	}
}

// begin starts the loop where none is running.
func (c *children) begin(out *os.File, argv []string, ended func(syscall.WaitStatus)) error {
	program, err := exec.LookPath(argv[0])
	if err != nil {
		return err
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer null.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	p, err := os.StartProcess(program, argv, &os.ProcAttr{Dir: "/", Env: os.Environ(), Files: []*os.File{null, out, out}, Sys: &syscall.SysProcAttr{Setsid: true}})
	if err != nil {
		return err
	}
	c.own[p.Pid] = ended
	_ = p.Release() // it is waited for by number
	if c.ended == nil {
		c.ended = make(chan struct{})
		go c.loop(c.ended)
	}
	return nil
}

// loop ends when there are none.
func (c *children) loop(ended chan struct{}) {
	defer close(ended)
	for {
		var s syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &s, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			if c.over(err) {
				return
			}
		default:
			c.take(pid, s)
		}
	}
}

// take tells who has started a process that it has ended.
func (c *children) take(pid int, s syscall.WaitStatus) {
	c.mu.Lock()
	ended := c.own[pid]
	delete(c.own, pid)
	c.mu.Unlock()
	if ended != nil {
		ended(s)
	}
}

// over says whether the loop ends: one may have been started since there was none.
func (c *children) over(err error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if errors.Is(err, syscall.ECHILD) {
		if len(c.own) > 0 {
			return false
		}
		err = nil
	}
	c.ended, c.err = nil, err
	return true
}

// await waits until there are none.
func (c *children) await() error {
	c.mu.Lock()
	ended := c.ended
	c.mu.Unlock()
	if ended != nil {
		<-ended
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

func status(s syscall.WaitStatus) string {
	if s.Signaled() {
		return s.Signal().String()
	}
	return fmt.Sprintf("exit code %d", s.ExitStatus())
}
