package sandbox_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/google/nftables"
	"github.com/weft-mesh/weft/internal/sys"
	"github.com/weft-mesh/weft/node/sandbox"
)

// appMode, in the environment, makes the test binary be an application in a sandbox.
const appMode = "SANDBOX_TEST_APP"

func TestMain(m *testing.M) {
	sandbox.Main()
	if os.Getenv(appMode) == "" {
		os.Setenv("GORACE", "atexit_sleep_ms=0") // else each process under -race ends a second late
		os.Exit(m.Run())
	}
	out, err := app(os.Args[1], os.Args[2:])
	if err != nil {
		out = "error: " + err.Error()
	}
	fmt.Println(out)
}

// app does one thing that an application does, or should not be able to.
func app(verb string, args []string) (string, error) {
	switch verb {
	case "dial":
		return dial(args[0], args[1])
	case "listen":
		return "", listen(args[0])
	case "resolve":
		addrs, err := net.LookupHost(args[0])
		return strings.Join(addrs, " "), err
	case "status":
		b, err := os.ReadFile("/proc/self/status")
		return string(b), err
	case "files":
		return files()
	case "read":
		b, err := os.ReadFile(args[0])
		return string(b), err
	case "ids":
		return fmt.Sprintf("%d %d", os.Getuid(), os.Getgid()), nil
	case "hostname":
		return os.Hostname()
	case "flush":
		c, err := nftables.New()
		if err != nil {
			return "", err
		}
		c.FlushRuleset()
		return "flushed", c.Flush()
	case "flush-below":
		return below("flush")
	case "setns":
		return setns(args[0])
	case "ptrace":
		return "attached", syscall.PtraceAttach(1)
	case "write":
		f, err := os.OpenFile(args[0], os.O_WRONLY, 0)
		if err == nil {
			f.Close()
		}
		return "may write", err
	case "rename":
		return "renamed", os.Rename(args[0], args[1])
	case "exchange":
		return "exchanged", exchange(args[0], args[1])
	case "remove":
		return "removed", syscall.Rmdir(args[0])
	case "below": // as root of a user and a mount namespace of its own
		return below(args...)
	case "unbind": // the mounts below a directory, by a mount of it that shall not have them
		if err := syscall.Mount(args[0], args[1], "", syscall.MS_BIND, ""); err != nil {
			return "", err
		}
		return "bound", os.Rename(filepath.Join(args[1], args[2]), filepath.Join(args[1], "moved"))
	case "create":
		f, err := os.CreateTemp(args[0], "weft-sandbox-test")
		if err == nil {
			err = errors.Join(f.Close(), os.Remove(f.Name()))
		}
		return "created", err
	case "umount":
		return "unmounted", syscall.Unmount(args[0], syscall.MNT_DETACH)
	case "in-a-container": // whose /proc is partly covered, so that no other may be mounted
		if err := sys.ReadOnly("/proc/sys"); err != nil {
			return "", err
		}
		return inAContainer("ids")
	case "with-a-name-service": // whose socket C libraries ask before they read resolv.conf
		err := syscall.Mount("tmpfs", "/run", "tmpfs", 0, "")
		if err == nil {
			err = errors.Join(os.Mkdir("/run/nscd", 0o755), os.WriteFile("/run/nscd/socket", []byte("the machine's"), 0o666))
		}
		if err != nil {
			return "", err
		}
		return inAContainer("read", "/run/nscd/socket")
	case "probe-forbidden": // as root of a user namespace, one may forbid the ones below
		if err := os.WriteFile("/proc/sys/user/max_user_namespaces", []byte("0"), 0); err != nil {
			return "", err
		}
		return "possible", sandbox.Probe("")
	case "exit":
		code, _ := strconv.Atoi(args[0])
		os.Exit(code)
	case "die":
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		time.Sleep(time.Hour)
	case "wait-for-signal":
		return waitForSignal()
	case "orphans":
		return "", orphans(args)
	case "sleep":
		network, err := os.Readlink("/proc/self/ns/net")
		fmt.Println("asleep", network, err)
		time.Sleep(time.Hour)
	}
	return "", fmt.Errorf("no such verb: %s", verb)
}

func inAContainer(args ...string) (string, error) {
	b, err := sandbox.Create(context.Background(), sandbox.Spec{Address: address})
	if err != nil {
		return "", err
	}
	defer b.Close()
	if err := b.Start(sandbox.Command{Args: append([]string{"/proc/self/exe"}, args...)}); err != nil {
		return "", err
	}
	e, err := b.Wait()
	return strings.Join(append(b.Limits, e.String()), "\n"), err
}

func dial(network, addr string) (string, error) {
	c, err := net.DialTimeout(network, addr, 20*time.Second)
	if err != nil {
		return "", err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	if strings.HasPrefix(network, "udp") {
		if _, err := c.Write([]byte("hello")); err != nil {
			return "", err
		}
		b := make([]byte, 512)
		n, err := c.Read(b)
		return string(b[:n]), err
	}
	b, err := io.ReadAll(c)
	return string(b), err
}

// listen answers each connection with who the caller seems to be.
func listen(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	fmt.Println("listening")
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		fmt.Fprintf(c, "app sees %s", c.RemoteAddr())
		c.Close()
	}
}

// files lists what descriptors are open, but for the standard ones and those that the runtime opens by itself.
func files() (string, error) {
	var out []string
	entries, err := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		to, err := os.Readlink("/proc/self/fd/" + e.Name())
		if n, _ := strconv.Atoi(e.Name()); err != nil || n <= 2 || strings.HasPrefix(to, "anon_inode:[event") || strings.HasPrefix(to, "/sys/fs/cgroup/") {
			continue
		}
		out = append(out, e.Name()+" "+to)
	}
	return strings.Join(out, "\n"), err
}

// exchange is renameat2(2) with RENAME_EXCHANGE.
func exchange(a, b string) error {
	number := map[string]uintptr{"amd64": 316, "arm64": 276}[runtime.GOARCH]
	from, err := syscall.BytePtrFromString(a)
	if err != nil {
		return err
	}
	to, err := syscall.BytePtrFromString(b)
	if err != nil {
		return err
	}
	here := ^uintptr(99) // AT_FDCWD, -100
	_, _, errno := syscall.Syscall6(number, here, uintptr(unsafe.Pointer(from)), here, uintptr(unsafe.Pointer(to)), 2, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// below runs a verb as root of a user namespace of its own.
func below(verb ...string) (string, error) {
	cmd := exec.Command("/proc/self/exe", verb...)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func setns(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	number := map[string]uintptr{"amd64": 308, "arm64": 268}[runtime.GOARCH]
	if _, _, errno := syscall.RawSyscall(number, f.Fd(), 0, 0); errno != 0 {
		return "", errno
	}
	return "entered", nil
}

func waitForSignal() (string, error) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGTERM, syscall.SIGHUP)
	fmt.Println("waiting")
	select {
	case s := <-c:
		return s.String(), nil
	case <-time.After(30 * time.Second):
		return "", errors.New("no signal came")
	}
}

// orphans leaves children of children behind, in sessions of their own.
func orphans(args []string) error {
	for range 3 {
		cmd := exec.Command("/proc/self/exe", append([]string{"sleep"}, args...)...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := cmd.Start(); err != nil {
			return err
		}
	}
	return nil
}

// processesWith finds the processes, of the whole machine, that have mark among their arguments.
func processesWith(mark string) (pids []int) {
	paths, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range paths {
		b, _ := os.ReadFile(path)
		if slices.Contains(strings.Split(string(b), "\x00"), mark) {
			pid, _ := strconv.Atoi(strings.Split(path, "/")[2])
			pids = append(pids, pid)
		}
	}
	return pids
}

// processesIn finds the processes, of those that may be looked at, in a network namespace.
func processesIn(network string) (paths []string) {
	all, _ := filepath.Glob("/proc/[0-9]*/ns/net")
	for _, path := range all {
		if to, _ := os.Readlink(path); to == network {
			paths = append(paths, path)
		}
	}
	return paths
}
