package proxy_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

var (
	nginx   = flag.String("nginx", "", "nginx's program, to compare with (make diff-fuzz)")
	streams = flag.Int("streams", 2000, "how many streams of requests are compared with nginx")
	seed    = flag.Uint64("seed", 1, "of the streams")
)

// nginxConf is nginx as a proxy that passes on what it understands.
const nginxConf = `
daemon off;
master_process off;
pid %[1]s/pid;
error_log %[1]s/error.log;
events { worker_connections 512; }
http {
	access_log off;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	server {
		listen %[2]s;
		server_name none;
		location / {
			proxy_pass http://%[3]s;
			proxy_http_version 1.1;
			proxy_set_header Host $host; # the target's own, if it has one (RFC 9112 section 3.2.2)
			proxy_ignore_client_abort on;
		}
	}
}
`

// startNginx starts nginx in front of an application, and returns its address.
func startNginx(t *testing.T, app string) string {
	dir := t.TempDir()
	l := listen(t)
	at := l.Addr().String()
	must(t, l.Close()) // another could take the port meanwhile; nginx would say so
	conf := filepath.Join(dir, "nginx.conf")
	must(t, os.WriteFile(conf, fmt.Appendf(nil, nginxConf, dir, at, app), 0o600))
	cmd := exec.Command(*nginx, "-p", dir, "-c", conf)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	eventually(t, "there: nginx", func() bool {
		c, err := net.Dial("tcp", at)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return at
}

// behind runs an application that notes what it gets.
func behind(t *testing.T) (*seen, net.Listener) {
	l, s := listen(t), &seen{}
	srv := &http.Server{Handler: s, ErrorLog: silence}
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(l) }()
	t.Cleanup(func() { srv.Close(); <-done })
	return s, l
}

// TestStreamsAgainstNginx: of each stream of requests, an application gets through weft's proxies, on each way, what it gets through
// nginx, or weft refuses.
func TestStreamsAgainstNginx(t *testing.T) {
	if *nginx == "" {
		t.Skip("make diff-fuzz runs it, with nginx")
	}
	theirs, theirApp := behind(t)
	at := startNginx(t, theirApp.Addr().String())
	ours, app := behind(t)
	passed, failed, stricter := 0, 0, 0
	r := rand.New(rand.NewPCG(*seed, 0))
	all := ways(t, app)
	for range *streams {
		c := make(choices, 80)
		for i := range c {
			c[i] = byte(r.Uint32())
		}
		in := string(c.stream())
		theirBack, _ := talk(t, at, in)
		want := theirs.take()
		var err error
		for _, w := range all {
			back, _ := talk(t, w.at, in)
			got := ours.take()
			if e := judged([]byte(in), got, back, want, theirBack); e != nil {
				err = errors.Join(err, fmt.Errorf("%s: %w", w.name, e))
			}
			if len(got) < len(want) {
				stricter++
			}
		}
		if passed++; err != nil {
			passed, failed = passed-1, failed+1
			if failed <= 10 {
				t.Error(err)
			}
		}
	}
	t.Logf("seed %d: weft refused a request that nginx passes in %d of %d comparisons", *seed, stricter, len(all)**streams)
	fmt.Printf("%d passed, %d failed\n", passed, failed)
}
