package run

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// all lists the machine's processes.
func all() (out []int) {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, d := range dirs {
		if pid, err := strconv.Atoi(filepath.Base(d)); err == nil {
			out = append(out, pid)
		}
	}
	return out
}

// descendants lists the processes below one, whoever started them.
func descendants(pid int) (out []int) {
	children := map[int][]int{}
	for _, p := range all() {
		children[parent(p)] = append(children[parent(p)], p)
	}
	for next := []int{pid}; len(next) > 0; next = next[1:] {
		out = append(out, children[next[0]]...)
		next = append(next, children[next[0]]...)
	}
	return out
}

// stat returns state and parent (proc_pid_stat(5)).
func stat(pid int) (state string, parent int) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", 0
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	f := strings.Fields(rest)
	parent, _ = strconv.Atoi(f[1])
	return f[0], parent
}

func parent(pid int) int {
	_, p := stat(pid)
	return p
}

// alive: one that has ended and that nobody has waited for yet is not.
func alive(pid int) bool {
	state, _ := stat(pid)
	return state != "" && state != "Z" && state != "X"
}

func netOf(pid int) string {
	ns, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", pid))
	return ns
}

// commandOf is the program that a process was started as.
func commandOf(pid int) string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	name, _, _ := strings.Cut(string(b), "\x00")
	return name
}
