package node_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weft-mesh/weft/internal/sys"
	"github.com/weft-mesh/weft/node"
)

// bound is how long anything may take before a test fails.
const bound = 30 * time.Second

// adoptMode, in the environment, makes the test binary be a proxy that its parent passed doors to.
const adoptMode = "NODE_TEST_ADOPT"

func TestMain(m *testing.M) {
	arg := os.Getenv(adoptMode)
	if arg == "" {
		os.Exit(m.Run())
	}
	if err := proxy(arg); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func inherited(n int) (*os.File, error) { return sys.DuplicateFile(n, "door") }

// proxy passes on one connection from an outbound door to the application.
func proxy(arg string) error {
	d, err := node.Adopt(arg, inherited)
	if err != nil {
		return err
	}
	defer d.Close()
	fmt.Println(len(d.Outbound), len(d.DNS), len(d.DNSStream))
	in, err := d.Outbound[0].Accept()
	if err != nil {
		return err
	}
	out, err := d.App.Dial(context.Background(), netip.MustParseAddrPort(os.Args[1]), sys.DialOptions{})
	if err != nil {
		return err
	}
	_, err = io.Copy(in, out)
	in.Close()
	return err
}

// handoff makes doors without a sandbox: here. A broker serves until the test ends.
func handoff(t testing.TB) *node.Handoff {
	t.Helper()
	h := &node.Handoff{Address: netip.MustParseAddr("127.0.0.1")}
	tcp, err := sys.ListenTCP(netip.MustParseAddrPort("127.0.0.1:0"))
	check(t, err)
	defer tcp.Close()
	udp, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	check(t, err)
	defer udp.Close()
	for to, open := range map[*[]*os.File]func() (*os.File, error){&h.Outbound: tcp.File, &h.DNS: udp.File, &h.DNSStream: tcp.File} {
		f, err := open()
		check(t, err)
		*to = append(*to, f)
	}
	ours, theirs, err := sys.SocketPair("broker")
	check(t, err)
	h.Broker = theirs
	served := make(chan error, 1)
	go func() { served <- node.Serve(ours) }()
	t.Cleanup(func() {
		h.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
		ours.Close()
	})
	return h
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// greeter greets whoever connects.
func greeter(t testing.TB) netip.AddrPort {
	l, err := sys.ListenTCP(netip.MustParseAddrPort("127.0.0.1:0"))
	check(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.AcceptTCP()
			if err != nil {
				return
			}
			io.WriteString(c, "hello")
			c.Close()
		}
	}()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

func greeting(c net.Conn) error {
	defer c.Close()
	got, err := io.ReadAll(c)
	if err == nil && string(got) != "hello" {
		err = fmt.Errorf("got %q", got)
	}
	return err
}

func TestDialerServesABurst(t *testing.T) {
	h := handoff(t)
	d, err := node.NewDialer(h.Broker, h.Address)
	check(t, err)
	defer d.Close()
	to := greeter(t)
	var all sync.WaitGroup
	for range 300 { // far more at once than a batch
		all.Go(func() {
			c, err := d.DialApp(t.Context(), to.Port(), netip.MustParseAddr("127.0.0.2"))
			if err == nil {
				err = greeting(c)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// An old proxy and a new one share the door while the one takes over.
func TestTwoDialersAtOneDoor(t *testing.T) {
	h := handoff(t)
	to := greeter(t)
	var all sync.WaitGroup
	for range 2 {
		d, err := node.NewDialer(h.Broker, h.Address)
		check(t, err)
		for range 100 {
			all.Go(func() {
				c, err := d.DialApp(t.Context(), to.Port(), netip.Addr{})
				if err == nil {
					err = greeting(c)
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		check(t, d.Close())
		check(t, d.Close())
		<-d.Gone()
		if _, err := d.DialApp(t.Context(), to.Port(), netip.Addr{}); err == nil {
			t.Error("dialled after Close") // a socket may be left; its connection would be nobody's
		}
	}
}

func TestDialerNeedsASocket(t *testing.T) {
	f, err := os.Open("/dev/null")
	check(t, err)
	defer f.Close()
	if _, err := node.NewDialer(f, netip.Addr{}); err == nil {
		t.Error("took a file")
	}
}

// A process without descriptors gets a broker's answer without the sockets in it: that call fails, and the sandbox is not gone.
func TestDialerOutlivesLostSockets(t *testing.T) {
	door, theirs, err := sys.SocketPair("broker")
	check(t, err)
	defer door.Close()
	defer theirs.Close()
	d, err := node.NewDialer(theirs, netip.MustParseAddr("127.0.0.1"))
	check(t, err)
	defer d.Close()
	var b [2]byte
	_, files, err := sys.RecvFDs(door, b[:], 1)
	check(t, err)
	broker, err := sys.UnixConn(files[0])
	check(t, err)
	defer broker.Close()
	check(t, broker.SetDeadline(time.Now().Add(bound)))
	answer := func(sockets int) {
		_, err := broker.Read(b[:])
		check(t, err)
		fds := make([]int, sockets)
		for i := range fds {
			fds[i], err = sys.StreamSocket(sys.IPv4)
			check(t, err)
			defer sys.CloseFD(fds[i])
		}
		check(t, sys.SendRawFDs(broker, []byte{byte(sys.IPv4), 0}, fds...))
	}
	to := greeter(t).Port()
	dialed := make(chan error, 1)
	dial := func() {
		c, err := d.DialApp(t.Context(), to, netip.Addr{})
		if err == nil {
			err = greeting(c)
		}
		dialed <- err
	}
	go dial()
	answer(100) // more than it takes at once: they are lost in the same way
	if err := <-dialed; err == nil || !strings.Contains(err.Error(), "open files") {
		t.Errorf("got %v", err)
	}
	go dial()
	answer(16)
	check(t, <-dialed)
	select {
	case <-d.Gone():
		t.Error("the sandbox is gone")
	default:
	}
}

// Who talks nonsense to the broker loses his channel; others don't notice.
func TestBrokerSurvivesNonsense(t *testing.T) {
	h := handoff(t)
	c, err := net.FileConn(h.Broker)
	check(t, err)
	defer c.Close()
	door := c.(*net.UnixConn)
	_, err = door.Write([]byte("no channel with it"))
	check(t, err)
	check(t, sys.SendFDs(door, []byte{1}, os.Stdin)) // not a socket, or not one of ours
	ours, theirs, err := sys.SocketPair("nonsense")
	check(t, err)
	defer ours.Close()
	check(t, sys.SendFDs(door, []byte{1}, theirs))
	theirs.Close()
	ours.SetDeadline(time.Now().Add(bound))
	for _, request := range [][]byte{{99, 1}, {2}} { // no such family: an answer; half a request: the end
		_, err = ours.Write(request)
		check(t, err)
	}
	p := [600]byte{}
	n, files, err := sys.RecvFDs(ours, p[:], 10)
	if err != nil || len(files) > 0 || n < 3 || p[1] != 1 || !strings.Contains(string(p[2:n]), "family") {
		t.Errorf("got %q, %d files, %v", p[:n], len(files), err)
	}
	if _, _, err := sys.RecvFDs(ours, p[:], 10); err == nil {
		t.Error("half a request was answered")
	}
	d, err := node.NewDialer(h.Broker, h.Address)
	check(t, err)
	defer d.Close()
	conn, err := d.DialApp(t.Context(), greeter(t).Port(), netip.Addr{})
	check(t, err)
	check(t, greeting(conn))
}

func TestDoorsPassToAProxy(t *testing.T) {
	h := handoff(t)
	to := greeter(t)
	cmd := exec.Command("/proc/self/exe", to.String())
	first, err := os.Open("/dev/null") // doors need not come first
	check(t, err)
	defer first.Close()
	arg, files := h.Pass(4)
	cmd.ExtraFiles = append([]*os.File{first}, files...)
	cmd.Env = append(os.Environ(), adoptMode+"="+arg)
	out := &strings.Builder{}
	cmd.Stdout = out
	check(t, cmd.Start())
	l, err := net.FileListener(h.Outbound[0])
	check(t, err)
	defer l.Close()
	c, err := net.DialTimeout("tcp", l.Addr().String(), bound)
	check(t, err)
	if err := greeting(c); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil || out.String() != "1 1 1\n" {
		t.Errorf("proxy: %v %s", err, out)
	}
}

func TestAdoptRefuses(t *testing.T) {
	for _, arg := range []string{"", "127.0.0.1", "127.0.0.1/3/4/5", "127.0.0.1/3/4/5/6/7", "x/3/4/5/6", "127.0.0.1/2/4/5/6", "127.0.0.1/3/4/5/6,7", "127.0.0.1/3/4//6", "127.0.0.1/-3/4/5/6"} {
		if d, err := node.Adopt(arg, inherited); err == nil {
			t.Errorf("%q: got %v", arg, d)
		}
	}
}

func BenchmarkDialThroughBroker(b *testing.B) {
	h := handoff(b)
	d, err := node.NewDialer(h.Broker, h.Address)
	check(b, err)
	defer d.Close()
	to := greeter(b)
	b.ReportAllocs()
	for b.Loop() {
		c, err := d.Dial(b.Context(), to, sys.DialOptions{})
		check(b, err)
		c.SetLinger(0)
		c.Close()
	}
}
