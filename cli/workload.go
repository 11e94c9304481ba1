package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
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
	flags     *runFlags
	member    *member
	errs      io.Writer
	ways      []way
	metricsAt netip.AddrPort // zero: nowhere
	args      []string
	gateway   string     // namespace/name of the gateway that it is a proxy of, without an application; empty: it is none
	opens     netip.Addr // where a gateway's ports are

	dir      *runDir
	box      *sandbox.Sandbox
	inbound  *os.File
	publish  []*os.File
	metrics  *os.File  // nil: there is none
	virtual  []virtual // where there is no sandbox
	proxies  proxyProcesses
	restarts int
	app      *exec.Cmd // where there is no sandbox
	end      *ending   // nil: nobody asked for it
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

// hostname is a workload's name as a host may have it: a pod's is cut in the same way.
func hostname(name string) string { return strings.TrimRight(name[:min(len(name), 63)], "-.") }

// enter makes the workload a member of the mesh, with a proxy that serves. exit undoes it, or what was done of it.
func (w *workload) enter(ctx context.Context, reg control.Registration) error {
	exe, err := proxyPath()
	if err != nil {
		return err
	}
	w.proxies = newProxies(exe, w.errs)
	if w.dir, err = newRunDir(w.flags.state); err != nil {
		return err
	}
	reg.Admin = filepath.Join(w.dir.path, "admin.sock")
	if w.member, err = join(ctx, w.flags.state, reg, w.errs); err != nil {
		return err
	}
	if err := w.place(ctx); err != nil {
		return err
	}
	return w.startProxy(ctx)
}

// command is whose words are told.
func (w *workload) command() string {
	if w.gateway != "" {
		return "weft gateway"
	}
	return "weft run"
}

func (w *workload) exit() {
	w.close()
	if w.member != nil {
		w.member.leave()
	}
	if w.dir != nil {
		w.dir.remove()
	}
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
	if w.metricsAt.IsValid() {
		if w.metrics, err = listenFile(w.metricsAt); err != nil {
			return fmt.Errorf("--metrics %v: %w", w.metricsAt, err)
		}
	}
	if w.gateway != "" {
		return nil
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
	namespace, name, _ := cutKey(w.member.given.Workload)
	hide := append(sandbox.OutsideDoors(), w.dir.path, socketDir(w.flags.state))
	hide = append(append(hide, runParents(w.flags.state)...), w.member.given.Private...)
	w.box, err = sandbox.Create(ctx, sandbox.Spec{Address: w.member.reg.Address, Hostname: hostname(name), Executable: w.proxies.exe,
		Search: []string{namespace + ".svc.cluster.local", "svc.cluster.local", "cluster.local"}, Hide: hide,
		// A process of the same user could change what judges it, or the proxy that is started anew when it dies.
		ReadOnly: append([]string{w.proxies.exe}, w.member.given.Rules...)})
	if err != nil {
		return err
	}
	for _, l := range w.box.Limits {
		fmt.Fprintln(w.errs, "weft run: "+l)
	}
	return nil
}

// startProxy starts the proxy and waits until it serves.
func (w *workload) startProxy(ctx context.Context) error {
	ready, told, err := os.Pipe()
	if err != nil {
		return err
	}
	defer ready.Close()
	err = w.launch(told)
	told.Close()
	if err != nil {
		return err
	}
	return w.awaitReady(ctx, ready)
}

// launch starts a proxy, the first one or one that takes its place, with the same listeners. It writes to ready, if that is not
// nil, once it serves.
func (w *workload) launch(ready *os.File) (err error) {
	c := &launch.Config{Workload: w.member.given.Workload, Account: w.member.reg.Account, TrustDomain: w.member.given.TrustDomain,
		Token: w.member.given.Token, Control: meshSocket(w.flags.state), Admin: w.member.reg.Admin, Log: w.flags.accessLog,
		App: w.member.reg.Address, Cache: filepath.Join(w.dir.path, "config"), Gateway: w.gateway, Opens: w.opens}
	var files []*os.File
	add := func(f *os.File) int {
		files = append(files, f)
		return launch.FD + len(files)
	}
	c.Inbound = add(w.inbound)
	if ready != nil {
		c.Ready = add(ready)
	}
	for i, f := range w.publish {
		c.Published = append(c.Published, launch.Published{FD: add(f), Port: w.ways[i].port})
	}
	if w.metrics != nil {
		c.Metrics = add(w.metrics)
	}
	for _, v := range w.virtual {
		c.Listeners = append(c.Listeners, launch.Listener{FD: add(v.file), Original: v.original})
	}
	if w.box != nil {
		arg, doors := w.box.Doors.Pass(launch.FD + 1 + len(files))
		c.Doors, files = arg, append(files, doors...)
	}
	w.proxies.now, err = w.proxies.launch(c, files...)
	return err
}

// Bounds of the proxy's start: a certificate and the first configuration.
const (
	readyWait  = 30 * time.Second
	readyPause = 2 * time.Second // before it is told what it waits for
)

func (w *workload) awaitReady(ctx context.Context, ready *os.File) error {
	defer context.AfterFunc(ctx, func() { ready.Close() })()
	told := false
	for end := time.Now().Add(readyWait); ; {
		_ = ready.SetReadDeadline(time.Now().Add(readyPause))
		_, err := ready.Read(make([]byte, 16))
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return w.endedEarly()
		case time.Now().After(end):
			return fmt.Errorf("the proxy is not ready after %v: %w", readyWait, w.hindrance(ctx))
		case !told:
			told = true
			fmt.Fprintln(w.errs, w.command()+": the proxy is not ready yet:", w.hindrance(ctx))
		}
	}
}

// hindrance is what likely keeps a proxy from being ready.
func (w *workload) hindrance(ctx context.Context) error {
	switch {
	case w.member.away.Load():
		return fmt.Errorf("%w in %s", errAway, w.flags.state)
	case w.gateway != "":
		return w.unready(ctx)
	}
	return errors.New("it waits for a certificate or for its configuration; see weft status")
}

// endedEarly: what it had to say of its end it has written to standard error.
func (w *workload) endedEarly() error {
	for {
		if died, err := w.proxies.take(<-w.proxies.events); died {
			return fmt.Errorf("the proxy ended before it was ready: %w", ended(err))
		}
	}
}

var errEnded = errors.New("it ended by itself")

// ended is an error in any case.
func ended(err error) error { return cmp.Or(err, errEnded) }

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

// Bounds of what is left when the application has ended.
const (
	proxyWait = 10 * time.Second
	boxWait   = 5 * time.Second // for the kernel to take a sandbox away
)

// wait returns the process' exit code. SIGTERM and SIGINT take it out of the mesh first, see ending.
func (w *workload) wait(ctx context.Context, signals <-chan os.Signal) (int, error) {
	ended := make(chan int, 1)
	go func() { ended <- w.appStatus() }()
	for {
		heard, late := w.end.waits()
		select {
		case status := <-ended:
			w.proxies.stop(proxyWait)
			return status, nil
		case s := <-signals:
			w.signalled(ctx, s.(syscall.Signal))
		case err := <-heard:
			w.leave(err)
		case <-late:
			w.endApp("its proxy does not say that no call is under way to it")
		case e := <-w.proxies.events:
			died, err := w.proxies.take(e)
			if !died {
				if w.proxies.left() {
					w.endApp("")
				}
				continue
			}
			if err == nil && w.box != nil { // it ends by itself with its sandbox, and may hear of that first
				select {
				case status := <-ended:
					w.proxies.stop(proxyWait)
					return status, nil
				case <-time.After(boxWait):
				}
			}
			if err := w.proxyDied(e, err); err != nil {
				w.signalApp(syscall.SIGKILL)
				return 0, err
			}
		}
	}
}

// maxRestarts of a proxy, one soon after the other: what dies more often has a reason that another start won't mend.
const (
	maxRestarts = 5
	longLife    = time.Minute // of a proxy whose earlier deaths don't count any more
)

func (w *workload) proxyDied(e proxyEvent, err error) error {
	if time.Since(e.from.launched) > longLife {
		w.restarts = 0
	}
	if w.restarts++; w.restarts > maxRestarts {
		return fmt.Errorf("the proxy died %d times: %w", w.restarts, ended(err))
	}
	fmt.Fprintln(w.errs, w.command()+": the proxy died and is started again:", ended(err))
	return w.launch(nil)
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
		return exitBySignal + int(ws.Signal())
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

// close ends what is left, where the workload did not end by itself.
func (w *workload) close() {
	w.proxies.kill()
	if w.box != nil {
		w.box.Close()
	}
	files := append(w.publish, w.inbound, w.metrics)
	for _, v := range w.virtual {
		files = append(files, v.file)
	}
	for _, f := range files {
		if f != nil {
			f.Close()
		}
	}
}
