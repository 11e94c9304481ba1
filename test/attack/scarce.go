package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/weft-mesh/weft/internal/proctest"
	"github.com/weft-mesh/weft/proxy/room"
	"github.com/weft-mesh/weft/wire/http2"
)

// scenario is something that goes wrong without anybody breaking a protocol. It returns the figures that it saw, and what should have
// been otherwise.
type scenario struct {
	name string
	do   func(context.Context, *proctest.Mesh) (figures string, err error)
}

var scenarios = []scenario{
	{"resources: descriptors run out", descriptors},
	{"resources: a storm of connections", storm},
	{"resources: memory runs out", memory},
	{"back-pressure of 1 GiB", pressure},
}

// play prints a line for a scenario, and says whether all was as it should be.
func (s scenario) play(ctx context.Context, mesh *proctest.Mesh) bool {
	figures, err := s.do(ctx, mesh)
	verdict := "ok    "
	if err != nil {
		verdict = "FAILED"
	}
	fmt.Printf("%s  %-42s %s\n", verdict, s.name, figures)
	if err != nil {
		fmt.Println("          " + strings.ReplaceAll(err.Error(), "\n", "\n          "))
	}
	return err == nil
}

// fewFiles is what the proxy of a workload may have in descriptors; littleMemory what it may hold.
const (
	fewFiles     = 256
	littleMemory = 64 // MiB
)

// bounded starts a workload under bounds: shell sets them, env too. The meter that it returns is of its proxy.
func bounded(ctx context.Context, mesh *proctest.Mesh, name, shell string, env ...string) (*meter, func(), error) {
	m := &meter{}
	var err error
	if m.at, err = proctest.FreePort(); err != nil {
		return nil, nil, err
	}
	argv := mesh.Weft("run", "--state", mesh.State(), "--service", name, "--port", "8080/http", "--publish", m.at+":8080", "--",
		filepath.Join(mesh.Bin, "attack"), "serve", ":8080")
	p, err := proctest.Start(name, mesh.Log, env, append([]string{"/bin/sh", "-c", shell + `exec "$@"`, "sh"}, argv...)...)
	if err != nil {
		return nil, nil, err
	}
	stop := func() { p.Stop(15 * time.Second) }
	if err := m.look(ctx, mesh, p, name); err != nil {
		stop()
		return nil, nil, err
	}
	return m, stop, nil
}

// kept is a client that was connected before things went wrong.
type kept struct {
	cancel context.CancelFunc
	all    sync.WaitGroup
	calls  int
	failed int
	first  error
}

func (m *meter) keep(ctx context.Context) *kept {
	k := &kept{}
	ctx, k.cancel = context.WithCancel(ctx)
	c := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1}, Timeout: 20 * time.Second}
	k.all.Go(func() {
		defer c.CloseIdleConnections()
		for t := time.NewTicker(every); ctx.Err() == nil; <-t.C {
			_, err := m.ask(context.WithoutCancel(ctx), c)
			if k.calls++; err != nil {
				k.failed++
				k.first = errors.Join(k.first, err)
			}
		}
	})
	return k
}

// end says what became of the client.
func (k *kept) end() (string, error) {
	k.cancel()
	k.all.Wait()
	if k.failed > 0 || k.calls == 0 {
		return "", fmt.Errorf("%d of %d calls of who was connected before failed: %.500v", k.failed, k.calls, k.first)
	}
	return fmt.Sprintf("%d calls of who was connected before, none failed", k.calls), nil
}

// use makes a connection that asks once, and stays.
func (m *meter) use(ctx context.Context) (net.Conn, error) {
	var d net.Dialer
	nc, err := d.DialContext(ctx, "tcp", m.at)
	if err != nil {
		return nil, err
	}
	_ = nc.SetDeadline(time.Now().Add(20 * time.Second))
	_, err = fmt.Fprintf(nc, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	var resp *http.Response
	if err == nil {
		resp, err = http.ReadResponse(bufio.NewReader(nc), nil)
	}
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(resp.Status)
	}
	if err != nil {
		nc.Close()
		return nil, err
	}
	return nc, nil
}

// recovers waits until new callers are served again, and says how long that took.
func (m *meter) recovers(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	for {
		var err error
		for range 20 {
			var nc net.Conn
			if nc, err = m.use(ctx); err != nil {
				break
			}
			nc.Close()
		}
		if err == nil || time.Since(began) > 20*time.Second {
			return time.Since(began), err
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// files is how many descriptors a process has open.
func files(pid int) int {
	list, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	return len(list)
}

// descriptors: connections that are used once and stay, until they are refused, and as many again.
func descriptors(ctx context.Context, mesh *proctest.Mesh) (string, error) {
	m, stop, err := bounded(ctx, mesh, "few-files", fmt.Sprintf("ulimit -n %d; ", fewFiles))
	if err != nil {
		return "", err
	}
	defer stop()
	k := m.keep(ctx)
	var crowd []net.Conn
	refused := 0
	for range 2 * fewFiles {
		if nc, err := m.use(ctx); err == nil {
			crowd = append(crowd, nc)
		} else {
			refused++
		}
	}
	most := files(m.pid)
	counts, err := m.counts(ctx) // also by a connection
	for _, nc := range crowd {
		nc.Close()
	}
	took, later := m.recovers(ctx)
	calls, hurt := k.end()
	if err = errors.Join(err, hurt, later); counts[room.Descriptors] < float64(refused) || refused == 0 || len(crowd) < fewFiles/8 {
		err = errors.Join(err, fmt.Errorf("%d were served, %d refused, and %.0f counted as %s", len(crowd), refused, counts[room.Descriptors], room.Descriptors))
	}
	return fmt.Sprintf("%d of %d descriptors; %d served, %d refused and counted; %s; recovered in %d ms", most, fewFiles, len(crowd), refused, calls, took.Milliseconds()), err
}

// storm: callers that come as fast as they can, hold what they got for a while, and come again.
func storm(ctx context.Context, mesh *proctest.Mesh) (string, error) {
	m, stop, err := bounded(ctx, mesh, "stormy", fmt.Sprintf("ulimit -n %d; ", fewFiles))
	if err != nil {
		return "", err
	}
	defer stop()
	k := m.keep(ctx)
	span, end := context.WithTimeout(ctx, 5*time.Second)
	defer end()
	var all sync.WaitGroup
	var mu sync.Mutex
	came := 0
	for range 20 {
		all.Go(func() {
			held := make([]net.Conn, 50)
			for i := 0; span.Err() == nil; i++ {
				var d net.Dialer
				nc, err := d.DialContext(span, "tcp", m.at)
				if err != nil {
					continue
				}
				mu.Lock()
				came++
				mu.Unlock()
				if old := held[i%len(held)]; old != nil {
					_ = old.(*net.TCPConn).SetLinger(0) // no port is kept waiting
					old.Close()
				}
				held[i%len(held)] = nc
			}
			for _, nc := range held {
				if nc != nil {
					nc.Close()
				}
			}
		})
	}
	all.Wait()
	took, later := m.recovers(ctx)
	calls, hurt := k.end()
	counts, err := m.counts(ctx)
	if err = errors.Join(err, hurt, later); counts[room.Descriptors] == 0 || counts["accept"] > 0 {
		err = errors.Join(err, fmt.Errorf("nobody was refused, or accepting failed: %v", counts))
	}
	return fmt.Sprintf("%d connections in 5 s, %.0f refused and counted; %s; recovered in %d ms", came, counts[room.Descriptors], calls, took.Milliseconds()), err
}

// memory: callers who ask for much and read nothing; after a second they have all that the proxy may give.
func memory(ctx context.Context, mesh *proctest.Mesh) (string, error) {
	m, stop, err := bounded(ctx, mesh, "little-memory", "", fmt.Sprintf("GOMEMLIMIT=%dMiB", littleMemory))
	if err != nil {
		return "", err
	}
	defer stop()
	k := m.keep(ctx)
	u := usage{pid: m.pid}
	top := 0
	slow, leave := context.WithCancel(ctx)
	defer leave()
	came := 0
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end) && err == nil; came++ {
		err = m.asksMuch(slow)
		top = max(top, u.rss())
		time.Sleep(every)
	}
	counts, uncounted := m.counts(ctx)
	leave()
	took, later := m.recovers(ctx)
	calls, hurt := k.end()
	err = errors.Join(err, uncounted, hurt, later, u.err)
	if counts[room.Memory] == 0 {
		err = errors.Join(err, fmt.Errorf("%d came, and none was refused: %v", came, counts))
	}
	if most := littleMemory + mapped; top > most {
		err = errors.Join(err, fmt.Errorf("the proxy took %d MiB, at most %d are wanted", top, most))
	}
	return fmt.Sprintf("%d MiB at most, of %d and what is mapped of its file; %d came, %.0f refused and counted; %s; recovered in %d ms", top, littleMemory, came,
		counts[room.Memory], calls, took.Milliseconds()), err
}

// mapped is what a proxy has in memory of its file, in MiB.
const mapped = 10

// streamsEach is how many answers are asked for by a connection.
const streamsEach = 20

// asksMuch connects, asks for large answers, and reads nothing until ctx ends.
func (m *meter) asksMuch(ctx context.Context) error {
	var d net.Dialer
	nc, err := d.DialContext(ctx, "tcp", m.at)
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { nc.Close() })
	b := http2.AppendSettings([]byte(http2.Preface))
	for id := uint32(1); id < 2*streamsEach; id += 2 {
		b = append(b, headers(id, true, getLarge)...)
	}
	_, _ = nc.Write(b) // it may be closed already
	return nil
}
