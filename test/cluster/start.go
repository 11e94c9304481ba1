package cluster

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Options say what cluster is started.
type Options struct {
	Nodes int           // zero: one; at most MaxNodes
	Stay  bool          // it goes on when this process ends; else it ends then, however this process does
	Say   func(string)  // is told how far it has come; nil: nobody is
	Limit time.Duration // for getting ready, once everything is built; zero: two minutes
}

// Cluster is one that is running.
type Cluster struct {
	State
	checkout string // what images and programs of the product come from
	keeper   *exec.Cmd
	stdin    io.Closer // its end is the keeper's
}

// Start builds what is not built yet, and starts a cluster. It returns when all nodes are ready and names are resolved.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	if o.Say == nil {
		o.Say = func(string) {}
	}
	if o.Nodes == 0 {
		o.Nodes = 1
	}
	if o.Nodes < 0 || o.Nodes > MaxNodes {
		return nil, fmt.Errorf("%d nodes: there can be 1 to %d", o.Nodes, MaxNodes)
	}
	if os.Getuid() != 0 {
		return nil, errors.New("a cluster's nodes are made of namespaces, mounts and cgroups, which only root makes")
	}
	checkout, err := Checkout()
	if err != nil {
		return nil, err
	}
	l, err := TakeLock(checkout) // before ten minutes are spent on building
	if err != nil {
		return nil, err
	}
	l.Release()
	p, err := prepare(ctx, checkout, o.Say)
	if err != nil {
		return nil, err
	}
	return p.start(ctx, checkout, o)
}

// Build builds what a cluster is started from, which the first time takes ten minutes and more, and starts none.
func Build(ctx context.Context, say func(string)) error {
	checkout, err := Checkout()
	if err != nil {
		return err
	}
	_, err = prepare(ctx, checkout, say)
	return err
}

// prepared is what a cluster is started from.
type prepared struct {
	boot, kube string   // programs
	images     []string // what every node has from the start: docker archives
}

func prepare(ctx context.Context, checkout string, say func(string)) (p prepared, err error) {
	ownDir, err := own.build(ctx, checkout, say)
	if err != nil {
		return p, err
	}
	kubeDir, err := kube.build(ctx, checkout, say)
	if err != nil {
		return p, err
	}
	dnsDir, err := coredns.build(ctx, checkout, say)
	if err != nil {
		return p, err
	}
	p.boot, p.kube = filepath.Join(ownDir, "boot"), filepath.Join(kubeDir, "kube")
	for _, i := range []struct {
		dir   string
		image Image
	}{
		{ownDir, Image{Tags: []string{PauseImage}, Entrypoint: []string{"/pause"}, Files: map[string]string{"/pause": filepath.Join(ownDir, "inpod")}}},
		{dnsDir, Image{Tags: []string{DNSImage}, Entrypoint: []string{"/coredns"}, Files: map[string]string{"/coredns": filepath.Join(dnsDir, "coredns")}}},
	} {
		name := filepath.Join(i.dir, "image.tar")
		if err := i.image.keep(name); err != nil {
			return p, err
		}
		p.images = append(p.images, name)
	}
	link := filepath.Join(kubeDir, "kubectl")
	if err := os.Symlink("kube", link); err != nil && !errors.Is(err, os.ErrExist) {
		return p, err
	}
	return p, nil
}

// keep writes an image to a file, if that is not there yet.
func (i Image) keep(name string) error {
	if _, err := os.Stat(name); err == nil {
		return nil
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".image-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	err = i.Write(f)
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

// start has a process of its own session keep the cluster: Ctrl-C and the end of a terminal are not its affair. Unless the cluster is to
// stay, it ends when its input does, and that the kernel sees to, whatever becomes of this process.
func (p prepared) start(ctx context.Context, checkout string, o Options) (*Cluster, error) {
	c := &Cluster{checkout: checkout}
	args := []string{"keep", "-nodes", strconv.Itoa(o.Nodes), "-checkout", checkout, "-kube", p.kube, "-images", strings.Join(p.images, ",")}
	if o.Stay {
		args = append(args, "-stay")
	}
	c.keeper = exec.Command(p.boot, args...)
	c.keeper.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	c.keeper.Dir = "/"
	stdin, err := c.keeper.StdinPipe()
	if err != nil {
		return nil, err
	}
	c.stdin = stdin
	stdout, err := c.keeper.StdoutPipe()
	if err != nil {
		return nil, err
	}
	closeInherited()
	began := time.Now()
	if err := c.keeper.Start(); err != nil {
		return nil, err
	}
	if err := c.await(ctx, stdout, o); err != nil {
		return nil, errors.Join(err, c.end())
	}
	o.Say(fmt.Sprintf("%s%.1f s", SayTook, time.Since(began).Seconds()))
	s, err := readState()
	if err != nil {
		return nil, errors.Join(err, c.end())
	}
	c.State = *s
	return c, nil
}

// closeInherited has the keeper not get files that this process was started with, such as the lock of flock(1), which it would hold on to.
func closeInherited() {
	open, _ := os.ReadDir("/proc/self/fd")
	for _, f := range open {
		if fd, err := strconv.Atoi(f.Name()); err == nil && fd > 2 {
			syscall.CloseOnExec(fd)
		}
	}
}

// await reads what the keeper says until it says that the cluster is ready.
func (c *Cluster) await(ctx context.Context, says io.Reader, o Options) error {
	limit := cmp.Or(o.Limit, 2*time.Minute)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("the cluster was not ready within %v", limit))
	defer cancel()
	ready := make(chan error, 1)
	go func() { ready <- hear(says, o.Say) }()
	select {
	case err := <-ready:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// SayTook begins what is said of a start: what comes behind it is how long it took, once everything was built, until all nodes were ready.
const SayTook = "ready after "

// What a keeper prints, a line each.
const (
	SayReady  = "ready"
	SayFailed = "failed: " // what is behind it is Go's quoted string
)

func hear(says io.Reader, tell func(string)) error {
	lines := bufio.NewScanner(says)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		if line == SayReady {
			return nil
		}
		if why, ok := strings.CutPrefix(line, SayFailed); ok {
			if text, err := strconv.Unquote(why); err == nil {
				why = text
			}
			return errors.New(why)
		}
		tell(line)
	}
	return errors.Join(errors.New("what starts the cluster ended without a word"), lines.Err())
}

// Running is the cluster that another process has started.
func Running() (*Cluster, error) {
	checkout, err := Checkout()
	if err != nil {
		return nil, err
	}
	s, err := readState()
	if err != nil {
		return nil, err
	}
	if syscall.Kill(s.Keeper, 0) != nil {
		return nil, fmt.Errorf("%w (what is in %s is left from one whose process is gone)", ErrNone, Dir)
	}
	return &Cluster{State: *s, checkout: checkout}, nil
}

// Stop ends a cluster that this process has started, and says what it has left behind, which is nothing.
func (c *Cluster) Stop() error {
	if err := c.end(); err != nil {
		return err
	}
	return gone()
}

// Kill ends by SIGKILL the process that keeps a cluster which this process has started: nothing is taken away.
func (c *Cluster) Kill() error {
	err := c.keeper.Process.Kill()
	_ = c.keeper.Wait() // it says that it was killed
	return err
}

// end waits for the keeper, which has a bound of its own for everything that it does.
func (c *Cluster) end() error {
	c.stdin.Close()
	_ = c.keeper.Process.Signal(syscall.SIGTERM)
	done := make(chan error, 1)
	go func() { done <- c.keeper.Wait() }()
	select {
	case err := <-done:
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() == 1 {
			return nil // it has told why
		}
		return err
	case <-time.After(time.Minute):
		return fmt.Errorf("process %d, which keeps the cluster, does not end", c.keeper.Process.Pid)
	}
}
