package cli

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"

	"github.com/weft-mesh/weft/node/sandbox"
)

// virtual is a loopback address that stands for a service's port where there is no sandbox.
type virtual struct {
	file     *os.File
	original netip.AddrPort
	at       netip.AddrPort
	host     string
}

// useNamespaces says whether the kernel allows them; if not, it tells what is lost.
func (f *runFlags) useNamespaces(errs io.Writer) bool {
	why := errors.New("--no-namespace was given")
	if !f.noNamespace {
		if why = sandbox.Probe(""); why == nil {
			return true
		}
	}
	fmt.Fprintf(errs, `weft run: no namespaces: %v
weft run: the workload uses loopback addresses. That cannot promise:
  - policy binds only calls that go through the proxy: the process can call anything directly
  - other processes of this machine can call through this proxy, with this workload's identity
  - names are resolved as on the machine: the process has to call services at NAME_SERVICE_HOST and NAME_SERVICE_PORT,
    and those that appear later are not among them
  - ports below 1024 that this user may not open are at PORT+%d
  - the process has to listen on the address in HOST
`, why, lowPorts)
	return false
}

// lowPorts is how far ports are moved that the user may not open.
const lowPorts = 10000

// mostStandIns is how many services a workload has addresses for: 127.128.0.0/9 has 256 for each, of which two are none.
const mostStandIns = 254

// standIn opens a loopback address for each service that there is.
func (w *workload) standIn() error {
	n := uint32(0)
	for _, s := range w.member.given.Services {
		ip, err := netip.ParseAddr(s.IP)
		if err != nil {
			continue // headless: there is no address to stand in for
		}
		if n++; n > mostStandIns {
			fmt.Fprintf(w.errs, "weft run: there are more than %d services, and the process cannot reach those that follow %s\n", mostStandIns, s.Host)
			return nil
		}
		for _, p := range s.Ports {
			f, at, err := listenLow(netip.AddrPortFrom(standInAddr(w.member.reg.Address, n), p.Number))
			if err != nil {
				return fmt.Errorf("stand in for %s: %w", s.Host, err)
			}
			w.virtual = append(w.virtual, virtual{f, netip.AddrPortFrom(ip, p.Number), at, s.Host})
		}
	}
	return nil
}

// standInAddr is the nth address of a workload's own.
func standInAddr(own netip.Addr, n uint32) netip.Addr {
	a := own.As4()
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], 127<<24|1<<23|binary.BigEndian.Uint32(a[:])&0x7fff<<8|n)
	return netip.AddrFrom4(b)
}

// listenLow opens a port, or, where this user may not, the one that it is moved to.
func listenLow(at netip.AddrPort) (*os.File, netip.AddrPort, error) {
	f, err := listenFile(at)
	if errors.Is(err, fs.ErrPermission) && at.Port() < 1024 {
		at = netip.AddrPortFrom(at.Addr(), at.Port()+lowPorts)
		f, err = listenFile(at)
	}
	return f, at, err
}
