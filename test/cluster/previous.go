package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// ErrNoCommit is that the checkout does not have a commit, as one that was cloned without its history.
var ErrNoCommit = errors.New("the checkout does not have the commit")

// Previous builds the product as it was at a commit of the checkout, once, gives every node its image, weft:VERSION, and returns the version,
// which is the commit, and the program weft.
func (c *Cluster) Previous(ctx context.Context, commit string) (version, weft string, err error) {
	out, err := exec.CommandContext(ctx, "git", "-C", c.checkout, "rev-parse", "--verify", "--quiet", "--short=12", commit+"^{commit}").Output()
	if err != nil {
		return "", "", fmt.Errorf("%w %s: %w", ErrNoCommit, commit, err)
	}
	version = string(bytes.TrimSpace(out))
	dir, err := c.previous(ctx, version)
	if err != nil {
		return "", "", err
	}
	names, err := filepath.Glob(filepath.Join(dir, "weft*"))
	if err != nil {
		return "", "", err
	}
	i := Image{Tags: []string{"weft:" + version}, Entrypoint: []string{"/weft"}, Files: map[string]string{}}
	for _, name := range names {
		i.Files["/"+filepath.Base(name)] = name
	}
	return version, filepath.Join(dir, "weft"), c.LoadImage(ctx, i)
}

// previous returns the directory of a commit's programs, which are kept like those of clusters.
func (c *Cluster) previous(ctx context.Context, version string) (string, error) {
	const name = "previous"
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	unlock, err := lockCache(ctx, filepath.Join(cache, name+".lock"), func(string) {})
	if err != nil {
		return "", err
	}
	defer unlock()
	dir := filepath.Join(cache, name+"-"+version)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	sources, err := os.MkdirTemp("", "weft-previous-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(sources)
	// What make build puts there is of other projects, and the same for every commit.
	const extract = `git -C "$0" archive "$2" | tar -x -C "$1" && cp -r "$0/install/definitions" "$1/install/"`
	if out, err := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", extract, c.checkout, sources, version).CombinedOutput(); err != nil {
		return "", fmt.Errorf("the sources of %s: %w\n%s", version, err, out)
	}
	part, err := os.MkdirTemp(cache, "."+name+"-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(part)
	if err := goBuild(ctx, sources, part, "-s -w -X github.com/weft-mesh/weft/cli.Version="+version, "./cmd/..."); err != nil {
		return "", err
	}
	if err := os.Chmod(part, 0o755); err != nil {
		return "", err
	}
	sweepCache(cache, name, dir)
	return dir, os.Rename(part, dir)
}
