// Command soak runs a mesh for a while under everything at once: traffic of every protocol through real proxies, ten changes of
// configuration a second, workloads that come and go, certificates that live for seconds, and upgrades of the proxies. No call may
// fail, and memory has to stay flat. It writes a table and a picture.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/weft-mesh/weft/internal/proctest"
)

func main() {
	bin := flag.String("bin", "bin", "directory of weft, weft-proxy and soak")
	span := flag.Duration("span", 10*time.Minute, "how long")
	write := flag.String("write", ".cache", "directory for soak.md and soak.svg")
	verbose := flag.Bool("v", false, "show what the programs print")
	flag.Parse()
	if flag.NArg() > 0 {
		if err := app(flag.Args()); err != nil {
			fmt.Fprintln(os.Stderr, "soak:", err)
			os.Exit(1)
		}
		return
	}
	proctest.Main("soak", *verbose, func(ctx context.Context, log io.Writer) (passed, failed int, err error) {
		return run(ctx, *bin, *write, *span, log)
	})
}

func run(ctx context.Context, bin, write string, span time.Duration, log io.Writer) (passed, failed int, err error) {
	mesh, err := proctest.New(bin, "weft-soak-", log, "soak")
	if err != nil {
		return 0, 0, err
	}
	defer mesh.Stop()
	s := &soak{mesh: mesh, span: span}
	if err := s.start(ctx); err != nil {
		return 0, 0, err
	}
	s.load(ctx)
	if err := ctx.Err(); err != nil {
		return 0, 0, err
	}
	for _, c := range s.checks() {
		verdict := "ok    "
		if c.broken == "" {
			passed++
		} else {
			verdict = "FAILED"
			failed++
		}
		fmt.Printf("%s  %-26s %s\n", verdict, c.name, c.figures)
		if c.broken != "" {
			fmt.Println("          " + c.broken)
		}
	}
	return passed, failed, s.write(write)
}
