package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"

	"github.com/weft-mesh/weft/internal/sys"
)

// build makes of new namespaces a place for a workload. It returns what this machine does not allow and one can live
// without, or the step that failed.
func build(s *Spec) (limits []string, _ *setupError) {
	limit := func(err error, means string) {
		if err != nil {
			limits = append(limits, means+": "+err.Error())
		}
	}
	if err := sys.KeepMounts(); err != nil {
		return nil, failed("mounts", err)
	}
	if s.Hostname != "" {
		limit(sys.SetHostname(s.Hostname), "the host name is the machine's")
	}
	limit(sys.MountProc(), "/proc shows the machine's processes, under other numbers than the workload knows")
	if err := pin(slices.Concat(s.Hide, s.ReadOnly)); err != nil {
		return nil, failed("directories", err)
	}
	if err := hide(s.Hide); err != nil { // a secret in sight is no matter of limits
		return nil, failed("hide", err)
	}
	if err := protect(s.ReadOnly); err != nil {
		return nil, failed("read-only", err)
	}
	for _, err := range writeFiles(s) {
		limit(err, "names are resolved as on the machine, not in the mesh")
	}
	if err := connectLoopback(s); err != nil {
		return nil, failed("routes", err)
	}
	limit(write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0"), "ports under 1024 can't be listened on")
	if err := redirect(s); err != nil {
		return nil, failed("nftables", err)
	}
	// Of connections that a workload makes and closes, each would be tracked for two minutes more. All sandboxes share
	// one bound of the machine, so a busy one would use it up. Kernels that hide the setting keep theirs.
	_ = write("/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_time_wait", "5")
	limit(lockSettings(), "what its user may change of the machine's settings, the workload may")
	limit(fixDevices(), "what its user may do to the machine's devices, the workload may")
	return limits, nil
}

// lockSettings makes read-only what is in a pod: as root, without a capability, one may still write settings that make the
// kernel run a program outside.
func lockSettings() error {
	for _, path := range []string{"/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs", "/sys"} {
		if err := sys.ReadOnly(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// fixDevices keeps the workload of a root user from removing /dev/null, say, which is everybody's. Shared memory stays writable,
// also where it is no file system of its own.
func fixDevices() error {
	if err := sys.Bind("/dev/shm", "/dev/shm"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return sys.Fix("/dev")
}

func write(path, value string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(value)
	return err
}

// tcpDoor returns what opens a TCP listener on a port.
func tcpDoor(port uint16) func(host string) (*os.File, error) {
	return func(host string) (*os.File, error) {
		l, err := sys.ListenTCP(netip.AddrPortFrom(netip.MustParseAddr(host), port))
		if err != nil {
			return nil, err
		}
		defer l.Close()
		return l.File()
	}
}

// udpDoor does the same for UDP.
func udpDoor(port uint16) func(host string) (*os.File, error) {
	return func(host string) (*os.File, error) {
		c, err := sys.ListenConfig().ListenPacket(context.Background(), "udp", net.JoinHostPort(host, strconv.Itoa(int(port))))
		if err != nil {
			return nil, err
		}
		defer c.Close()
		udp, ok := c.(*net.UDPConn)
		if !ok {
			return nil, fmt.Errorf("UDP socket is a %T", c)
		}
		return udp.File()
	}
}
