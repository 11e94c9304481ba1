package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Leftovers says what of a cluster is on this machine: nil after one has ended.
func Leftovers() error {
	var left []error
	if _, err := os.Lstat(Dir); !errors.Is(err, fs.ErrNotExist) {
		left = append(left, fmt.Errorf("directory %s (%v)", Dir, err))
	}
	links, err := net.Interfaces()
	if err != nil {
		left = append(left, err)
	}
	for _, l := range links {
		if l.Name == Bridge || strings.HasPrefix(l.Name, Link) {
			left = append(left, fmt.Errorf("network interface %s", l.Name))
		}
	}
	mounts, err := Mounts()
	if err != nil {
		left = append(left, err)
	}
	for _, m := range mounts {
		left = append(left, fmt.Errorf("mount %s", m))
	}
	groups, err := filepath.Glob("/sys/fs/cgroup/*/" + Group)
	if err != nil {
		left = append(left, err)
	}
	for _, g := range groups {
		left = append(left, fmt.Errorf("cgroup %s", g))
	}
	for _, p := range processes() {
		left = append(left, fmt.Errorf("process %s", p))
	}
	if len(left) == 0 {
		return nil
	}
	return fmt.Errorf("the cluster has left behind:\n%w", errors.Join(left...))
}

// Others are what other clusters of this machine write, as Dir is this one's.
func Others() []string {
	all, _ := filepath.Glob("/var/lib/weft-cluster*") // the pattern is well-formed
	return slices.DeleteFunc(all, func(dir string) bool { return dir == Dir })
}

// Mounts are those of the machine below Dir, the innermost first.
func Mounts() ([]string, error) {
	b, err := os.ReadFile("/proc/self/mountinfo")
	var at []string
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 4 && (f[4] == Dir || strings.HasPrefix(f[4], Dir+"/")) {
			at = append([]string{f[4]}, at...) // what is mounted on another stands behind it
		}
	}
	return at, err
}

// programs are what a cluster's processes run, and with something in Dir among their arguments, but for kubectl.
var programs = []string{"boot", "kube", "containerd", "containerd-shim-runc-v2"}

// processes are found by cgroup when a cluster ends; this looks for them in another way.
func processes() (out []string) {
	exes, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, exe := range exes {
		program, err := os.Readlink(exe)
		if err != nil || !slices.Contains(programs, filepath.Base(program)) {
			continue
		}
		b, err := os.ReadFile(filepath.Join(filepath.Dir(exe), "cmdline"))
		args := strings.ReplaceAll(string(b), "\x00", " ")
		if err == nil && strings.Contains(args, Dir+"/") && !strings.Contains(args, "kubectl ") {
			out = append(out, fmt.Sprintf("%s: %.120s", filepath.Base(filepath.Dir(exe)), args))
		}
	}
	return out
}
