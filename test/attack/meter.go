package main

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/weft-mesh/weft/internal/proctest"
	"github.com/weft-mesh/weft/proxy/h2"
)

// Bounds on time. What others do on this machine only makes figures worse, so that of several rounds, of a legitimate client and an
// offender in turn, each figure's best counts: of a single round a legitimate client's p99 was 4 ms, of the next 325.
const (
	slower  = 2.0                    // p99 of another client: times that beside a legitimate client ...
	jitter  = 2 * time.Millisecond   // ... or, where that is small, so much more
	dearer  = 1.25                   // CPU of an offender: times a legitimate client's ...
	atLeast = 100 * time.Millisecond // ... or so much a second
	fewest  = 2                      // rounds
	most    = 8
)

// meter is the proxy that is attacked, and how.
type meter struct {
	rate  int
	span  time.Duration
	at    string // where the proxy serves clients
	admin string // its Unix socket
	pid   int
	loads int // that there were
}

// begin starts the workload.
func (m *meter) begin(ctx context.Context, mesh *proctest.Mesh) (err error) {
	if m.at, err = proctest.FreePort(); err != nil {
		return err
	}
	p, err := mesh.Run("server", nil, []string{"--service", "server", "--port", "8080/http", "--publish", m.at + ":8080"},
		filepath.Join(mesh.Bin, "attack"), "serve", ":8080")
	if err != nil {
		return err
	}
	return m.look(ctx, mesh, p, "server")
}

// look waits until the workload of a service answers, and finds its proxy.
func (m *meter) look(ctx context.Context, mesh *proctest.Mesh, p *proctest.Process, service string) (err error) {
	if err = mesh.AwaitAnswer(ctx, p, m.at); err == nil {
		m.admin, m.pid, err = mesh.Proxy(ctx, service)
	}
	return err
}

// ask makes one request, and says how long it took.
func (m *meter) ask(ctx context.Context, c *http.Client) (time.Duration, error) {
	began := time.Now()
	err := proctest.Ask(ctx, c, m.at)
	return time.Since(began), err
}

// figures are what one measurement shows.
type figures struct {
	p99    time.Duration // of another client
	cpu    time.Duration // of the proxy, in a second
	took   time.Duration // the measurement
	memory int           // MiB more than before
	failed int           // calls of the other client
	first  error         // of them
	calm   int64         // connections that were closed as they should be
	conns  int64
	turned int64 // that were turned away
	heads  int64 // answers that came
	sent   int   // bytes a second
	counts map[string]float64
}

// beside measures while something goes on.
func (m *meter) beside(ctx context.Context, a attack) (f figures, err error) {
	before, err := m.counts(ctx)
	if err != nil {
		return f, err
	}
	u := usage{pid: m.pid}
	rss := u.rss()
	l := m.start(ctx, a)
	began, cpu := time.Now(), u.cpu()
	top := 0
	f.p99, f.failed, f.first = m.other(ctx, func() { top = max(top, u.rss()) })
	f.took = time.Since(began)
	took := f.took.Seconds()
	f.cpu = time.Duration(float64(u.cpu()-cpu) / took)
	f.memory = top - rss
	l.stop()
	f.calm, f.conns, f.heads = l.calm.Load(), l.conns.Load(), l.heads.Load()
	f.turned = l.turned.Load()
	f.sent = int(float64(l.sent.Load()) / took)
	after, err := m.counts(ctx)
	if err := cmp.Or(err, u.err, ctx.Err()); err != nil {
		return f, err
	}
	for k, n := range before {
		after[k] -= n
	}
	f.counts = after
	return f, nil
}

// every is how often the other client asks, whether or not it was answered before.
const every = 5 * time.Millisecond

// other is another client, on a connection of its own; during is called each time.
func (m *meter) other(ctx context.Context, during func()) (p99 time.Duration, failed int, first error) {
	tr := proctest.HTTP2()
	defer tr.CloseIdleConnections()
	c := &http.Client{Transport: tr, Timeout: 10 * time.Second}
	var mu sync.Mutex
	var took []time.Duration
	var all sync.WaitGroup
	t := time.NewTicker(every)
	defer t.Stop()
	for end := time.Now().Add(m.span); time.Now().Before(end) && ctx.Err() == nil; {
		<-t.C
		during()
		all.Go(func() {
			d, err := m.ask(ctx, c)
			mu.Lock()
			defer mu.Unlock()
			if took = append(took, d); err != nil {
				failed++
				first = cmp.Or(first, err)
			}
		})
	}
	all.Wait()
	slices.Sort(took)
	if len(took) == 0 {
		return 0, failed, first
	}
	return took[len(took)*99/100], failed, first
}

// legitimate asks for what an application has, in as few bytes as an offender, and reads the answers.
var legitimate = attack{name: "a legitimate client", conns: 1, do: func(p *peer) { p.ask(1, get) }}

// measure prints a line for an attack, and says whether it has passed. What could not be measured has failed.
func (m *meter) measure(ctx context.Context, a attack) (bool, error) {
	var f, l figures
	var broken []string
	for n := 1; n <= most; n++ {
		nextL, err := m.beside(ctx, legitimate)
		if err != nil {
			return false, err
		}
		nextF, err := m.beside(ctx, a)
		if err != nil {
			return false, err
		}
		if broken = append(m.fits(nextL), m.held(nextL, nextF)...); len(broken) > 0 {
			continue // there was no time for either: the round shows nothing
		}
		nextL.cpu = nextL.cpu * time.Duration(m.rate) / time.Duration(nextL.sent) // had it sent all that it might
		l, f = l.join(nextL), f.join(nextF)
		if broken = judge(a, f, l); len(broken) == 0 && n >= fewest {
			break
		}
	}
	verdict := "ok    "
	if len(broken) > 0 {
		verdict = "FAILED"
	}
	fmt.Printf("%s  %-42s %s; CPU %3d ms/s (%d); RSS %+d MiB; p99 %.1f ms (%.1f)\n", verdict, a.name, f.end(a), f.cpu.Milliseconds(), l.cpu.Milliseconds(), f.memory,
		millis(f.p99), millis(l.p99))
	for _, b := range broken {
		fmt.Println("          " + b)
	}
	return len(broken) == 0, nil
}

// join is what two rounds show: the better of what others make worse, the worse of memory, and the sum of what was counted.
func (f figures) join(next figures) figures {
	if f.counts == nil {
		return next
	}
	next.p99, next.cpu = min(f.p99, next.p99), min(f.cpu, next.cpu)
	next.memory = max(f.memory, next.memory)
	next.failed, next.first = f.failed+next.failed, cmp.Or(f.first, next.first)
	next.calm, next.conns, next.turned = f.calm+next.calm, f.conns+next.conns, f.turned+next.turned
	for k, n := range f.counts {
		next.counts[k] += n
	}
	return next
}

// held says why a round shows nothing that took much longer than it should: somebody had the machine, or paused all of it, and CPU a
// second comes out as next to none (3 ms, where the other client alone takes more).
func (m *meter) held(rounds ...figures) (broken []string) {
	for _, f := range rounds {
		if f.took > m.span*3/2 {
			broken = append(broken, fmt.Sprintf("%v were measured in %v", m.span, f.took))
		}
	}
	return broken
}

// fits says why a legitimate client cannot be compared with: it has to send what an offender may, and to be answered.
func (m *meter) fits(l figures) (broken []string) {
	if l.sent < m.rate*3/4 {
		broken = append(broken, fmt.Sprintf("the legitimate client sent %d bytes a second of %d: there is nothing to compare with", l.sent, m.rate))
	}
	if want := int64(float64(l.sent) * m.span.Seconds() / float64(len(headers(1, true, get))) * 9 / 10); l.heads < want {
		broken = append(broken, fmt.Sprintf("the legitimate client got %d answers, at least %d are wanted", l.heads, want))
	}
	return broken
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// end says what became of the offender.
func (f *figures) end(a attack) string {
	s := fmt.Sprintf("%d of %d connections closed, %d turned away", f.calm, f.conns, f.turned)
	if a.reason != "" {
		s += fmt.Sprintf(", %.0f counted as %s", f.counts[string(a.reason)], a.reason)
	}
	return s
}

func judge(a attack, f, l figures) (broken []string) {
	no := func(format string, args ...any) { broken = append(broken, fmt.Sprintf(format, args...)) }
	if a.closed && f.calm == 0 {
		no("no connection was closed with ENHANCE_YOUR_CALM")
	}
	if a.reason != "" && f.counts[string(a.reason)] == 0 {
		no("nothing was counted as %s: %v", a.reason, f.counts)
	}
	if limit := max(time.Duration(slower*float64(l.p99)), l.p99+jitter); f.p99 > limit && a.name != fastReset.name {
		no("another client's p99 is %v, at most %v is wanted", f.p99, limit)
	}
	if f.failed > 0 {
		no("%d calls of another client failed: %v", f.failed, f.first)
	}
	if limit := max(time.Duration(dearer*float64(l.cpu)), atLeast); f.cpu > limit {
		no("the proxy takes %v of CPU a second, at most %v is wanted", f.cpu, limit)
	}
	if f.memory > a.memory {
		no("the proxy takes %d MiB, at most %d is wanted", f.memory, a.memory)
	}
	return broken
}

// awaitSlow waits for the end of who was slow: FrameTimeout, to a quarter, after it began.
func (m *meter) awaitSlow(ctx context.Context, l *load) bool {
	for end := time.Now().Add(45 * time.Second); l.calm.Load() == 0 && time.Now().Before(end) && ctx.Err() == nil; {
		time.Sleep(100 * time.Millisecond)
	}
	counts, err := m.counts(ctx)
	ok := l.calm.Load() > 0 && counts[string(h2.SlowFrame)] > 0
	verdict := map[bool]string{true: "ok    ", false: "FAILED"}[ok]
	fmt.Printf("%s  %-42s %d of %d connections closed, %.0f counted as %s\n", verdict, slowHeaders.name, l.calm.Load(), l.conns.Load(), counts[string(h2.SlowFrame)],
		h2.SlowFrame)
	if err != nil {
		fmt.Println("          " + err.Error())
	}
	return ok
}

// counts are those of the proxy's metric of breaches, by reason.
func (m *meter) counts(ctx context.Context) (map[string]float64, error) {
	all, err := proctest.Metrics(ctx, m.admin)
	out := map[string]float64{}
	for name, n := range all {
		if reason, ok := strings.CutPrefix(name, `weft_refused_total{reason="`); ok {
			out[strings.TrimSuffix(reason, `"}`)] = n
		}
	}
	return out, err
}

// usage reads what a process uses, and keeps the first error.
type usage struct {
	pid int
	err error
}

func (u *usage) cpu() time.Duration {
	d, err := proctest.CPU(u.pid)
	u.err = cmp.Or(u.err, err)
	return d
}

// rss is the process's memory in MiB (proc_pid_statm(5)).
func (u *usage) rss() int {
	path := fmt.Sprintf("/proc/%d/statm", u.pid)
	b, err := os.ReadFile(path)
	f := strings.Fields(string(b))
	if err == nil && len(f) < 2 {
		err = fmt.Errorf("%s has %q", path, b)
	}
	if err != nil {
		u.err = cmp.Or(u.err, err)
		return 0
	}
	pages, err := strconv.Atoi(f[1])
	u.err = cmp.Or(u.err, err)
	return pages * os.Getpagesize() >> 20
}
