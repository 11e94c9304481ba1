package cluster

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// program is what is built of one module, once for each state of its sources: into a directory named by their hash, below the user's
// cache directory, so that checkouts share it and cleaning one does not cost ten minutes.
type program struct {
	name     string   // begins the directory's
	module   string   // below the checkout
	packages []string // what is built of it
	ldflags  string
	slow     string // said before it is built; empty: it takes seconds
}

// versions are what Kubernetes says that it is; without, clients take it for version 0.0.
func versions(v, minor string) string {
	flags := "-s -w"
	for _, p := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		flags += fmt.Sprintf(" -X %[1]s.gitVersion=%[2]s -X %[1]s.gitMajor=1 -X %[1]s.gitMinor=%[3]s -X %[1]s.gitTreeState=clean"+
			" -X %[1]s.gitCommit=0000000000000000000000000000000000000000 -X %[1]s.buildDate=2026-01-01T00:00:00Z", p, v, minor)
	}
	return flags
}

var (
	kube = program{"kube", "test/cluster/kube", []string{"."}, versions("v1.36.3", "36"),
		"building Kubernetes, which takes ten minutes and more on two cores, once"}
	coredns = program{"coredns", "test/cluster/coredns", []string{"."}, "-s -w", "building CoreDNS, which takes minutes, once"}
	own     = program{"own", "test/cluster", []string{"./boot", "./inpod"}, "-s -w", ""}
)

// Build builds packages of a module of the checkout, such as test/conformance/gatewayapi, once for each state of its sources, and returns
// the directory of the programs.
func (c *Cluster) Build(ctx context.Context, name, module string, packages ...string) (string, error) {
	return program{name: name, module: module, packages: packages, ldflags: "-s -w"}.build(ctx, c.checkout, func(string) {})
}

// keep is how long a directory stays that nobody uses, once another is built of the same program.
const keep = 30 * 24 * time.Hour

// build returns the directory of the program's binaries.
func (p program) build(ctx context.Context, checkout string, say func(string)) (string, error) {
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	hash, err := p.hash(ctx, checkout)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, p.name+"-"+hash)
	unlock, err := lockCache(ctx, filepath.Join(cache, p.name+".lock"), say)
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(dir); err == nil {
		now := time.Now()
		return dir, os.Chtimes(dir, now, now)
	}
	if p.slow != "" {
		say(p.slow)
	}
	if err := p.compile(ctx, checkout, dir); err != nil {
		return "", err
	}
	sweepCache(cache, p.name, dir)
	return dir, nil
}

// cacheDir is where what is built for clusters is kept.
func cacheDir() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("what is built for a cluster is kept in the user's cache directory: %w", err)
	}
	cache = filepath.Join(cache, "weft", "cluster")
	return cache, os.MkdirAll(cache, 0o755)
}

// compile makes dir in one step, so that a build that was interrupted is none.
func (p program) compile(ctx context.Context, checkout, dir string) error {
	part, err := os.MkdirTemp(filepath.Dir(dir), "."+p.name+"-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(part)
	if err := goBuild(ctx, filepath.Join(checkout, p.module), part, p.ldflags, p.packages...); err != nil {
		return err
	}
	if err := os.Chmod(part, 0o755); err != nil {
		return err
	}
	return os.Rename(part, dir)
}

// goBuild makes static programs.
func goBuild(ctx context.Context, module, into, ldflags string, packages ...string) error {
	args := append([]string{"build", "-trimpath", "-ldflags", ldflags, "-o", into + "/"}, packages...)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Env = module, append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it removes its temporary files
	cmd.WaitDelay = 10 * time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build of %s: %w\n%s", module, err, out)
	}
	return nil
}

// hash is of all that a build depends on: the tool, what it is told, and the module's files. Modules that it requires are in go.sum.
func (p program) hash(ctx context.Context, checkout string) (string, error) {
	h := sha256.New()
	cmd := exec.CommandContext(ctx, "go", "env", "GOVERSION", "GOOS", "GOARCH", "GOAMD64", "GOARM64")
	cmd.Dir = filepath.Join(checkout, p.module)
	tool, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go env: %w", err)
	}
	fmt.Fprintf(h, "%s%q %q\n", tool, p.packages, p.ldflags)
	if err := hashFiles(h, os.DirFS(filepath.Join(checkout, p.module))); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:8]), nil
}

// hashFiles leaves out tests, pages and modules below.
func hashFiles(h io.Writer, tree fs.FS) error {
	return fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if _, err := fs.Stat(tree, name+"/go.mod"); err == nil && name != "." {
				return fs.SkipDir
			}
			return nil
		}
		if strings.HasSuffix(name, "_test.go") || filepath.Ext(name) == ".md" {
			return nil
		}
		b, err := fs.ReadFile(tree, name)
		if err == nil {
			_, err = fmt.Fprintf(h, "%s %d\n%s", name, len(b), b)
		}
		return err
	})
}

// lockCache has one process at a time build a program: the second would take the same ten minutes for nothing.
func lockCache(ctx context.Context, name string, say func(string)) (unlock func(), err error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	for waits := 0; ; waits++ {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			f.Close()
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if waits == 0 {
			say("waiting for another build of " + strings.TrimSuffix(filepath.Base(name), ".lock"))
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, context.Cause(ctx)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// sweepCache removes what was built of a program before and has not been used for long, and what was left half built.
func sweepCache(cache, name, but string) {
	dirs, _ := filepath.Glob(filepath.Join(cache, name+"-*"))
	parts, _ := filepath.Glob(filepath.Join(cache, "."+name+"-*"))
	for _, dir := range append(dirs, parts...) {
		if info, err := os.Stat(dir); err == nil && dir != but && time.Since(info.ModTime()) > keep {
			os.RemoveAll(dir)
		}
	}
}

// weft builds the product's programs and the sample shop from the checkout as it is, and returns their directory and version. Go's own
// cache has what did not change.
func weft(ctx context.Context, checkout string) (dir, version string, err error) {
	version = "dev"
	if out, err := exec.CommandContext(ctx, "git", "-C", checkout, "describe", "--tags", "--always", "--dirty").Output(); err == nil {
		version = strings.TrimSpace(string(out))
	}
	dir = filepath.Join(checkout, ".cache", "cluster", "bin")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", "", err
	}
	ldflags := "-s -w -X github.com/weft-mesh/weft/cli.Version=" + version
	return dir, version, goBuild(ctx, checkout, dir, ldflags, "./cmd/...", "./examples/bookinfo")
}

var moduleLine = regexp.MustCompile(`(?m)^module (\S+)$`)

func moduleOf(mod []byte) string {
	m := moduleLine.FindSubmatch(mod)
	if m == nil {
		return ""
	}
	return string(bytes.TrimSpace(m[1]))
}

// productPrograms are what the image weft holds: whatever cmd has.
func productPrograms(checkout string) ([]string, error) {
	all, err := os.ReadDir(filepath.Join(checkout, "cmd"))
	var names []string
	for _, d := range all {
		if d.IsDir() {
			names = append(names, d.Name())
		}
	}
	return names, err
}
