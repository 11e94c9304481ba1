package proctest

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

// Mesh is a control plane and workloads.
type Mesh struct {
	Bin    string // directory of the programs
	Dir    string // of everything that this run writes
	Config string // directory that weft up watches
	Up     *Process
	Runs   []*Process // a weft run each
	Log    io.Writer  // what all of them write; nil: nowhere
}

// New makes a mesh's directories, below a temporary one whose name begins with prefix, and starts nothing. Programs have to be in
// bin besides weft and weft-proxy.
func New(bin, prefix string, log io.Writer, programs ...string) (*Mesh, error) {
	sweep(prefix)
	bin, err := filepath.Abs(bin)
	if err != nil {
		return nil, err
	}
	for _, program := range append([]string{"weft", "weft-proxy"}, programs...) {
		if _, err := exec.LookPath(filepath.Join(bin, program)); err != nil {
			return nil, fmt.Errorf("%w; build it with make build", err)
		}
	}
	dir, err := os.MkdirTemp("", prefix+strconv.Itoa(os.Getpid())+"-")
	if err != nil {
		return nil, err
	}
	m := &Mesh{Bin: bin, Dir: dir, Config: filepath.Join(dir, "mesh"), Log: log}
	return m, os.Mkdir(m.Config, 0o755)
}

// sweep removes what runs have left that were killed without warning: prefix begins the names of their directories, and their
// process follows.
func sweep(prefix string) {
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), prefix+"*-*"))
	for _, dir := range dirs {
		of, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), prefix), "-")
		if pid, err := strconv.Atoi(of); err == nil && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			os.RemoveAll(dir)
		}
	}
}

// State is the control plane's directory.
func (m *Mesh) State() string { return filepath.Join(m.Dir, "state") }

// Weft is a weft command as its arguments.
func (m *Mesh) Weft(args ...string) []string {
	return append([]string{filepath.Join(m.Bin, "weft")}, args...)
}

// StartUp starts the control plane, with further flags of weft up, and waits until it answers.
func (m *Mesh) StartUp(ctx context.Context, flags ...string) (err error) {
	if m.Up, err = Start("weft up", m.Log, nil, m.Weft(append([]string{"up", "-f", m.Config, "--state", m.State()}, flags...)...)...); err != nil {
		return err
	}
	return m.Await(ctx, m.Up, 20*time.Second, "answer", func() error {
		_, err := m.Command(ctx, "status")
		return err
	})
}

// Await waits until try succeeds, or the process ends.
func (m *Mesh) Await(ctx context.Context, p *Process, most time.Duration, what string, try func() error) error {
	deadline := time.Now().Add(most)
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.Done():
			return p.Ended()
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s did not %s within %v: %w\n%s", p.Name, what, most, err, p.Output())
		}
	}
}

// Command runs a weft command against this mesh, and returns what it prints.
func (m *Mesh) Command(ctx context.Context, args ...string) (string, error) {
	argv := m.Weft(append(args, "--state", m.State())...)
	out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("weft %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return string(out), nil
}

// Run starts a workload with weft run; env goes to its environment.
func (m *Mesh) Run(name string, env, flags []string, command ...string) (*Process, error) {
	argv := m.Weft("run", "--state", m.State())
	argv = append(append(argv, flags...), "--")
	p, err := Start(name, m.Log, env, append(argv, command...)...)
	if err == nil {
		m.Runs = append(m.Runs, p)
	}
	return p, err
}

// Stop ends everything: workloads first, all at once, then the control plane. Nothing is left of it.
func (m *Mesh) Stop() {
	var all sync.WaitGroup
	for _, p := range m.Runs {
		all.Go(func() { p.Stop(15 * time.Second) })
	}
	all.Wait()
	if m.Up != nil {
		m.Up.Stop(5 * time.Second)
	}
	os.RemoveAll(m.Dir)
}
