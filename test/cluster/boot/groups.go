package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weft-mesh/weft/test/cluster"
)

// hierarchy is one of cgroups, version 1: what controllers are bound to it, or its name, and where the machine has it mounted.
type hierarchy struct{ at, options string }

// controlGroup is the control plane's; a node's has its name.
const controlGroup = "control"

// hierarchies are those of version 1. A cgroup2 beside them has none of the controllers that kubelet needs: each is bound to one version.
func hierarchies() (all []hierarchy, err error) {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var controllers []string
	for line := range strings.Lines(string(b)) {
		before, after, _ := strings.Cut(line, " - ")
		at, source := strings.Fields(before), strings.Fields(after)
		if len(at) < 5 || len(source) < 3 || source[0] != "cgroup" || !strings.HasPrefix(at[4], "/sys/fs/cgroup/") {
			continue
		}
		h := hierarchy{at: at[4], options: options(source[2])}
		controllers = append(controllers, strings.Split(h.options, ",")...)
		all = append(all, h)
	}
	for _, c := range []string{"cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "pids"} {
		if !slices.Contains(controllers, c) {
			return nil, fmt.Errorf("this machine has no cgroup of version 1 with the controller %s at /sys/fs/cgroup, which the nodes of a cluster need", c)
		}
	}
	return all, nil
}

// options are what a hierarchy is mounted by: a mount's own, such as rw, are left out.
func options(mounted string) string {
	var out []string
	for o := range strings.SplitSeq(mounted, ",") {
		if o == "rw" || o == "ro" || strings.HasPrefix(o, "clone_children") || strings.HasPrefix(o, "release_agent") || o == "xattr" {
			continue
		}
		if strings.HasPrefix(o, "name=") {
			out = append(out, "none")
		}
		out = append(out, o)
	}
	return strings.Join(out, ",")
}

func makeGroups(nodes int) error {
	hs, err := hierarchies()
	if err != nil {
		return err
	}
	names := []string{"", controlGroup}
	for n := range nodes {
		names = append(names, cluster.NodeName(n+1))
	}
	for _, h := range hs {
		for _, name := range names {
			dir := filepath.Join(h.at, cluster.Group, name)
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
			if err := allCPUs(dir); err != nil {
				return err
			}
		}
	}
	return nil
}

// allCPUs gives a new group of cpuset what the one above has: a new one has no processor, and takes no process.
func allCPUs(dir string) error {
	for _, f := range []string{"cpuset.cpus", "cpuset.mems"} {
		b, err := os.ReadFile(filepath.Join(filepath.Dir(dir), f))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, f), b, 0o644)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// members are the processes in the cluster's groups.
func members() (pids []int) {
	dirs, _ := filepath.Glob("/sys/fs/cgroup/*/" + cluster.Group)
	for _, dir := range dirs {
		_ = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
			if err != nil || !d.IsDir() {
				return nil // gone in the meantime
			}
			b, _ := os.ReadFile(filepath.Join(name, "cgroup.procs"))
			for _, f := range strings.Fields(string(b)) {
				if pid, err := strconv.Atoi(f); err == nil && pid > 0 && !slices.Contains(pids, pid) {
					pids = append(pids, pid)
				}
			}
			return nil
		})
	}
	return pids
}

// removeGroups removes the groups in which no process is any more. A group may be busy for a moment after its last process.
func removeGroups() (err error) {
	dirs, _ := filepath.Glob("/sys/fs/cgroup/*/" + cluster.Group)
	for _, dir := range dirs {
		var all []string
		_ = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				all = append(all, name)
			}
			return nil
		})
		slices.Reverse(all)
		for _, name := range all {
			if e := retry(5*time.Second, func() error { return remove(name) }); e != nil {
				err = errors.Join(err, e)
			}
		}
	}
	return err
}

func remove(name string) error {
	if err := os.Remove(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// retry tries until it works or the time is over.
func retry(limit time.Duration, f func() error) (err error) {
	for end := time.Now().Add(limit); ; time.Sleep(10 * time.Millisecond) {
		if err = f(); err == nil || time.Now().After(end) {
			return err
		}
	}
}
