package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Samples is the image of the sample shop and test application (/bookinfo), with the client that Call uses (/client).
const Samples = "weft.test/samples:1"

// Env has kubectl, and what else reads KUBECONFIG, ask this cluster. What kubectl remembers of the kinds that there are goes with it: the next
// cluster has the same address and other kinds, and a short name may have meant one that is gone.
func (c *Cluster) Env() []string {
	return []string{"KUBECONFIG=" + c.Kubeconfig, "KUBECACHEDIR=" + filepath.Join(Dir, "kubectl")}
}

// Kubectl runs it as an administrator, and returns what it prints. The error has what it says.
func (c *Cluster) Kubectl(ctx context.Context, args ...string) (string, error) {
	return c.kubectl(ctx, "", args...)
}

func (c *Cluster) kubectl(ctx context.Context, input string, args ...string) (string, error) {
	return command(ctx, strings.NewReader(input), c.Env(), append([]string{c.Tool}, args...)...)
}

// command fails with what it wrote to its error output, and in case that is empty to its output.
func command(ctx context.Context, input io.Reader, env []string, argv ...string) (string, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env, cmd.Stdin, cmd.WaitDelay = append(os.Environ(), env...), input, 10*time.Second
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	err := cmd.Run()
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		why := bytes.TrimSpace(said.Bytes())
		if len(why) == 0 {
			why = bytes.TrimSpace(out.Bytes())
		}
		err = fmt.Errorf("%s %s: %w: %s", filepath.Base(argv[0]), strings.Join(argv[1:], " "), err, why)
	}
	return out.String(), err
}

// Apply makes objects be as the YAML says, in a namespace where they name none.
func (c *Cluster) Apply(ctx context.Context, namespace, yaml string) error {
	_, err := c.kubectl(ctx, yaml, "apply", "--server-side", "--force-conflicts", "--field-manager=test", "-n", namespace, "-f", "-")
	return err
}

// Ready waits until workloads (deploy/NAME and the like) have all their pods ready.
func (c *Cluster) Ready(ctx context.Context, namespace string, workloads ...string) error {
	for _, w := range workloads {
		if _, err := c.Kubectl(ctx, "rollout", "status", "-n", namespace, w); err != nil {
			pods, _ := c.Kubectl(context.WithoutCancel(ctx), "get", "pods,events", "-n", namespace, "-o", "wide")
			return fmt.Errorf("%w\n%s", err, pods)
		}
	}
	return nil
}

// Answer is what a call gave.
type Answer struct {
	Status int         `json:"status"` // of HTTP; 200 where another protocol gave an answer; 0: there was none
	Header http.Header `json:"header"`
	Body   string      `json:"body"`
	Error  string      `json:"error"` // why there was none

	At   time.Time     `json:"at"` // when it was made
	Took time.Duration `json:"took"`
}

// Call has the client in a pod's container, or a workload's (deploy/NAME), make a call, and returns its answers, as many as count in args
// asks for. args are the client's: see inpod. Containers of the image Samples have the client.
func (c *Cluster) Call(ctx context.Context, namespace, from, url string, args ...string) ([]Answer, error) {
	out, err := c.Kubectl(ctx, append([]string{"exec", "-n", namespace, from, "--", "/client", url, "--json"}, args...)...)
	var answers []Answer
	for in := json.NewDecoder(strings.NewReader(out)); ; {
		var a Answer
		if e := in.Decode(&a); e != nil {
			if e == io.EOF && len(answers) > 0 {
				return answers, nil // calls without an answer fail it too
			}
			return nil, errors.Join(err, fmt.Errorf("the client said %q", out))
		}
		answers = append(answers, a)
	}
}

// LoadImage gives an image to every node.
func (c *Cluster) LoadImage(ctx context.Context, i Image) error {
	f, err := os.CreateTemp("", "weft-image-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if err := i.Write(f); err != nil {
		return err
	}
	return c.LoadArchive(ctx, f.Name())
}

// LoadArchive gives every node the images in a file of `docker save`.
func (c *Cluster) LoadArchive(ctx context.Context, name string) error {
	errs := make([]error, len(c.Nodes))
	var all sync.WaitGroup
	for i, n := range c.Nodes {
		all.Go(func() { errs[i] = n.load(ctx, name) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// load goes by the input: a file's name may mean something else in the node.
func (n Node) load(ctx context.Context, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = command(ctx, f, nil, append(n.within(), "ctr", "-n", "k8s.io", "image", "import", "--digests=false", "-")...)
	return err
}

// within begins a command that is run in a node's namespaces.
func (n Node) within() []string {
	return []string{"nsenter", "--target", strconv.Itoa(n.Process), "--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup", "--"}
}

// Command runs a program of the machine in a node.
func (n Node) Command(ctx context.Context, argv ...string) (string, error) {
	return command(ctx, nil, nil, append(n.within(), argv...)...)
}

// LoadProduct builds the product and the samples from the checkout as it is, gives every node their images, and returns these: weft:VERSION
// and Samples.
func (c *Cluster) LoadProduct(ctx context.Context) ([]string, error) {
	dir, version, err := weft(ctx, c.checkout)
	if err != nil {
		return nil, err
	}
	names, err := productPrograms(c.checkout)
	if err != nil {
		return nil, err
	}
	product := Image{Tags: []string{"weft:" + version}, Entrypoint: []string{"/weft"}, Files: map[string]string{}}
	for _, name := range names {
		product.Files["/"+name] = filepath.Join(dir, name)
	}
	inpod, err := c.InPod(ctx)
	if err != nil {
		return nil, err
	}
	samples := Image{Tags: []string{Samples}, Entrypoint: []string{"/bookinfo"},
		Files: map[string]string{"/bookinfo": filepath.Join(dir, "bookinfo"), "/client": inpod}}
	var tags []string
	for _, i := range []Image{product, samples} {
		if err := c.LoadImage(ctx, i); err != nil {
			return nil, err
		}
		tags = append(tags, i.Tags...)
	}
	return tags, nil
}

// InPod is the program of pods: see there. It goes by the name that it has in an image.
func (c *Cluster) InPod(ctx context.Context) (string, error) {
	dir, err := own.build(ctx, c.checkout, func(string) {})
	return filepath.Join(dir, "inpod"), err
}

// CoreDNS is that program, with the plugins that a cluster and Gateway API's suite need.
func (c *Cluster) CoreDNS(ctx context.Context) (string, error) {
	dir, err := coredns.build(ctx, c.checkout, func(string) {})
	return filepath.Join(dir, "coredns"), err
}

// Unplug cuts a node, counted from 0 as in Nodes, off from everybody, the API server too: no packet goes there or comes from there any more.
func (c *Cluster) Unplug(ctx context.Context, n int) error {
	_, err := command(ctx, nil, nil, "ip", "link", "set", fmt.Sprint(Link, n+1), "down")
	return err
}
