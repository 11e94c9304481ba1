package cli

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"

	"github.com/weft-mesh/weft/internal/sys"
	"github.com/weft-mesh/weft/proxy/launch"
	"github.com/weft-mesh/weft/proxy/upgrade"
)

// proxyProcesses are those of a workload's proxy: there may be several for a while, see package upgrade.
type proxyProcesses struct {
	exe    string
	errs   io.Writer
	now    *proxyProcess   // the one that serves; nil: none does
	next   *proxyProcess   // the one that is to take its place
	old    []*proxyProcess // those that finish what they had
	leaves bool            // no more calls are to come to the application
	events chan proxyEvent
}

// proxyProcess is one of them.
type proxyProcess struct {
	cmd      *exec.Cmd
	launched time.Time
	asks     *net.UnixConn // both ways
	left     bool          // no more calls come to the application by it
	serves   bool          // it has taken another one's place, or is about to hear that it has
	unwanted bool          // it is killed, and its end is nothing to tell
}

// proxyEvent is what a process asks, or its end.
type proxyEvent struct {
	from         *proxyProcess
	asks         upgrade.Request
	conversation *os.File // of upgrade.Start
	ended        bool
	err          error // of its end
}

// mostEvents wait at a time: a process has one end, and asks for one upgrade after the other.
const mostEvents = 64

func newProxies(exe string, errs io.Writer) proxyProcesses {
	return proxyProcesses{exe: exe, errs: errs, events: make(chan proxyEvent, mostEvents)}
}

// launch starts a process that reads c and inherits files: the first becomes descriptor launch.FD+1.
func (p *proxyProcesses) launch(c *launch.Config, files ...*os.File) (*proxyProcess, error) {
	ours, theirs, err := sys.SocketPair("starter")
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	c.Starter = launch.FD + 1 + len(files)
	pipe, err := launch.Pipe(c)
	if err != nil {
		ours.Close()
		return nil, err
	}
	defer pipe.Close()
	x := &proxyProcess{cmd: exec.Command(p.exe), launched: time.Now(), asks: ours}
	x.cmd.ExtraFiles = slices.Concat([]*os.File{pipe}, files, []*os.File{theirs})
	x.cmd.Stderr, x.cmd.Stdout = p.errs, p.errs
	x.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := x.cmd.Start(); err != nil {
		ours.Close()
		return nil, fmt.Errorf("start the proxy: %w", err)
	}
	if p.leaves {
		_ = upgrade.Leave(ours)
	}
	go p.watch(x)
	return x, nil
}

// watch tells what a process asks, in its order, and then its end.
func (p *proxyProcesses) watch(x *proxyProcess) {
	upgrade.Requests(x.asks, func(r upgrade.Request, conversation *os.File) {
		p.events <- proxyEvent{from: x, asks: r, conversation: conversation}
	})
	err := x.cmd.Wait()
	p.events <- proxyEvent{from: x, ended: true, err: err}
}

// take does what an event asks for. died: none serves any more, and why; the others' ends are as they should be.
func (p *proxyProcesses) take(e proxyEvent) (died bool, err error) {
	switch {
	case e.ended:
		return p.ended(e)
	case e.asks == upgrade.Start:
		p.succeed(e)
	case e.asks == upgrade.Serving:
		e.from.serves = true
	case e.asks == upgrade.Left:
		e.from.left = true
	case e.asks == upgrade.GiveUp && e.from == p.now:
		p.discard()
	case e.asks == upgrade.HandedOver && e.from == p.now:
		p.old = append(p.old, p.now)
		p.now, p.next = p.next, nil
		if p.now == nil {
			return true, fmt.Errorf("it ended as soon as it had taken over: %w", errEnded)
		}
	}
	return false, nil
}

// discard ends the process that was to take the place of the one that serves.
func (p *proxyProcesses) discard() {
	if p.next != nil {
		p.next.unwanted = true
		_ = p.next.cmd.Process.Kill()
		p.old, p.next = append(p.old, p.next), nil
	}
}

// ended: one that is about to take the place of one that was killed may do so if it serves by now; else it may wait for ever.
func (p *proxyProcesses) ended(e proxyEvent) (died bool, err error) {
	switch {
	case e.from == p.next:
		p.next = nil // the one that it was to replace knows, and says so
		return false, nil
	case e.from != p.now:
		if p.old = slices.DeleteFunc(p.old, func(x *proxyProcess) bool { return x == e.from }); e.err != nil && !e.from.unwanted {
			fmt.Fprintln(p.errs, "weft run: a proxy whose place another has taken ended:", e.err)
		}
		return false, nil
	}
	if p.next != nil && !p.next.serves {
		p.discard()
	}
	p.now, p.next = p.next, nil
	if p.now != nil {
		fmt.Fprintln(p.errs, "weft run: the proxy died while it was upgraded:", ended(e.err))
	}
	return p.now == nil, e.err
}

// succeed starts a process that is to take the place of the one that serves.
func (p *proxyProcesses) succeed(e proxyEvent) {
	var err error
	switch {
	case e.from != p.now:
		err = errors.New("another one has taken over already")
	case p.next != nil:
		err = errors.New("another one is about to take over")
	case p.leaves:
		err = errEnds
	default:
		c := &launch.Config{TakeOver: launch.FD + 1}
		if p.next, err = p.launch(c, e.conversation); err == nil {
			e.conversation.Close()
			return
		}
	}
	upgrade.Refuse(e.conversation, err)
}

// all are the processes that there are.
func (p *proxyProcesses) all() (out []*proxyProcess) {
	for _, x := range append([]*proxyProcess{p.now, p.next}, p.old...) {
		if x != nil {
			out = append(out, x)
		}
	}
	return out
}

var errEnds = errors.New("the workload ends")

// leave has no more calls come to the application by any of them. One that has ended does not hear it; its end is an event.
func (p *proxyProcesses) leave() {
	p.leaves = true
	for _, x := range p.all() {
		_ = upgrade.Leave(x.asks)
	}
}

// left says whether none come.
func (p *proxyProcesses) left() bool {
	return p.leaves && !slices.ContainsFunc(p.all(), func(x *proxyProcess) bool { return !x.left })
}

// stop lets all of them finish their calls, for a while.
func (p *proxyProcesses) stop(wait time.Duration) {
	for _, x := range p.all() {
		_ = x.cmd.Process.Signal(syscall.SIGTERM)
	}
	late := time.After(wait)
	for len(p.all()) > 0 {
		select {
		case e := <-p.events:
			if p.forget(e); e.err != nil {
				fmt.Fprintln(p.errs, "weft run: the proxy ended:", e.err)
			}
		case <-late:
			p.kill()
		}
	}
}

// kill ends what is left.
func (p *proxyProcesses) kill() {
	for _, x := range p.all() {
		_ = x.cmd.Process.Kill()
	}
	for len(p.all()) > 0 {
		p.forget(<-p.events)
	}
}

// forget takes an event at the end, when nothing is started any more.
func (p *proxyProcesses) forget(e proxyEvent) {
	if e.conversation != nil {
		upgrade.Refuse(e.conversation, errEnds)
	}
	if !e.ended {
		return
	}
	switch e.from {
	case p.now:
		p.now = nil
	case p.next:
		p.next = nil
	}
	p.old = slices.DeleteFunc(p.old, func(x *proxyProcess) bool { return x == e.from })
}
