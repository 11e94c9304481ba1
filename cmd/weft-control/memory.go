package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
)

const (
	// reading is how much garbage there may be while the cluster is read, in percent of what is in use, where nobody says another GOGC.
	reading = 40
	// steady is how many bytes of it there may be, about, once that is so: most of what a control plane has in memory stays for long, and what a
	// change costs does not grow with the cluster. In percent it is no less than leastGarbage and no more than Go's own 100.
	steady       = 40 << 20
	leastGarbage = 15
	// share of the pod's memory that the heap may have, in percent, where nobody says another GOMEMLIMIT. Near it garbage is collected more
	// often, rather than that the kernel ends the process.
	share = 90
)

// limitMemory has the collector know how much memory there is: cgroup is the directory of the process' own.
func limitMemory(cgroup string) error {
	allowGarbage(reading)
	if os.Getenv("GOMEMLIMIT") != "" {
		return nil
	}
	most, err := mostMemory(cgroup)
	if err == nil && most > 0 {
		debug.SetMemoryLimit(most / 100 * share)
	}
	return err
}

// allowGarbage is debug.SetGCPercent where nobody says another GOGC.
func allowGarbage(percent int) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(percent)
	}
}

// steadyGarbage is steady in percent of the bytes that are in use.
func steadyGarbage(used uint64) int { return int(min(max(steady*100/max(used, 1), leastGarbage), 100)) }

// mostMemory is how many bytes a cgroup may have; 0: as many as there are, or nothing says.
func mostMemory(cgroup string) (int64, error) {
	path := filepath.Join(cgroup, "memory.max")
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || string(text) == "max\n" {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return n, nil
}
