package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is one that the demo has started. Its output is kept, for when something goes wrong.
type process struct {
	name string
	cmd  *exec.Cmd
	out  *tail
	done chan struct{}
	err  error // after done
}

// start runs a program; extra goes to its environment.
func start(name string, out io.Writer, extra []string, argv ...string) (*process, error) {
	p := &process{name: name, cmd: exec.Command(argv[0], argv[1:]...), out: &tail{also: out}, done: make(chan struct{})}
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

// stop asks the process to end, and makes it after a while.
func (p *process) stop(wait time.Duration) {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(wait):
		p.kill()
	}
}

// kill ends the process at once.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// tail keeps the last of what is written.
type tail struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	also io.Writer // nil: nowhere
}

const tailSize = 64 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf.Write(b)
	if n := t.buf.Len() - tailSize; n > 0 {
		t.buf.Next(n)
	}
	if t.also != nil {
		_, _ = t.also.Write(b)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.String()
}

// shop is the mesh and the sample shop, running.
type shop struct {
	bin    string // directory of the programs
	dir    string // of everything that this run writes
	config string // directory that weft up watches
	up     *process
	runs   []*process
	log    io.Writer
}

func newShop(bin string, log io.Writer) (*shop, error) {
	sweep()
	for _, program := range []string{"weft", "weft-proxy", "bookinfo"} {
		if _, err := exec.LookPath(filepath.Join(bin, program)); err != nil {
			return nil, fmt.Errorf("%w; build it with make build", err)
		}
	}
	dir, err := os.MkdirTemp("", prefix+strconv.Itoa(os.Getpid())+"-")
	if err != nil {
		return nil, err
	}
	s := &shop{bin: bin, dir: dir, config: filepath.Join(dir, "mesh"), log: log}
	if err := os.CopyFS(s.config, os.DirFS("examples/bookinfo/mesh")); err != nil {
		s.stop()
		return nil, fmt.Errorf("the shop's services: %w; run it at the root of the repository", err)
	}
	return s, nil
}

// prefix begins the names of directories that runs write to; their process follows.
const prefix = "weft-demo-"

// sweep removes what runs have left that were killed without warning.
func sweep() {
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), prefix+"*-*"))
	for _, dir := range dirs {
		of, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), prefix), "-")
		if pid, err := strconv.Atoi(of); err == nil && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			os.RemoveAll(dir)
		}
	}
}

func (s *shop) state() string { return filepath.Join(s.dir, "state") }

func (s *shop) weft(args ...string) []string {
	return append([]string{filepath.Join(s.bin, "weft")}, args...)
}

// startUp starts the control plane and waits until it answers.
func (s *shop) startUp(ctx context.Context) (err error) {
	if s.up, err = start("weft up", s.log, nil, s.weft("up", "-f", s.config, "--state", s.state())...); err != nil {
		return err
	}
	return s.await(ctx, s.up, 20*time.Second, "answer", func() error {
		_, err := s.command(ctx, "status")
		return err
	})
}

// await waits until try succeeds, or the process ends.
func (s *shop) await(ctx context.Context, p *process, most time.Duration, what string, try func() error) error {
	deadline := time.Now().Add(most)
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.done:
			return fmt.Errorf("%s ended (%v):\n%s", p.name, p.err, p.out)
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s did not %s within %v: %w\n%s", p.name, what, most, err, p.out)
		}
	}
}

// command runs a weft command against this mesh.
func (s *shop) command(ctx context.Context, args ...string) (string, error) {
	argv := s.weft(append(args, "--state", s.state())...)
	out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("weft %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return string(out), nil
}

// run starts a workload.
func (s *shop) run(name string, env []string, flags []string, command ...string) (*process, error) {
	argv := s.weft("run", "--state", s.state())
	argv = append(append(argv, flags...), "--")
	p, err := start(name, s.log, env, append(argv, command...)...)
	if err == nil {
		s.runs = append(s.runs, p)
	}
	return p, err
}

// bookinfo starts one service of the shop.
func (s *shop) bookinfo(service, version, publish string, env []string, more ...string) (*process, error) {
	flags := append([]string{"--service", service, "--version", version, "--service-account", "bookinfo-" + service, "--port", "9080/http"}, more...)
	if publish != "" {
		flags = append(flags, "--publish", publish+":9080")
	}
	return s.run(service+" "+version, env, flags, filepath.Join(s.bin, "bookinfo"), service, "-version", version)
}

// stop ends everything: workloads first, all at once, then the control plane.
func (s *shop) stop() {
	var all sync.WaitGroup
	for _, p := range s.runs {
		all.Go(func() { p.stop(15 * time.Second) })
	}
	all.Wait()
	if s.up != nil {
		s.up.stop(5 * time.Second)
	}
	os.RemoveAll(s.dir)
}
