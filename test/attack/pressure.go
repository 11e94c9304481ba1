package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/weft-mesh/weft/internal/proctest"
)

// A fast sender and a reader that is slow at first: it reads a little, stands still for a while, and then takes the rest.
const (
	amount = 1 << 30
	little = 1 << 20
	still  = 3 * time.Second
	grows  = 8 // MiB that a proxy may hold more than before: its buffers, and what the collector has not seen yet
)

const pair = `
apiVersion: v1
kind: Service
metadata: {name: back}
spec:
  selector: {app: back}
  ports: [{name: http, port: 8080, appProtocol: http}, {name: tcp, port: 8081, appProtocol: tcp}]
---
apiVersion: v1
kind: Service
metadata: {name: front}
spec:
  selector: {app: front}
  ports: [{name: http, port: 8080, appProtocol: http}, {name: tcp, port: 8081, appProtocol: tcp}]
`

// zeros is a reader that never ends.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

// send writes the whole amount.
func send(w io.Writer) error {
	_, err := io.CopyBuffer(struct{ io.Writer }{w}, io.LimitReader(zeros{}, amount), make([]byte, 256<<10))
	return err
}

// take reads slowly at first, and says how much came.
func take(r io.Reader) (int64, error) {
	b := make([]byte, 256<<10)
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, io.LimitReader(r, little), b)
	if err != nil {
		return n, err
	}
	time.Sleep(still)
	more, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, r, b)
	return n + more, err
}

// huge serves both directions over HTTP: a GET is answered with the amount, of a POST it says how much came.
func huge(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		w.Header().Set("Content-Length", strconv.Itoa(amount))
		_ = send(w)
		return
	}
	n, err := take(r.Body)
	fmt.Fprint(w, n, " ", err)
}

// serveTCP does the same without HTTP: the first line says which.
func serveTCP(at string) error {
	l, err := net.Listen("tcp", at)
	if err != nil {
		return err
	}
	for {
		nc, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer nc.Close()
			r := bufio.NewReader(nc)
			if line, _ := r.ReadString('\n'); line == "GET\n" {
				_ = send(nc)
				return
			}
			n, err := take(r)
			fmt.Fprint(nc, n, " ", err)
		}()
	}
}

// twoProxies is a way through two proxies and mutual TLS: front passes on to back what comes from outside.
type twoProxies struct {
	http, tcp string // ways in
	pids      []int
}

func startTwo(ctx context.Context, mesh *proctest.Mesh) (*twoProxies, func(), error) {
	if err := os.WriteFile(filepath.Join(mesh.Config, "pair.yaml"), []byte(pair), 0o600); err != nil {
		return nil, nil, err
	}
	w := &twoProxies{}
	var err error
	for _, at := range []*string{&w.http, &w.tcp} {
		if *at, err = proctest.FreePort(); err != nil {
			return nil, nil, err
		}
	}
	begun := len(mesh.Runs)
	stop := func() {
		for _, p := range mesh.Runs[begun:] {
			p.Stop(15 * time.Second)
		}
	}
	own := filepath.Join(mesh.Bin, "attack")
	ports := []string{"--port", "http=8080/http", "--port", "tcp=8081/tcp"}
	_, err = mesh.Run("back", nil, append([]string{"--service", "back"}, ports...), own, "serve", ":8080", ":8081")
	if err == nil {
		_, err = mesh.Run("front", nil, append([]string{"--service", "front", "--publish", w.http + ":8080", "--publish", w.tcp + ":8081"}, ports...), own, "relay", "back")
	}
	if err == nil {
		err = mesh.AwaitAnswer(ctx, mesh.Runs[len(mesh.Runs)-1], w.http)
	}
	for _, service := range []string{"front", "back"} {
		var pid int
		if err == nil {
			_, pid, err = mesh.Proxy(ctx, service)
		}
		w.pids = append(w.pids, pid)
	}
	if err != nil {
		stop()
		return nil, nil, err
	}
	return w, stop, nil
}

// pressure has 1 GiB pass in each protocol, there and back.
func pressure(ctx context.Context, mesh *proctest.Mesh) (string, error) {
	w, stop, err := startTwo(ctx, mesh)
	if err != nil {
		return "", err
	}
	defer stop()
	h1, h2 := &http.Transport{}, proctest.HTTP2()
	defer h1.CloseIdleConnections()
	defer h2.CloseIdleConnections()
	var figures []string
	for _, x := range []struct {
		name string
		do   func(context.Context) (int64, error)
	}{
		{"TCP down", w.getTCP}, {"TCP up", w.postTCP},
		{"HTTP/1.1 down", w.get(h1)}, {"HTTP/1.1 up", w.post(h1)}, {"HTTP/2 down", w.get(h2)}, {"HTTP/2 up", w.post(h2)},
	} {
		began := time.Now()
		more, one := w.watch(ctx, x.do)
		if one != nil {
			one = fmt.Errorf("%s: %w", x.name, one)
		}
		if n := max(more[0], more[1]); n > grows {
			one = errors.Join(one, fmt.Errorf("%s: a proxy grew by %d MiB, at most %d are wanted", x.name, n, grows))
		}
		err = errors.Join(err, one)
		figures = append(figures, fmt.Sprintf("%s %+d %+d (%.0f s)", x.name, more[0], more[1], time.Since(began).Seconds()))
	}
	return "MiB more, front's and back's proxy: " + strings.Join(figures, ", "), err
}

// watch says by how many MiB each proxy grows while something is done.
func (w *twoProxies) watch(ctx context.Context, do func(context.Context) (int64, error)) (more [2]int, err error) {
	var before [2]int
	use := [2]usage{{pid: w.pids[0]}, {pid: w.pids[1]}}
	for i := range use {
		before[i] = use[i].rss()
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		n, err := do(ctx)
		if err == nil && n != amount {
			err = fmt.Errorf("%d bytes came of %d", n, amount)
		}
		done <- err
	}()
	t := time.NewTicker(20 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case err := <-done:
			return more, errors.Join(err, use[0].err, use[1].err)
		case <-t.C:
		}
		for i := range use {
			more[i] = max(more[i], use[i].rss()-before[i])
		}
	}
}

func (w *twoProxies) get(tr http.RoundTripper) func(context.Context) (int64, error) {
	return func(ctx context.Context) (int64, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.http+"/huge", nil)
		if err != nil {
			return 0, err
		}
		resp, err := tr.RoundTrip(req)
		if err != nil {
			return 0, err
		}
		defer resp.Body.Close()
		return take(resp.Body)
	}
}

func (w *twoProxies) post(tr http.RoundTripper) func(context.Context) (int64, error) {
	return func(ctx context.Context) (int64, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+w.http+"/huge", io.LimitReader(zeros{}, amount))
		if err != nil {
			return 0, err
		}
		req.ContentLength = amount
		resp, err := tr.RoundTrip(req)
		if err != nil {
			return 0, err
		}
		defer resp.Body.Close()
		return came(resp.Body)
	}
}

// came reads what the application says of an upload.
func came(r io.Reader) (n int64, err error) {
	b, err := io.ReadAll(r)
	if _, bad := fmt.Sscanf(string(b), "%d <nil>", &n); err == nil && bad != nil {
		err = fmt.Errorf("the application says %.200q", b)
	}
	return n, err
}

func (w *twoProxies) dial(ctx context.Context, line string) (*net.TCPConn, error) {
	var d net.Dialer
	nc, err := d.DialContext(ctx, "tcp", w.tcp)
	if err != nil {
		return nil, err
	}
	at, _ := ctx.Deadline()
	_ = nc.SetDeadline(at)
	_, err = io.WriteString(nc, line)
	return nc.(*net.TCPConn), err
}

func (w *twoProxies) getTCP(ctx context.Context) (int64, error) {
	nc, err := w.dial(ctx, "GET\n")
	if err != nil {
		return 0, err
	}
	defer nc.Close()
	return take(nc)
}

func (w *twoProxies) postTCP(ctx context.Context) (int64, error) {
	nc, err := w.dial(ctx, "POST\n")
	if err != nil {
		return 0, err
	}
	defer nc.Close()
	if err := errors.Join(send(nc), nc.CloseWrite()); err != nil {
		return 0, err
	}
	return came(nc)
}
