// Command demo starts the mesh and the sample shop on this machine, sends it a steady load and shows live numbers; with -check it
// asserts, with figures, what the mesh promises, and ends. It needs no root and no Kubernetes, and leaves nothing behind.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/weft-mesh/weft/internal/proctest"
)

func main() {
	bin := flag.String("bin", "bin", "directory of weft, weft-proxy and bookinfo")
	checks := flag.Bool("check", false, "assert what the mesh promises, print figures, and end")
	only := flag.String("only", "", "with -check: the assertions whose names contain this")
	at := flag.String("at", "", "address of the shop [a free port of 127.0.0.1]")
	rate := flag.Int("rate", 20, "requests a second")
	verbose := flag.Bool("v", false, "show what the programs print")
	flag.Parse()
	// Where nobody reads any more (| head), printing fails, and that ends the run. To ask for the signal instead would end it for
	// every socket that a stranger's attempt leaves broken.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	log := io.Writer(nil)
	if *verbose {
		log = os.Stderr
	}
	abs, err := filepath.Abs(*bin)
	if err == nil {
		if *checks {
			err = check(ctx, abs, *only, log)
		} else {
			err = demo(ctx, abs, *at, *rate, log)
		}
	}
	if err != nil && (*checks || !errors.Is(err, context.Canceled)) { // a check that was stopped has not passed
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// demo runs until it is interrupted.
func demo(ctx context.Context, bin, at string, rate int, log io.Writer) error {
	s, err := newShop(bin, log)
	if err != nil {
		return err
	}
	defer s.Stop()
	if at == "" {
		if at, err = proctest.FreePort(); err != nil {
			return err
		}
	}
	began := time.Now()
	fmt.Println("starting the mesh and the shop ...")
	if err := s.StartUp(ctx); err != nil {
		return err
	}
	if err := s.startShop(ctx, at); err != nil {
		return err
	}
	fmt.Printf(`up after %.1f s

  the shop:  http://%s/productpage
  ask it:    %s stat --state %s
             %[3]s explain --state %[4]s --from productpage --to http://reviews:9080/reviews/1
  Ctrl-C stops everything.

`, time.Since(began).Seconds(), at, s.Weft()[0], s.State())
	l := startLoad(ctx, "http://"+at+"/productpage", time.Second/time.Duration(max(rate, 1)), nil)
	defer l.stop()
	for {
		table, err := s.Command(ctx, "stat", "--window", "2s")
		if ctx.Err() != nil {
			fmt.Println("stopping ...")
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := fmt.Printf("%s  (%s)\n%s\n", time.Now().Format(time.TimeOnly), l.figures(), table); err != nil {
			return fmt.Errorf("print: %w", err)
		}
	}
}

// startShop starts all services of the shop, and returns when the page is served.
func (s *shop) startShop(ctx context.Context, at string) error {
	for _, x := range []struct{ service, version, publish string }{
		{"details", "v1", ""}, {"ratings", "v1", ""}, {"reviews", "v1", ""}, {"reviews", "v2", ""}, {"reviews", "v3", ""}, {"productpage", "v1", at},
	} {
		if _, err := s.bookinfo(x.service, x.version, x.publish, nil); err != nil {
			return err
		}
	}
	page := s.Runs[len(s.Runs)-1]
	client := newClient()
	defer client.CloseIdleConnections()
	return s.Await(ctx, page, 40*time.Second, "serve the product page", func() error {
		for _, p := range s.Runs {
			if err := p.Ended(); err != nil {
				return err
			}
		}
		status, body, err := get(ctx, client, "http://"+at+"/productpage", nil)
		if err == nil && status != 200 {
			err = fmt.Errorf("status %d: %.200s", status, body)
		}
		return err
	})
}
