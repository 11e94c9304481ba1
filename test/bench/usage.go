package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/weft-mesh/weft/internal/proctest"
)

// usage is CPU time at a moment.
type usage struct {
	proxies []time.Duration // of each proxy and its children
	others  time.Duration   // of callers, application and the bench
	busy    time.Duration   // of all cores, whoever used them
	at      time.Time
}

// watched are the processes that usage counts, by ID.
type watched struct {
	Proxies []int `json:"proxies"`
	Others  []int `json:"others"`
}

func (w *watched) now() (u usage, err error) {
	for _, pid := range w.Proxies {
		d, err := proctest.CPU(pid)
		if err != nil {
			return u, err
		}
		u.proxies = append(u.proxies, d)
	}
	for _, pid := range append([]int{os.Getpid()}, w.Others...) {
		d, err := proctest.CPU(pid)
		if err != nil {
			return u, err
		}
		u.others += d
	}
	u.at = time.Now()
	u.busy, err = busy()
	return u, err
}

// family is a process with its children and theirs.
func family(pid int) []int {
	out := []int{pid}
	tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid)) // none: it has ended
	for _, t := range tasks {
		for _, child := range proctest.Children(fmt.Sprintf("/proc/%d/task/%s/", pid, t.Name())) {
			out = append(out, family(child)...)
		}
	}
	return out
}

// tick is the unit of /proc/stat (USER_HZ, 100 on every Linux).
const tick = 10 * time.Millisecond

// busy is the time that cores were not idle, the hypervisor's thefts included: the first line of /proc/stat.
func busy() (d time.Duration, err error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	f := strings.Fields(string(b))
	if len(f) < 9 || f[0] != "cpu" {
		return 0, errors.New("/proc/stat does not begin with the sum of all cores")
	}
	for _, i := range []int{1, 2, 3, 6, 7, 8} { // user nice system irq softirq steal
		n, err := strconv.ParseInt(f[i], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/stat: %w", err)
		}
		d += time.Duration(n) * tick
	}
	return d, nil
}

// memory is a process family's resident memory, and the part of it that is of no file, in bytes.
func memory(pid int) (rss, anonymous int) {
	for _, p := range family(pid) {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p))
		rss += field(b, "VmRSS:")
		anonymous += field(b, "RssAnon:")
	}
	return rss, anonymous
}

func field(status []byte, name string) int {
	_, rest, _ := bytes.Cut(status, []byte("\n"+name))
	line, _, _ := bytes.Cut(rest, []byte(" kB"))
	n, _ := strconv.Atoi(string(bytes.TrimSpace(line)))
	return n << 10
}
