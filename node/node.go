// Package node holds what passes between a workload's sandbox and the proxy that serves it from outside: the doors.
// Listeners were opened inside the sandbox, so the workload reaches them and nobody else does; and a broker inside
// makes sockets there on request, so the proxy, and nobody else, reaches the workload.
//
// The package is light, because every proxy links it. Package sandbox, below, makes the sandboxes.
package node

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// Handoff is the doors as open files, on their way to the proxy: Pass them to a child process, or Open them here.
type Handoff struct {
	Address   netip.Addr // of the workload, inside
	Outbound  []*os.File // TCP listeners on traffic.OutboundPort, one for each address family
	DNS       []*os.File // UDP sockets on traffic.DNSPort
	DNSStream []*os.File // TCP listeners on traffic.DNSPort
	Broker    *os.File   // makes sockets inside, see Dialer
}

// all lists the groups in the order that an argument names them.
func (h *Handoff) all() [][]*os.File {
	return [][]*os.File{h.Outbound, h.DNS, h.DNSStream, {h.Broker}}
}

// Pass returns the files for a child, as exec.Cmd.ExtraFiles wants them, and what to tell it, for Adopt: their numbers, when
// the first of them becomes descriptor first (3, if ExtraFiles held none before).
func (h *Handoff) Pass(first int) (arg string, files []*os.File) {
	parts := []string{h.Address.String()}
	for _, group := range h.all() {
		numbers := make([]string, len(group))
		for i, f := range group {
			numbers[i] = strconv.Itoa(first + len(files))
			files = append(files, f)
		}
		parts = append(parts, strings.Join(numbers, ","))
	}
	return strings.Join(parts, "/"), files
}

// Close closes the files. A proxy that has them keeps its own.
func (h *Handoff) Close() error {
	var errs []error
	for _, group := range h.all() {
		for _, f := range group {
			if f != nil {
				errs = append(errs, f.Close())
			}
		}
	}
	return errors.Join(errs...)
}

// Adopt opens, in a child process, the doors that its parent passed. file makes a file for what is open by a number.
func Adopt(arg string, file func(n int) (*os.File, error)) (*Doors, error) {
	address, groups, err := parse(arg)
	if err != nil {
		return nil, err
	}
	h := &Handoff{Address: address}
	defer h.Close()
	for i, open := range []func(f *os.File){
		func(f *os.File) { h.Outbound = append(h.Outbound, f) },
		func(f *os.File) { h.DNS = append(h.DNS, f) },
		func(f *os.File) { h.DNSStream = append(h.DNSStream, f) },
		func(f *os.File) { h.Broker = f },
	} {
		for _, n := range groups[i] {
			f, err := file(n)
			if err != nil {
				return nil, fmt.Errorf("doors %q: %w", arg, err)
			}
			open(f)
		}
	}
	return h.Open()
}

// parse reads what Pass wrote: an address and four lists of descriptor numbers.
func parse(arg string) (address netip.Addr, groups [4][]int, err error) {
	parts := strings.Split(arg, "/")
	if len(parts) != 5 {
		return address, groups, fmt.Errorf("doors %q: want address/outbound/dns/dns-stream/broker", arg)
	}
	if address, err = netip.ParseAddr(parts[0]); err != nil {
		return address, groups, fmt.Errorf("doors %q: %w", arg, err)
	}
	for i, list := range parts[1:] {
		if groups[i], err = numbers(list); err != nil {
			return address, groups, fmt.Errorf("doors %q: %w", arg, err)
		}
	}
	if len(groups[3]) != 1 {
		return address, groups, fmt.Errorf("doors %q: want one broker", arg)
	}
	return address, groups, nil
}

func numbers(list string) (out []int, err error) {
	for s := range strings.SplitSeq(list, ",") {
		n, err := strconv.ParseUint(s, 10, 20)
		if err != nil || n < 3 { // 0 to 2 are never doors
			return nil, fmt.Errorf("no descriptor of a door: %q", s)
		}
		out = append(out, int(n))
	}
	return out, nil
}

// Doors is what the proxy works with.
type Doors struct {
	Outbound  []*net.TCPListener // sys.OriginalDst of what they accept says where the workload wanted to go
	DNS       []*net.UDPConn
	DNSStream []*net.TCPListener
	App       *Dialer
}

// Open makes listeners of the files, which stay open and the caller's.
func (h *Handoff) Open() (d *Doors, err error) {
	d = &Doors{}
	defer func() {
		if err != nil {
			d.Close()
			d = nil
		}
	}()
	if d.Outbound, err = listeners(h.Outbound); err != nil {
		return d, err
	}
	if d.DNSStream, err = listeners(h.DNSStream); err != nil {
		return d, err
	}
	if d.DNS, err = packetConns(h.DNS); err != nil {
		return d, err
	}
	d.App, err = NewDialer(h.Broker, h.Address)
	return d, err
}

// Close closes all of them.
func (d *Doors) Close() error {
	var errs []error
	for _, l := range append(d.Outbound, d.DNSStream...) {
		errs = append(errs, l.Close())
	}
	for _, c := range d.DNS {
		errs = append(errs, c.Close())
	}
	if d.App != nil {
		errs = append(errs, d.App.Close())
	}
	return errors.Join(errs...)
}

func listeners(files []*os.File) (out []*net.TCPListener, err error) {
	for _, f := range files {
		l, err := net.FileListener(f)
		if err != nil {
			return out, fmt.Errorf("listener in a sandbox: %w", err)
		}
		tcp, ok := l.(*net.TCPListener)
		if !ok {
			l.Close()
			return out, fmt.Errorf("listener in a sandbox: %s is not TCP", l.Addr().Network())
		}
		out = append(out, tcp)
	}
	return out, nil
}

func packetConns(files []*os.File) (out []*net.UDPConn, err error) {
	for _, f := range files {
		c, err := net.FilePacketConn(f)
		if err != nil {
			return out, fmt.Errorf("DNS socket in a sandbox: %w", err)
		}
		udp, ok := c.(*net.UDPConn)
		if !ok {
			c.Close()
			return out, fmt.Errorf("DNS socket in a sandbox: %s is not UDP", c.LocalAddr().Network())
		}
		out = append(out, udp)
	}
	return out, nil
}
