package cli

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/weft-mesh/weft/control"
	"github.com/weft-mesh/weft/internal/sys"
	"github.com/weft-mesh/weft/node/sandbox"
	"github.com/weft-mesh/weft/proxy/launch"
)

// workload is a process, its proxy, and what lies between them.
type workload struct {
	flags    *runFlags
	member   *member
	errs     io.Writer
	proxyExe string
	ways     []way
	args     []string

	dir      string // of sockets
	box      *sandbox.Sandbox
	inbound  *os.File
	publish  []*os.File
	virtual  []virtual // where there is no sandbox
	proxy    *exec.Cmd
	restarts int
	proxied  chan error // the proxy's end
	app      *exec.Cmd  // where there is no sandbox
}

// virtual is a loopback address that stands for a service's port.
type virtual struct {
	file     *os.File
	original netip.AddrPort
	at       netip.AddrPort
	service  control.ServiceAddr
}

func cutKey(key string) (namespace, name string, ok bool) { return strings.Cut(key, "/") }

// proxyPath finds weft-proxy beside weft, else in PATH.
func proxyPath() (string, error) {
	if self, err := os.Executable(); err == nil {
		if p := filepath.Join(filepath.Dir(self), "weft-proxy"); executable(p) {
			return p, nil
		}
	}
	p, err := exec.LookPath("weft-proxy")
	if err != nil {
		return "", errors.New("weft-proxy is neither beside weft nor in PATH; build it with: make build")
	}
	return p, nil
}

func executable(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0
}

// place makes the workload's surroundings: sandbox or loopback addresses, and the listeners of its proxy.
func (w *workload) place(ctx context.Context) (err error) {
	tunnel, err := netip.ParseAddrPort(w.member.given.Tunnel)
	if err != nil {
		return err
	}
	if w.inbound, err = listenFile(tunnel); err != nil {
		return fmt.Errorf("listen for other proxies: %w", err)
	}
	for _, p := range w.ways {
		f, err := listenFile(p.at)
		if err != nil {
			return fmt.Errorf("--publish %v: %w", p.at, err)
		}
		w.publish = append(w.publish, f)
	}
	if w.flags.useNamespaces(w.errs) {
		return w.shutUp(ctx)
	}
	return w.standIn()
}

func listenFile(at netip.AddrPort) (*os.File, error) {
	l, err := sys.ListenTCP(at)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	return l.File()
}

// shutUp makes the sandbox.
func (w *workload) shutUp(ctx context.Context) (err error) {
	g := w.member.given
	namespace, name, _ := cutKey(g.Workload)
	w.box, err = sandbox.Create(ctx, sandbox.Spec{Address: netip.MustParseAddr(g.Address), Hostname: name, Executable: w.proxyExe,
		Search: []string{namespace + ".svc.cluster.local", "svc.cluster.local", "cluster.local"},
		Hide:   append(sandbox.OutsideDoors(), w.flags.state, w.dir)})
	if err != nil {
		return err
	}
	for _, l := range w.box.Limits {
		fmt.Fprintln(w.errs, "weft run: "+l)
	}
	return nil
}

// standIn opens a loopback address for each service that there is: 127.128.0.0/9 has 256 of them for each workload.
func (w *workload) standIn() error {
	own := netip.MustParseAddr(w.member.given.Address).As4()
	slice := 127<<24 | 1<<23 | (binary.BigEndian.Uint32(own[:])&0x7fff)<<8
	for i, s := range w.member.given.Services {
		ip, err := netip.ParseAddr(s.IP)
		if err != nil || i > 253 {
			continue
		}
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], slice+uint32(i)+1)
		for _, p := range s.Ports {
			at := netip.AddrPortFrom(netip.AddrFrom4(b), lowPort(p))
			f, err := listenFile(at)
			if err != nil {
				return fmt.Errorf("stand in for %s: %w", s.Host, err)
			}
			w.virtual = append(w.virtual, virtual{f, netip.AddrPortFrom(ip, p), at, s})
		}
	}
	return nil
}

// lowPort moves ports that only root may open.
func lowPort(p uint16) uint16 {
	if p < 1024 && os.Geteuid() != 0 {
		return p + 10000
	}
	return p
}

// startProxy starts the proxy and waits until it serves; when it dies it is started again, with the same listeners.
func (w *workload) startProxy(ctx context.Context) error {
	c := &launch.Config{Workload: w.member.given.Workload, Account: w.member.reg.Account, TrustDomain: w.member.given.TrustDomain,
		Token: w.member.given.Token, Control: meshSocket(w.flags.state), Admin: w.member.reg.Admin, Log: w.flags.accessLog,
		Cache: filepath.Join(w.dir, "config")}
	ready, told, err := os.Pipe()
	if err != nil {
		return err
	}
	defer ready.Close()
	files := []*os.File{nil, told, w.inbound} // the first is the configuration's
	c.Ready, c.Inbound = launch.FD+1, launch.FD+2
	add := func(f *os.File) int {
		files = append(files, f)
		return launch.FD + len(files) - 1
	}
	for i, f := range w.publish {
		c.Published = append(c.Published, launch.Published{FD: add(f), Port: w.ways[i].port})
	}
	for _, v := range w.virtual {
		c.Listeners = append(c.Listeners, launch.Listener{FD: add(v.file), Original: v.original})
	}
	c.App = netip.MustParseAddr(w.member.given.Address)
	if w.box != nil {
		arg, doors := w.box.Doors.Pass(launch.FD + len(files))
		c.Doors, files = arg, append(files, doors...)
	}
	if files[0], err = launch.Pipe(c); err != nil {
		return err
	}
	w.proxy = exec.Command(w.proxyExe)
	w.proxy.ExtraFiles, w.proxy.Stderr, w.proxy.Stdout = files, w.errs, w.errs
	w.proxy.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	err = w.proxy.Start()
	told.Close()
	files[0].Close()
	if err != nil {
		return fmt.Errorf("start the proxy: %w", err)
	}
	w.proxied = make(chan error, 1)
	go func(p *exec.Cmd, ended chan error) { ended <- p.Wait() }(w.proxy, w.proxied)
	return w.awaitReady(ctx, ready)
}

// readyWait bounds the proxy's start: a certificate and the first configuration.
const readyWait = 30 * time.Second

func (w *workload) awaitReady(ctx context.Context, ready *os.File) error {
	_ = ready.SetReadDeadline(time.Now().Add(readyWait))
	defer context.AfterFunc(ctx, func() { _ = ready.SetReadDeadline(time.Now()) })()
	if _, err := bufio.NewReader(ready).ReadString('\n'); err != nil {
		select {
		case err := <-w.proxied:
			return fmt.Errorf("the proxy ended before it was ready: %w", errors.Join(err))
		case <-time.After(100 * time.Millisecond):
		}
		return fmt.Errorf("the proxy is not ready after %v: %w", readyWait, err)
	}
	return nil
}

// startApp starts the process.
func (w *workload) startApp() error {
	env := w.environment()
	if w.box != nil {
		return w.box.Start(sandbox.Command{Args: w.args, Env: env})
	}
	w.app = exec.Command(w.args[0], w.args[1:]...)
	w.app.Env, w.app.Stdin, w.app.Stdout, w.app.Stderr = env, os.Stdin, os.Stdout, os.Stderr
	w.app.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	return w.app.Start()
}

// environment is the caller's with what a pod would find: its own name and address, and services' (Kubernetes' convention).
func (w *workload) environment() []string {
	g := w.member.given
	namespace, name, _ := cutKey(g.Workload)
	env := append(os.Environ(), "POD_NAME="+name, "POD_NAMESPACE="+namespace, "POD_IP="+g.Address, "HOSTNAME="+name)
	if w.box == nil {
		env = append(env, "HOST="+g.Address)
	}
	if len(w.member.reg.Ports) > 0 {
		env = append(env, "PORT="+strconv.Itoa(int(w.member.reg.Ports[0].Number)))
	}
	for _, s := range g.Services {
		if s.Namespace != namespace || len(s.Ports) == 0 {
			continue
		}
		host, port := s.IP, s.Ports[0]
		for _, v := range w.virtual {
			if v.service.Host == s.Host && v.original.Port() == port {
				host, port = v.at.Addr().String(), v.at.Port()
			}
		}
		prefix := strings.ToUpper(strings.ReplaceAll(s.Name, "-", "_")) + "_SERVICE_"
		env = append(env, prefix+"HOST="+host, prefix+"PORT="+strconv.Itoa(int(port)))
	}
	return env
}

// Bounds of the end: for callers to hear of it, and for calls in flight.
const (
	drainWait = 5 * time.Second
	proxyWait = 10 * time.Second
)

// wait returns the process' exit code. SIGTERM and SIGINT take it out of the mesh first.
func (w *workload) wait(ctx context.Context, signals <-chan os.Signal) (int, error) {
	ended := make(chan int, 1)
	go func() { ended <- w.appStatus() }()
	draining := false
	for {
		select {
		case status := <-ended:
			w.stopProxy()
			return status, nil
		case s := <-signals:
			if (s == syscall.SIGTERM || s == syscall.SIGINT) && !draining {
				draining = true
				w.drain(ctx)
			}
			w.signalApp(s.(syscall.Signal))
		case err := <-w.proxied:
			if err := w.proxyDied(ctx, err); err != nil {
				w.signalApp(syscall.SIGKILL)
				return 0, err
			}
		}
	}
}

func (w *workload) drain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, drainWait)
	defer cancel()
	if err := w.member.drain(ctx); err != nil {
		fmt.Fprintln(w.errs, "weft run: the mesh may still call the workload while it ends:", err)
	}
}

// maxRestarts of a proxy; one that dies more often has a reason that another start won't mend.
const maxRestarts = 5

func (w *workload) proxyDied(ctx context.Context, err error) error {
	if w.restarts++; w.restarts > maxRestarts {
		return fmt.Errorf("the proxy died %d times: %w", w.restarts, errors.Join(err))
	}
	fmt.Fprintln(w.errs, "weft run: the proxy died and is started again:", err)
	return w.startProxy(ctx)
}

func (w *workload) appStatus() int {
	if w.box != nil {
		exit, err := w.box.Wait()
		if err != nil {
			fmt.Fprintln(w.errs, "weft run:", err)
			return 1
		}
		return exit.Status()
	}
	_ = w.app.Wait()
	ws, _ := w.app.ProcessState.Sys().(syscall.WaitStatus)
	if ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return w.app.ProcessState.ExitCode()
}

func (w *workload) signalApp(s syscall.Signal) {
	if w.box != nil {
		_ = w.box.Signal(s)
	} else if w.app != nil && w.app.Process != nil {
		_ = syscall.Kill(-w.app.Process.Pid, s)
	}
}

// stopProxy lets the proxy finish its calls.
func (w *workload) stopProxy() {
	_ = w.proxy.Process.Signal(syscall.SIGTERM)
	select {
	case <-w.proxied:
	case <-time.After(proxyWait):
		_ = w.proxy.Process.Kill()
		<-w.proxied
	}
}

func (w *workload) close() {
	if w.box != nil {
		w.box.Close()
	}
	files := append(w.publish, w.inbound)
	for _, v := range w.virtual {
		files = append(files, v.file)
	}
	for _, f := range files {
		if f != nil {
			f.Close()
		}
	}
}
