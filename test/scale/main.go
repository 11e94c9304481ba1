// Scale measures the control plane on clusters of up to 10,000 services and 100,000 pods: the weft-control that is installed, which reads
// an API server of the benchmark's own over HTTP, and 1,000 proxies' worth of streams over TLS. make bench-control runs it, and
// docs/control-performance.md is what it writes.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"
)

// garbage is how much of it this process may have, in percent of what is in use: 1,000 proxies that collect it at a time of theirs would be
// taken for the control plane, beside which they run.
const garbage = 400

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	debug.SetGCPercent(garbage)
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		stop()
		os.Exit(1)
	}
}

type flags struct {
	bin, pod, docs, cases string
	window, settle        time.Duration
	verbose               bool
}

func parse(args []string) (*flags, error) {
	f := new(flags)
	fs := flag.NewFlagSet("scale", flag.ContinueOnError)
	fs.StringVar(&f.bin, "bin", "bin", "directory of weft-control and weft-proxy")
	fs.StringVar(&f.pod, "pod", "source/kube/testdata/pod.json", "the Pod that all are like")
	fs.StringVar(&f.docs, "write", "", "directory for control-performance.md, its picture and the figures [none]")
	fs.StringVar(&f.cases, "case", "", "cases, with commas: "+strings.Join(caseNames(), ", ")+" [all]")
	fs.DurationVar(&f.window, "window", 20*time.Second, "how long each rate of changes is kept up")
	fs.DurationVar(&f.settle, "settle", 10*time.Second, "after how long at rest memory is looked at")
	fs.BoolVar(&f.verbose, "verbose", false, "show the log of weft-control")
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("what is %q? there are flags only", fs.Arg(0))
	}
	return f, f.known()
}

func (f *flags) log() io.Writer {
	if f.verbose {
		return os.Stderr
	}
	return nil
}

func run(ctx context.Context, args []string) error {
	f, err := parse(args)
	if err != nil {
		return err
	}
	var r results
	for _, c := range cases {
		if !f.chosen(c.name) {
			continue
		}
		fmt.Printf("%s: %s\n", c.name, c.title)
		if err := c.run(ctx, f, &r); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	r.judge()
	for _, v := range r.Verdicts {
		fmt.Println(v)
	}
	if f.docs != "" {
		return r.write(f)
	}
	return nil
}

// results are what a run has found.
type results struct {
	Clusters    []cluster `json:"clusters"`
	Sizes       []point   `json:"sizes"`       // the same changes in clusters of other sizes
	Subscribers []point   `json:"subscribers"` // in one cluster, changes of services that more or fewer proxies want
	Sidecars    []sidecar `json:"sidecars"`    // a real proxy in clusters of other sizes
	Verdicts    []verdict `json:"verdicts"`
}

// cluster is one of the main cases.
type cluster struct {
	start
	Proxies   int           `json:"proxies"`
	Connected time.Duration `json:"connected"` // until all proxies had all that they want
	RSS       int           `json:"rss"`       // with all proxies, at rest
	Peak      int           `json:"peakOfAll"`
	After     int           `json:"after"` // RSS after the changes
	Each      churn         `json:"each"`
	Hot       churn         `json:"hot"` // of the service that all proxies want
}

// point of a curve.
type point struct {
	Of int `json:"of"` // services, or subscribers
	churn
}

type benchCase struct {
	name, title string
	run         func(context.Context, *flags, *results) error
}

var cases = []benchCase{
	{"10000", "10,000 services of 10 endpoints, 100,000 pods, 1,000 proxies", func(ctx context.Context, f *flags, r *results) error {
		return r.cluster(ctx, f, shape{10_000, 10, 100_000})
	}},
	{"1000", "1,000 services of 10 endpoints, 100,000 pods, 1,000 proxies", func(ctx context.Context, f *flags, r *results) error {
		return r.cluster(ctx, f, shape{1_000, 10, 100_000})
	}},
	{"size", "the same changes in clusters of 100 to 10,000 services", sizes},
	{"subscribers", "1 to 1,000 subscribers in a cluster of 1,000 services", subscribers},
	{"proxy", "a real proxy that calls 20 services, in clusters of 100 to 10,000", sidecars},
}

func caseNames() []string { return []string{"10000", "1000", "size", "subscribers", "proxy"} }

func (f *flags) chosen(name string) bool {
	return f.cases == "" || strings.Contains(","+f.cases+",", ","+name+",")
}

func (f *flags) known() error {
	for name := range strings.SplitSeq(f.cases, ",") {
		if name != "" && !strings.Contains(","+strings.Join(caseNames(), ",")+",", ","+name+",") {
			return fmt.Errorf("there is no case %q; there are %s", name, strings.Join(caseNames(), ", "))
		}
	}
	return nil
}

const (
	proxies = 1000
	wants   = 20  // services of each proxy
	perSec  = 100 // changes
)

// cluster measures one of the main cases: each proxy wants 20 services, by chance, and all of them the last one.
func (r *results) cluster(ctx context.Context, f *flags, s shape) error {
	b, begun, err := begin(ctx, f, s)
	if err != nil {
		return err
	}
	defer b.close()
	fmt.Printf("  read in %.1f s, %.1f s of CPU; RSS %s, at most %s\n", begun.Synced.Seconds(), begun.CPU.Seconds(), mb(begun.Settled), mb(begun.Peak))
	out := cluster{start: begun, Proxies: proxies}
	hot, subscribers := s.Services-1, make([]int, s.Services)
	random := rand.New(rand.NewPCG(1, 2))
	at := time.Now()
	fl, err := b.fleet(ctx, proxies, func(int) (list []int) {
		for _, x := range random.Perm(s.Services - 1)[:wants] {
			list = append(list, x)
			subscribers[x]++
		}
		return append(list, hot)
	})
	if err != nil {
		return err
	}
	defer fl.close()
	out.Connected = time.Since(at)
	if err := pause(ctx, f.settle); err != nil {
		return err
	}
	if out.RSS, _, err = memory(b.control.Pid()); err != nil {
		return err
	}
	fmt.Printf("  %d proxies in %.1f s; RSS %s\n", proxies, out.Connected.Seconds(), mb(out.RSS))
	if out.Each, err = b.run(ctx, fl, mix{func() int { return random.IntN(s.Services - 1) }, func(x int) int { return subscribers[x] }, perSec, f.window}); err != nil {
		return err
	}
	if out.Hot, err = b.run(ctx, fl, mix{func() int { return hot }, func(int) int { return proxies }, 2, f.window}); err != nil {
		return err
	}
	out.After, out.Peak, err = memory(b.control.Pid())
	r.Clusters = append(r.Clusters, out)
	fmt.Printf("  %v\n  the service of all: %v\n  RSS %s, at most %s\n", &out.Each, &out.Hot, mb(out.After), mb(out.Peak))
	return err
}

// sizes measures the same changes, of 100 services with 20 subscribers each, in clusters of other sizes.
func sizes(ctx context.Context, f *flags, r *results) error {
	for _, n := range []int{100, 300, 1000, 3000, 10_000} {
		p, err := r.size(ctx, f, n)
		if err != nil {
			return err
		}
		fmt.Printf("  %d services: %v\n", n, &p.churn)
		r.Sizes = append(r.Sizes, p)
	}
	return nil
}

func (r *results) size(ctx context.Context, f *flags, n int) (p point, err error) {
	b, _, err := begin(ctx, f, shape{n, 10, 10 * n})
	if err != nil {
		return p, err
	}
	defer b.close()
	const some, changing, each = 100, 50, 20
	fl, err := b.fleet(ctx, some, func(proxy int) (list []int) {
		for i := range changing {
			if (i+proxy)%(some/each) == 0 {
				list = append(list, i)
			}
		}
		return list
	})
	if err != nil {
		return p, err
	}
	defer fl.close()
	out, err := b.run(ctx, fl, mix{func() int { return rand.IntN(changing) }, func(int) int { return each }, perSec, f.window})
	return point{n, out}, err
}

// subscribers measures changes of services that 1, 10, 100 and 1,000 proxies want.
func subscribers(ctx context.Context, f *flags, r *results) error {
	b, _, err := begin(ctx, f, shape{1000, 10, 10_000})
	if err != nil {
		return err
	}
	defer b.close()
	const groups, of = 4, 20 // services of each group
	fl, err := b.fleet(ctx, proxies, func(proxy int) (list []int) {
		for g, every := 0, proxies; g < groups; g, every = g+1, every/10 {
			for i := range of {
				if (proxy+i)%every == 0 {
					list = append(list, g*of+i)
				}
			}
		}
		return list
	})
	if err != nil {
		return err
	}
	defer fl.close()
	for g, n := 0, 1; g < groups; g, n = g+1, n*10 {
		out, err := b.run(ctx, fl, mix{func() int { return g*of + rand.IntN(of) }, func(int) int { return n }, min(perSec, 4000/float64(n)), f.window})
		if err != nil {
			return err
		}
		fmt.Printf("  %d subscribers: %v\n", n, &out)
		r.Subscribers = append(r.Subscribers, point{n, out})
	}
	return nil
}

func mb(n int) string   { return fmt.Sprintf("%.0f MB", float64(n)/1e6) }
func mb10(n int) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

func (c *churn) String() string {
	return fmt.Sprintf("%.0f changes/s, %.1f subscribers each: p50 %.1f ms, p99 %.1f, worst %.1f; %.2f ms CPU a change (%.3f of a core at rest), %.0f bytes sent in %.1f messages; %d lost, %d skipped",
		c.Rate, c.Subscribers, ms(c.P50), ms(c.P99), ms(c.Worst), ms(c.CPU), c.Rest, c.Sent, c.Messages, c.Lost, c.Skipped)
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
