package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weft-mesh/weft/test/cluster"
)

// What keeps a cluster is killed, without time for anything, while pods run. All processes end with it, and with them the nodes' networks and mounts. What is
// left (cgroups, a bridge, a directory) goes by the next start, or by make cluster-down.
func TestKilledCluster(t *testing.T) {
	c := cluster.Fresh(t, cluster.Options{})
	ns := c.Namespace("killed")
	c.Apply(ns, app("echo", "echo", 2))
	c.Ready(ns, "deploy/echo")
	networks, members := networksOf(t), processesOf(t)
	if len(networks) < 1+3 || len(members) < 5+3 { // of the node, two pods and CoreDNS; Kubernetes' own, and the pods'
		t.Errorf("network namespaces %v, processes %v", networks, members)
	}
	kill := func(k *cluster.Cluster) {
		t.Helper()
		if err := k.Kill(); err != nil {
			t.Fatal(err)
		}
		c.Eventually("processes end", func() error {
			if left := processesOf(t); len(left) > 0 {
				return fmt.Errorf("there are %v", left)
			}
			return nil
		})
		if _, err := cluster.Running(); !errors.Is(err, cluster.ErrNone) {
			t.Errorf("it is said to be running: %v", err)
		}
		if err := cluster.Leftovers(); err == nil {
			t.Error("nothing is left, so there is nothing to remove")
		}
	}
	kill(c.Cluster)
	for _, n := range namespaces(t, "/proc/[0-9]*/ns/net") {
		if networks[n] {
			t.Errorf("network namespace %s is left", n)
		}
	}

	next, err := cluster.Start(t.Context(), cluster.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if pods, err := next.Kubectl(t.Context(), "get", "namespaces", "-o", "name"); err != nil || strings.Contains(pods, "killed") {
		t.Errorf("the next one has of the one before: %s %v", pods, err)
	}
	kill(next)
	down := exec.Command("make", "--no-print-directory", "-C", c.Checkout, "cluster-down")
	down.Env = append(os.Environ(), fmt.Sprint("CLUSTER=", cluster.Number))
	if out, err := down.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	if err := cluster.Leftovers(); err != nil {
		t.Error(err)
	}
}

// processesOf are those in the cluster's cgroups.
func processesOf(t *testing.T) (out []string) {
	t.Helper()
	_ = filepath.WalkDir("/sys/fs/cgroup/pids/"+cluster.Group, func(name string, d os.DirEntry, err error) error {
		if err == nil && d.Name() == "cgroup.procs" {
			b, _ := os.ReadFile(name) // a group may go meanwhile
			out = append(out, strings.Fields(string(b))...)
		}
		return nil
	})
	return out
}
