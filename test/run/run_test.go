package run

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/weft-mesh/weft/node/sandbox"
)

// needSandbox skips where the kernel, or what is around this test, forbids namespaces.
func needSandbox(t *testing.T) {
	t.Helper()
	if err := probe(); err != nil {
		t.Skip(err)
	}
}

var probe = sync.OnceValue(func() error { return sandbox.Probe(program("weft-proxy")) })

func TestRegisterCallGone(t *testing.T) {
	m := begin(t)
	a := m.run("a")
	b := m.run("b", "--version", "v2", "--name", "b-one", "--label", "tier=back")
	if got := a.reaches("http://b:9080/"); got.Name != "b-one" {
		t.Errorf("%+v answers", got)
	}
	s := m.find("default/b-one")
	if s == nil || s.Service != "b" || s.Version != "v2" || !s.Connected {
		t.Errorf("status says %+v", s)
	}
	b.end()
	if b.cmd.ProcessState.ExitCode() != 0 {
		t.Errorf("exit code %d:\n%s", b.cmd.ProcessState.ExitCode(), b.out)
	}
	if s := m.find("default/b-one"); s != nil {
		t.Errorf("it has ended, and status says %+v", s)
	}
	eventually(t, func() error {
		got, err := a.ask("/fetch", map[string]string{"url": "http://b:9080/"})
		if err != nil || got.Status == 200 {
			return fmt.Errorf("%+v, %v", got, err)
		}
		return nil
	})
}

func TestIdentityAndAddress(t *testing.T) {
	needSandbox(t)
	m := begin(t)
	a := m.run("a", "--service-account", "alice")
	m.run("b", "--namespace", "shop", "--service-account", "bob")
	got := a.reaches("http://b.shop:9080/")
	if got.Env["POD_IP"] != m.find("shop/b-1").Address || got.Env["POD_NAMESPACE"] != "shop" || got.Host != "b-1" || got.Env["PORT"] != "9080" {
		t.Errorf("b finds itself as %+v on %s", got.Env, got.Host)
	}
	m.edges(func(out string) bool {
		return strings.Contains(out, `"to": "shop/b-1"`) && strings.Contains(out, `"mtlsShare": 1`)
	}, "-o", "json")
	m.apply("policy", `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: alice, namespace: shop}
spec: {rules: [{from: [{source: {principals: [cluster.local/ns/default/sa/alice]}}]}]}
`)
	c := m.run("c", "--service-account", "carol")
	eventually(t, func() error {
		if _, err := c.call("http://b.shop:9080/"); err == nil || !strings.Contains(err.Error(), "403") {
			return fmt.Errorf("carol is not refused: %v", err)
		}
		return nil
	})
	if _, err := a.call("http://b.shop:9080/"); err != nil {
		t.Errorf("alice is refused: %v", err)
	}
}

func TestExitCodes(t *testing.T) {
	m := begin(t)
	plain := filepath.Join(m.dir, "plain")
	if err := os.WriteFile(plain, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		what string
		args []string
		code int
		says string
	}{
		{"its own", []string{"run", "--service", "a", "--", program("app"), "app", "exit", "0"}, 0, ""},
		{"its own", []string{"run", "--service", "a", "--", program("app"), "app", "exit", "3"}, 3, ""},
		{"its own, without a sandbox", []string{"run", "--no-namespace", "--service", "a", "--", program("app"), "app", "exit", "42"}, 42, ""},
		{"killed", []string{"run", "--service", "a", "--", program("app"), "app", "die"}, 128 + 9, ""},
		{"killed, without a sandbox", []string{"run", "--no-namespace", "--service", "a", "--", program("app"), "app", "die"}, 128 + 9, ""},
		{"a command that is not there", []string{"run", "--service", "a", "--", "nosuchcommand"}, 127, "nosuchcommand"},
		{"a command that is not there, by path", []string{"run", "--service", "a", "--", "./nosuchcommand"}, 127, "no such file"},
		{"a command that cannot be executed", []string{"run", "--service", "a", "--", plain}, 126, "permission denied"},
		{"no service", []string{"run", "--", "true"}, 2, "name --service, as"},
		{"no command", []string{"run", "--service", "a"}, 2, "command"},
		{"a bad port", []string{"run", "--service", "a", "--port", "http", "--", "true"}, 2, "--port"},
		{"a name that none can have", []string{"run", "--service", "A_B", "--", "true"}, 125, "A_B"},
		{"a port that is taken", []string{"run", "--service", "a", "--publish", "127.0.0.1:1:80", "--publish", "127.0.0.1:1:80", "--", "true"}, 125, "--publish 127.0.0.1:1"},
	} {
		p := m.weft(x.args...)
		if got := p.code(); got != x.code || !strings.Contains(p.out.String(), x.says) {
			t.Errorf("%s: exit code %d, want %d, and %q in:\n%s", x.what, got, x.code, x.says, p.out)
		}
	}
	if left := m.status().Proxies; len(left) > 0 {
		t.Errorf("workloads are left: %+v", left)
	}
	if left, _ := filepath.Glob(filepath.Join(m.state, "run", "*", "*")); len(left) > 0 {
		t.Errorf("files are left: %q", left)
	}
}

// What an application writes is all that there is to read.
func TestRunIsQuiet(t *testing.T) {
	needSandbox(t)
	m := begin(t)
	p := m.weft("run", "--service", "a", "--port", "80", "--", "sh", "-c", "echo out; echo err >&2")
	if p.code() != 0 || p.out.String() != "out\nerr\n" {
		t.Errorf("exit code %d:\n%s", p.code(), p.out)
	}
}

// load calls a path of b through a, again and again, until end, which returns how many calls there were and how they failed.
func load(a *workload, to string, callers int) (end func() (int64, []string)) {
	var over atomic.Bool
	var calls atomic.Int64
	var mu sync.Mutex
	var failed []string
	var running sync.WaitGroup
	for range callers {
		running.Go(func() {
			for !over.Load() {
				_, err := a.call(to)
				calls.Add(1)
				if err != nil {
					mu.Lock()
					failed = append(failed, err.Error())
					mu.Unlock()
				}
			}
		})
	}
	return func() (int64, []string) {
		over.Store(true)
		running.Wait()
		return calls.Load(), failed
	}
}

// progress waits for more calls.
func (w *workload) progress(n int) {
	w.t.Helper()
	was := w.calls()
	eventually(w.t, func() error {
		if now := w.calls(); now < was+n {
			return fmt.Errorf("%d calls, and %d before", now, was)
		}
		return nil
	})
}

// calls counts those that the workload's callers have made to anybody.
func (w *workload) calls() (n int) {
	for _, line := range strings.Split(w.m.command("stat", "--window", "0", "-o", "json"), "\n") {
		var x int
		if _, err := fmt.Sscanf(strings.TrimSpace(line), `"calls": %d,`, &x); err == nil {
			n += x
		}
	}
	return n
}

func TestSIGTERMLosesNoCall(t *testing.T) {
	m := begin(t)
	a, b1 := m.run("a"), m.run("b")
	m.run("b")
	a.reaches("http://b:9080/")
	end := load(a, "http://b:9080/slow?ms=20", 4)
	a.progress(20)
	b1.end()
	if code := b1.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d:\n%s", code, b1.out)
	}
	a.progress(20)
	if n, failed := end(); len(failed) > 0 {
		t.Errorf("%d of %d calls failed: %q", len(failed), n, failed[0])
	}
	if out := b1.out.String(); strings.Contains(out, "weft run: the mesh may still call") {
		t.Error(out)
	}
}

// abrupt is an instance of service b that dies of SIGTERM, while it has a call by a to answer; answer lets it do so, and answered gets
// what came of the call.
func abrupt(t *testing.T) (a, b *workload, answer func(), answered chan error) {
	m := begin(t)
	a, b = m.run("a"), m.run("b")
	a.reaches("http://b:9080/")
	b.tells("/abrupt")
	file := filepath.Join(t.TempDir(), "answer")
	answered = make(chan error, 1)
	go func() {
		_, err := a.call("http://b:9080/held?path=" + url.QueryEscape(file))
		answered <- err
	}()
	eventually(t, func() error {
		if b.tells("/busy").Status == 0 {
			return errors.New("the call has not arrived")
		}
		return nil
	})
	return a, b, func() {
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			t.Error(err)
		}
	}, answered
}

// TestSIGTERMWaitsForAnswers: the application is told when it owes no answer any more, and the proxy refuses calls before that.
func TestSIGTERMWaitsForAnswers(t *testing.T) {
	a, b, answer, answered := abrupt(t)
	b.signal(syscall.SIGTERM)
	eventually(t, func() error {
		if _, err := b.ask("/", nil); err == nil {
			return errors.New("calls from outside are still let in")
		}
		return nil
	})
	if _, err := a.call("http://b:9080/"); err == nil {
		t.Error("a call from the mesh is let in")
	}
	answer()
	if err := <-answered; err != nil {
		t.Error(err)
	}
	if code := b.code(); code != 128+int(syscall.SIGTERM) {
		t.Errorf("exit code %d:\n%s", code, b.out)
	}
}

// TestSIGTERMTwice: who asks again does not wait for answers.
func TestSIGTERMTwice(t *testing.T) {
	_, b, answer, answered := abrupt(t)
	b.signal(syscall.SIGTERM)
	eventually(t, func() error { // the first one was heard
		if _, err := b.ask("/", nil); err == nil {
			return errors.New("calls from outside are still let in")
		}
		return nil
	})
	b.signal(syscall.SIGTERM)
	if err := <-answered; err == nil {
		t.Error("the call was answered")
	}
	answer()
	if code := b.code(); code != 128+int(syscall.SIGTERM) {
		t.Errorf("exit code %d:\n%s", code, b.out)
	}
	if strings.Contains(b.out.String(), "while it has calls") {
		t.Errorf("it waited for the limit:\n%s", b.out)
	}
}

func TestKilledRunLeavesNothing(t *testing.T) {
	needSandbox(t)
	m := begin(t)
	a, b := m.run("a"), m.run("b")
	a.reaches("http://b:9080/")
	family := descendants(b.cmd.Process.Pid)
	if len(family) < 3 { // the proxy, the sandbox's init, and the application
		t.Fatalf("weft run has only the descendants %v", family)
	}
	spaces := map[string]bool{}
	for _, pid := range family {
		if ns := netOf(pid); ns != netOf(os.Getpid()) {
			spaces[ns] = true
		}
	}
	if len(spaces) != 1 {
		t.Errorf("they are in the network namespaces %v beside the machine's, want one", spaces)
	}
	b.kill()
	eventually(t, func() error {
		for _, pid := range family {
			if alive(pid) {
				return fmt.Errorf("process %d lives on: %s", pid, commandOf(pid))
			}
		}
		for _, pid := range all() {
			if spaces[netOf(pid)] {
				return fmt.Errorf("process %d keeps the namespace: %s", pid, commandOf(pid))
			}
		}
		return nil
	})
	eventually(t, func() error {
		if s := m.find("default/b-1"); s != nil {
			return fmt.Errorf("status says %+v", s)
		}
		return nil
	})
	left, _ := filepath.Glob(filepath.Join(m.state, "run", "*", "lock"))
	m.run("c") // sweeps what the killed one left
	now, _ := filepath.Glob(filepath.Join(m.state, "run", "*", "lock"))
	if len(left) != 2 || len(now) != 2 || slices.Equal(left, now) {
		t.Errorf("directories %q, and then %q; want the killed one's swept away", left, now)
	}
}

func TestKilledProxyIsReplaced(t *testing.T) {
	m := begin(t)
	a, b := m.run("a"), m.run("b")
	a.reaches("http://b:9080/")
	for _, w := range []*workload{a, b} {
		proxy := proxyOf(t, w)
		if err := syscall.Kill(proxy, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		w.says("the proxy died and is started again")
		w.await()
		a.reaches("http://b:9080/")
		if now := proxyOf(t, w); now == proxy {
			t.Errorf("proxy %d is there still", now)
		}
		if !strings.Contains(w.out.String(), "signal: killed") {
			t.Errorf("it does not say why:\n%s", w.out)
		}
	}
}

func proxyOf(t *testing.T, w *workload) int {
	t.Helper()
	for _, pid := range descendants(w.cmd.Process.Pid) {
		if name := commandOf(pid); name == program("weft-proxy") {
			return pid
		}
	}
	t.Fatalf("no proxy among %v", descendants(w.cmd.Process.Pid))
	return 0
}

func TestKilledControlPlane(t *testing.T) {
	m := begin(t)
	a := m.run("a")
	m.run("b")
	m.run("b")
	a.reaches("http://b:9080/")
	was := m.status().Proxies
	end := load(a, "http://b:9080/", 2)
	a.progress(10)
	m.up.kill()
	for range 20 {
		if _, err := a.call("http://b:9080/"); err != nil {
			t.Errorf("without a control plane: %v", err)
		}
	}
	m.start()
	eventually(t, func() error {
		for _, p := range m.status().Proxies {
			if !p.Connected {
				return fmt.Errorf("%s is not back", p.Workload)
			}
		}
		return nil
	})
	if now := m.status().Proxies; !slices.Equal(now, was) {
		t.Errorf("workloads %+v, and before %+v", now, was)
	}
	m.run("late")
	a.reaches("http://late:9080/") // a was told of services before it was killed, and finds those that came later
	if n, failed := end(); len(failed) > 0 {
		t.Errorf("%d of %d calls failed: %q", len(failed), n, failed[0])
	}
}

// A control plane that has lost all that it knew, keys too, takes its workloads back as they are.
func TestControlPlaneThatHasLostItsState(t *testing.T) {
	m := begin(t)
	a := m.run("a")
	m.run("b")
	a.reaches("http://b:9080/")
	was := m.find("default/b-1")
	m.up.kill()
	for _, name := range []string{"ca", "addresses.json", "objects.json", "workloads.json"} {
		if err := os.RemoveAll(filepath.Join(m.state, name)); err != nil {
			t.Fatal(err)
		}
	}
	m.start()
	eventually(t, func() error {
		if now := m.find("default/b-1"); now == nil || *now != *was {
			return fmt.Errorf("b is %+v, was %+v", now, was)
		}
		return nil
	})
	a.reaches("http://b:9080/")
}
