package run

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/weft-mesh/weft/examples/bookinfo/echo"
)

// app is a program that runs in the mesh.
func app(args []string) int {
	switch args[0] {
	case "exit":
		code, _ := strconv.Atoi(args[1])
		return code
	case "die":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	case "echo":
		if err := echoes(args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, "app:", err)
			return 1
		}
		return 0
	case "relay":
		if err := relay(args[1], args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "app:", err)
			return 1
		}
		return 0
	case "serve":
		if err := serve(args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, "app:", err)
			return 1
		}
		return 0
	}
	fmt.Fprintln(os.Stderr, "app: what is", args[0])
	return 2
}

// serve listens on ports, at HOST if that is set, until SIGTERM, and lets calls under way finish then.
func serve(ports []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	s := &http.Server{Handler: handler(), ReadHeaderTimeout: time.Minute}
	ended := make(chan error, len(ports))
	for _, p := range ports {
		l, err := net.Listen("tcp", net.JoinHostPort(os.Getenv("HOST"), p))
		if err != nil {
			return err
		}
		go func() { ended <- s.Serve(l) }()
	}
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return s.Shutdown(context.Background())
	}
}

// echoes serves every protocol: HTTP, TCP and gRPC on a port each.
func echoes(ports []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	s, err := echo.Listen(echo.Options{Host: os.Getenv("HOST"), HTTPPort: ports[0], TCPPort: ports[1], GRPCPort: ports[2]})
	if err != nil {
		return err
	}
	_ = s.Serve(ctx) // calls that were open to the end
	return nil
}

// relay passes on what comes to its ports to those of a service, until SIGTERM.
func relay(to string, ports []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	for _, p := range ports {
		l, err := net.Listen("tcp", net.JoinHostPort(os.Getenv("HOST"), p))
		if err != nil {
			return err
		}
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go pass(c.(*net.TCPConn), net.JoinHostPort(to, p))
			}
		}()
	}
	<-ctx.Done()
	return nil
}

func pass(c *net.TCPConn, to string) {
	defer c.Close()
	out, err := net.Dial("tcp", to)
	if err != nil {
		fmt.Fprintln(os.Stderr, "app:", err)
		return
	}
	defer out.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(out, c)
		_ = out.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(c, out)
	_ = c.CloseWrite()
	<-done
}

// told is what the application says of a call.
type told struct {
	Name   string            `json:"name"` // of the instance
	Host   string            `json:"host"` // of the machine, as it sees it
	Env    map[string]string `json:"env,omitempty"`
	Status int               `json:"status,omitempty"`
	Body   string            `json:"body,omitempty"`
	Error  string            `json:"error,omitempty"`
	List   []string          `json:"list,omitempty"`
}

func handler() http.Handler {
	mux := http.NewServeMux()
	answer := func(path string, f func(*told, *http.Request) error) {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			t := &told{Name: os.Getenv("POD_NAME")}
			if err := f(t, r); err != nil {
				t.Error = err.Error()
			}
			_ = json.NewEncoder(w).Encode(t)
		})
	}
	answer("/", who)
	answer("/slow", func(t *told, r *http.Request) error {
		ms, _ := strconv.Atoi(r.FormValue("ms"))
		time.Sleep(time.Duration(ms) * time.Millisecond)
		return nil
	})
	var busy atomic.Int64
	answer("/held", func(_ *told, r *http.Request) error { // until there is a file
		busy.Add(1)
		defer busy.Add(-1)
		for {
			if _, err := os.Stat(r.FormValue("path")); err == nil {
				return nil
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
	answer("/busy", func(t *told, _ *http.Request) error { // how many wait so
		t.Status = int(busy.Load())
		return nil
	})
	answer("/abrupt", func(*told, *http.Request) error { // it dies of SIGTERM
		signal.Reset(syscall.SIGTERM)
		return nil
	})
	answer("/fetch", fetch)
	answer("/dial", dial)
	answer("/resolve", func(t *told, r *http.Request) (err error) {
		t.List, err = net.DefaultResolver.LookupHost(r.Context(), r.FormValue("name"))
		return err
	})
	answer("/list", func(t *told, r *http.Request) error {
		entries, err := os.ReadDir(r.FormValue("path"))
		for _, e := range entries {
			t.List = append(t.List, e.Name())
		}
		return err
	})
	answer("/read", func(t *told, r *http.Request) error {
		b, err := os.ReadFile(r.FormValue("path"))
		t.Body = string(b)
		return err
	})
	return mux
}

func who(t *told, _ *http.Request) (err error) {
	t.Env = map[string]string{}
	for _, line := range os.Environ() {
		name, value, _ := strings.Cut(line, "=")
		if strings.Contains(name, "SERVICE") || slices.Contains([]string{"POD_IP", "POD_NAMESPACE", "HOST", "PORT"}, name) {
			t.Env[name] = value
		}
	}
	t.Host, err = os.Hostname()
	return err
}

// fetch calls url; $NAME in it stands for the environment's.
func fetch(t *told, r *http.Request) error {
	ctx, cancel := context.WithTimeout(r.Context(), 2*bound)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, os.ExpandEnv(r.FormValue("url")), nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	t.Status, t.Body = resp.StatusCode, string(b)
	return err
}

// dial connects, says hello, and tells what came back within a while.
func dial(t *told, r *http.Request) error {
	c, err := net.DialTimeout(cmp.Or(r.FormValue("network"), "tcp"), r.FormValue("addr"), bound)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(bound))
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
		return err
	}
	b, err := io.ReadAll(c)
	t.Body = string(b)
	return err
}
