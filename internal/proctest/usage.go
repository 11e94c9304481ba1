package proctest

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// CPU is what a process and its children have used, user and system, in nanoseconds (proc_pid_schedstat: time on the CPU).
func CPU(pid int) (d time.Duration, err error) {
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return 0, fmt.Errorf("process %d has ended: %w", pid, err)
	}
	for _, t := range tasks {
		dir := fmt.Sprintf("/proc/%d/task/%s/", pid, t.Name())
		b, err := os.ReadFile(dir + "schedstat")
		if err != nil {
			continue // a thread that has just ended
		}
		ns, _, _ := strings.Cut(string(b), " ")
		n, err := strconv.ParseInt(ns, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%sschedstat: %w", dir, err)
		}
		d += time.Duration(n)
		for _, child := range Children(dir) {
			more, err := CPU(child)
			if err != nil {
				return 0, err
			}
			d += more
		}
	}
	return d, nil
}

// Children are the processes that a thread has started: dir is its directory in proc(5), with a slash at its end.
func Children(dir string) (out []int) {
	b, _ := os.ReadFile(dir + "children")
	for _, f := range strings.Fields(string(b)) {
		if pid, err := strconv.Atoi(f); err == nil {
			out = append(out, pid)
		}
	}
	return out
}
