package cluster

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// Test is a cluster in the hands of a test: what fails, ends the test.
type Test struct {
	*Cluster
	t       testing.TB
	Weft    string // the program
	Image   string // weft:VERSION
	Version string
}

// shared is this process's.
var shared struct {
	sync.Mutex
	test  *Test // with no test in it
	owned bool
}

// Main runs a package's tests, ends the cluster that they share, and returns the exit code.
func Main(m *testing.M) int {
	code := m.Run()
	shared.Lock()
	defer shared.Unlock()
	if err := endShared(); err != nil {
		fmt.Println(err)
		return max(code, 1)
	}
	return code
}

func endShared() error {
	if shared.test == nil {
		return nil
	}
	c, owned := shared.test.Cluster, shared.owned
	shared.test, shared.owned = nil, false
	if !owned {
		return nil
	}
	return c.Stop()
}

// Shared is the cluster that all tests of this process work on: the one that `make cluster` has started, or else one with a node that
// ends with Main. Product and samples are loaded. A test keeps to namespaces of its own.
func Shared(t testing.TB) *Test {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.test == nil {
		c, err := Running()
		if shared.owned = errors.Is(err, ErrNone); shared.owned {
			c, err = Start(t.Context(), Options{Say: say(t)})
		}
		if err != nil {
			t.Fatal(err)
		}
		shared.test = &Test{Cluster: c}
		shared.test.load(t)
	}
	out := *shared.test
	out.t = t
	return &out
}

// In is the cluster in the hands of a test within this one.
func (c *Test) In(t testing.TB) *Test {
	out := *c
	out.t = t
	return &out
}

// Fresh is a cluster for this test alone, which ends with it. It fails where somebody else's is running.
func Fresh(t testing.TB, o Options) *Test {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if err := endShared(); err != nil {
		t.Fatal(err)
	}
	if o.Say == nil {
		o.Say = say(t)
	}
	c, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	out := &Test{Cluster: c, t: t}
	t.Cleanup(func() {
		if c.stopped() {
			return
		}
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	out.load(t)
	return out
}

func say(t testing.TB) func(string) {
	return func(text string) { t.Log(text) }
}

func (c *Test) load(t testing.TB) {
	t.Helper()
	images, err := c.LoadProduct(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c.Image, c.Weft = images[0], filepath.Join(c.checkout, ".cache", "cluster", "bin", "weft")
	c.Version = strings.TrimPrefix(c.Image, "weft:")
}

// limit is for a step: a cluster that does not get there has failed.
const limit = 2 * time.Minute

// step bounds one.
func (c *Test) step() (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(c.t.Context(), limit, fmt.Errorf("not done within %v", limit))
}

// Namespace makes a namespace, with labels as "name=value", which is removed at the end of the test. Of a test that has failed, what was
// in it is shown before.
func (c *Test) Namespace(name string, labels ...string) string {
	c.t.Helper()
	remove := []string{"delete", "namespace", name, "--ignore-not-found"}
	c.Kubectl(remove...) // of a run that was killed
	c.Kubectl("create", "namespace", name)
	c.t.Cleanup(func() {
		if c.stopped() {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		if c.t.Failed() {
			c.Explain(ctx, name)
		}
		if _, err := c.Cluster.Kubectl(ctx, remove...); err != nil {
			c.t.Error(err)
		}
	})
	if len(labels) > 0 {
		c.Kubectl(append([]string{"label", "namespace", name}, labels...)...)
	}
	return name
}

// Explain shows what there is in a namespace, what has happened there, and what its pods wrote.
func (c *Test) Explain(ctx context.Context, namespace string) {
	c.t.Helper()
	out, err := c.Cluster.Kubectl(ctx, "get", "pods,events", "-n", namespace, "-o", "wide")
	c.t.Log(out, err)
	pods, _ := c.Cluster.Kubectl(ctx, "get", "pods", "-n", namespace, "-o", "name")
	for _, pod := range strings.Fields(pods) {
		out, err := c.Cluster.Kubectl(ctx, "logs", "-n", namespace, pod, "--all-containers", "--prefix", "--tail=40")
		c.t.Log(out, err)
	}
}

// Kubectl returns what it prints.
func (c *Test) Kubectl(args ...string) string {
	c.t.Helper()
	ctx, cancel := c.step()
	defer cancel()
	out, err := c.Cluster.Kubectl(ctx, args...)
	if err != nil {
		c.t.Fatal(err)
	}
	return out
}

// Finally runs kubectl at the end of the test.
func (c *Test) Finally(args ...string) {
	c.t.Helper()
	c.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		if c.stopped() {
			return
		}
		if _, err := c.Cluster.Kubectl(ctx, args...); err != nil {
			c.t.Error(err)
		}
	})
}

// Apply makes objects be as the YAML says.
func (c *Test) Apply(namespace, yaml string) {
	c.t.Helper()
	ctx, cancel := c.step()
	defer cancel()
	if err := c.Cluster.Apply(ctx, namespace, yaml); err != nil {
		c.t.Fatal(err)
	}
}

// Unplug is Cluster.Unplug.
func (c *Test) Unplug(node int) {
	c.t.Helper()
	ctx, cancel := c.step()
	defer cancel()
	if err := c.Cluster.Unplug(ctx, node); err != nil {
		c.t.Fatal(err)
	}
}

// Ready waits until workloads (deploy/NAME and the like) have all their pods ready.
func (c *Test) Ready(namespace string, workloads ...string) {
	c.t.Helper()
	ctx, cancel := c.step()
	defer cancel()
	if err := c.Cluster.Ready(ctx, namespace, workloads...); err != nil {
		c.t.Fatal(err)
	}
}

// Call is Cluster.Call for one answer.
func (c *Test) Call(namespace, from, url string, args ...string) Answer {
	c.t.Helper()
	return c.Calls(namespace, from, url, append(args, "--count=1")...)[0]
}

// Calls is Cluster.Call.
func (c *Test) Calls(namespace, from, url string, args ...string) []Answer {
	c.t.Helper()
	ctx, cancel := c.step()
	defer cancel()
	answers, err := c.Cluster.Call(ctx, namespace, from, url, args...)
	if err != nil {
		c.t.Fatal(err)
	}
	return answers
}

// Eventually asks until there is no error, and fails with the last one.
func (c *Test) Eventually(what string, ask func() error) {
	c.t.Helper()
	ctx, cancel := c.step()
	defer cancel()
	for {
		err := ask()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			c.t.Fatalf("%s: %v: %v", what, context.Cause(ctx), err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Run runs the program weft against the cluster, and returns what it prints and its error.
func (c *Test) Run(args ...string) (string, error) {
	ctx, cancel := c.step()
	defer cancel()
	return c.run(ctx, "", args...)
}

// RunAs is Run of another version's program.
func (c *Test) RunAs(weft string, args ...string) (string, error) {
	by := *c
	by.Weft = weft
	return by.Run(args...)
}

// RunWith is Run with an input.
func (c *Test) RunWith(input string, args ...string) (string, error) {
	ctx, cancel := c.step()
	defer cancel()
	return c.run(ctx, input, args...)
}

func (c *Test) run(ctx context.Context, input string, args ...string) (string, error) {
	return command(ctx, strings.NewReader(input), c.Env(), append([]string{c.Weft}, args...)...)
}

// stopped says whether the test has done it itself.
func (c *Cluster) stopped() bool { return c.keeper != nil && c.keeper.ProcessState != nil }

// Install has weft be on the cluster as its user would, by weft install with these flags, and waits until weft check finds nothing wrong.
// At the end of the test it is taken away: see Uninstall.
func (c *Test) Install(flags ...string) {
	c.t.Helper()
	c.InstallBy(c.Weft, flags...)
}

// Uninstall takes weft away at the end of the test, whoever has installed it by then, with the kinds that it brought.
func (c *Test) Uninstall() {
	c.t.Helper()
	c.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		if c.stopped() {
			return
		}
		if c.t.Failed() {
			c.Explain(ctx, "weft-system")
		}
		if out, err := c.run(ctx, "", "uninstall"); err != nil {
			c.t.Error(out, err)
		}
		for _, left := range []string{"namespace/weft-system", "customresourcedefinitions"} {
			args := []string{"delete", "--ignore-not-found", left}
			if left == "customresourcedefinitions" {
				args = append(args, "-l", "app.kubernetes.io/part-of=weft")
			}
			if _, err := c.Cluster.Kubectl(ctx, args...); err != nil {
				c.t.Error(err)
			}
		}
	})
}

// InstallBy is Install by another version's program.
func (c *Test) InstallBy(weft string, flags ...string) {
	c.t.Helper()
	objects, err := c.RunAs(weft, append([]string{"install"}, flags...)...)
	if err != nil {
		c.t.Fatal(err)
	}
	c.Uninstall()
	ctx, cancel := c.step()
	defer cancel()
	if _, err := c.kubectl(ctx, objects, "apply", "-f", "-"); err != nil {
		c.t.Fatal(err)
	}
	if out, err := c.RunAs(weft, "check", "--wait", "90s"); err != nil {
		c.t.Fatal(out, err)
	}
}

// Stop ends a cluster that Fresh has started before the test ends, and fails if it leaves anything.
func (c *Test) Stop() {
	c.t.Helper()
	if err := c.Cluster.Stop(); err != nil {
		c.t.Fatal(err)
	}
}
