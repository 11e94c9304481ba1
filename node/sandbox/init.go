package sandbox

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/weft-mesh/weft/internal/sys"
	"github.com/weft-mesh/weft/node"
	"github.com/weft-mesh/weft/traffic"
)

// Descriptors that Create passes to the init.
const (
	controlFD = 3
	brokerFD  = 4
)

// initProcess is the first process of a sandbox: it makes what the namespaces hold, is the broker, and the parent of the
// application. When it ends, for whatever reason, the kernel kills everything else in its process namespace.
type initProcess struct {
	control *net.UnixConn
	sending sync.Mutex // messages to the caller, one at a time
	spec    Spec
	app     int // pid of the application
}

func runInit() (status int) {
	p, broker, err := adopt()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	go func() { _ = node.Serve(broker) }() // ends with the process
	for {
		m, files, err := receive(p.control)
		if err != nil { // the caller is gone: so is the sandbox
			if errors.Is(err, io.EOF) {
				return 0
			}
			return 1
		}
		p.handle(m, files)
		for _, f := range files {
			f.Close()
		}
	}
}

// adopt takes what Create passed. Signals of a terminal or of the application reach the init and do nothing: handled, because
// an ignored signal would be inherited.
func adopt() (*initProcess, *net.UnixConn, error) {
	signal.Notify(make(chan os.Signal, 1))
	if err := sys.CloseOnExecFrom(3); err != nil {
		return nil, nil, err
	}
	if err := sys.Undumpable(); err != nil {
		return nil, nil, err
	}
	control, err := sys.UnixConn(os.NewFile(controlFD, "control"))
	if err != nil {
		return nil, nil, err
	}
	broker, err := sys.UnixConn(os.NewFile(brokerFD, "broker"))
	return &initProcess{control: control}, broker, err
}

func (p *initProcess) handle(m message, files []*os.File) {
	switch {
	case m.Setup != nil:
		p.spec = *m.Setup
		p.setup()
	case m.Start != nil && len(files) == 3:
		p.start(m.Start, files)
	case m.Signal != 0 && p.app > 0:
		_ = syscall.Kill(-p.app, m.Signal) // it may be gone already, which the caller will hear
	}
}

// setup makes the sandbox and says so, with the doors, or says why not.
func (p *initProcess) setup() {
	limits, err := build(&p.spec)
	if err != nil {
		p.say(message{Failed: err})
		return
	}
	r := &ready{Limits: limits}
	var files []*os.File
	for i, open := range []func(host string) (*os.File, error){
		tcpDoor(traffic.OutboundPort), udpDoor(traffic.DNSPort), tcpDoor(traffic.DNSPort),
	} {
		for _, host := range p.loopbacks() {
			f, err := open(host)
			if err != nil {
				p.say(message{Failed: failed("listeners", err)})
				return
			}
			defer f.Close() // from here on the proxy is the only one to have it
			files = append(files, f)
			r.Doors[i]++
		}
	}
	p.say(message{Ready: r}, files...)
}

// loopbacks is both families, or the one that this kernel has.
func (p *initProcess) loopbacks() []string {
	if hasIPv6() {
		return []string{"127.0.0.1", "::1"}
	}
	return []string{"127.0.0.1"}
}

// say sends to the caller. If that fails, the caller is gone, and the loop in runInit sees it.
func (p *initProcess) say(m message, files ...*os.File) {
	p.sending.Lock()
	defer p.sending.Unlock()
	_ = send(p.control, m, files...)
}

// start runs the application and watches over it.
func (p *initProcess) start(c *Command, std []*os.File) {
	if p.app != 0 {
		p.say(message{Failed: failed("start "+c.Args[0], errors.New("an application was started in this sandbox before"))})
		return
	}
	pid, err := p.fork(c, std)
	if err != nil {
		p.say(message{Failed: failed("start "+c.Args[0], err)})
		return
	}
	p.app = pid
	p.say(message{Started: true})
	go p.reap()
}

// reap waits for all children: orphans of the application are the init's. The sandbox ends with the application.
func (p *initProcess) reap() {
	for {
		pid, status, err := sys.Reap()
		switch {
		case err != nil:
			p.say(message{Failed: failed("wait for the application", err)})
			os.Exit(1)
		case pid == p.app && (status.Exited() || status.Signaled()):
			e := Exit{Code: status.ExitStatus()}
			if status.Signaled() {
				e = Exit{Signal: status.Signal()}
			}
			p.say(message{Exited: &e})
			os.Exit(0)
		}
	}
}
