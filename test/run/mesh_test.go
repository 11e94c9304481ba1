package run

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/weft-mesh/weft/control"
	"github.com/weft-mesh/weft/internal/proctest"
)

// bound is how long anything may take before a test fails.
const bound = 30 * time.Second

// nobody is a user without rights, as whom root can start things.
const nobody = 65534

// process is one that a test has started.
type process struct {
	t    testing.TB
	cmd  *exec.Cmd
	out  *output
	done chan struct{}
}

// output keeps what a process writes.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// mesh is a control plane with its directories.
type mesh struct {
	t     testing.TB
	dir   string // short: of sockets
	state string
	conf  string
	uid   int    // of whoever runs it; -1: the test's user
	bin   string // of its programs; empty: those of all tests
	up    *process
}

// newMesh makes directories, and starts nothing.
func newMesh(t testing.TB, uid int, objects ...string) *mesh {
	t.Helper()
	dir, err := os.MkdirTemp("", "weft")
	if err != nil {
		t.Fatal(err)
	}
	m := &mesh{t: t, dir: dir, state: filepath.Join(dir, "state"), conf: filepath.Join(dir, "conf"), uid: uid}
	t.Cleanup(func() { os.RemoveAll(dir) })
	temp := filepath.Join(dir, "tmp") // for every user
	if err := errors.Join(os.Mkdir(m.conf, 0o755), os.Mkdir(temp, 0o700), os.Chmod(temp, 0o777|os.ModeSticky)); err != nil {
		t.Fatal(err)
	}
	if uid >= 0 {
		for _, d := range []string{m.dir, m.conf} {
			if err := errors.Join(os.Chown(d, uid, uid), os.Chmod(d, 0o755)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i, o := range objects {
		m.apply(fmt.Sprint("objects", i), o)
	}
	return m
}

// begin makes a mesh of the test's user and starts it.
func begin(t testing.TB, objects ...string) *mesh {
	t.Helper()
	m := newMesh(t, -1, objects...)
	m.start()
	return m
}

// apply writes a file of configuration.
func (m *mesh) apply(name, text string) {
	m.t.Helper()
	path := filepath.Join(m.conf, name+".yaml")
	if err := errors.Join(os.WriteFile(path+".new", []byte(text), 0o600), os.Chmod(path+".new", 0o644), os.Rename(path+".new", path)); err != nil {
		m.t.Fatal(err)
	}
}

// start starts the control plane, and returns when it answers.
func (m *mesh) start(more ...string) {
	m.t.Helper()
	m.up = m.weft(append([]string{"up", "-f", m.conf}, more...)...)
	m.t.Cleanup(m.up.end)
	m.up.says("weft is up")
}

// weft starts a command on this mesh as its user.
func (m *mesh) weft(args ...string) *process { m.t.Helper(); return m.as(m.uid, m.state, args...) }

// as starts a command as a user; -1: the test's.
func (m *mesh) as(uid int, state string, args ...string) *process {
	m.t.Helper()
	i := slices.Index(args, "--")
	if i < 0 {
		i = len(args)
	}
	c := exec.Command(filepath.Join(cmp.Or(m.bin, bin), "weft"), slices.Concat(args[:i], []string{"--state", state}, args[i:])...)
	c.Env = append(os.Environ(), "HOME="+m.dir, "TMPDIR="+filepath.Join(m.dir, "tmp"))
	c.Dir = m.dir
	if uid >= 0 {
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	}
	return start(m.t, c)
}

func start(t testing.TB, c *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, cmd: c, out: &output{}, done: make(chan struct{})}
	c.Stdout, c.Stderr, c.WaitDelay = p.out, p.out, time.Second
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = c.Wait()
		close(p.done)
	}()
	t.Cleanup(p.kill)
	return p
}

func (p *process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.done
}

// end asks the process to end, and makes it after a while.
func (p *process) end() {
	p.signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(bound):
		p.t.Errorf("%v does not end:\n%s", p.cmd.Args, p.out)
		p.kill()
	}
}

// code waits for the end, and returns the exit code.
func (p *process) code() int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(bound):
		p.t.Fatalf("%v does not end:\n%s", p.cmd.Args, p.out)
	}
	return p.cmd.ProcessState.ExitCode()
}

// says waits until the process has written something.
func (p *process) says(what string) {
	p.t.Helper()
	eventually(p.t, func() error {
		select {
		case <-p.done:
			p.t.Fatalf("%v ended, and did not say %q:\n%s", p.cmd.Args, what, p.out)
		default:
		}
		if !strings.Contains(p.out.String(), what) {
			return fmt.Errorf("%v does not say %q:\n%s", p.cmd.Args, what, p.out)
		}
		return nil
	})
}

// eventually repeats try until it succeeds.
func eventually(t testing.TB, try func() error) {
	t.Helper()
	for deadline := time.Now().Add(bound); ; time.Sleep(10 * time.Millisecond) {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// command runs one to its end, which has to be a good one.
func (m *mesh) command(args ...string) string {
	m.t.Helper()
	p := m.weft(args...)
	if p.code() != 0 {
		m.t.Fatalf("weft %s: exit code %d: %s", strings.Join(args, " "), p.code(), p.out)
	}
	return p.out.String()
}

// edges waits until weft edges says something: a record is made when a call has ended, which its caller may know before.
func (m *mesh) edges(says func(string) bool, more ...string) {
	m.t.Helper()
	eventually(m.t, func() error {
		out := m.command(append([]string{"edges", "--window", "0"}, more...)...)
		if !says(out) {
			return fmt.Errorf("edges: %s", out)
		}
		return nil
	})
}

func (m *mesh) status() (s control.Status) {
	m.t.Helper()
	if err := json.Unmarshal([]byte(m.command("status", "-o", "json")), &s); err != nil {
		m.t.Fatal(err)
	}
	return s
}

// find returns a workload as status tells of it, or nil.
func (m *mesh) find(key string) *control.ProxyAddr {
	m.t.Helper()
	for _, p := range m.status().Proxies {
		if p.Workload == key {
			return &p
		}
	}
	return nil
}

// workload is a weft run with the test's application in it.
type workload struct {
	*process
	m   *mesh
	way string // in, from outside
}

// run starts an application as a workload, with a way in to its first port, and returns when it answers.
func (m *mesh) run(service string, flags ...string) *workload {
	m.t.Helper()
	w := m.launch(m.uid, m.state, service, "9080", flags...)
	w.await()
	return w
}

func (m *mesh) launch(uid int, state, service, port string, flags ...string) *workload {
	m.t.Helper()
	w := &workload{m: m, way: free(m.t)}
	args := slices.Concat([]string{"run", "--service", service, "--port", port, "--publish", w.way + ":" + port}, flags, []string{"--", program("app"), "app", "serve", port})
	w.process = m.as(uid, state, args...)
	m.t.Cleanup(w.end)
	return w
}

// await returns when the application answers.
func (w *workload) await() {
	w.t.Helper()
	eventually(w.t, func() error {
		select {
		case <-w.done:
			w.t.Fatalf("%v ended:\n%s", w.cmd.Args, w.out)
		default:
		}
		got, err := w.ask("/", nil)
		if err == nil && got.Name == "" {
			err = fmt.Errorf("%+v is no answer of the application", got)
		}
		if err != nil {
			return fmt.Errorf("%w:\n%s", err, w.out)
		}
		return nil
	})
}

var client = http.Client{Timeout: 2 * bound, Transport: &http.Transport{DisableKeepAlives: true}}

// ask asks the application from outside.
func (w *workload) ask(path string, query map[string]string) (t told, err error) {
	v := url.Values{}
	for name, value := range query {
		v.Set(name, value)
	}
	resp, err := client.Get("http://" + w.way + path + "?" + v.Encode())
	if err != nil {
		return t, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != 200 {
		return t, fmt.Errorf("%s: %s", resp.Status, b)
	}
	return t, errors.Join(err, json.Unmarshal(b, &t))
}

// says asks the application, which has to answer.
func (w *workload) tells(path string, query ...string) told {
	w.t.Helper()
	q := map[string]string{}
	for i := 0; i < len(query); i += 2 {
		q[query[i]] = query[i+1]
	}
	t, err := w.ask(path, q)
	if err != nil {
		w.t.Fatalf("%s: %v\n%s", path, err, w.out)
	}
	return t
}

// call has the application call another, which has to answer 200, and returns what that one says.
func (w *workload) call(to string) (t told, err error) {
	got, err := w.ask("/fetch", map[string]string{"url": to})
	switch {
	case err != nil:
		return t, err
	case got.Status != 200:
		return t, fmt.Errorf("%s: %d %s%s", to, got.Status, got.Error, got.Body)
	}
	return t, json.Unmarshal([]byte(got.Body), &t)
}

func (w *workload) reaches(to string) told {
	w.t.Helper()
	var got told
	eventually(w.t, func() (err error) {
		got, err = w.call(to)
		return err
	})
	return got
}

// free is an address on loopback that nobody listens on.
func free(t testing.TB) string {
	t.Helper()
	at, err := proctest.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return at
}
