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
	// garbage is how much of it there may be, in percent of what is in use, where nobody says another GOGC: most of what a control plane has
	// in memory stays for long, and little is made anew for each change. A bound in bytes takes 60 MB less of 10,000 services, and has a change
	// there cost twice as much as at 100: what is in use is gone through more often the more there is.
	garbage = 40
	// share of the pod's memory that the heap may have, in percent, where nobody says another GOMEMLIMIT. Near it garbage is collected more
	// often, rather than that the kernel ends the process.
	share = 90
)

// limitMemory has the collector know how much memory there is: cgroup is the directory of the process' own.
func limitMemory(cgroup string) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbage)
	}
	if os.Getenv("GOMEMLIMIT") != "" {
		return nil
	}
	most, err := mostMemory(cgroup)
	if err == nil && most > 0 {
		debug.SetMemoryLimit(most / 100 * share)
	}
	return err
}

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
