package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/weft-mesh/weft/control"
	"github.com/weft-mesh/weft/internal/proctest"
	"github.com/weft-mesh/weft/node/sandbox"
	"github.com/weft-mesh/weft/observe/stat"
)

// checker asserts what the mesh promises, on the shop and on a workload that makes calls when it is asked to.
type checker struct {
	*shop
	page    string          // the shop's address
	others  map[string]bool // of probes, those where somebody else listened before
	caller  string          // the calling workload's
	client  *http.Client
	faults  string // while this file exists, one of the ratings answers with the status in it
	flaky   *proctest.Process
	current context.Context
}

// assertion is one promise; its figures say what was seen.
type assertion struct {
	name string
	run  func(*checker) (figures string, err error)
}

var assertions = []assertion{
	{"encrypted between proxies", (*checker).encrypted},
	{"strangers are refused", (*checker).strangers},
	{"route by header", (*checker).byHeader},
	{"route by path", (*checker).byPath},
	{"route by weight", (*checker).byWeight},
	{"fault", (*checker).fault},
	{"retry and its budget", (*checker).retry},
	{"outlier ejected and back", (*checker).outlier},
	{"policy denies, and says which", (*checker).denied},
	{"plain TCP, judged by an egress policy", (*checker).tcp},
	{"configuration changes under load", (*checker).changes},
	{"bad configuration under load", (*checker).badChange},
	{"route moved to a service never called before", (*checker).moved},
	{"certificate authority rotated under load", (*checker).rotated},
	{"control plane killed under load, and back", (*checker).killed},
	{"workload killed under load", (*checker).workloadKilled},
	{"metrics equal the load's own count", (*checker).counted},
}

// most is how long all of it may take, and patience how long a change may, on a machine that does other things: the figures say how long
// it took.
const (
	most     = 90 * time.Second
	patience = 15 * time.Second
)

// check runs the assertions whose names contain only, and prints a line each.
func check(ctx context.Context, bin, only string, log io.Writer) error {
	ctx, cancel := context.WithTimeoutCause(ctx, most, fmt.Errorf("it was not done within %v", most))
	defer cancel()
	s, err := newShop(bin, log)
	if err != nil {
		return err
	}
	defer s.Stop()
	if err := sandbox.Probe(s.Weft()[0]); err != nil {
		return fmt.Errorf("what is asserted holds for workloads in namespaces of their own: %w", err)
	}
	c := &checker{shop: s, client: newClient(), current: ctx, faults: filepath.Join(s.Dir, "faults")}
	began := time.Now()
	if err := c.begin(ctx); err != nil {
		return err
	}
	fmt.Printf("the mesh and the shop are up after %.1f s\n", time.Since(began).Seconds())
	passed, failed := 0, 0
	for _, a := range assertions {
		if !strings.Contains(a.name, only) {
			continue
		}
		at := time.Now()
		figures, err := a.run(c)
		if ctx.Err() != nil {
			return fmt.Errorf("stopped at %q: %w", a.name, context.Cause(ctx))
		}
		if err != nil {
			failed++
			fmt.Printf("FAIL %s (%.1f s): %s\n", a.name, time.Since(at).Seconds(), strings.ReplaceAll(err.Error(), "\n", " "))
			continue
		}
		passed++
		if _, err := fmt.Printf("ok   %s (%.1f s): %s\n", a.name, time.Since(at).Seconds(), figures); err != nil {
			return fmt.Errorf("print: %w", err)
		}
	}
	fmt.Printf("%d passed, %d failed\n", passed, failed)
	if failed > 0 || passed == 0 {
		return errors.New("the demo does not keep what it promises")
	}
	return nil
}

func (c *checker) begin(ctx context.Context) (err error) {
	if c.page, err = proctest.FreePort(); err != nil {
		return err
	}
	if c.caller, err = proctest.FreePort(); err != nil {
		return err
	}
	c.others = map[string]bool{}
	for _, addr := range loopback {
		c.others[addr] = reachable(addr)
	}
	if err := c.StartUp(ctx); err != nil {
		return err
	}
	if _, err := c.bookinfo("caller", "v1", c.caller, nil); err != nil {
		return err
	}
	if c.flaky, err = c.bookinfo("ratings", "v1", "", []string{"FAULT_FILE=" + c.faults}, "--label", "role=flaky"); err != nil {
		return err
	}
	tcp := []string{"--service", "database", "--service-account", "database", "--port", "5432/tcp"}
	if _, err := c.Run("database", nil, tcp, filepath.Join(c.Bin, "bookinfo"), "echo", "-port", "9080", "-tcp-port", "5432", "-grpc-port", "off"); err != nil {
		return err
	}
	if err := c.startShop(ctx, c.page); err != nil {
		return err
	}
	return c.eventually(func() error {
		_, err := c.expect("http://ratings:9080/ratings/0", nil, 200)
		return err
	})
}

// called is what the calling workload tells.
type called struct {
	Status int         `json:"status"`
	Header http.Header `json:"header"`
	Body   string      `json:"body"`
	Error  string      `json:"error"`
}

// call has the calling workload make a request.
func (c *checker) call(target string, header map[string]string) (out called, err error) {
	on := map[string]string{}
	for k, v := range header {
		on["x-call-"+k] = v
	}
	return c.ask("http://"+c.caller+"/http?url="+url.QueryEscape(target), on)
}

// dial has the calling workload open a TCP connection.
func (c *checker) dial(addr, send string) (called, error) {
	return c.ask("http://"+c.caller+"/tcp?addr="+url.QueryEscape(addr)+"&send="+url.QueryEscape(send), nil)
}

func (c *checker) ask(target string, header map[string]string) (out called, err error) {
	status, body, err := get(c.current, c.client, target, header)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("the calling workload answered %d: %s", status, body)
	}
	if err == nil {
		err = json.Unmarshal([]byte(body), &out)
	}
	return out, err
}

// expect makes a call that has to be answered with a status.
func (c *checker) expect(target string, header map[string]string, status int) (called, error) {
	got, err := c.call(target, header)
	if err == nil && got.Status != status {
		err = fmt.Errorf("%s %v: %d %s%.300s, want %d", target, header, got.Status, got.Error, got.Body, status)
	}
	return got, err
}

// versions makes n calls and counts which versions answered.
func (c *checker) versions(n int, target string, header map[string]string) (map[string]int, error) {
	out := map[string]int{}
	for range n {
		got, err := c.expect(target, header, 200)
		if err != nil {
			return out, err
		}
		out[got.Header.Get("x-bookinfo-version")]++
	}
	return out, nil
}

// eventually repeats try until it succeeds.
func (c *checker) eventually(try func() error) error {
	for deadline := time.Now().Add(patience); ; {
		err := try()
		if err == nil || time.Now().After(deadline) || c.current.Err() != nil {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// apply writes a file of configuration; with it gone, its objects are.
func (c *checker) apply(name, yaml string) (gone func(), err error) {
	path := c.file(name)
	if err := os.WriteFile(path+".new", []byte(yaml), 0o600); err != nil {
		return nil, err
	}
	return func() { os.Remove(path) }, os.Rename(path+".new", path)
}

// file is apart from the files of the shop.
func (c *checker) file(name string) string { return filepath.Join(c.Config, "check-"+name+".yaml") }

// with applies configuration for the time of an assertion: seen has to succeed, and to fail again without it.
func (c *checker) with(name, yaml string, seen func() error, then func() (string, error)) (string, error) {
	gone, err := c.apply(name, yaml)
	if err != nil {
		return "", err
	}
	defer func() {
		gone()
		_ = c.eventually(func() error {
			if seen() == nil {
				return errors.New("still there")
			}
			return nil
		})
	}()
	at := time.Now()
	if err := c.eventually(seen); err != nil {
		return "", fmt.Errorf("the change did not take effect within %v: %w", patience, err)
	}
	took := time.Since(at)
	figures, err := then()
	return fmt.Sprintf("%s; in effect after %d ms", figures, took.Milliseconds()), err
}

// status is the control plane's.
func (c *checker) status() (s control.Status, err error) {
	out, err := c.Command(c.current, "status", "-o", "json")
	if err == nil {
		err = json.Unmarshal([]byte(out), &s)
	}
	return s, err
}

// numbers is what a workload's proxy has counted.
func (c *checker) numbers(service, version string) (*stat.Snapshot, *control.ProxyAddr, error) {
	s, err := c.status()
	if err != nil {
		return nil, nil, err
	}
	for i := range s.Proxies {
		if p := &s.Proxies[i]; p.Service == service && (version == "" || p.Version == version) {
			snap := new(stat.Snapshot)
			return snap, p, c.admin(p.Admin, "/stats", snap)
		}
	}
	return nil, nil, fmt.Errorf("no workload of %s %s is registered", service, version)
}

// admin asks a proxy on its socket.
func (c *checker) admin(socket, path string, v any) error {
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		}}}
	status, body, err := get(c.current, client, "http://proxy"+path, nil)
	if err == nil && status != 200 {
		err = fmt.Errorf("%s%s: %d %s", socket, path, status, body)
	}
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(body), v)
}
