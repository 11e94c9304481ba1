// Command attack sends HTTP/2 that is meant to hurt to a running proxy, and measures what it costs: whether the offender is closed and
// counted, the CPU and memory of the proxy, and the latency of another client, beside the offender and beside a legitimate client of
// the same bytes a second. What needs no clock is tested in proxy/h2; the bounds are in its package comment.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/weft-mesh/weft/internal/proctest"
)

func main() {
	bin := flag.String("bin", "bin", "directory of weft, weft-proxy and attack")
	only := flag.String("only", "", "the attacks whose names contain this")
	rate := flag.Int("rate", 64<<10, "bytes a second, of an offender and of a legitimate client")
	span := flag.Duration("span", 2*time.Second, "of each measurement")
	verbose := flag.Bool("v", false, "show what the programs print")
	flag.Parse()
	if flag.Arg(0) == "serve" { // as the workload that is attacked
		if flag.NArg() > 2 {
			go func() { fmt.Fprintln(os.Stderr, "attack:", serveTCP(flag.Arg(2))) }()
		}
		fmt.Fprintln(os.Stderr, "attack:", proctest.Serve(flag.Arg(1), http.HandlerFunc(answer)))
		os.Exit(1)
	}
	if flag.Arg(0) == "relay" {
		fmt.Fprintln(os.Stderr, "attack:", proctest.Relay(context.Background(), "", flag.Arg(1), "8080", "8081"))
		os.Exit(1)
	}
	proctest.Main("attack", *verbose, func(ctx context.Context, log io.Writer) (passed, failed int, err error) {
		return run(ctx, *bin, *only, *rate, *span, log)
	})
}

// large is a body that no window takes at once. It is made once: 2,000 of them, one for each stream of an attack, would keep the
// application busy, and it is the proxy that is measured.
var large = make([]byte, 1<<20)

// answer is what the application does: it takes a body and answers, shortly but for /large.
func answer(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/huge" {
		huge(w, r)
		return
	}
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		panic(http.ErrAbortHandler)
	}
	body := large[:100]
	if r.URL.Path == "/large" {
		body = large
	}
	_, _ = w.Write(body)
}

const service = `
apiVersion: v1
kind: Service
metadata: {name: server}
spec:
  selector: {app: server}
  ports: [{port: 8080, appProtocol: http}]
`

func run(ctx context.Context, bin, only string, rate int, span time.Duration, log io.Writer) (passed, failed int, err error) {
	mesh, err := proctest.New(bin, "weft-attack-", log, "attack")
	if err != nil {
		return 0, 0, err
	}
	defer mesh.Stop()
	if err := os.WriteFile(filepath.Join(mesh.Config, "service.yaml"), []byte(service), 0o600); err != nil {
		return 0, 0, err
	}
	if err := mesh.StartUp(ctx); err != nil {
		return 0, 0, err
	}
	m := &meter{rate: rate, span: span}
	if err := m.begin(ctx, mesh); err != nil {
		return 0, 0, err
	}
	slow := m.start(ctx, slowHeaders) // takes longer than all others
	for _, a := range append(attacks, fastReset) {
		if !strings.Contains(a.name, only) {
			continue
		}
		ok, err := m.measure(ctx, a)
		if ctx.Err() != nil {
			return passed, failed, ctx.Err()
		}
		if err != nil {
			fmt.Printf("FAILED  %s was not measured: %v\n", a.name, err)
		}
		if ok {
			passed++
		} else {
			failed++
		}
	}
	if strings.Contains(slowHeaders.name, only) {
		if m.awaitSlow(ctx, slow) {
			passed++
		} else {
			failed++
		}
	}
	slow.stop()
	for _, s := range scenarios {
		if !strings.Contains(s.name, only) || ctx.Err() != nil {
			continue
		}
		if s.play(ctx, mesh) {
			passed++
		} else {
			failed++
		}
	}
	return passed, failed, ctx.Err()
}
