package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"
)

// ErrUnsupported says that this machine, or what runs this program on it, does not allow sandboxes.
var ErrUnsupported = errors.New("no sandbox on this machine")

// Probe makes a sandbox and takes it away again, in some tens of milliseconds. An error wraps ErrUnsupported and says why
// there can't be one and what would change that. executable is Spec.Executable.
func Probe(executable string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	b, err := Create(ctx, Spec{Address: netip.AddrFrom4([4]byte{127, 64, 0, 1}), Executable: executable})
	switch {
	case errors.Is(err, ErrUnsupported):
		return err
	case err != nil:
		return fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	return b.Close()
}

// explain adds to a failure what it likely comes from.
func explain(err error) error {
	var s *setupError
	if !errors.As(err, &s) {
		return err
	}
	why := cause(s.Step, s.Errno, func(path string) string {
		b, _ := os.ReadFile(path) // what is not there says nothing
		return strings.TrimSpace(string(b))
	})
	if why == "" {
		return err
	}
	return fmt.Errorf("%w: %w (%s)", ErrUnsupported, err, why)
}

// cause is what a step's errno most likely means on a machine with these settings, and the remedy; empty if the machine is not
// to blame.
func cause(step string, e syscall.Errno, setting func(path string) string) string {
	switch {
	case step == "nftables":
		if e == syscall.EPERM {
			return "the kernel, or a container around this program, forbids nftables in a user namespace"
		}
		return "the kernel lacks nftables with redirection and connection tracking; as root: modprobe -a nf_tables nft_chain_nat nft_redir nft_ct"
	case e != syscall.EPERM && e != syscall.ENOSPC && e != syscall.EACCES && e != syscall.EINVAL && e != syscall.EUSERS:
		return ""
	case setting("/proc/sys/user/max_user_namespaces") == "0":
		return "user namespaces are switched off; as root: sysctl user.max_user_namespaces=10000"
	case setting("/proc/sys/kernel/unprivileged_userns_clone") == "0":
		return "user namespaces are for root only; as root: sysctl kernel.unprivileged_userns_clone=1"
	case setting("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1":
		return "AppArmor keeps programs without a profile from using user namespaces; as root: sysctl kernel.apparmor_restrict_unprivileged_userns=0, or a profile for weft with `userns,`"
	case e == syscall.ENOSPC:
		return "there are too many namespaces already, or they are nested too deep: see sysctl user.max_user_namespaces and user.max_net_namespaces"
	case step == "new namespaces":
		return "a container's seccomp filter or a security module forbids new namespaces, or this program is in a chroot"
	}
	return "a security module or a container around this program forbids this inside user namespaces"
}
