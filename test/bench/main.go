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
			a, err := o.run()
			return errors.Join(err, json.NewEncoder(os.Stdout).Encode(a))
		case "slow":
			return load.Slow(ctx, &load.Spec{Addr: args[1], Host: "app"}, func() { fmt.Println("reading") })
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
	raw, docs                    string
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
	fs.StringVar(&f.raw, "raw", "", "file for the raw figures [none]")
	fs.StringVar(&f.docs, "write", "", "directory for performance.md, its picture and the raw figures [none]")
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
	if os.Getenv(lossEnv) != "" {
		if err := enterAlone(); err != nil {
			return err
		}
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
	var all results
	for i := range chosen {
		r, err := b.one(ctx, &chosen[i], &f)
		if err != nil {
			return err
		}
		all.Groups, all.Verdicts = append(all.Groups, r.Groups...), append(all.Verdicts, r.Verdicts...)
	}
	if err := all.write(&f, b.tools); err != nil {
		return err
	}
	failed := all.failed()
	fmt.Printf("%d passed, %d failed\n", len(all.Verdicts)-failed, failed)
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
func (b *bench) one(ctx context.Context, c *benchCase, f *flags) (out results, err error) {
	if c.variants[0].plan.Loss && os.Getenv(lossEnv) == "" {
		out, err = b.alone(ctx, c, f)
	} else {
		out, err = b.groups(ctx, c, f)
	}
	for _, g := range out.Groups {
		g.print(os.Stdout)
		list := g.check()
		out.Verdicts = append(out.Verdicts, list...)
		tell(os.Stdout, list)
	}
	return out, err
}

func (b *bench) groups(ctx context.Context, c *benchCase, f *flags) (out results, err error) {
	callers, err := f.callersOf(c)
	if err != nil {
		return out, err
	}
	for _, v := range c.variants {
		for _, n := range callers {
			g, err := b.measure(ctx, c, v, n)
			if err != nil {
				return out, err
			}
			out.Groups = append(out.Groups, g)
		}
	}
	return out, nil
}

func (f *flags) callersOf(c *benchCase) (out []int, err error) {
	switch {
	case f.callers == "" && f.cases == "":
		return c.callers, nil
	case f.callers == "":
		return c.callers[len(c.callers)-1:], nil
	}
	for s := range strings.SplitSeq(f.callers, ",") {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q is no number of callers", s)
		}
		out = append(out, n)
	}
	return out, nil
}

func newBench(f *flags) (b *bench, err error) {
	priority = f.nice
	b = &bench{log: os.Stderr, rounds: f.rounds, window: f.window, bound: f.bound, backends: map[int]*backend{}}
	if f.peers != "" {
		b.peers = strings.Split(f.peers, ",")
	}
	if b.tools, err = findTools(f.cache); err != nil {
		return nil, err
	}
	if b.dir, err = os.MkdirTemp("", "weft-bench-"); err != nil {
		return nil, err
	}
	return b, nil
}

func (b *bench) stop() {
	for _, x := range b.backends {
		x.proc.stop()
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
