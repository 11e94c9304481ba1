package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/weft-mesh/weft/test/cluster"
)

// process is one that the keeper has started.
type process struct {
	name, log string
	cmd       *exec.Cmd
	err       error
}

// environment is what programs of a cluster get: nothing of who starts it, whose proxies and kubeconfigs are not meant for them.
func environment() []string {
	return []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8", fmt.Sprint("CLUSTER=", cluster.Number)}
}

// self is this program.
func self() (string, error) { return os.Executable() }

// start runs a program in a group of cgroups. more are its files from 3 on.
func (k *keeper) start(group, name string, more []*os.File, argv ...string) (*process, error) {
	program, err := self()
	if err != nil {
		return nil, err
	}
	p := &process{name: name, log: filepath.Join(cluster.Dir, "log", name+".log")}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.cmd = exec.Command(program, append([]string{"enter", group}, argv...)...)
	p.cmd.Env, p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr, p.cmd.ExtraFiles = environment(), "/", log, log, more
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.err = p.cmd.Wait()
		k.ended <- p
	}()
	return p, nil
}

// enter joins the group in each hierarchy, and becomes another program. What that starts is in the group too, so that it can be found.
func enter(args []string) error {
	if len(args) < 2 {
		return errors.New("usage: enter GROUP PROGRAM [arguments]")
	}
	hs, err := hierarchies()
	if err != nil {
		return err
	}
	for _, h := range hs {
		procs := filepath.Join(h.at, cluster.Group, args[0], "cgroup.procs")
		if err := os.WriteFile(procs, fmt.Appendln(nil, os.Getpid()), 0o644); err != nil {
			return err
		}
	}
	program, err := exec.LookPath(args[1])
	if err != nil {
		return err
	}
	return fmt.Errorf("%s: %w", program, syscall.Exec(program, args[1:], os.Environ()))
}

// await asks until there is no error. It ends at once with a process that it would wait for in vain, and says what that wrote.
func (k *keeper) await(ctx context.Context, what string, ask func(context.Context) error) error {
	const limit = 90 * time.Second
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not within %v", limit))
	defer cancel()
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		select {
		case p := <-k.ended:
			return fmt.Errorf("%s: %s has ended (%v); the end of what it wrote:\n%s", what, p.name, p.err, tail(p.log))
		case <-ctx.Done():
			return fmt.Errorf("%s: %w: %w", what, context.Cause(ctx), err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func tail(name string) string {
	b, err := os.ReadFile(name)
	if err != nil {
		return err.Error()
	}
	lines := bytes.SplitAfter(bytes.TrimSpace(b), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-20):], nil))
}

// run is a command that has to work.
func run(ctx context.Context, input string, argv ...string) error {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env, cmd.Stdin = environment(), strings.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, bytes.TrimSpace(out))
	}
	return nil
}

func (k *keeper) kubectl(ctx context.Context, input string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return run(ctx, input, append([]string{k.state.Tool, "--kubeconfig", k.state.Kubeconfig}, args...)...)
}
