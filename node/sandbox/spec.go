package sandbox

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// Spec describes a sandbox.
type Spec struct {
	// Address is the workload's own, IPv4: its connections come from it, and its connections to it stay inside. Required.
	Address netip.Addr
	// Mesh is where the addresses of workloads come from: a connection to another one goes to the proxy although it is
	// loopback. Zero: 127.64.0.0/10.
	Mesh netip.Prefix
	// Nameserver is what resolv.conf names; the proxy answers whatever it is. Zero: 169.254.0.53, an address that no
	// network has.
	Nameserver netip.Addr
	// Search is the search list of resolv.conf, as a pod has: NAMESPACE.svc.cluster.local svc.cluster.local cluster.local.
	// With it comes `options ndots:5`. Empty: none of both.
	Search []string
	// Hostname is the name of the workload for itself, in /etc/hosts and as host name: a DNS label. Zero: the machine's.
	Hostname string
	// Hide lists files and directories that the application must not see, though its user may: keys, sockets that would
	// do something for it outside. Those that don't exist are skipped. OutsideDoors lists the usual ones.
	Hide []string
	// ReadOnly lists files and directories that the application may read and not write, though its user may: what the mesh
	// is configured by. Those that don't exist are skipped. Directories above those in Hide and ReadOnly can't be renamed.
	ReadOnly []string
	// Executable is what runs as the sandbox's init: a program whose main function begins with Main. Its init keeps its
	// memory as long as the application lives, so a small one pays. Zero: the running program.
	Executable string
	// UID and GID are the user that runs the application. They are set from the caller's, which is all that the kernel
	// allows without root.
	UID, GID int
}

// complete validates s and fills in what is unset.
func (s Spec) complete() (Spec, error) {
	if !s.Address.Is4() {
		return s, fmt.Errorf("sandbox: address %q of the workload: want IPv4", s.Address)
	}
	if !s.Mesh.IsValid() {
		s.Mesh = netip.MustParsePrefix("127.64.0.0/10")
	}
	if !s.Mesh.Addr().Is4() {
		return s, fmt.Errorf("sandbox: addresses of the mesh %s: want IPv4", s.Mesh)
	}
	s.Mesh = s.Mesh.Masked()
	if !s.Nameserver.IsValid() {
		s.Nameserver = netip.AddrFrom4([4]byte{169, 254, 0, 53})
	}
	for _, name := range append([]string{s.Hostname}, s.Search...) {
		if strings.ContainsAny(name, " \t\r\n#;") {
			return s, fmt.Errorf("sandbox: %q is no DNS name", name)
		}
	}
	if len(s.Hostname) > 63 {
		return s, fmt.Errorf("sandbox: host name %q is longer than 63 bytes", s.Hostname)
	}
	if s.Executable == "" {
		s.Executable = "/proc/self/exe"
	}
	s.UID, s.GID = os.Geteuid(), os.Getegid()
	return s, nil
}

// Command is the application.
type Command struct {
	// Args is the program, looked up in PATH of Env if its name has no slash, and its arguments. Required.
	Args []string
	// Env is all of its environment. nil: the caller's.
	Env []string
	// Dir is its working directory. Zero: the caller's.
	Dir string
	// Its standard files. nil: the caller's.
	Stdin, Stdout, Stderr *os.File `json:"-"`
}

func (c Command) complete() (Command, error) {
	if len(c.Args) == 0 || c.Args[0] == "" {
		return c, errors.New("sandbox: no program to run")
	}
	if c.Env == nil {
		c.Env = os.Environ()
	}
	if c.Dir == "" {
		dir, err := os.Getwd()
		if err != nil {
			return c, fmt.Errorf("sandbox: %w", err)
		}
		c.Dir = dir
	}
	for to, from := range map[**os.File]*os.File{&c.Stdin: os.Stdin, &c.Stdout: os.Stdout, &c.Stderr: os.Stderr} {
		if *to == nil {
			*to = from
		}
	}
	return c, nil
}

// Exit is how an application ended.
type Exit struct {
	Code   int            // its exit code, if Signal is 0
	Signal syscall.Signal // that killed it
}

// Status returns what a shell would: the code, or 128 and the signal.
func (e Exit) Status() int {
	if e.Signal != 0 {
		return 128 + int(e.Signal)
	}
	return e.Code
}

func (e Exit) String() string {
	if e.Signal != 0 {
		return "killed by " + e.Signal.String()
	}
	return "exit code " + strconv.Itoa(e.Code)
}

// OutsideDoors lists what lets a program of this user have things done outside of its sandbox through a file: the user's
// session bus and service manager, the system's bus, container engines. For Spec.Hide.
func OutsideDoors() []string {
	doors := []string{
		"/run/user/" + strconv.Itoa(os.Geteuid()),
		"/run/dbus/system_bus_socket", "/run/systemd/private", "/run/docker.sock", "/run/podman/podman.sock",
		"/run/containerd/containerd.sock", "/run/crio/crio.sock", "/run/snapd.socket", "/run/acpid.socket",
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); strings.HasPrefix(dir, "/run/") { // not the /tmp that some containers have it be
		doors = append(doors, dir)
	}
	return doors
}
