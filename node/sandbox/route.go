package sandbox

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"github.com/vishvananda/netlink"
)

// connectLoopback lets the workload connect to any address: all routes lead to the loopback device, the only one there is, and
// on the way the redirection sees each packet. A packet that it would not catch arrives as for somebody else and is
// dropped: nothing leaves.
func connectLoopback(s *Spec) error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("loopback device: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("loopback device up: %w", err)
	}
	own := net.IP(s.Address.AsSlice())
	if !s.Address.IsLoopback() {
		if err := netlink.AddrAdd(lo, &netlink.Addr{IPNet: &net.IPNet{IP: own, Mask: net.CIDRMask(32, 32)}}); err != nil {
			return fmt.Errorf("address %s: %w", s.Address, err)
		}
	}
	index := lo.Attrs().Index
	if err := netlink.RouteAdd(&netlink.Route{LinkIndex: index, Scope: netlink.SCOPE_LINK, Src: own, Dst: all(net.IPv4len)}); err != nil {
		return fmt.Errorf("default route: %w", err)
	}
	if !hasIPv6() {
		return nil
	}
	// IPv6 makes any other route by way of the loopback device an unreachable one.
	err = netlink.RouteAdd(&netlink.Route{LinkIndex: index, Type: syscall.RTN_LOCAL, Table: syscall.RT_TABLE_LOCAL, Src: net.IPv6loopback, Dst: all(net.IPv6len)})
	if err != nil && !errors.Is(err, syscall.EEXIST) {
		return fmt.Errorf("default route for IPv6: %w", err)
	}
	return nil
}

// all is every address of a family.
func all(size int) *net.IPNet {
	return &net.IPNet{IP: make(net.IP, size), Mask: make(net.IPMask, size)}
}

// hasIPv6 says whether loopback has ::1, which it has unless the kernel was told otherwise.
func hasIPv6() bool {
	off, err := os.ReadFile("/proc/sys/net/ipv6/conf/lo/disable_ipv6")
	return err == nil && len(off) > 0 && off[0] == '0'
}
