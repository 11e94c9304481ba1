package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"time"

	"github.com/weft-mesh/weft/test/bench/load"
)

// order is what a process that makes requests is told.
type order struct {
	Spec  load.Spec `json:"spec"`
	TLS   *tlsEnd   `json:"tls,omitempty"` // connections are made with it, and only idle
	Watch watched   `json:"watch"`
}

// answer is what it says; each of the lists has one entry for each proxy.
type answer struct {
	load.Result
	CPU       []time.Duration `json:"cpu"` // in the time that was counted
	RSS       []int           `json:"rss"` // at its end
	Anonymous []int           `json:"anonymous"`
	Foreign   float64         `json:"foreign"` // of a core, by others, where it was worst
}

// order runs a process that makes requests.
func (b *bench) order(ctx context.Context, o order) (a answer, err error) {
	arg, err := json.Marshal(o)
	if err != nil {
		return a, err
	}
	ctx, cancel := context.WithTimeout(ctx, o.Spec.Warm+o.Spec.For+30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "taskset", "-c", otherCore, b.tools.self, "load", string(arg))
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.Env = append(cmd.Environ(), "GOMAXPROCS=1", "GOGC=400")
	if err := begin(cmd); err != nil {
		return a, err
	}
	if err := cmd.Wait(); err != nil {
		return a, fmt.Errorf("callers: %w: %s", err, errs.String())
	}
	if err := json.Unmarshal(out.Bytes(), &a); err != nil {
		return a, err
	}
	if a.Errors > 0 {
		return a, fmt.Errorf("%d errors, the first: %s", a.Errors, a.Error)
	}
	if a.Requests == 0 && !o.Spec.Idle {
		return a, errors.New("no request was answered")
	}
	return a, nil
}

// run is the process that order starts.
func (o *order) run() (a answer, err error) {
	var before usage
	hooks := load.Hooks{
		Begin: func() (err error) { before, err = o.Watch.now(); return err },
		End:   func() error { return a.count(o, before) },
	}
	if o.TLS != nil {
		a.Took = o.Spec.For
		return a, o.TLS.run(&o.Spec, hooks)
	}
	result, err := load.Run(&o.Spec, hooks)
	a.Result = result
	return a, err
}

// count says what was used since before.
func (a *answer) count(o *order, before usage) error {
	after, err := o.Watch.now()
	if err != nil {
		return err
	}
	var own time.Duration
	for i, pid := range o.Watch.Proxies {
		d := after.proxies[i] - before.proxies[i]
		own += d
		a.CPU = append(a.CPU, d)
		rss, anonymous := memory(pid)
		a.RSS, a.Anonymous = append(a.RSS, rss), append(a.Anonymous, anonymous)
	}
	mine := own + after.others - before.others
	took := after.at.Sub(before.at).Seconds()
	a.Foreign = (after.busy - before.busy - mine).Seconds() / took
	return nil
}

// sample is what one round says of one peer. Times are in microseconds, memory in bytes; the lists have one entry for each proxy.
type sample struct {
	CPU       []float64 `json:"cpu"` // of the proxies, user and system, per request
	Rate      float64   `json:"rate"`
	P50       float64   `json:"p50"`
	P90       float64   `json:"p90"`
	P99       float64   `json:"p99"`
	RSS       []int     `json:"rss"`
	Anonymous []int     `json:"anonymous"`
	Foreign   float64   `json:"foreign"`         // cores that others used
	Noisy     bool      `json:"noisy,omitempty"` // above the bound, after all attempts
	Attempts  int       `json:"attempts"`
}

func (a *answer) sample() sample {
	n := float64(a.Requests)
	s := sample{P50: micros(a.P50), P90: micros(a.P90), P99: micros(a.P99), RSS: a.RSS, Anonymous: a.Anonymous, Foreign: a.Foreign}
	if n == 0 {
		return s
	}
	s.Rate = n / a.Took.Seconds()
	for _, d := range a.CPU {
		s.CPU = append(s.CPU, micros(d)/n)
	}
	return s
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
