package main

import (
	"strings"
	"testing"

	"github.com/weft-mesh/weft/test/cluster"
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

// Addresses are given once, kept while a Service has them, given again when it is gone, and as asked for where that can be.
func TestAddresses(t *testing.T) {
	of := func(name, kind, want, has string) *service {
		s := &service{}
		s.Metadata.Name, s.Spec.Type, s.Spec.LoadBalancerIP = name, kind, want
		if has != "" {
			s.Status.LoadBalancer.Ingress = append(s.Status.LoadBalancer.Ingress, struct{ IP string }{has})
		}
		return s
	}
	a := addresses{}
	for _, x := range []struct {
		s    *service
		want string
	}{
		{of("z", "ClusterIP", "", ""), ""},
		{of("a", "LoadBalancer", "", cluster.Balanced+"1"), ""},
		{of("b", "LoadBalancer", "", ""), cluster.Balanced + "2"},
		{of("c", "LoadBalancer", cluster.Balanced+"9", ""), cluster.Balanced + "9"},
		{of("d", "LoadBalancer", cluster.Balanced+"9", ""), ""},
		{of("e", "LoadBalancer", "192.0.2.1", ""), ""},
		{of("a", "ClusterIP", "", ""), ""},
		{of("f", "LoadBalancer", "", ""), cluster.Balanced + "1"},
	} {
		if got := a.next(x.s); got != x.want {
			t.Errorf("%s: %q, want %q", x.s.key(), got, x.want)
		}
	}
}
