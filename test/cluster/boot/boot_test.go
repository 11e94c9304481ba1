package main

import (
	"strings"
	"testing"
)

func TestOptions(t *testing.T) {
	for mounted, want := range map[string]string{
		"rw,cpu,cpuacct": "cpu,cpuacct",
		"rw,xattr,release_agent=/lib/systemd/systemd-cgroups-agent,name=systemd": "none,name=systemd",
		"rw,cpuset,clone_children": "cpuset",
	} {
		if got := options(mounted); got != want {
			t.Errorf("%s: %s, want %s", mounted, got, want)
		}
	}
}

// The first process of a node knows how its own children have ended, and waits for those of others.
func TestChildren(t *testing.T) {
	c := newChildren(t.TempDir())
	if err := c.run(t.Context(), "true"); err != nil {
		t.Error(err)
	}
	if err := c.run(t.Context(), "sh", "-c", "echo why; exit 3"); err == nil || !strings.Contains(err.Error(), "exit code 3: why") {
		t.Error(err)
	}
	if err := c.start("child", "true"); err != nil {
		t.Error(err)
	}
	if err := c.await(); err != nil {
		t.Error(err)
	}
}

func TestTail(t *testing.T) {
	if got := tail("/nonexistent/log"); !strings.Contains(got, "no such file") {
		t.Error(got)
	}
}
