package tls13

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// openssl runs openssl s_client or s_server; what is written to in goes to the peer, but for lines that are its commands.
func (w *world) openssl(t *testing.T, command string, args ...string) (in io.WriteCloser, out *bufio.Reader) {
	t.Helper()
	path, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not installed")
	}
	args = append([]string{command, "-tls1_3", "-cert", filepath.Join(w.files, "cert.pem"), "-key", filepath.Join(w.files, "key.pem"), "-alpn", alpn}, args...)
	cmd := exec.Command(path, args...)
	in, err = cmd.StdinPipe()
	must(t, err)
	o, err := cmd.StdoutPipe()
	must(t, err)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	must(t, cmd.Start())
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%v: %s", args, errs.String())
		}
	})
	return in, bufio.NewReader(o)
}

// opensslSuites are the names of all.
var opensslSuites = []string{"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}

// opensslClient is a connection that openssl has made to ours.
func opensslClient(t *testing.T, args ...string) (ours *Conn, in io.WriteCloser, out *bufio.Reader) {
	t.Helper()
	w := newWorld(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	in, out = w.openssl(t, "s_client", append([]string{"-connect", l.Addr().String()}, args...)...)
	must(t, l.(*net.TCPListener).SetDeadline(time.Now().Add(time.Minute)))
	raw, err := l.Accept()
	must(t, err)
	t.Cleanup(func() { raw.Close() })
	must(t, raw.SetDeadline(time.Now().Add(time.Minute)))
	if ours = w.take(t, raw, false); ours == nil {
		t.FailNow()
	}
	return ours, in, out
}

// opensslServer is a connection that ours has made to openssl.
func opensslServer(t *testing.T, args ...string) (ours *Conn, in io.WriteCloser, out *bufio.Reader) {
	t.Helper()
	w := newWorld(t)
	in, out = w.openssl(t, "s_server", append([]string{"-accept", "127.0.0.1:0", "-Verify", "1", "-naccept", "1"}, args...)...)
	addr := ""
	for !strings.HasPrefix(addr, "ACCEPT 127") {
		line, err := out.ReadString('\n')
		must(t, err)
		addr = strings.TrimSpace(line)
	}
	raw, err := net.Dial("tcp", strings.TrimPrefix(addr, "ACCEPT "))
	must(t, err)
	t.Cleanup(func() { raw.Close() })
	must(t, raw.SetDeadline(time.Now().Add(time.Minute)))
	if ours = w.take(t, raw, true); ours == nil {
		t.FailNow()
	}
	return ours, in, out
}

// said reads a line from openssl's user.
func said(t *testing.T, c *Conn, want string) {
	t.Helper()
	b := make([]byte, len(want))
	if _, err := io.ReadFull(c, b); err != nil || string(b) != want {
		t.Fatalf("%q, %v, want %q", b, err, want)
	}
}

// updated waits until a KeyUpdate has come, and nothing else.
func updated(t *testing.T, c *Conn) {
	t.Helper()
	secret := reflect.ValueOf(&c.in.key).Elem().FieldByName("secret")
	before := fmt.Sprint(secret)
	for tries := 0; fmt.Sprint(secret) == before; tries++ {
		if tries > 3000 {
			t.Fatal("no KeyUpdate comes")
		}
		must(t, c.SetReadDeadline(time.Now().Add(10*time.Millisecond)))
		if n, err := c.Read(make([]byte, 100)); n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("%d bytes, %v instead of a KeyUpdate", n, err)
		}
	}
	must(t, c.SetReadDeadline(time.Now().Add(time.Minute)))
}

// shown waits until openssl shows a line.
func shown(t *testing.T, out *bufio.Reader, want string) {
	t.Helper()
	for {
		line, err := out.ReadString('\n')
		if strings.HasSuffix(line, want+"\n") {
			return
		}
		must(t, err)
	}
}

// TestOpenSSL: lines both ways, tickets, KeyUpdates from openssl of both kinds and what openssl makes of ours, and both ends.
func TestOpenSSL(t *testing.T) {
	for role, connect := range map[string]func(*testing.T, ...string) (*Conn, io.WriteCloser, *bufio.Reader){
		"client": opensslClient, "server": opensslServer} {
		for _, suite := range opensslSuites {
			t.Run(role+"/"+suite, func(t *testing.T) {
				ours, in, out := connect(t, "-ciphersuites", suite)
				if got := fmt.Sprint(&ours.in.key); got != suite {
					t.Fatalf("%s was spoken", got)
				}
				say := func(line string) {
					t.Helper()
					_, err := io.WriteString(in, line+"\n")
					must(t, err)
				}
				for round, command := range []string{"", "k", "K", "k", "K", "K"} { // its commands for KeyUpdates: k wants none of us, K does
					if command != "" {
						say(command)
						updated(t, ours) // whatever openssl reads along with a command is no data
					}
					line := fmt.Sprint("line ", round)
					say(line)
					said(t, ours, line+"\n")
					answer := strings.Repeat("x", 40_000>>(4*round)) + line // short once it may show something else in between
					_, err := io.WriteString(ours, answer+"\n")
					must(t, err)
					shown(t, out, answer)
					ours.Rest()
				}
				ours.asked.Store(true)
				_, err := io.WriteString(ours, "after a KeyUpdate\n")
				must(t, err)
				shown(t, out, "after a KeyUpdate")
				say("Q")
				if b, err := io.ReadAll(ours); len(b) > 0 || err != nil {
					t.Errorf("%q, %v, want close_notify", b, err)
				}
				must(t, ours.Close())
			})
		}
	}
}

// TestOpenSSLBulk: what openssl pads, parts as it likes, and sends at once.
func TestOpenSSLBulk(t *testing.T) {
	for _, args := range [][]string{{"-quiet"}, {"-quiet", "-record_padding", "512"}, {"-quiet", "-max_send_frag", "512"}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			ours, in, out := opensslClient(t, args...)
			data := pattern(2 << 20)
			go func() {
				_, _ = in.Write(data)
			}()
			got := make([]byte, len(data))
			if n, err := io.ReadFull(ours, got); err != nil || !bytes.Equal(got, data) {
				t.Errorf("%d bytes, %v", n, err)
			}
			go func() { _, _ = ours.Write(data) }()
			if n, err := io.ReadFull(out, got); err != nil || !bytes.Equal(got, data) {
				t.Errorf("back: %d bytes, %v", n, err)
			}
			must(t, ours.CloseWrite())
			if _, err := io.Copy(io.Discard, out); err != nil {
				t.Error(err)
			}
		})
	}
}
