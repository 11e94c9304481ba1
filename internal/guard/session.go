package guard

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/weft-mesh/weft/internal/proctest"
)

const (
	patience = 20 * time.Second // until a command prints what the page shows: what it speaks of may still be starting
	pause    = 100 * time.Millisecond
	leave    = 15 * time.Second // for a program to end after SIGINT
)

// session does what a page tells its reader to do, in a directory of its own. Addresses 127.0.0.1:PORT, and the ports of gateways
// in its objects, are others than the page has, so that nothing stands in the way.
type session struct {
	dir     string
	env     []string
	ports   map[string]string
	running []*background
}

type background struct {
	cmd   *exec.Cmd
	out   *output
	ended chan struct{}
}

// output is what a program has printed so far.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// newSession works in dir, with the programs of bin.
func newSession(dir, bin string) *session {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "PATH=") || strings.HasPrefix(v, "WEFT_") })
	return &session{dir: dir, ports: map[string]string{},
		env: append(env, "PATH="+bin+string(filepath.ListSeparator)+os.Getenv("PATH"), "WEFT_STATE="+filepath.Join(dir, ".state"))}
}

// write stores a block's file, with free ports in the place of its gateways'.
func (s *session) write(name, text string) error {
	if filepath.Ext(name) == ".yaml" {
		text = listener.ReplaceAllStringFunc(text, func(at string) string {
			_, port, _ := net.SplitHostPort(s.moved("127.0.0.1:" + listener.FindStringSubmatch(at)[1]))
			return "port: " + port + ", protocol:"
		})
	}
	return s.store(name, text)
}

// store writes a file as the page has it.
func (s *session) store(name, text string) error {
	if !filepath.IsLocal(name) {
		return fmt.Errorf("%s leads out of the page's directory", name)
	}
	path := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(text), 0o644)
}

// do runs a command until it prints what it should.
func (s *session) do(ctx context.Context, c Command) error {
	deadline := time.Now().Add(patience)
	for first := ""; ; time.Sleep(pause) {
		cmd := s.command(ctx, c.Text)
		b, _ := cmd.CombinedOutput() // a command may be shown to fail; what it prints says so
		got := s.shown(string(b))
		if Matches(c.Want, got, false) {
			return nil
		}
		if first == "" {
			first = got
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return fmt.Errorf("line %d: $ %s\nprints:\n%s\nafter it printed at first:\n%s\nand not:\n%s", c.Line, c.Text, got, first, c.Want)
		}
	}
}

// start leaves a command running once it has printed what it should.
func (s *session) start(ctx context.Context, c Command) error {
	b := &background{cmd: s.command(ctx, c.Text), out: &output{}, ended: make(chan struct{})}
	b.cmd.Stdout, b.cmd.Stderr = b.out, b.out
	if err := b.cmd.Start(); err != nil {
		return err
	}
	go func() {
		_ = b.cmd.Wait() // how it ended does not matter once the page is done with it
		close(b.ended)
	}()
	s.running = append(s.running, b)
	for deadline := time.Now().Add(patience); !Matches(c.Want, s.shown(b.out.String()), true); time.Sleep(pause) {
		if time.Now().After(deadline) || b.hasEnded() {
			return fmt.Errorf("line %d: $ %s\nprints:\n%s\nand not:\n%s", c.Line, c.Text, b.out, c.Want)
		}
	}
	return nil
}

func (b *background) hasEnded() bool {
	select {
	case <-b.ended:
		return true
	default:
		return false
	}
}

// end interrupts what runs, the last first.
func (s *session) end() error {
	var errs []error
	for _, b := range slices.Backward(s.running) {
		if !b.interrupt() {
			_ = syscall.Kill(-b.cmd.Process.Pid, syscall.SIGKILL) // it may just have ended
			<-b.ended
			errs = append(errs, fmt.Errorf("$ %v does not end when it is interrupted; it printed:\n%s", b.cmd.Args, b.out))
		}
	}
	return errors.Join(errs...)
}

// interrupt says whether it ended. A shell in a loop goes on if what it waits for ends by itself just as the interrupt comes, so that one
// is not always enough, at a terminal neither.
func (b *background) interrupt() bool {
	for range interrupts {
		_ = syscall.Kill(-b.cmd.Process.Pid, syscall.SIGINT) // it may have ended
		select {
		case <-b.ended:
			return true
		case <-time.After(leave / interrupts):
		}
	}
	return false
}

const interrupts = 3

// command is one in a process group of its own, as a shell makes it.
func (s *session) command(ctx context.Context, text string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "bash", "-c", "exec 2>&1; "+s.moved(text))
	cmd.Dir, cmd.Env = s.dir, s.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	return cmd
}

var (
	address  = regexp.MustCompile(`127\.0\.0\.1:\d+`)
	listener = regexp.MustCompile(`port: (\d+), protocol:`) // of a gateway
)

// moved puts free ports in place of a page's.
func (s *session) moved(text string) string {
	return address.ReplaceAllStringFunc(text, func(at string) string {
		if s.ports[at] == "" {
			s.ports[at] = at
			if free, err := proctest.FreePort(); err == nil {
				s.ports[at] = free
			}
		}
		return s.ports[at]
	})
}

// shown puts the page's ports back.
func (s *session) shown(text string) string {
	for page, real := range s.ports {
		text = strings.ReplaceAll(text, real, page)
	}
	return text
}
