package sys_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weft-mesh/weft/internal/sys"
)

func pair(t *testing.T, make func(string) (*net.UnixConn, *os.File, error)) (a, b *net.UnixConn) {
	t.Helper()
	a, f, err := make("test")
	if err != nil {
		t.Fatal(err)
	}
	b, err = sys.UnixConn(f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

func TestPassDescriptors(t *testing.T) {
	for name, make := range map[string]func(string) (*net.UnixConn, *os.File, error){"messages": sys.SocketPair, "stream": sys.StreamPair} {
		t.Run(name, func(t *testing.T) {
			a, b := pair(t, make)
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if err := sys.SendFDs(a, []byte("two files"), r, w); err != nil {
				t.Fatal(err)
			}
			w.Close() // the passed one is another descriptor of the same pipe
			p := [100]byte{}
			n, files, err := sys.RecvFDs(b, p[:], 2)
			if err != nil || string(p[:n]) != "two files" || len(files) != 2 {
				t.Fatalf("got %q, %d files, %v", p[:n], len(files), err)
			}
			defer files[0].Close()
			files[1].WriteString("through the pipe")
			files[1].Close()
			if got, err := io.ReadAll(r); string(got) != "through the pipe" || err != nil {
				t.Errorf("got %q %v", got, err)
			}
			a.Close()
			if _, _, err := sys.RecvFDs(b, p[:], 2); !errors.Is(err, io.EOF) {
				t.Errorf("after the other end closed: %v", err)
			}
		})
	}
}

// Descriptors that nobody counted on would fill the table: unix(7), "if the ancillary data buffer is too small, the excess
// ones are discarded"; what did arrive is closed.
func TestTooManyDescriptors(t *testing.T) {
	a, b := pair(t, sys.SocketPair)
	r, w, _ := os.Pipe()
	defer r.Close()
	if err := sys.SendFDs(a, []byte("x"), w, w, w, w, w); err != nil {
		t.Fatal(err)
	}
	w.Close()
	p := [10]byte{}
	if n, files, err := sys.RecvFDs(b, p[:], 1); err == nil {
		t.Errorf("got %d bytes and %d files", n, len(files))
	}
	r.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := r.Read(p[:]); !errors.Is(err, io.EOF) { // no writer is left
		t.Errorf("a descriptor was kept: %v", err)
	}
	if err := sys.SendFDs(a, nil, r); err == nil {
		t.Error("sent descriptors without a byte")
	}
}

func TestMessagesLongerThanTheSocketTakes(t *testing.T) {
	a, b := pair(t, sys.StreamPair)
	long := bytes.Repeat([]byte("0123456789"), 100_000)
	sent := make(chan error, 1)
	go func() { sent <- sys.SendFDs(a, long, os.Stdin) }()
	var got []byte
	files := 0
	for len(got) < len(long) {
		p := [4096]byte{}
		n, f, err := sys.RecvFDs(b, p[:], 1)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, p[:n]...)
		for _, f := range f {
			f.Close()
			files++
		}
	}
	if err := <-sent; err != nil || !bytes.Equal(got, long) || files != 1 {
		t.Errorf("%d bytes, %d files, %v", len(got), files, err)
	}
}

func TestPeerCred(t *testing.T) {
	a, _ := pair(t, sys.SocketPair)
	uid, gid, pid, err := sys.PeerCred(a)
	if err != nil || uid != os.Getuid() || gid != os.Getgid() || pid != os.Getpid() {
		t.Errorf("got %d %d %d %v", uid, gid, pid, err)
	}
}

func listen(t *testing.T, addr string) (*net.TCPListener, netip.AddrPort) {
	t.Helper()
	l, err := sys.ListenTCP(netip.MustParseAddrPort(addr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, l.Addr().(*net.TCPAddr).AddrPort()
}

func TestDial(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, to := listen(t, addr)
		o := sys.DialOptions{From: to.Addr()}
		if to.Addr().Is4() {
			o.From = netip.MustParseAddr("127.64.1.2")
		}
		taken := 0
		for name, dial := range map[string]func() (*net.TCPConn, error){
			"own":   func() (*net.TCPConn, error) { return sys.DialTCP(t.Context(), to, o) },
			"taken": func() (*net.TCPConn, error) { return sys.DialWith(t.Context(), to, o, take(to.Addr(), &taken)) },
		} {
			c, err := dial()
			if err != nil {
				t.Fatal(name, err)
			}
			defer c.Close()
			s, err := l.AcceptTCP()
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if got := s.RemoteAddr().(*net.TCPAddr).AddrPort().Addr(); got != o.From {
				t.Errorf("%s: from %v, want %v", name, got, o.From)
			}
			if _, err := sys.OriginalDst(s); !errors.Is(err, sys.ErrNotRedirected) && !errors.Is(err, syscall.ENOPROTOOPT) { // the latter without conntrack
				t.Errorf("%s: original destination: %v", name, err)
			}
		}
		if taken != 1 {
			t.Errorf("%d sockets were taken", taken)
		}
	}
}

func take(a netip.Addr, count *int) func(context.Context) (int, error) {
	return func(context.Context) (int, error) {
		*count++
		return sys.StreamSocket(sys.FamilyOf(a))
	}
}

func TestDialRefused(t *testing.T) {
	l, to := listen(t, "127.0.0.1:0")
	l.Close()
	taken := 0
	if _, err := sys.DialWith(t.Context(), to, sys.DialOptions{}, take(to.Addr(), &taken)); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("got %v", err)
	}
	why := errors.New("no sockets today")
	_, err := sys.DialWith(t.Context(), to, sys.DialOptions{}, func(context.Context) (int, error) { return -1, why })
	if !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
}

func TestMappedAddressesAreIPv4(t *testing.T) {
	l, to := listen(t, "127.0.0.1:0")
	mapped := netip.AddrPortFrom(netip.AddrFrom16(to.Addr().As16()), to.Port())
	c, err := sys.DialTCP(t.Context(), mapped, sys.DialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	l.Close()
	if sys.FamilyOf(mapped.Addr()) != sys.IPv4 || sys.FamilyOf(netip.IPv6Loopback()) != sys.IPv6 {
		t.Error("families")
	}
}

func TestListenSaysWhatIsWrong(t *testing.T) {
	_, at := listen(t, "127.0.0.1:0")
	if _, err := sys.ListenTCP(at); !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "another process") {
		t.Errorf("got %v", err)
	}
}

func TestUnixConnRefusesOthers(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sys.UnixConn(f); err == nil {
		t.Error("took a file")
	}
	l, _ := listen(t, "127.0.0.1:0")
	f, err = l.File()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sys.UnixConn(f); err == nil {
		t.Error("took a TCP listener")
	}
}

func BenchmarkDial(b *testing.B) {
	l, err := sys.ListenTCP(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.AcceptTCP()
			if err != nil {
				return
			}
			io.Copy(io.Discard, c)
			c.Close()
		}
	}()
	to := l.Addr().(*net.TCPAddr).AddrPort()
	b.ReportAllocs()
	for b.Loop() {
		c, err := sys.DialTCP(b.Context(), to, sys.DialOptions{})
		if err != nil {
			b.Fatal(err)
		}
		c.Close()
	}
}
