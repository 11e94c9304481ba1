package sandbox_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/weft-mesh/weft/internal/sys"
	"github.com/weft-mesh/weft/node"
	"github.com/weft-mesh/weft/node/sandbox"
)

var address = netip.MustParseAddr("127.64.0.5")

var probe = sync.OnceValue(func() error { return sandbox.Probe("") })

// create makes a sandbox that is gone when the test ends, with its doors open.
func create(t *testing.T, s sandbox.Spec) (*sandbox.Sandbox, *node.Doors) {
	t.Helper()
	if err := probe(); err != nil {
		t.Skip(err)
	}
	if !s.Address.IsValid() {
		s.Address = address
	}
	b, err := sandbox.Create(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	for _, l := range b.Limits {
		t.Log("limit: ", l)
	}
	d, err := b.Doors.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return b, d
}

// start runs the test binary as an application and returns what it prints.
func start(t *testing.T, b *sandbox.Sandbox, args ...string) *bufio.Reader {
	t.Helper()
	return startCommand(t, b, sandbox.Command{Args: append([]string{"/proc/self/exe"}, args...), Env: append(os.Environ(), appMode+"=1")})
}

func startCommand(t *testing.T, b *sandbox.Sandbox, c sandbox.Command) *bufio.Reader {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	defer w.Close()
	c.Stdout = w
	if err := b.Start(c); err != nil {
		t.Fatal(err)
	}
	return bufio.NewReader(r)
}

// run runs an application to its end and returns what it printed.
func run(t *testing.T, b *sandbox.Sandbox, args ...string) string {
	t.Helper()
	out, err := io.ReadAll(start(t, b, args...))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func line(t *testing.T, r *bufio.Reader) string {
	t.Helper()
	s, err := r.ReadString('\n')
	if err != nil {
		t.Fatal(err, s)
	}
	return strings.TrimSpace(s)
}

// serveOutbound answers what arrives at the outbound doors with where it wanted to go, and at those of DNS says so.
func serveOutbound(d *node.Doors) {
	for door, listeners := range map[string][]*net.TCPListener{"": d.Outbound, "DNS ": d.DNSStream} {
		for _, l := range listeners {
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					to, err := sys.OriginalDst(c.(*net.TCPConn))
					fmt.Fprintf(c, "%sto %v from %v err %v", door, to, c.RemoteAddr().(*net.TCPAddr).IP, err)
					c.Close()
				}
			}()
		}
	}
}

func TestOutboundArrivesWithItsDestination(t *testing.T) {
	for _, c := range []struct{ dial, want string }{
		{"240.0.0.1:80", "to 240.0.0.1:80 from 127.64.0.5 err <nil>"},
		{"192.0.2.1:443", "to 192.0.2.1:443 from 127.64.0.5 err <nil>"},
		{"127.64.0.9:9080", "to 127.64.0.9:9080 from 127.0.0.1 err <nil>"}, // another workload
		{"192.0.2.1:53", "DNS to 192.0.2.1:53 from 127.64.0.5 err <nil>"},
		{"[2001:db8::1]:80", "to [2001:db8::1]:80 from ::1 err <nil>"},
		{"127.0.0.1:15001", "to invalid AddrPort from 127.0.0.1 err " + sys.ErrNotRedirected.Error()},
		{"[::1]:15001", "to invalid AddrPort from ::1 err " + sys.ErrNotRedirected.Error()},
		{"127.64.0.5:9999", "error: dial tcp 127.64.0.5:9999: connect: connection refused"}, // itself
		{"127.0.0.1:9999", "error: dial tcp 127.0.0.1:9999: connect: connection refused"},
	} {
		t.Run(c.dial, func(t *testing.T) {
			b, d := create(t, sandbox.Spec{})
			if c.dial[0] == '[' && len(d.Outbound) < 2 {
				t.Skip("this kernel has no IPv6")
			}
			serveOutbound(d)
			if got := run(t, b, "dial", "tcp", c.dial); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// An address that is not loopback, as a VM's workload may have.
func TestAddressOutsideLoopback(t *testing.T) {
	b, d := create(t, sandbox.Spec{Address: netip.MustParseAddr("10.9.8.7")})
	serveOutbound(d)
	if got, want := run(t, b, "dial", "tcp", "10.9.8.6:80"), "to 10.9.8.6:80 from 10.9.8.7 err <nil>"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestOtherProtocolsEndHere(t *testing.T) {
	for _, c := range []struct{ network, addr, want string }{
		{"udp", "192.0.2.1:443", "operation not permitted"},
		{"udp", "127.64.0.9:9080", "operation not permitted"},
		{"udp", "224.0.0.251:5353", "operation not permitted"},
		{"udp", "[2001:db8::1]:443", "operation not permitted"},
		{"udp", "127.0.0.1:9", "connection refused"}, // its own affair
	} {
		t.Run(c.addr, func(t *testing.T) {
			b, _ := create(t, sandbox.Spec{})
			if got := run(t, b, "dial", c.network, c.addr); !strings.Contains(got, c.want) {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// A pod's resolver: the name is tried with each suffix of the search list, and the question reaches the proxy wherever
// resolv.conf sends it.
func TestDNSReachesTheProxy(t *testing.T) {
	b, d := create(t, sandbox.Spec{Search: []string{"shop.svc.cluster.local", "svc.cluster.local"}, Hostname: "cart-v1"})
	names := make(chan string, 100)
	for _, c := range d.DNS {
		go func() {
			p := make([]byte, 1500)
			for {
				n, from, err := c.ReadFromUDPAddrPort(p)
				if err != nil {
					return
				}
				q := append([]byte{}, p[:n]...)
				names <- questionName(q)
				q[2], q[3] = 0x81, 0x83 // response, name error; RFC 1035 section 4.1.1
				c.WriteToUDPAddrPort(q, from)
			}
		}()
	}
	got := run(t, b, "resolve", "reviews")
	if !strings.Contains(got, "no such host") {
		t.Errorf("name error became: %s", got)
	}
	select {
	case first := <-names:
		if first != "reviews.shop.svc.cluster.local" {
			t.Errorf("asked for %s first", first)
		}
	default:
		t.Error("the proxy was not asked")
	}
}

// questionName reads the first name of a query; RFC 1035 section 4.1.2.
func questionName(p []byte) string {
	var labels []string
	for i := 12; i < len(p) && p[i] != 0; i += int(p[i]) + 1 {
		labels = append(labels, string(p[i+1:i+1+int(p[i])]))
	}
	return strings.Join(labels, ".")
}

func TestNamesOfItsOwn(t *testing.T) {
	spec := sandbox.Spec{Search: []string{"shop.svc.cluster.local"}, Hostname: "cart-v1"}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"read", "/etc/resolv.conf"}, "nameserver 169.254.0.53\nsearch shop.svc.cluster.local\noptions ndots:5"},
		{[]string{"read", "/etc/hosts"}, "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.64.0.5\tcart-v1"},
		{[]string{"hostname"}, "cart-v1"},
		{[]string{"resolve", "cart-v1"}, "127.64.0.5"},
	} {
		b, _ := create(t, spec)
		if got := run(t, b, c.args...); got != c.want {
			t.Errorf("%v: got %q, want %q", c.args, got, c.want)
		}
	}
	if b, err := os.ReadFile("/etc/resolv.conf"); err == nil && strings.Contains(string(b), "shop.svc") {
		t.Error("the machine's resolv.conf has changed")
	}
}

// Names are asked of the proxy alone: what the machine has besides resolv.conf is hidden.
func TestNameServicesAreHidden(t *testing.T) {
	create(t, sandbox.Spec{}) // or skip
	t.Setenv(appMode, "1")
	if got, err := below("with-a-name-service"); err != nil || strings.Contains(got, "the machine's\n") || !strings.Contains(got, "exit code 0") {
		t.Errorf("%q %v", got, err)
	}
}

func TestAppIsReachedThroughTheDialerOnly(t *testing.T) {
	for _, listen := range []string{"0.0.0.0:80", "127.0.0.1:80", "127.64.0.5:80", "[::]:80", "[::1]:80"} {
		t.Run(listen, func(t *testing.T) {
			b, d := create(t, sandbox.Spec{})
			serveOutbound(d)
			out := start(t, b, "listen", listen)
			if got := line(t, out); got != "listening" { // on a low port
				t.Fatal(got)
			}
			peer := netip.MustParseAddr("127.64.0.9")
			c, err := d.App.DialApp(t.Context(), 80, peer)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			got, err := io.ReadAll(c)
			if want := "app sees 127.64.0.9:"; err != nil || !strings.HasPrefix(string(got), want) && !strings.HasPrefix(listen, "[::1]") {
				t.Errorf("got %q %v, want %q", got, err, want)
			}
			for _, addr := range []string{"127.0.0.1:80", "127.64.0.5:80", "127.0.0.1:15001", "127.64.0.5:15001", "[::1]:80"} {
				if c, err := net.DialTimeout("tcp", addr, time.Second); err == nil {
					c.SetDeadline(time.Now().Add(time.Second))
					if got, _ := io.ReadAll(c); strings.HasPrefix(string(got), "app sees") || strings.HasPrefix(string(got), "to ") {
						t.Errorf("a stranger at %s: %s", addr, got)
					}
					c.Close()
				}
			}
		})
	}
}

func TestDialAppSaysWhatIsWrong(t *testing.T) {
	b, d := create(t, sandbox.Spec{})
	_, err := d.App.DialApp(t.Context(), 80, netip.Addr{})
	if !errors.Is(err, syscall.ECONNREFUSED) || !strings.Contains(err.Error(), "does not listen on port 80") {
		t.Errorf("nobody listens: %v", err)
	}
	b.Close()
	<-d.App.Gone()
	if _, err := d.App.DialApp(t.Context(), 80, netip.Addr{}); err == nil {
		t.Error("dialled into a sandbox that is gone")
	}
}

func TestNoWayToTheMachine(t *testing.T) {
	l, err := sys.ListenTCP(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	abstract, err := net.Listen("unix", "@weft-sandbox-test-"+fmt.Sprint(os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	defer abstract.Close()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("key"), 0o644); err != nil {
		t.Fatal(err)
	}
	rules := filepath.Join(t.TempDir(), "rules")
	if err := os.WriteFile(rules, []byte("deny"), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"read", rules}, "deny"},
		{[]string{"write", rules}, "read-only file system"},
		{[]string{"dial", "tcp", l.Addr().String()}, "connection refused"},
		{[]string{"dial", "unix", abstract.Addr().String()}, "connection refused"},
		{[]string{"flush"}, "operation not permitted"},
		{[]string{"flush-below"}, "operation not permitted"},
		{[]string{"setns", "/proc/1/ns/net"}, "permission denied"},
		{[]string{"setns", "/proc/1/ns/mnt"}, "permission denied"},
		{[]string{"setns", "/proc/self/ns/net"}, "operation not permitted"},
		{[]string{"ptrace"}, "operation not permitted"},
		{[]string{"umount", "/etc/resolv.conf"}, "operation not permitted"},
		{[]string{"read", secret}, "no such file"},
		{[]string{"read", "/proc/1/environ"}, "permission denied"},
		{[]string{"read", fmt.Sprintf("/proc/%d/comm", os.Getpid())}, "no such file"},
		{[]string{"files"}, ""},
		{[]string{"write", "/proc/sys/kernel/core_pattern"}, "error"},
		{[]string{"write", "/proc/sys/net/ipv4/ip_forward"}, "error"},
		{[]string{"write", "/proc/sysrq-trigger"}, "error"},
		{[]string{"write", "/dev/null"}, "may write"},
		{[]string{"create", "/dev"}, "read-only file system"},
		{[]string{"create", "/dev/shm"}, "created"},
		{[]string{"ids"}, fmt.Sprintf("%d %d", os.Getuid(), os.Getgid())},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			b, _ := create(t, sandbox.Spec{Hide: append(sandbox.OutsideDoors(), filepath.Dir(secret), "/does/not/exist"),
				ReadOnly: []string{filepath.Dir(rules), "/does/not/exist"}})
			if got := run(t, b, c.args...); !strings.Contains(got, c.want) || c.want == "" && got != "" {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestAppHasNoPrivileges(t *testing.T) {
	b, _ := create(t, sandbox.Spec{})
	status := run(t, b, "status")
	for _, want := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
		if !strings.Contains(status, want+":\t0000000000000000\n") {
			t.Errorf("%s is not empty:\n%s", want, status)
		}
	}
	if !strings.Contains(status, "NoNewPrivs:\t1\n") {
		t.Errorf("may gain privileges:\n%s", status)
	}
}

// Descriptors that the caller has without close-on-exec, as a shell leaves them, stay outside.
func TestInheritedDescriptorsStayOutside(t *testing.T) {
	f, err := os.Open("/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fd, err := syscall.Dup(int(f.Fd())) // without close-on-exec
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	b, _ := create(t, sandbox.Spec{})
	if got := run(t, b, "files"); got != "" {
		t.Errorf("the application has %s", got)
	}
}

func TestExit(t *testing.T) {
	for _, c := range []struct {
		args []string
		want sandbox.Exit
	}{
		{[]string{"exit", "0"}, sandbox.Exit{}},
		{[]string{"exit", "42"}, sandbox.Exit{Code: 42}},
		{[]string{"die"}, sandbox.Exit{Signal: syscall.SIGKILL}},
	} {
		b, _ := create(t, sandbox.Spec{})
		start(t, b, c.args...)
		if got, err := b.Wait(); got != c.want || err != nil {
			t.Errorf("%v: got %v %v, want %v", c.args, got, err, c.want)
		}
	}
}

func TestSignal(t *testing.T) {
	b, _ := create(t, sandbox.Spec{})
	out := start(t, b, "wait-for-signal")
	if got := line(t, out); got != "waiting" {
		t.Fatal(got)
	}
	if err := b.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if got := line(t, out); got != syscall.SIGHUP.String() {
		t.Errorf("got %s", got)
	}
	if e, err := b.Wait(); e.Status() != 0 || err != nil {
		t.Error(e, err)
	}
	if err := b.Signal(syscall.SIGHUP); !errors.Is(err, node.ErrGone) {
		t.Errorf("signal after the end: %v", err)
	}
}

func TestDefaultSignalsKill(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE, syscall.SIGUSR1} {
		b, _ := create(t, sandbox.Spec{})
		out := startCommand(t, b, sandbox.Command{Args: []string{"sh", "-c", "echo on; exec sleep 100"}})
		line(t, out)
		b.Signal(sig)
		if e, err := b.Wait(); e != (sandbox.Exit{Signal: sig}) || err != nil {
			t.Errorf("%v: got %v %v", sig, e, err)
		}
	}
}

func TestStartFails(t *testing.T) {
	for _, c := range []struct {
		command sandbox.Command
		want    string
	}{
		{sandbox.Command{}, "no program"},
		{sandbox.Command{Args: []string{"no-such-program"}}, "executable file not found"},
		{sandbox.Command{Args: []string{"/etc/passwd"}}, "permission denied"},
		{sandbox.Command{Args: []string{"true"}, Dir: "/does/not/exist"}, "/does/not/exist"},
	} {
		b, _ := create(t, sandbox.Spec{})
		if err := b.Start(c.command); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: got %v, want %s", c.command, err, c.want)
		}
		if err := b.Start(sandbox.Command{Args: []string{"true"}}); err != nil {
			t.Errorf("a second try: %v", err)
		}
		if e, err := b.Wait(); e.Status() != 0 || err != nil {
			t.Error(e, err)
		}
	}
}

func TestCommand(t *testing.T) {
	b, _ := create(t, sandbox.Spec{})
	in, err := os.Open("/proc/version")
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	big := strings.Repeat("x", 100<<10) // more than a socket takes at once, with the one below
	out := startCommand(t, b, sandbox.Command{
		Args: []string{"sh", "-c", `pwd; echo "$1" "$GREETING" ${#BIG} ${#MORE}; cat`, "sh", "an argument"}, Dir: "/usr",
		Env: []string{"GREETING=hello there", "BIG=" + big, "MORE=" + big, "PATH=/usr/bin:/bin"}, Stdin: in,
	})
	for _, want := range []string{"/usr", "an argument hello there 102400 102400", "Linux version"} {
		if got := line(t, out); !strings.HasPrefix(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestNothingIsLeft(t *testing.T) {
	mark := fmt.Sprintf("mark-%d-left", os.Getpid())
	b, d := create(t, sandbox.Spec{})
	start(t, b, "orphans", mark)
	if e, err := b.Wait(); e.Status() != 0 || err != nil {
		t.Fatal(e, err)
	}
	if pids := processesWith(mark); len(pids) > 0 {
		t.Errorf("processes %v outlive their sandbox", pids)
	}
	select {
	case <-d.App.Gone():
	case <-time.After(5 * time.Second):
		t.Error("the proxy does not hear of it")
	}
}

func TestCloseEndsTheApplication(t *testing.T) {
	mark := fmt.Sprintf("mark-%d-close", os.Getpid())
	b, _ := create(t, sandbox.Spec{})
	var network string
	if _, err := fmt.Sscanf(line(t, start(t, b, "sleep", mark)), "asleep %s <nil>", &network); err != nil {
		t.Fatal(err)
	}
	if len(processesWith(mark)) == 0 {
		t.Fatal("the application does not run")
	}
	b.Close()
	if pids := processesWith(mark); len(pids) > 0 {
		t.Errorf("processes %v outlive their sandbox", pids)
	}
	if in := processesIn(network); len(in) > 0 {
		t.Errorf("processes %v are in its network", in)
	}
	if _, err := b.Wait(); err == nil {
		t.Error("the application seems to have ended by itself")
	}
}

func TestCreateIsBounded(t *testing.T) {
	create(t, sandbox.Spec{}) // or skip
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("no more time")
	cancel(why)
	if _, err := sandbox.Create(ctx, sandbox.Spec{Address: address}); !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
}

// Each sandbox has its own ports, routes and rules, however many there are.
func TestSandboxesAreApart(t *testing.T) {
	const count = 6
	var outs [count]io.Reader
	for i := range count {
		b, d := create(t, sandbox.Spec{Address: netip.AddrFrom4([4]byte{127, 64, 1, byte(i)})})
		serveOutbound(d)
		outs[i] = start(t, b, "dial", "tcp", fmt.Sprintf("127.64.1.%d:80", (i+1)%count))
	}
	for i, out := range outs {
		got, _ := io.ReadAll(out)
		if want := fmt.Sprintf("to 127.64.1.%d:80 from 127.0.0.1 err <nil>\n", (i+1)%count); string(got) != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestProbeSaysWhyNot(t *testing.T) {
	create(t, sandbox.Spec{}) // or skip
	t.Setenv(appMode, "1")
	got, err := below("probe-forbidden")
	if want := "sysctl user.max_user_namespaces=10000"; err != nil || !strings.Contains(got, want) || !strings.Contains(got, sandbox.ErrUnsupported.Error()) {
		t.Errorf("got %q %v, want %q", got, err, want)
	}
}

// In a container, /proc is covered in parts: there are limits, which are told, and a sandbox all the same.
func TestLimits(t *testing.T) {
	create(t, sandbox.Spec{}) // or skip
	t.Setenv(appMode, "1")
	got, err := below("in-a-container")
	for _, want := range []string{"0 0\n", "/proc shows the machine's", "ports under 1024", "exit code 0"} {
		if err != nil || !strings.Contains(got, want) {
			t.Errorf("got %q %v, want %q", got, err, want)
		}
	}
}

// superviseMode makes the test binary create a sandbox with a sleeping application, and wait to be killed.
const superviseMode = "SANDBOX_TEST_SUPERVISE"

func TestSupervise(t *testing.T) {
	mark := os.Getenv(superviseMode)
	if mark == "" {
		t.Skip("for TestKilledSupervisor")
	}
	b, _ := create(t, sandbox.Spec{})
	out := start(t, b, "sleep", mark)
	fmt.Println(line(t, out))
	b.Wait()
}

// Whoever kills -9 the process that made the sandbox leaves nothing behind.
func TestKilledSupervisor(t *testing.T) {
	create(t, sandbox.Spec{}) // or skip
	mark := fmt.Sprintf("mark-%d-killed", os.Getpid())
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestSupervise$")
	cmd.Env = append(os.Environ(), superviseMode+"="+mark)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if got := line(t, bufio.NewReader(out)); !strings.HasPrefix(got, "asleep") {
		t.Error(got)
	}
	pids := processesWith(mark)
	if len(pids) != 1 {
		t.Fatalf("processes of the application: %v", pids)
	}
	cmd.Process.Kill()
	cmd.Wait()
	gone := time.Now().Add(10 * time.Second)
	for len(processesWith(mark)) > 0 {
		if time.Now().After(gone) {
			t.Fatal("the application lives on")
		}
		time.Sleep(time.Millisecond)
	}
}

// What holds for root holds for everybody: all of the tests again, as nobody.
func TestUnprivileged(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("not root: the tests run unprivileged as it is")
	}
	dir, err := os.MkdirTemp("", "weft-sandbox-test")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "sandbox.test")
	if err := copyFile(binary, "/proc/self/exe"); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "-test.v", "-test.timeout=5m")
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v:\n%s", err, out)
	}
	t.Logf("%d passed, %d skipped", strings.Count(string(out), "--- PASS"), strings.Count(string(out), "--- SKIP"))
}

func copyFile(to, from string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o755)
}

// BenchmarkSandbox makes a sandbox, runs a program in it that ends at once, and takes it away.
func BenchmarkSandbox(b *testing.B) {
	if err := probe(); err != nil {
		b.Skip(err)
	}
	for b.Loop() {
		s, err := sandbox.Create(b.Context(), sandbox.Spec{Address: address})
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Start(sandbox.Command{Args: []string{"true"}}); err != nil {
			b.Fatal(err)
		}
		if _, err := s.Wait(); err != nil {
			b.Fatal(err)
		}
		s.Close()
	}
}
