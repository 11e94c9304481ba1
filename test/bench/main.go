// Bench measures weft's proxy beside others in the same run: interleaved rounds, the proxies on one core, callers and application on
// another, and what others use of the machine watched. make bench-proxy runs it; docs/performance.md is what a whole run writes.
//
// It is of the repository's own module: it needs nothing that weft does not need itself.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/weft-mesh/weft/test/bench/load"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

// run is the program, or one of the processes that it starts of itself.
func run(ctx context.Context, args []string) error {
	if len(args) == 2 {
		switch args[0] {
		case "serve":
			var b load.Backend
			if err := json.Unmarshal([]byte(args[1]), &b); err != nil {
				return err
			}
			return load.Serve(ctx, b, func() {})
		case "load":
			var o order
			if err := json.Unmarshal([]byte(args[1]), &o); err != nil {
				return err
			}
			a, err := runLoad(&o)
			return errors.Join(err, json.NewEncoder(os.Stdout).Encode(a))
		case "reverse":
			var r reverse
			if err := json.Unmarshal([]byte(args[1]), &r); err != nil {
				return err
			}
			return r.run()
		}
	}
	return compare(ctx, args)
}

type flags struct {
	cases, peers, callers, cache string
	rounds, nice                 int
	window                       time.Duration
	bound                        float64
}

func parse(args []string) (f flags, err error) {
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.StringVar(&f.cases, "case", "", "cases, with commas [all]")
	fs.StringVar(&f.peers, "peers", "", "peers, with commas [all]")
	fs.StringVar(&f.callers, "callers", "", "numbers of callers, with commas [the case's main one; of all cases, all]")
	fs.StringVar(&f.cache, "cache", ".cache/bench", "directory with the peers' programs")
	fs.IntVar(&f.rounds, "rounds", 15, "rounds of each measurement")
	fs.IntVar(&f.nice, "nice", -20, "priority of proxies, callers and application alike, so that what else runs here disturbs less")
	fs.DurationVar(&f.window, "window", 500*time.Millisecond, "time that is counted, in each round")
	fs.Float64Var(&f.bound, "foreign", 0.15, "share of a core that others may use before a round is done again")
	if err = fs.Parse(args); err == nil && fs.NArg() > 0 {
		err = fmt.Errorf("what is %q? there are flags only", fs.Arg(0))
	}
	return f, err
}

func compare(ctx context.Context, args []string) error {
	f, err := parse(args)
	if err != nil {
		return err
	}
	if runtime.NumCPU() < 2 {
		return errors.New("there have to be two cores: one for the proxies, one for everything else")
	}
	b, err := newBench(&f)
	if err != nil {
		return err
	}
	defer b.stop()
	chosen, err := choose(f.cases)
	if err != nil {
		return err
	}
	passed, failed := 0, 0
	for i := range chosen {
		p, n, err := b.one(ctx, &chosen[i], &f)
		if err != nil {
			return err
		}
		passed, failed = passed+p, failed+n
	}
	fmt.Printf("%d passed, %d failed\n", passed, failed)
	if failed > 0 {
		return errors.New("targets are missed")
	}
	return nil
}

func choose(list string) (out []benchCase, err error) {
	if list == "" {
		return cases, nil
	}
	for name := range strings.SplitSeq(list, ",") {
		c, err := caseOf(name)
		if err != nil {
			return nil, err
		}
		out = append(out, *c)
	}
	return out, nil
}

// one measures a case, prints its tables and checks its targets.
func (b *bench) one(ctx context.Context, c *benchCase, f *flags) (passed, failed int, err error) {
	callers := c.callers
	if f.cases != "" {
		callers = callers[len(callers)-1:]
	}
	if f.callers != "" {
		callers = nil
		for s := range strings.SplitSeq(f.callers, ",") {
			n, err := strconv.Atoi(s)
			if err != nil {
				return 0, 0, err
			}
			callers = append(callers, n)
		}
	}
	for _, v := range c.variants {
		for _, n := range callers {
			g, err := b.measure(ctx, c, v, n)
			if err != nil {
				return 0, 0, err
			}
			g.print(os.Stdout)
			p, q := g.check(os.Stdout)
			passed, failed = passed+p, failed+q
		}
	}
	return passed, failed, nil
}

func newBench(f *flags) (b *bench, err error) {
	priority = f.nice
	b = &bench{log: os.Stderr, rounds: f.rounds, window: f.window, bound: f.bound}
	if f.peers != "" {
		b.peers = strings.Split(f.peers, ",")
	}
	if b.tools, err = findTools(f.cache); err != nil {
		return nil, err
	}
	if b.dir, err = os.MkdirTemp("", "weft-bench-"); err != nil {
		return nil, err
	}
	b.backend, b.ports, err = startBackend(b.tools, answerSize)
	if err != nil {
		b.stop()
		return nil, err
	}
	return b, nil
}

func (b *bench) stop() {
	if b.backend != nil {
		b.backend.stop()
	}
	os.RemoveAll(b.dir)
}

func findTools(cache string) (*tools, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	t := &tools{self: self, bin: filepath.Dir(self)}
	for _, x := range []struct {
		to         *string
		name, hint string
	}{
		{&t.relay, filepath.Join(cache, "relay"), ""}, {&t.envoy, filepath.Join(cache, "envoy"), ""},
		{&t.nginx, "nginx", ""}, {&t.haproxy, "haproxy", ""},
		{new(string), filepath.Join(t.bin, "weft"), ""}, {new(string), filepath.Join(t.bin, "weft-proxy"), ""},
	} {
		path, err := exec.LookPath(x.name)
		if err != nil {
			return nil, fmt.Errorf("%w; make bench-proxy gets and builds what is needed", err)
		}
		if *x.to, err = filepath.Abs(path); err != nil {
			return nil, err
		}
	}
	return t, nil
}
