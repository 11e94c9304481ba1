package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weft-mesh/weft/test/cluster"
)

// Before anything is said of a mesh: a cluster of two nodes comes up, its pods reach each other by name on both nodes, the test reaches
// them too, and when it ends nothing of it is left. There cannot be a second one meanwhile.
func TestCluster(t *testing.T) {
	took := ""
	c := cluster.Fresh(t, cluster.Options{Nodes: 2, Say: func(text string) {
		t.Log(text)
		if s, ok := strings.CutPrefix(text, cluster.SayTook); ok {
			took = strings.ReplaceAll(s, " ", "")
		}
	}})
	if d, err := time.ParseDuration(took); err != nil || d <= 0 {
		t.Errorf("it is not said how long the start took: %q, %v", took, err)
	} else if d > warm { // a machine with other work is no fault of the cluster's
		t.Logf("the start took %v, and is to take %v at most", d, warm)
	}
	ns := c.Namespace("echo")
	c.Apply(ns, app("echo", "echo", 2)+app("client", "caller", 1))
	c.Ready(ns, "deploy/echo", "deploy/client")

	// A Service's name leads to its pods, wherever they are.
	nodes := map[string]bool{}
	for _, a := range c.Calls(ns, "deploy/client", "http://echo/", "--count=30") {
		if a.Status != 200 {
			t.Fatalf("%+v", a)
		}
		nodes[strings.TrimSpace(a.Header.Get("X-Bookinfo-Version"))] = true
	}
	if len(nodes) != 2 {
		t.Errorf("answers came from %v, not from both nodes", nodes)
	}

	// Each pod has an address of either family, by which pods of both nodes reach it, and so does the test.
	addresses := strings.Fields(c.Kubectl("-n", ns, "get", "pods", "-l", "app=echo", "-o", "jsonpath={.items[*].status.podIPs[*].ip}"))
	if len(addresses) != 4 {
		t.Errorf("two pods have the addresses %v", addresses)
	}
	for _, ip := range addresses {
		url := "http://" + net.JoinHostPort(ip, "8080") + "/"
		if a := c.Call(ns, "deploy/client", url); a.Status != 200 {
			t.Errorf("%s: %+v", url, a)
		}
		resp, err := http.Get(url)
		if err != nil {
			t.Error(err)
			continue
		}
		resp.Body.Close()
	}

	// What is not there has no name.
	if a := c.Call(ns, "deploy/client", "http://nobody/"); !strings.Contains(a.Error, "no such host") {
		t.Errorf("%+v", a)
	}

	// One at a time on a machine, and who tries is told of the other.
	_, err := cluster.Start(context.Background(), cluster.Options{})
	if !errors.Is(err, cluster.ErrRunning) || !strings.Contains(fmt.Sprint(err), c.Checkout) {
		t.Errorf("a second cluster: %v", err)
	}

	networks := networksOf(t)
	if len(networks) < 2+3+1 { // of nodes, of pods, and CoreDNS's
		t.Errorf("network namespaces %v", networks)
	}
	c.Stop()
	for _, ns := range namespaces(t, "/proc/[0-9]*/ns/net") {
		if networks[ns] {
			t.Errorf("network namespace %s is left", ns)
		}
	}
}

// warm is how long a start is to take once everything is built.
const warm = 15 * time.Second

// networksOf are the network namespaces of the cluster's processes that are not the machine's.
func networksOf(t *testing.T) map[string]bool {
	t.Helper()
	own := namespaces(t, "/proc/self/ns/net")[0]
	found := map[string]bool{}
	groups, err := filepath.Glob("/sys/fs/cgroup/pids/" + cluster.Group)
	if err != nil || len(groups) != 1 {
		t.Fatal(groups, err)
	}
	err = filepath.WalkDir(groups[0], func(name string, d os.DirEntry, err error) error {
		if err != nil || d.Name() != "cgroup.procs" {
			return nil // a pod that has ended
		}
		b, err := os.ReadFile(name)
		for _, pid := range strings.Fields(string(b)) {
			for _, ns := range namespaces(t, "/proc/"+pid+"/ns/net") {
				if ns != own {
					found[ns] = true
				}
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// namespaces reads links; processes that have ended have none.
func namespaces(t *testing.T, pattern string) (out []string) {
	t.Helper()
	links, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if ns, err := os.Readlink(l); err == nil {
			out = append(out, ns)
		}
	}
	return out
}
