package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const perSample = time.Second

// How much more memory a process may hold at the end than when it had settled. Go's heap grows to twice what is alive before it is
// collected, so that of a process at rest at 10 MiB some MiB come and go; a leak of 100 bytes a call shows as 20 MiB in ten minutes.
const (
	growth    = 0.10
	growthMiB = 4.0
	moreFiles = 20 // descriptors: connections of callers that just come and go
)

// sample is what was there at one moment.
type sample struct {
	at     time.Duration
	front  float64 // MiB: the proxies of front, also those that let their connections end
	files  float64 // descriptors of them
	up     float64 // MiB: the control plane
	calls  int
	failed int
}

// watch takes a sample now and then.
func (s *soak) watch(ctx context.Context) {
	t := time.NewTicker(perSample)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		x := sample{at: time.Since(s.began), up: rss(s.mesh.Up.Pid())}
		for _, pid := range proxiesOf(s.front.Pid()) {
			x.front += rss(pid)
			x.files += files(pid)
		}
		for _, k := range s.kinds {
			k.mu.Lock()
			x.calls += k.calls
			x.failed += k.failed
			k.mu.Unlock()
		}
		s.samples = append(s.samples, x)
	}
}

// proxiesOf are the processes of a workload's proxy: children of its weft run in the network of this process. The first process of its
// sandbox is the same program.
func proxiesOf(run int) (out []int) {
	own, _ := os.Readlink("/proc/self/ns/net")
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		b, _ := os.ReadFile(path)
		begin, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
		if begin < 0 || end < begin || string(b[begin+1:end]) != "weft-proxy" {
			continue
		}
		f := strings.Fields(string(b[end+1:]))
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if net, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", pid)); len(f) > 1 && f[1] == strconv.Itoa(run) && net == own {
			out = append(out, pid)
		}
	}
	return out
}

// rss is a process' memory in MiB (proc_pid_statm(5)).
func rss(pid int) float64 {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	f := strings.Fields(string(b))
	if len(f) < 2 {
		return 0
	}
	pages, _ := strconv.Atoi(f[1])
	return float64(pages*os.Getpagesize()) / (1 << 20)
}

func files(pid int) float64 {
	list, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	return float64(len(list))
}

// settling is how long after the last upgrade memory has to be flat: callers have come over to the new processes, and the old ones
// have ended.
const settling = 0.1 // of all the time

// flat compares the first and the last fifth of the time after the last upgrade, by their medians.
func (s *soak) flat(of func(sample) float64, from time.Duration) (first, last float64) {
	from += time.Duration(settling * float64(s.span))
	var list []float64
	for _, x := range s.samples {
		if x.at > from {
			list = append(list, of(x))
		}
	}
	n := len(list) / 5
	if n == 0 {
		return 0, 0
	}
	return median(list[:n]), median(list[len(list)-n:])
}

func median(list []float64) float64 {
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2]
}
