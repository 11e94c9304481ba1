package run

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/weft-mesh/weft/examples/bookinfo/echo"
)

// The ports of back, which speaks every protocol, and of front, which passes on to back what comes to the same port: so calls from
// outside come by a published port of front's proxy, and go out of it again, to back's, as its workload's own.
const (
	httpPort = "9080"
	tcpPort  = "9090"
	grpcPort = "9091"
)

// part is one of the two.
type part struct {
	*process
	m    *mesh
	key  string
	ways map[string]string // in from outside, by port
}

func (m *mesh) part(service string, app ...string) *part {
	m.t.Helper()
	p := &part{m: m, key: "default/" + service + "-1", ways: map[string]string{}}
	args := []string{"run", "--service", service, "--port", httpPort + "/http", "--port", "tcp=" + tcpPort + "/tcp", "--port", "grpc=" + grpcPort + "/grpc"}
	for _, port := range []string{httpPort, tcpPort, grpcPort} {
		p.ways[port] = free(m.t)
		args = append(args, "--publish", p.ways[port]+":"+port)
	}
	p.process = m.weft(slices.Concat(args, []string{"--", program("app"), "app"}, app, []string{httpPort, tcpPort, grpcPort})...)
	m.t.Cleanup(p.end)
	eventually(m.t, func() error {
		resp, err := client.Get("http://" + p.ways[httpPort] + "/")
		if err != nil {
			return fmt.Errorf("%w\n%s", err, p.out)
		}
		defer resp.Body.Close()
		if resp.StatusCode != 200 {
			return errors.New(resp.Status)
		}
		return nil
	})
	return p
}

// proxies are the processes of the part's proxy.
func (p *part) proxies() (out []int) {
	for _, pid := range descendants(p.cmd.Process.Pid) {
		if filepath.Base(commandOf(pid)) == "weft-proxy" && parent(pid) == p.cmd.Process.Pid && alive(pid) && netOf(pid) == netOf(os.Getpid()) {
			out = append(out, pid)
		}
	}
	return out
}

// proxy is the one that there is.
func (p *part) proxy() (pid int) {
	p.t.Helper()
	for deadline := time.Now().Add(settled); ; time.Sleep(10 * time.Millisecond) {
		if all := p.proxies(); len(all) == 1 {
			return all[0]
		} else if time.Now().After(deadline) {
			p.t.Fatalf("%s has the proxies %v, want one\n%s", p.key, all, p.out)
		}
	}
}

// settled is how long an old process may live on when its callers have no more to say: a proxy closes connections to its
// application that idle for 30 s, and this one passes on what comes by them.
const settled = 2 * bound

// shop starts front and back.
func (m *mesh) shop() (front, back *part) {
	m.t.Helper()
	back = m.part("back", "echo")
	return m.part("front", "relay", "back"), back
}

// counters reads those that a proxy has, as a scraper sees them.
func counters(c *http.Client) (map[string]float64, error) {
	resp, err := c.Get("http://proxy/metrics")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	out, counts := map[string]float64{}, false
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), "} ")
		switch {
		case strings.HasPrefix(name, "# TYPE "):
			counts = !strings.HasSuffix(name, " gauge")
		case counts && value != "":
			if out[name], err = strconv.ParseFloat(value, 64); err != nil {
				return nil, err
			}
		}
	}
	return out, errors.Join(lines.Err(), statusError(resp))
}

func statusError(resp *http.Response) error {
	if resp.StatusCode != 200 {
		return errors.New(resp.Status)
	}
	return nil
}

// admin asks a part's proxy about itself, by one connection that is kept or by one for each question.
func (p *part) admin(kept bool) *http.Client {
	p.t.Helper()
	socket := p.m.find(p.key).Admin
	tr := &http.Transport{DisableKeepAlives: !kept, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}}
	p.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: bound}
}

// total sums the series of one metric that have a label.
func total(all map[string]float64, name, label string) (n float64) {
	for series, v := range all {
		if strings.HasPrefix(series, name+"{") && strings.Contains(series, label) {
			n += v
		}
	}
	return n
}

// steady is load on front, and how it went.
type steady struct {
	t      *testing.T
	conns  []*http.Transport
	calls  atomic.Int64
	each   []*atomic.Int64 // by worker
	over   atomic.Bool
	mu     sync.Mutex
	failed []string
	run    sync.WaitGroup
}

func (s *steady) fail(what string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = append(s.failed, what+": "+err.Error())
}

// worker does one thing again and again.
func (s *steady) worker(what string, call func() error) {
	n := new(atomic.Int64)
	s.each = append(s.each, n)
	s.run.Go(func() {
		for !s.over.Load() {
			if err := call(); err != nil {
				s.fail(what, err)
			}
			n.Add(1)
		}
	})
}

// post calls by a request that no client makes twice.
func (s *steady) post(c *http.Client, at string) func() error {
	return func() error {
		s.calls.Add(1)
		req, err := http.NewRequest(http.MethodPost, "http://"+at+"/echo", io.NopCloser(strings.NewReader("hello")))
		if err != nil {
			return err
		}
		req.ContentLength = 5
		resp, err := c.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err == nil && string(b) != "hello" {
			err = fmt.Errorf("%s: %q", resp.Status, b)
		}
		return err
	}
}

// steady has calls come by HTTP/1.1, by kept connections and by new ones, and by HTTP/2.
func (p *part) steady(t *testing.T) *steady {
	s := &steady{t: t}
	kept := &http.Transport{}
	anew := &http.Transport{DisableKeepAlives: true}
	h2 := &http.Transport{Protocols: new(http.Protocols)}
	h2.Protocols.SetUnencryptedHTTP2(true)
	at := p.ways[httpPort]
	for what, tr := range map[string]*http.Transport{"HTTP/1.1": kept, "HTTP/1.1, a connection each": anew, "HTTP/2": h2} {
		s.conns = append(s.conns, tr)
		for range 2 {
			s.worker(what, s.post(&http.Client{Transport: tr, Timeout: bound}, at))
		}
	}
	t.Cleanup(func() { s.end() })
	return s
}

// more waits until every worker has called some more times.
func (s *steady) more(n int64) {
	s.t.Helper()
	var was []int64
	for _, x := range s.each {
		was = append(was, x.Load())
	}
	eventually(s.t, func() error {
		for i, x := range s.each {
			if now := x.Load(); now < was[i]+n {
				return fmt.Errorf("worker %d has called %d times, and %d before", i, now, was[i])
			}
		}
		return nil
	})
}

func (s *steady) end() {
	s.over.Store(true)
	s.run.Wait()
	for _, tr := range s.conns {
		tr.CloseIdleConnections()
	}
}

// lost ends the load and tells what failed.
func (s *steady) lost() {
	s.t.Helper()
	s.end()
	if len(s.failed) > 0 {
		s.t.Errorf("%d of %d calls failed: %q", len(s.failed), s.calls.Load(), s.failed[:min(len(s.failed), 5)])
	}
}

// long is a connection that lasts.
type long struct {
	name string
	say  func(text string) (string, error)
	end  func() error
}

func (p *part) tcp(t *testing.T) long {
	t.Helper()
	c := p.dial(t, tcpPort)
	return long{"TCP", func(text string) (string, error) {
		if _, err := io.WriteString(c, text); err != nil {
			return "", err
		}
		b := make([]byte, len(text))
		_, err := io.ReadFull(c, b)
		return string(b), err
	}, c.Close}
}

func (p *part) dial(t *testing.T, port string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", p.ways[port])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func (p *part) webSocket(t *testing.T) long {
	t.Helper()
	c := p.dial(t, httpPort)
	r := bufio.NewReader(c)
	fmt.Fprintf(c, "GET /ws HTTP/1.1\r\nHost: front\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("WebSocket: %+v, %v", resp, err)
	}
	return long{"WebSocket", func(text string) (string, error) {
		if _, err := c.Write(append([]byte{0x81, 0x80 | byte(len(text)), 0, 0, 0, 0}, text...)); err != nil { // the mask 0 changes nothing
			return "", err
		}
		var head [2]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return "", err
		}
		b := make([]byte, head[1])
		_, err := io.ReadFull(r, b)
		return string(b), err
	}, func() error {
		_, err := c.Write(binary.BigEndian.AppendUint16([]byte{0x88, 0x82, 0, 0, 0, 0}, 1000))
		_, err2 := io.Copy(io.Discard, r)
		return errors.Join(err, err2, c.Close())
	}}
}

func (p *part) grpcStream(t *testing.T) long {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:"+p.ways[grpcPort], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	s, err := echo.BidiStream(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	return long{"gRPC stream", func(text string) (string, error) {
		if err := s.Send(wrapperspb.String(text)); err != nil {
			return "", err
		}
		got, err := s.Recv()
		return got.GetValue(), err
	}, func() error {
		if err := s.CloseSend(); err != nil {
			return err
		}
		if _, err := s.Recv(); err != io.EOF {
			return fmt.Errorf("ended with %w", err)
		}
		return nil
	}}
}

// longs opens one of each, and exchanges a message.
func (p *part) longs(t *testing.T) []long {
	t.Helper()
	all := []long{p.tcp(t), p.webSocket(t), p.grpcStream(t)}
	talk(t, all, "from the beginning")
	return all
}

func talk(t *testing.T, all []long, text string) {
	t.Helper()
	for _, l := range all {
		if got, err := l.say(text); err != nil || got != text {
			t.Errorf("%s says %q, %v, want %q", l.name, got, err, text)
		}
	}
}

// scraper looks again and again whether counters go back.
func (s *steady) scraper(p *part, kept bool) {
	c, last := p.admin(kept), map[string]float64{}
	s.run.Go(func() {
		for !s.over.Load() {
			now, err := counters(c)
			if err != nil {
				s.fail("scrape of "+p.key, err)
				continue
			}
			for series, v := range last {
				if now[series] < v {
					s.fail("scrape of "+p.key, fmt.Errorf("%s is %v, and was %v", series, now[series], v))
				}
			}
			last = now
		}
	})
}

// TestUpgradeLosesNothing: two upgrades in a row of both proxies, under load, with connections of every kind that stay open. Nothing
// fails, nothing is refused, no counter goes back, and at the end the counters have counted what was called.
func TestUpgradeLosesNothing(t *testing.T) {
	needSandbox(t)
	m := begin(t)
	front, back := m.shop()
	type sum struct {
		of    *part
		label string
	}
	sums := []sum{{front, `reporter="destination"`}, {front, `reporter="source"`}, {back, `reporter="destination"`}}
	read := func() (out []float64) {
		for _, x := range sums {
			all, err := counters(x.of.admin(false))
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, total(all, "weft_requests_total", x.label))
		}
		return out
	}
	before := read()
	s := front.steady(t)
	for _, p := range []*part{front, back} {
		s.scraper(p, true)
		s.scraper(p, false)
	}
	open := front.longs(t)
	s.more(10)
	was := map[int]bool{}
	for round := range 2 {
		for _, p := range []*part{front, back} {
			for _, pid := range p.proxies() {
				was[pid] = true
			}
			if out := m.command("proxy", "upgrade", strings.TrimPrefix(p.key, "default/")); !strings.Contains(out, p.key+": upgraded") {
				t.Errorf("it says %q", out)
			}
			s.more(10)
			talk(t, open, fmt.Sprintf("after upgrade %d of %s", round+1, p.key))
		}
	}
	if n := len(was); n != 4 {
		t.Errorf("%d processes have been replaced: %v", n, was)
	}
	for pid := range was { // those of the first round carry what was open from the beginning, and the others wait for their counts
		if !alive(pid) {
			t.Errorf("%d has ended, and a connection that it carries is open", pid)
		}
	}
	s.more(10)
	s.lost()
	for _, l := range open {
		if err := l.end(); err != nil {
			t.Errorf("%s: %v", l.name, err)
		}
	}
	for _, p := range []*part{front, back} {
		if pid := p.proxy(); was[pid] {
			t.Errorf("%s has the old proxy %d", p.key, pid)
		}
	}
	want := float64(s.calls.Load()) + float64(len(open))
	for i, after := range read() {
		if got := after - before[i]; got != want {
			t.Errorf("%s, %s: %v calls are counted, want %v", sums[i].of.key, sums[i].label, got, want)
		}
	}
	for _, p := range []*part{front, back} {
		if out := p.out.String(); strings.Contains(out, "died") || strings.Contains(out, "lost") {
			t.Errorf("%s:\n%s", p.key, out)
		}
	}
	t.Logf("%d calls, %d connections that stayed open", s.calls.Load(), len(open))
}

// TestUpgradeWithoutControlPlane: a new process has from the old one all that it needs, and finds the control plane when it is back.
func TestUpgradeWithoutControlPlane(t *testing.T) {
	needSandbox(t)
	m := begin(t)
	front, back := m.shop()
	s := front.steady(t)
	open := front.longs(t)
	s.more(5)
	m.up.kill()
	old := front.proxy()
	if err := syscall.Kill(old, syscall.SIGUSR2); err != nil {
		t.Fatal(err)
	}
	front.says("another process has taken over")
	m.command("proxy", "upgrade", "--all")
	back.says("another process has taken over")
	s.more(10)
	talk(t, open, "without a control plane")
	for _, l := range open {
		if err := l.end(); err != nil {
			t.Errorf("%s: %v", l.name, err)
		}
	}
	m.start()
	eventually(t, func() error {
		for _, p := range m.status().Proxies {
			if !p.Connected {
				return fmt.Errorf("%s is not back", p.Workload)
			}
		}
		return nil
	})
	m.part("late", "echo") // something new arrives
	s.more(5)
	s.lost()
	if now := front.proxy(); now == old {
		t.Errorf("proxy %d is there still", now)
	}
}

// programs copies the programs for a mesh of its own, so that a test may exchange them.
func (m *mesh) programs() {
	m.t.Helper()
	m.bin = filepath.Join(m.dir, "bin")
	if err := os.Mkdir(m.bin, 0o755); err != nil {
		m.t.Fatal(err)
	}
	for _, name := range []string{"weft", "weft-proxy"} {
		b, err := os.ReadFile(program(name))
		if err != nil {
			m.t.Fatal(err)
		}
		m.install(name, b, 0o755)
	}
}

// install puts a program into the place of another.
func (m *mesh) install(name string, b []byte, mode os.FileMode) {
	m.t.Helper()
	at := filepath.Join(m.bin, name)
	if err := errors.Join(os.WriteFile(at+".new", b, 0o600), os.Chmod(at+".new", mode), os.Rename(at+".new", at)); err != nil {
		m.t.Fatal(err)
	}
}

// TestUpgradeThatFails: whatever is wrong with the new process, the old one goes on, and the reason is told and logged.
func TestUpgradeThatFails(t *testing.T) {
	needSandbox(t)
	m := newMesh(t, -1)
	m.programs()
	good, err := os.ReadFile(program("weft-proxy"))
	if err != nil {
		t.Fatal(err)
	}
	m.start()
	front, _ := m.shop()
	s := front.steady(t)
	open := front.longs(t)
	old := front.proxy()
	for _, x := range []struct {
		what string
		new  []byte
		mode os.FileMode
		says string
	}{
		{"it ends at once", []byte("#!/bin/sh\nexit 3\n"), 0o755, "ended before it served"},
		{"it is no program", []byte("what is this?"), 0o755, "exec format error"},
		{"it may not be executed", good, 0o644, "permission denied"},
		{"it is of another program", []byte("#!/bin/sh\necho hello\n"), 0o755, "ended before it served"},
	} {
		m.install("weft-proxy", x.new, x.mode)
		p := m.weft("proxy", "upgrade", "front-1")
		if code := p.code(); code != 1 || !strings.Contains(p.out.String(), x.says) {
			t.Errorf("%s: exit code %d, and it says %s", x.what, code, p.out)
		}
		front.says(x.says)
		s.more(2)
		talk(t, open, x.what)
		if now := front.proxy(); now != old {
			t.Errorf("%s: the proxy is %d, and was %d", x.what, now, old)
		}
	}
	if p := m.weft("proxy", "upgrade", "nobody-1"); p.code() != 2 || !strings.Contains(p.out.String(), "no proxy of nobody-1") {
		t.Errorf("exit code %d: %s", p.code(), p.out)
	}
	m.install("weft-proxy", good, 0o755)
	m.command("proxy", "upgrade", "front-1")
	s.more(5)
	s.lost()
	talk(t, open, "after all")
}

// stuck installs a proxy that does nothing until release.
func (m *mesh) stuck() (release func()) {
	m.t.Helper()
	pipe := filepath.Join(m.dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		m.t.Fatal(err)
	}
	m.install("weft-proxy", []byte("#!/bin/sh\nread x <"+pipe+"\nexit 1\n"), 0o755)
	return func() {
		if f, err := os.OpenFile(pipe, os.O_RDWR|syscall.O_NONBLOCK, 0); err == nil {
			f.WriteString("\n")
			m.t.Cleanup(func() { f.Close() })
		}
	}
}

// successor waits for the new process of a stuck upgrade.
func (p *part) successor(old int) (pid int) {
	p.t.Helper()
	eventually(p.t, func() error {
		for _, pid = range descendants(p.cmd.Process.Pid) {
			if pid != old && parent(pid) == p.cmd.Process.Pid && alive(pid) && strings.HasSuffix(commandOf(pid), "sh") {
				return nil
			}
		}
		return errors.New("no new process")
	})
	return pid
}

// TestKilledInUpgrade: wherever one of the two processes is killed, one is left that serves.
func TestKilledInUpgrade(t *testing.T) {
	needSandbox(t)
	m := newMesh(t, -1)
	m.programs()
	good, err := os.ReadFile(program("weft-proxy"))
	if err != nil {
		t.Fatal(err)
	}
	m.start()
	front, _ := m.shop()
	kill := func(pid int) {
		t.Helper()
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	serves := func(what string) {
		t.Helper()
		eventually(t, func() error {
			resp, err := client.Get("http://" + front.ways[httpPort] + "/")
			if err != nil {
				return fmt.Errorf("%s: %w\n%s", what, err, front.out)
			}
			defer resp.Body.Close()
			return statusError(resp)
		})
	}
	stuck := func() (upgrade *process, old, next int) {
		m.stuck()
		old = front.proxy()
		upgrade = m.weft("proxy", "upgrade", "front-1")
		next = front.successor(old)
		m.install("weft-proxy", good, 0o755)
		os.Remove(filepath.Join(m.dir, "pipe"))
		return upgrade, old, next
	}

	// The new one, before it serves. Meanwhile a second upgrade is refused.
	s := front.steady(t)
	upgrade, old, next := stuck()
	if p := m.weft("proxy", "upgrade", "front-1"); p.code() != 1 || !strings.Contains(p.out.String(), "about to take this one's place") {
		t.Errorf("a second upgrade: exit code %d: %s", p.code(), p.out)
	}
	s.more(3)
	kill(next)
	if upgrade.code() != 1 || !strings.Contains(upgrade.out.String(), "ended before it served") {
		t.Errorf("exit code %d: %s", upgrade.code(), upgrade.out)
	}
	s.more(3)
	if now := front.proxy(); now != old {
		t.Errorf("the proxy is %d, and was %d", now, old)
	}
	s.lost()

	// The old one, before the new one serves.
	upgrade, old, next = stuck()
	kill(old)
	if upgrade.code() != 1 {
		t.Errorf("exit code %d: %s", upgrade.code(), upgrade.out)
	}
	serves("the old one is killed")
	if now := front.proxy(); now == old || now == next {
		t.Errorf("the proxy is %d, and was %d", now, old)
	}

	// The new one, when it serves and the old one has connections: these go on.
	open := front.longs(t)
	old = front.proxy()
	m.command("proxy", "upgrade", "front-1")
	all := front.proxies()
	kill(all[1-slices.Index(all, old)])
	serves("the new one is killed")
	talk(t, open, "the new one is killed")

	// The old one, when the new one serves.
	s = front.steady(t)
	kill(old)
	s.more(5)
	s.lost()
	for _, l := range open {
		if _, err := l.say("to nobody"); err == nil {
			t.Errorf("%s lives on, and who carried it was killed", l.name)
		}
	}
	front.proxy()
}

// TestUpgradeLimit: what lasts longer than it may is cut, and counted; what idles is closed.
func TestUpgradeLimit(t *testing.T) {
	needSandbox(t)
	m := begin(t)
	front, back := m.shop()
	open := front.longs(t)
	idle := front.dial(t, httpPort)
	old := front.proxy()
	m.command("proxy", "upgrade", "front-1", "--drain-limit", "1ms")
	if now := front.proxy(); now == old {
		t.Errorf("the old proxy lives on")
	}
	if b, err := io.ReadAll(idle); len(b) > 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the idle connection: %q, %v", b, err)
	}
	for _, l := range open {
		if got, err := l.say("too late"); err == nil {
			t.Errorf("%s says %q", l.name, got)
		}
	}
	now, err := counters(front.admin(false))
	if err != nil {
		t.Fatal(err)
	}
	if got := now[`weft_cut_connections_total{reason="upgrade-limit"`]; got < float64(len(open)) { // and those that the workload had opened for them
		t.Errorf("%v connections are counted as cut: %v", got, slices.Sorted(maps.Keys(now)))
	}
	if got := total(now, "weft_requests_total", `reason="outlasted its proxy"`); got < float64(len(open)) {
		t.Errorf("%v calls are counted as cut", got)
	}
	if len(back.proxies()) != 1 {
		t.Error("back was upgraded too")
	}
}
